"""Volume -> [0, 1] -> foreground -> slices -> generator -> the same grid, the target's scale."""

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from i2igalip_cli import __version__
from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import find_domain
from i2igalip_cli.engine.backends import Backend
from i2igalip_cli.engine.captions import FreeCaption, compare_caption, with_caption
from i2igalip_cli.engine.directions import find_direction
from i2igalip_cli.engine.laying import LaidVolume, lay_volume
from i2igalip_cli.engine.planes import Levels, PlaneSlices, choose_planes
from i2igalip_cli.engine.precision import LARGEST_LOSS, precision_loss
from i2igalip_cli.engine.runner import Runner
from i2igalip_cli.engine.sources import judge_volume
from i2igalip_cli.engine.translation import Translation, TranslationOptions
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.evaluation.metrics import through_plane_jump
from i2igalip_cli.volumes import Derivation, Volume
from i2igalip_cli.volumes.intensity import IntensityWindow
from i2igalip_cli.volumes.volume import Array, freeze

if TYPE_CHECKING:
    from i2igalip_cli.engine.quality.judge import QualityJudge
    from i2igalip_cli.engine.quality.quality import Quality

_PROBED = 4  # slices of a volume on which reduced arithmetic is judged
ARBITRARY_UNITS = IntensityWindow(low=0.0, high=1000.0)  # of MR made of CT


class Translator:
    """A checkpoint, a target and the backend that runs them, for any number of volumes.

    Args:
        checkpoint: What to translate with.
        to: Target domain, by name or by its caption.
        source: Domain of the sources; None where the method needn't know.
        options: How to run.
        caption: What the generator attends to in place of the target's own caption.
        judge: Judges each translation without its truth; None where nobody asks. It changes no
            result.

    Attributes:
        target: Domain of the results, with the caption that is used.
        source: Domain of the sources, if one was said or only one leads to the target.
        planes: In which volumes are translated.

    Raises:
        ConfigError: The checkpoint doesn't know a domain, a plane or the direction.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        to: str,
        source: str | None = None,
        options: TranslationOptions | None = None,
        caption: FreeCaption | None = None,
        judge: "QualityJudge | None" = None,
    ) -> None:
        self.options = options or TranslationOptions()
        self._said = source
        self.source, self.target = find_direction(checkpoint, to, source)
        self.planes = choose_planes(checkpoint, self.options.planes)
        self.sha256 = checkpoint.sha256  # a caption makes no other model
        self._notes: tuple[str, ...] = ()
        if caption is not None:
            self._notes = compare_caption(checkpoint, self.target, caption)
            checkpoint = with_caption(checkpoint, self.target, caption)
            self.target = find_domain(self.target.name, checkpoint.domains)
        self.checkpoint = checkpoint
        self._judge = judge
        self._runner = Runner(checkpoint, self.options)

    def to(self, target: str) -> "Translator":
        """The same with another target; both share the backend.

        Raises:
            ConfigError: The checkpoint doesn't know the domain, or the way to it.
        """
        other = copy.copy(self)
        other.source, other.target = find_direction(self.checkpoint, target, self._said)
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
        laid = lay_volume(volume, self.source, self.checkpoint, self.planes)
        loss = self._judge_precision(laid.slices[laid.first])
        tell = self._count(laid, on_progress)
        result, parts = laid.translate(self._run, self._step, tell)
        quality = self._judge_result(laid, result[laid.box], parts, tell)
        del parts  # memory: what follows makes copies
        jump = through_plane_jump(laid.view(result[laid.box]))
        result = laid.put_back(result)
        out_window = self._find_out_window(laid.window)
        judged = judge_volume(volume, self.source, self.checkpoint, self.planes)
        told = () if quality is None else quality.warnings
        return Translation(
            volume=replace(
                volume.with_array(freeze(out_window.from_unit(result, out=result))),
                derivation=self._derivation(),
                modality=self.target.modality,
            ),
            target=self.target,
            source=self.source,
            window=laid.window,
            out_window=out_window,
            planes=self.planes,
            slices=laid.depth,
            empty=laid.depth - len(laid.slices[laid.first].filled),
            jump=jump,
            backend=self.backend.name,
            precision=self.options.precision,
            precision_loss=loss,
            seconds=time.monotonic() - began,
            warnings=judged
            + laid.lost
            + laid.warnings
            + told
            + self._describe()
            + self._runner.news(),
            quality=quality,
        )

    def _count(
        self, laid: LaidVolume, on_progress: Callable[[int, int], None] | None
    ) -> Callable[[int], None]:
        """What is told how many slices were done, and tells of all."""
        total, done = sum(len(plane.filled) for plane in laid.slices.values()), 0
        if self._judge is not None:
            total += self._judge.count(laid, self.checkpoint, self.target)

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if on_progress is not None:
                on_progress(done, total)

        return tell

    @property
    def _step(self) -> int:
        """Slices at a time."""
        return max(self.options.batch_size, self.backend.chunk)

    def _judge_result(
        self, laid: LaidVolume, result: Array, parts: Levels, tell: Callable[[int], None]
    ) -> "Quality | None":
        """The quality of a result (I, J, K) of the box; None where nobody asks."""
        if self._judge is None:
            return None
        from i2igalip_cli.engine.quality.variants import Variants

        variants = Variants(
            laid=laid,
            checkpoint=self.checkpoint,
            backend=self.backend,
            source=self.source,
            target=self.target,
            step=self._step,
            tell=tell,
        )
        return self._judge(variants, result, parts)

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
    judge: "QualityJudge | None" = None,
) -> Translation:
    """Translate one volume with a checkpoint: a `Translator` used once.

    Raises:
        ConfigError: The checkpoint doesn't know a domain.
        VolumeError: The volume is constant or has nothing to scale by.
    """
    return Translator(checkpoint, to, source, options, caption, judge)(volume, on_progress)
