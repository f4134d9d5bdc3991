"""Settings of EGSDE; defaults as the paper of I2I-Galip compares it (appendix B.2)."""

from dataclasses import dataclass, field
from typing import ClassVar

from i2igalip_cli.config.faults import Faults, raise_faults
from i2igalip_cli.config.methods.two_domains import TwoDomainConfig
from i2igalip_cli.config.methods.weights import Weights


@dataclass(frozen=True, kw_only=True)
class TimedUnetConfig:
    """Sizes of a U-Net that knows how noisy a slice is, or of its way down alone.

    The defaults are those of improved diffusion at 256 x 256 (Nichol and Dhariwal 2021) with three
    residual blocks: the 164.3 million parameters of the paper of I2I-Galip.

    Attributes:
        width: Channels of the first level.
        multipliers: Channel multiplier of each level; each level but the first halves the side.
        residual_blocks: Residual blocks a level on the way down (one more on the way up).
        attention_reductions: Levels, by their reduction of the side, whose pixels attend to each
            other; the deepest does in any case.
        head_width: Channels of one attention head.
        norm_groups: Groups of each GroupNorm.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    residual_blocks: int = 3
    attention_reductions: tuple[int, ...] = (16, 32)
    head_width: int = 128
    norm_groups: int = 32

    def __post_init__(self) -> None:
        """Report sizes that no network can have."""
        widths = [self.width * multiplier for multiplier in self.multipliers]
        attended = [
            width
            for level, width in enumerate(widths)
            if 2**level in self.attention_reductions or level == len(widths) - 1
        ]
        raise_faults(
            self,
            [
                (
                    min(self.width, self.residual_blocks, self.head_width, self.norm_groups) < 1,
                    f"width = {self.width}, residual_blocks = {self.residual_blocks}, head_width = "
                    f"{self.head_width}, norm_groups = {self.norm_groups}: at least 1",
                ),
                (self.width % 2 == 1, f"width = {self.width}: an even number"),
                (min(self.multipliers, default=0) < 1, "multipliers: whole numbers from 1"),
                (
                    any(width % max(1, self.norm_groups) for width in (self.width, *widths)),
                    f"norm_groups = {self.norm_groups} doesn't divide the widths {widths}",
                ),
                (
                    any(width % max(1, self.head_width) for width in attended),
                    f"head_width = {self.head_width} doesn't divide the widths {attended}",
                ),
                (
                    any(r > self.side_multiple or r & (r - 1) for r in self.attention_reductions),
                    f"attention_reductions: powers of 2 up to {self.side_multiple}",
                ),
            ],
        )

    @property
    def embedding(self) -> int:
        """Width of the embedding of a step."""
        return 4 * self.width

    @property
    def side_multiple(self) -> int:
        """What the height and width of a slice must be a multiple of."""
        return int(2 ** max(0, len(self.multipliers) - 1))


@dataclass(frozen=True, kw_only=True)
class EnergyWeights(Weights):
    """Weights of the energy that guides a translation.

    Attributes:
        realism: Of how alike the classifier sees the sample and the source, lambda_s: what tells
            the domains apart shall go.
        faithfulness: Of how far the coarse look of the sample is from the source's, lambda_i.
    """

    realism: float = 1e-7
    faithfulness: float = 10.0


@dataclass(frozen=True, kw_only=True)
class EgsdeConfig(TwoDomainConfig):
    """A run of EGSDE, from the first domain to the second.

    Attributes:
        classifier_rate: Learning rate of the classifier's Adam; `learning_rate` is that of the
            score model's.
        score: Sizes of the score model.
        classifier: Sizes of the classifier, those of guided diffusion at 256 x 256 (Dhariwal and
            Nichol 2021), as in the paper of EGSDE.
        noise_steps: Small steps in which noise is added, T of the score model.
        steps_back: How many of them the source is given before as many are undone: more give a
            slice that looks more like its domain and less like its source.
        low_pass: Pixels that the coarse look of a slice takes together.
        weights: Of the energy.
    """

    one_way: ClassVar[bool] = True

    method: str = "egsde"
    learning_rate: float = 1e-4
    classifier_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    steps: int = 500_000
    ema_decay: float = 0.999  # 0.9999 is usual, and takes ten times as long to forget the start
    score: TimedUnetConfig = field(default_factory=TimedUnetConfig)
    classifier: TimedUnetConfig = field(
        default_factory=lambda: TimedUnetConfig(
            residual_blocks=2, attention_reductions=(8, 16, 32), head_width=64
        )
    )
    noise_steps: int = 1000
    steps_back: int = 150
    low_pass: int = 32
    weights: EnergyWeights = field(default_factory=EnergyWeights)
    # Rarer and shorter than usual: a translation takes many steps.
    validate_every: int = 10_000
    validation_slices: int = 4
    preview_every: int = 10_000

    @property
    def side_multiple(self) -> int:
        """What the deeper of its two networks halves a slice's sides by."""
        return max(self.score.side_multiple, self.classifier.side_multiple)

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        return [
            *super().faults(),
            (self.classifier_rate <= 0, f"classifier_rate = {self.classifier_rate}: above 0"),
            (
                not 1 <= self.steps_back <= self.noise_steps,
                f"steps_back = {self.steps_back}: from 1 to noise_steps = {self.noise_steps}",
            ),
            # With few steps the last ones would add more noise than there can be.
            (self.noise_steps < 50, f"noise_steps = {self.noise_steps}: at least 50"),
            (self.low_pass < 1, f"low_pass = {self.low_pass}: at least 1"),
        ]
