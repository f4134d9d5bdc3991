"""Translation from Python: a volume for a volume, an array for an array."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.engine.captions import encode_caption
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.volumes import Volume, load_volume


@overload
def translate(
    image: npt.NDArray[Any],
    *,
    to: str,
    source: str | None = ...,
    weights: Checkpoint | str | Path | None = ...,
    caption: str | None = ...,
    encoder: str | None = ...,
    options: TranslationOptions | None = ...,
    on_progress: Callable[[int, int], None] | None = ...,
) -> npt.NDArray[np.float32]: ...
@overload
def translate(
    image: Volume | str | Path,
    *,
    to: str,
    source: str | None = ...,
    weights: Checkpoint | str | Path | None = ...,
    caption: str | None = ...,
    encoder: str | None = ...,
    options: TranslationOptions | None = ...,
    on_progress: Callable[[int, int], None] | None = ...,
) -> Volume: ...


def translate(
    image: Volume | npt.NDArray[Any] | str | Path,
    *,
    to: str,
    source: str | None = None,
    weights: Checkpoint | str | Path | None = None,
    caption: str | None = None,
    encoder: str | None = None,
    options: TranslationOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Volume | npt.NDArray[np.float32]:
    """Translate an image into another domain.

    Args:
        image: A volume, a file, or an array (I, J, K) in RAS+ order at the checkpoint's spacing.
        to: Target domain, by name (any case) or by its caption.
        source: Domain of the image; None where the method needn't know.
        weights: A loaded checkpoint, a file, or a shipped name; None for the shipped default.
        caption: What the generator attends to in place of the target's own caption.
        encoder: Where the checkpoint's encoder is found, if not under its own name; only a caption
            needs it.
        options: How to run.
        on_progress: Called with (slices done, slices in all).

    Returns:
        A volume on the same grid with the same header; an array for an array.

    Raises:
        GalipError: What is wrong, which value, and the way out.
    """
    checkpoint = weights if isinstance(weights, Checkpoint) else load_checkpoint(weights)
    encoded = None
    if caption is not None:
        origin = None if isinstance(weights, Checkpoint) else weights
        encoded = encode_caption(caption, checkpoint, encoder, origin)
    if isinstance(image, str | Path):
        image = load_volume(image)
    if isinstance(image, Volume):
        return translate_volume(image, checkpoint, to, source, options, on_progress, encoded).volume
    volume = Volume(array=np.asarray(image, dtype=np.float32), affine=np.eye(4))
    result = translate_volume(volume, checkpoint, to, source, options, on_progress, encoded)
    return np.array(result.volume.array)
