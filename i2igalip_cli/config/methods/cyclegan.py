"""Settings of CycleGAN; defaults as the paper of I2I-Galip compares it (appendix B.2)."""

from dataclasses import dataclass, field

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.two_domains import AdversarialConfig
from i2igalip_cli.config.methods.weights import Weights


@dataclass(frozen=True, kw_only=True)
class CycleWeights(Weights):
    """Weights of CycleGAN's losses; identity is a share of the cycle's, as in its paper."""

    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 0.5


@dataclass(frozen=True, kw_only=True)
class CycleGanConfig(AdversarialConfig):
    """A run of CycleGAN.

    Attributes:
        width: Channels of the generators' first level.
        blocks: Residual blocks of a generator.
        discriminator_width: Channels of the discriminators' first level.
        pool: Translated slices of each domain that the discriminators are shown again.
        weights: Weights of the losses.
    """

    method: str = "cyclegan"
    batch: int = 1
    width: int = 64
    blocks: int = 9
    discriminator_width: int = 64
    pool: int = 50
    weights: CycleWeights = field(default_factory=CycleWeights)

    @property
    def side_multiple(self) -> int:
        """A slice's sides are halved twice, and features mirrored at their edges."""
        return 8

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        return [
            *super().faults(),
            (
                min(self.width, self.blocks, self.discriminator_width) < 1,
                f"width = {self.width}, blocks = {self.blocks}, "
                f"discriminator_width = {self.discriminator_width}: at least 1",
            ),
            (self.pool < 0, f"pool = {self.pool}: at least 0"),
        ]
