"""Settings of UNIT; defaults as the paper of I2I-Galip compares it (appendix B.2)."""

from dataclasses import dataclass, field

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.two_domains import AdversarialConfig
from i2igalip_cli.config.methods.weights import Weights


@dataclass(frozen=True, kw_only=True)
class UnitWeights(Weights):
    """Weights of UNIT's losses: 1, 10 and 1 for adversarial, image and content in appendix B.2.

    `image` weighs what is rebuilt of a slice within its domain, and as "cycle" in the log what
    comes back of it through the other. The appendix has a weight for style too, but UNIT has no
    code of style that it could weigh. It leaves out the prior of the codes, without which they are
    no variational ones: `kl` is as small beside `image` as in UNIT's own paper (0.1 to 100).
    """

    adversarial: float = 1.0
    image: float = 10.0
    content: float = 1.0
    kl: float = 0.01


@dataclass(frozen=True, kw_only=True)
class UnitConfig(AdversarialConfig):
    """A run of UNIT.

    Attributes:
        width: Channels of the encoders' first level; a code has four times as many.
        blocks: Residual blocks that an encoder, and a decoder, has for itself.
        shared_blocks: Residual blocks that both encoders, and both decoders, share.
        discriminator_width: Channels of the discriminators' first level.
        discriminator_levels: Levels of a discriminator; each halves the sides.
        scales: Sizes at which a discriminator judges a slice, each half of the one before; the
            more there are, the larger slices must be (`smallest_side`).
        weights: Weights of the losses.
    """

    method: str = "unit"
    batch: int = 1
    learning_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    weight_decay: float = 1e-4
    width: int = 64
    blocks: int = 3
    shared_blocks: int = 1
    discriminator_width: int = 64
    discriminator_levels: int = 4
    scales: int = 3
    weights: UnitWeights = field(default_factory=UnitWeights)

    @property
    def side_multiple(self) -> int:
        """The encoders halve a slice's sides twice, and codes are mirrored at their edges."""
        return 8

    @property
    def smallest_side(self) -> int:
        """What the discriminators leave two logits a side of, at the smallest scale."""
        side: int = 2 ** (self.discriminator_levels + self.scales)
        return side

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        sizes = ("width", "blocks", "shared_blocks", "discriminator_width", "scales")
        return [
            *super().faults(),
            *(
                (getattr(self, name) < 1, f"{name} = {getattr(self, name)}: at least 1")
                for name in sizes
            ),
            (
                self.discriminator_levels < 2,
                f"discriminator_levels = {self.discriminator_levels}: at least 2",
            ),
        ]
