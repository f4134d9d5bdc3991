"""Volume -> [0, 1] -> foreground -> slices -> generator -> the same grid, the target's scale."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from i2igalip_cli import __version__
from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import find_domain
from i2igalip_cli.engine.backends import Backend
from i2igalip_cli.engine.captions import FreeCaption, compare_caption, with_caption
from i2igalip_cli.engine.planes import PlaneSlices, choose_planes, fuse, lay_plane
from i2igalip_cli.engine.precision import LARGEST_LOSS, precision_loss
from i2igalip_cli.engine.runner import Runner
from i2igalip_cli.engine.sources import check_modality, judge_box, judge_volume
from i2igalip_cli.engine.translation import Translation, TranslationOptions
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.evaluation.metrics import through_plane_jump
from i2igalip_cli.volumes import Derivation, Volume
from i2igalip_cli.volumes.foreground import Box, find_box
from i2igalip_cli.volumes.grid import (
    MAX_SHEAR_DEGREES,
    resample,
    shear_degrees,
    straighten,
)
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array, freeze

_PROBED = 4  # slices of a volume on which reduced arithmetic is judged
_UNIT = IntensityWindow(low=0.0, high=1.0)
ARBITRARY_UNITS = IntensityWindow(low=0.0, high=1000.0)  # of MR made of CT


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
        planes: In which volumes are translated.

    Raises:
        ConfigError: The checkpoint doesn't know a domain or a plane.
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
        self.planes = choose_planes(checkpoint, self.options.planes)
        self.sha256 = checkpoint.sha256  # a caption makes no other model
        self._notes: tuple[str, ...] = ()
        if caption is not None:
            self._notes = compare_caption(checkpoint, self.target, caption)
            checkpoint = with_caption(checkpoint, self.target, caption)
            self.target = find_domain(self.target.name, checkpoint.domains)
        self.checkpoint = checkpoint
        self._runner = Runner(checkpoint, self.options)

    def to(self, target: str) -> "Translator":
        """The same with another target; both share the backend.

        Raises:
            ConfigError: The checkpoint doesn't know the domain.
        """
        other = copy.copy(self)
        other.target = find_domain(target, self.checkpoint.domains)
        return other

    def begin(self) -> None:
        """Set up the backend beside other work, such as reading the volume."""
        self._runner.begin()

    @property
    def backend(self) -> Backend:
        """What runs the generator.

        Raises:
            ConfigError: It can't run on this device.
        """
        return self._runner.backend

    def __call__(
        self, volume: Volume, on_progress: Callable[[int, int], None] | None = None
    ) -> Translation:
        """Translate a volume.

        MR output is in arbitrary units: 1 becomes what was 1 in the source, or 1000 where that is
        CT. CT output is in HU.
        What lies outside the box of the foreground becomes 0 of the generator's range.

        Args:
            volume: The source.
            on_progress: Called with (slices done, slices in all).

        Raises:
            ConfigError: The backend can't run on this device, or its arithmetic costs too much.
            EmptyVolumeError: The volume is constant.
            VolumeError: The volume is of another modality than its domain, or has nothing to scale
                by.
        """
        began = time.monotonic()
        check_modality(volume, self.source, self.checkpoint)
        window = find_window(volume.array, self.source, self.checkpoint.policy)
        straight, inner, sheared = _straighten(volume, window)
        box = find_box(straight, inner, self.checkpoint.crop)
        laid = [lay_plane(straight, inner, box, p, self.checkpoint) for p in self.planes]
        loss = self._judge_precision(laid[0])
        result = self._translate(straight, box, laid, on_progress)
        lost = judge_box(straight, inner, box, self.checkpoint.crop)
        jump = through_plane_jump(view_slices(result[box], straight.affine, self.planes[0]))
        if straight is not volume:
            result = resample(result, straight.affine, volume.affine, volume.shape)
        out_window = self._find_out_window(window)
        slices = len(view_slices(straight.array, straight.affine, self.planes[0]))
        judged = judge_volume(volume, self.source, self.checkpoint, self.planes)
        return Translation(
            volume=replace(
                volume.with_array(freeze(out_window.from_unit(result, out=result))),
                derivation=self._derivation(),
                modality=self.target.modality,
            ),
            target=self.target,
            source=self.source,
            window=window,
            out_window=out_window,
            planes=self.planes,
            slices=slices,
            empty=slices - len(laid[0].filled),
            jump=jump,
            backend=self.backend.name,
            precision=self.options.precision,
            precision_loss=loss,
            seconds=time.monotonic() - began,
            warnings=judged + lost + sheared + self._describe() + self._runner.news(),
        )

    def _translate(
        self,
        volume: Volume,
        box: Box,
        laid: list[PlaneSlices],
        on_progress: Callable[[int, int], None] | None,
    ) -> Array:
        """The target in [0, 1] on the volume's grid, 0 outside of the box."""
        total, done = sum(len(plane.filled) for plane in laid), 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if on_progress is not None:
                on_progress(done, total)

        result = np.zeros(volume.shape, np.float32, order="F")
        step = max(self.options.batch_size, self.backend.chunk)
        if len(laid) == 1:
            out = view_slices(result[box], volume.affine, self.planes[0])
            laid[0].translate(self._run, out, step, tell)
            return result
        parts = [np.zeros(result[box].shape, np.uint16, order="F") for _ in laid]
        for plane, slices, part in zip(self.planes, laid, parts, strict=True):
            slices.translate(self._run, view_slices(part, volume.affine, plane), step, tell)
        fuse(parts, result[box])
        return result

    def _find_out_window(self, window: IntensityWindow) -> IntensityWindow:
        """Intensities that 0 and 1 become, given those of the source."""
        if self.target.window is not None:
            low, high = self.target.window
            return IntensityWindow(low=low, high=high)
        if self.source is not None and self.source.modality != self.target.modality:
            return ARBITRARY_UNITS  # those of the source mean nothing here
        return window

    def _run(self, slices: Array) -> Array:
        return self.backend(slices, self.source, self.target)

    def _judge_precision(self, slices: PlaneSlices) -> float | None:
        """What reduced arithmetic costs about, in dB, on slices spread over a volume.

        Raises:
            ConfigError: More than is allowed.
        """
        precision = self.options.precision
        if precision == "float32" or slices.filled.size == 0:
            return None
        places = (np.arange(_PROBED) + 0.5) / _PROBED * len(slices.filled)
        probe = slices.read(np.unique(slices.filled[places.astype(np.intp)]))
        full = self._runner.full(probe, self.source, self.target)
        loss = precision_loss(self._run(probe), full, self.checkpoint.psnr)
        if loss > LARGEST_LOSS:
            raise ConfigError(
                f"--precision {precision} costs about {loss:.2f} dB of PSNR on this volume, more "
                f"than {LARGEST_LOSS}: leave it at float32"
            )
        return loss

    def _describe(self) -> tuple[str, ...]:
        """What is to be said of every volume."""
        found: tuple[str, ...] = ()
        if self.checkpoint.limits:
            found += (f"{self.checkpoint.name}: {self.checkpoint.limits}",)
        if self.source is not None and self.source.name == self.target.name:
            found += (f"source and target are both {self.target.name}",)
        return found + self._notes

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


def _straighten(
    volume: Volume, window: IntensityWindow
) -> tuple[Volume, IntensityWindow, tuple[str, ...]]:
    """A volume with orthogonal axes, its window, and warnings: the volume itself where it can be.

    A sheared one is brought to [0, 1] first, for what lies outside of it must be 0.
    """
    if shear_degrees(volume.affine) <= MAX_SHEAR_DEGREES:
        return volume, window, straighten(volume)[1]
    unit = volume.with_array(freeze(window.to_unit(volume.array)))
    straight, warnings = straighten(unit)
    return straight, _UNIT, warnings
