"""Volume -> [0, 1] -> slices -> generator -> slices -> the same grid, the target's scale."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from i2igalip_cli import __version__
from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.backends import BACKENDS, MICRO_BATCH
from i2igalip_cli.engine.captions import (
    FreeCaption,
    compare_caption,
    encode_caption,
    with_caption,
)
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Derivation, Volume, load_volume
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import SliceStack, in_plane_spacing

SPACING_TOLERANCE = 1.25  # finer or coarser than training by more than this is worth a warning


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """How a translation runs; none of these changes its result.

    Attributes:
        backend: Name in `BACKENDS`.
        device: Of the backend; None lets it choose.
        threads: Of the processor; None leaves them as they are.
        batch_size: Slices between two reports of progress.
    """

    backend: str = "torch"
    device: str | None = None
    threads: int | None = None
    batch_size: int = 8

    def __post_init__(self) -> None:
        """Refuse what can't run.

        Raises:
            ConfigError: An unknown backend, or a number below 1.
        """
        if self.backend not in BACKENDS:
            raise ConfigError(f"unknown backend '{self.backend}': known are {', '.join(BACKENDS)}")
        if self.batch_size < 1 or (self.threads is not None and self.threads < 1):
            raise ConfigError("batch size and threads start at 1")


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A translated volume and how it came about.

    Attributes:
        volume: On the source's grid, with its header.
        target: Domain it was translated to, with the caption that was used.
        source: Domain it was said to be of; None if nothing was said.
        window: Intensities of the source that were 0 and 1 to the generator.
        out_window: Intensities that 0 and 1 of the generator's output became.
        slices: Slices of the volume.
        empty: Of these, slices without foreground: they stay empty.
        seconds: Wall time of the translation.
        warnings: What the user should know.
    """

    volume: Volume
    target: Domain
    source: Domain | None
    window: IntensityWindow
    out_window: IntensityWindow
    slices: int
    empty: int
    seconds: float
    warnings: tuple[str, ...]


def translate_volume(
    volume: Volume,
    checkpoint: Checkpoint,
    to: str,
    source: str | None = None,
    options: TranslationOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    caption: FreeCaption | None = None,
) -> Translation:
    """Translate a volume with a checkpoint.

    MR output is in arbitrary units: 1 becomes what was 1 in the source. CT output is in HU.

    Args:
        volume: The source.
        checkpoint: What to translate with.
        to: Target domain, by name or by its caption.
        source: Domain of the source; None where the method needn't know.
        options: How to run.
        on_progress: Called with (slices done, slices in all).
        caption: What the generator attends to in place of the target's own caption.

    Raises:
        ConfigError: The checkpoint doesn't know a domain.
        VolumeError: The volume is constant or has nothing to scale by.
    """
    began = time.monotonic()
    options = options or TranslationOptions()
    target = find_domain(to, checkpoint.domains)
    origin = None if source is None else find_domain(source, checkpoint.domains)
    warnings = _warnings(volume, checkpoint, origin, target)
    if caption is not None:
        warnings += compare_caption(checkpoint, target, caption)
        checkpoint = with_caption(checkpoint, target, caption)
        target = find_domain(target.name, checkpoint.domains)
    window = find_window(volume.array, origin, checkpoint.policy)
    unit = volume.with_array(window.to_unit(volume.array))
    stack = SliceStack.from_volume(
        unit, checkpoint.plane, checkpoint.config.generator.side_multiple
    )
    filled = np.flatnonzero(stack.slices.any(axis=(1, 2, 3)))

    backend = BACKENDS[options.backend](checkpoint, options.device, options.threads)
    translated = np.zeros_like(stack.slices)
    step = -(-options.batch_size // MICRO_BATCH) * MICRO_BATCH
    for start in range(0, len(filled), step):
        chosen = filled[start : start + step]
        translated[chosen] = backend(stack.slices[chosen], origin, target)
        if on_progress is not None:
            on_progress(start + len(chosen), len(filled))

    out_window = window
    if target.window is not None:
        out_window = IntensityWindow(low=target.window[0], high=target.window[1])
    result = stack.to_volume(translated)
    derivation = Derivation(
        source="" if origin is None else origin.name,
        target=target.name,
        modality=target.modality,
        caption=target.caption,
        model=checkpoint.name,
        model_sha256=checkpoint.sha256,
        version=__version__,
    )
    return Translation(
        volume=replace(
            result.with_array(out_window.from_unit(result.array)),
            derivation=derivation,
            modality=target.modality,
        ),
        target=target,
        source=origin,
        window=window,
        out_window=out_window,
        slices=len(stack.slices),
        empty=len(stack.slices) - len(filled),
        seconds=time.monotonic() - began,
        warnings=warnings,
    )


def _warnings(
    volume: Volume, checkpoint: Checkpoint, source: Domain | None, target: Domain
) -> tuple[str, ...]:
    found = []
    if volume.nonfinite_voxels:
        found.append(f"{volume.nonfinite_voxels} voxels were NaN or infinite; they count as 0")
    if source == target:
        found.append(f"source and target are both {target.name}")
    zoom = checkpoint.config.zoom
    for spacing, trained in zip(
        in_plane_spacing(volume, checkpoint.plane), checkpoint.spacing_mm, strict=True
    ):
        if not trained / zoom / SPACING_TOLERANCE <= spacing <= trained * SPACING_TOLERANCE:
            found.append(
                f"pixels of {spacing:.2f} mm, but {checkpoint.name} was trained for "
                f"{trained / zoom:.2f} to {trained:.2f} mm; expect a worse result"
            )
            break
    return tuple(found)


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
