"""How a translation is asked for, and what it came to."""

from dataclasses import dataclass

from i2igalip_cli.config import ALL_PLANES, PLANES, Plane
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends import BACKENDS, PRECISIONS, Precision
from i2igalip_cli.engine.quality.quality import Quality
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import IntensityWindow


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """How a translation runs.

    Attributes:
        backend: Name in `BACKENDS`; None takes the one for the device.
        device: "cpu", "cuda", ...; None takes the GPU where there is one.
        threads: Of the processor; None takes all that the process may use. Never the result.
        batch_size: Slices between two reports of progress, at least; more where that keeps the
            backend busy. Never the result.
        precision: Arithmetic; less than float32 is refused where it costs too much.
        planes: One of the checkpoint's planes, "all" for the median of three, None for its first.
        compile: Let torch compile the generator first.
    """

    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    batch_size: int = 8
    precision: Precision = "float32"
    planes: str | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't run.

        Raises:
            ConfigError: An unknown backend, arithmetic or plane, or a number below 1.
        """
        for option, given, known in (
            ("--backend", self.backend, BACKENDS),
            ("--precision", self.precision, PRECISIONS),
            ("--planes", self.planes, (*PLANES, ALL_PLANES)),
        ):
            if given is not None and given not in known:
                raise ConfigError(f"{option} {given}: one of {', '.join(known)}")
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
        planes: In which it was translated.
        slices: Slices of the volume in the first of them.
        empty: Of these, slices without foreground: they stay empty.
        jump: How far slices lie from the mean of their neighbours, in [0, 1] (see
            `through_plane_jump`); None below three slices with foreground.
        backend: What ran the generator.
        precision: In which arithmetic.
        precision_loss: What that costs about, in dB of PSNR; None for float32.
        seconds: Wall time of the translation.
        warnings: What the user should know.
        quality: How far it can be trusted; None where nobody asked.
    """

    volume: Volume
    target: Domain
    source: Domain | None
    window: IntensityWindow
    out_window: IntensityWindow
    planes: tuple[Plane, ...]
    slices: int
    empty: int
    jump: float | None
    backend: str
    precision: Precision
    precision_loss: float | None
    seconds: float
    warnings: tuple[str, ...]
    quality: Quality | None = None
