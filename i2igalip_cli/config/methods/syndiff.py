"""Settings of SynDiff; defaults as the paper of I2I-Galip compares it (appendix B.2)."""

from dataclasses import dataclass, field

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.two_domains import AdversarialConfig
from i2igalip_cli.config.methods.weights import Weights

_LEAST_WIDTH = 4  # channels of a group that is normed


@dataclass(frozen=True, kw_only=True)
class SynDiffWeights(Weights):
    """Weights of SynDiff's losses: of its translators, of its diffusion, and of its judges."""

    adversarial: float = 1.0
    cycle: float = 0.5
    diffusive_adversarial: float = 1.0
    diffusive_cycle: float = 0.5
    penalty: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SynDiffConfig(AdversarialConfig):
    """A run of SynDiff.

    Attributes:
        diffusion_steps: From noise to a slice.
        beta_min: Noise that is added in unit time when diffusion begins.
        beta_max: The same when it ends.
        width: Channels of the diffusive generators' first level.
        multipliers: Channel multiplier of each of their levels; each but the first halves the side.
        residual_blocks: Their residual blocks a level on the way down (one more on the way up).
        attention_reductions: Their levels, by the reduction of the side, with attention.
        latent: Width of the noise that they are given beside the noisy slice.
        style: Width of what they make of it.
        translator_width: Channels of the first level of the translators, which make a source slice
            for each real slice in training.
        translator_blocks: Residual blocks of a translator.
        discriminator_width: Channels of the first level of the translators' discriminators.
        noisy_width: Half of the channels of the first level of the diffusive discriminators.
        noisy_levels: How often they halve a slice's sides.
        penalty_every: Steps between those with a gradient penalty.
        weights: Weights of the losses.
    """

    method: str = "syndiff"
    epochs: int = 50
    batch: int = 1
    learning_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)
    ema_decay: float = 0.999
    diffusion_steps: int = 4
    beta_min: float = 0.1
    beta_max: float = 20.0
    width: int = 64
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    residual_blocks: int = 2
    attention_reductions: tuple[int, ...] = (16,)
    latent: int = 100
    style: int = 256
    translator_width: int = 64
    translator_blocks: int = 6
    discriminator_width: int = 64
    noisy_width: int = 64
    noisy_levels: int = 6
    penalty_every: int = 10
    weights: SynDiffWeights = field(default_factory=SynDiffWeights)

    @property
    def side_multiple(self) -> int:
        """The diffusive generators halve sides at each level but one, the translators twice."""
        return max(4, int(2 ** (len(self.multipliers) - 1)))

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        deepest = int(2 ** (len(self.multipliers) - 1))
        counts = (
            "diffusion_steps",
            "residual_blocks",
            "latent",
            "style",
            "translator_width",
            "translator_blocks",
            "discriminator_width",
            "noisy_width",
            "noisy_levels",
            "penalty_every",
        )
        return [
            *super().faults(),
            *((getattr(self, c) < 1, f"{c} = {getattr(self, c)}: at least 1") for c in counts),
            (
                not 0 < self.beta_min < self.beta_max,
                f"beta_min = {self.beta_min}, beta_max = {self.beta_max}: above 0, the second more",
            ),
            (
                self.width < _LEAST_WIDTH or self.width % 2 == 1,
                f"width = {self.width}: an even number from {_LEAST_WIDTH}",
            ),
            (
                min(self.multipliers, default=0) < 1,
                f"multipliers = {list(self.multipliers)}: at least one, whole numbers from 1",
            ),
            (
                any(r < 1 or r > deepest or r & (r - 1) for r in self.attention_reductions),
                f"attention_reductions = {list(self.attention_reductions)}: powers of 2 up to "
                f"{deepest}",
            ),
        ]
