"""Volume -> [0, 1] -> slices -> generator -> slices -> the same grid, the target's scale."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from i2igalip_cli import __version__
from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.backends import BACKENDS, MICRO_BATCH, Backend
from i2igalip_cli.engine.captions import (
    FreeCaption,
    compare_caption,
    encode_caption,
    with_caption,
)
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import Derivation, Volume, load_volume
from i2igalip_cli.volumes.grid import resample, straighten
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import SliceStack, in_plane_spacing
from i2igalip_cli.volumes.volume import Array

NEGATIVE_SHARE = 0.01  # of voxels: more is no magnitude image, or not only
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
        for name, number in (("--batch-size", self.batch_size), ("--threads", self.threads)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} {number}: at least 1")


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


class Translator:
    """A checkpoint, a target and the backend that runs them, for any number of volumes.

    Args:
        checkpoint: What to translate with.
        to: Target domain, by name or by its caption.
        source: Domain of the sources; None where the method needn't know.
        options: How to run.
        caption: What the generator attends to in place of the target's own caption.

    Attributes:
        target: Domain of the results, with the caption that is used.
        source: Domain of the sources, if one was said.

    Raises:
        ConfigError: The checkpoint doesn't know a domain.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        to: str,
        source: str | None = None,
        options: TranslationOptions | None = None,
        caption: FreeCaption | None = None,
    ) -> None:
        self.options = options or TranslationOptions()
        self.target = find_domain(to, checkpoint.domains)
        self.source = None if source is None else find_domain(source, checkpoint.domains)
        self.sha256 = checkpoint.sha256  # a caption makes no other model
        self._warnings: tuple[str, ...] = ()
        if checkpoint.limits:
            self._warnings += (f"{checkpoint.name}: {checkpoint.limits}",)
        if self.source == self.target:
            self._warnings += (f"source and target are both {self.target.name}",)
        if caption is not None:
            self._warnings += compare_caption(checkpoint, self.target, caption)
            checkpoint = with_caption(checkpoint, self.target, caption)
            self.target = find_domain(self.target.name, checkpoint.domains)
        self.checkpoint = checkpoint

    @cached_property
    def backend(self) -> Backend:
        """What runs the generator; made at its first use, so that bad volumes cost no model.

        Raises:
            ConfigError: It can't run on this device.
        """
        options = self.options
        return BACKENDS[options.backend](self.checkpoint, options.device, options.threads)

    def __call__(
        self, volume: Volume, on_progress: Callable[[int, int], None] | None = None
    ) -> Translation:
        """Translate a volume.

        MR output is in arbitrary units: 1 becomes what was 1 in the source. CT output is in HU.

        Args:
            volume: The source.
            on_progress: Called with (slices done, slices in all).

        Raises:
            ConfigError: The backend can't run on this device.
            EmptyVolumeError: The volume is constant.
            VolumeError: The volume is of another modality than its domain, or has nothing to scale
                by.
        """
        began = time.monotonic()
        _check_modality(volume, self.source, self.checkpoint)
        window = find_window(volume.array, self.source, self.checkpoint.policy)
        unit = volume.with_array(window.to_unit(volume.array))
        multiple = self.checkpoint.config.generator.side_multiple
        straight, sheared = straighten(unit)
        stack = SliceStack.from_volume(straight, self.checkpoint.plane, multiple)
        filled = np.flatnonzero(stack.slices.any(axis=(1, 2, 3)))
        result = stack.to_volume(self._translate_slices(stack.slices, filled, on_progress)).array
        if straight is not unit:
            result = resample(result, straight.affine, unit.affine, unit.shape)
        out_window = window
        if self.target.window is not None:
            out_window = IntensityWindow(low=self.target.window[0], high=self.target.window[1])
        return Translation(
            volume=replace(
                volume.with_array(out_window.from_unit(result)),
                derivation=self._derivation(),
                modality=self.target.modality,
            ),
            target=self.target,
            source=self.source,
            window=window,
            out_window=out_window,
            slices=len(stack.slices),
            empty=len(stack.slices) - len(filled),
            seconds=time.monotonic() - began,
            warnings=_judge_volume(volume, self.source, self.checkpoint) + sheared + self._warnings,
        )

    def _translate_slices(
        self,
        slices: Array,
        filled: npt.NDArray[np.intp],
        on_progress: Callable[[int, int], None] | None,
    ) -> Array:
        """The slices (N, 1, H, W) of the target; those that aren't filled stay empty."""
        translated = np.zeros_like(slices)
        step = -(-self.options.batch_size // MICRO_BATCH) * MICRO_BATCH
        for start in range(0, len(filled), step):
            chosen = filled[start : start + step]
            translated[chosen] = self.backend(slices[chosen], self.source, self.target)
            if on_progress is not None:
                on_progress(start + len(chosen), len(filled))
        return translated

    def _derivation(self) -> Derivation:
        return Derivation(
            source="" if self.source is None else self.source.name,
            target=self.target.name,
            modality=self.target.modality,
            caption=self.target.caption,
            model=self.checkpoint.name,
            model_sha256=self.sha256,
            version=__version__,
        )


def translate_volume(
    volume: Volume,
    checkpoint: Checkpoint,
    to: str,
    source: str | None = None,
    options: TranslationOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    caption: FreeCaption | None = None,
) -> Translation:
    """Translate one volume with a checkpoint: a `Translator` used once.

    Raises:
        ConfigError: The checkpoint doesn't know a domain.
        VolumeError: The volume is constant or has nothing to scale by.
    """
    return Translator(checkpoint, to, source, options, caption)(volume, on_progress)


def _check_modality(volume: Volume, source: Domain | None, checkpoint: Checkpoint) -> None:
    """Refuse a volume whose file says that it is no image of the source's domain.

    CT needs its domain: only that has the window in HU.
    """
    if volume.modality is None or (source is not None and source.modality == volume.modality):
        return
    if source is not None:
        raise VolumeError(f"a {volume.modality} image, but {source.name} is {source.modality}")
    if volume.modality == "CT":
        known = [domain.name for domain in checkpoint.domains if domain.modality == "CT"]
        way = f"say which with --from {known[0]}" if known else f"{checkpoint.name} knows MR only"
        raise VolumeError(f"a CT image; {way}")


def _judge_volume(volume: Volume, source: Domain | None, checkpoint: Checkpoint) -> tuple[str, ...]:
    """What may be wrong with a volume as a source for this checkpoint."""
    found = list(volume.warnings)
    below = float((volume.array < 0).mean())
    if below > NEGATIVE_SHARE and (source is None or source.window is None):
        found.append(
            f"{below:.0%} of its voxels are below 0 and count as 0; if it is CT, name its domain "
            "with --from"
        )
    if volume.nonfinite_voxels:
        found.append(f"{volume.nonfinite_voxels} voxels were NaN or infinite; they count as 0")
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
