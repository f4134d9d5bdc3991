"""Settings of CUT; defaults are its paper's (Park et al. 2020)."""

from dataclasses import dataclass, field
from typing import ClassVar

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.two_domains import AdversarialConfig
from i2igalip_cli.config.methods.weights import Weights


@dataclass(frozen=True, kw_only=True)
class CutWeights(Weights):
    """Weights of CUT's losses: patches of translations against their sources, and of targets."""

    adversarial: float = 1.0
    contrastive: float = 1.0
    identity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CutConfig(AdversarialConfig):
    """A run of CUT, from the first domain to the second.

    Attributes:
        width: Channels of the generator's first level.
        blocks: Residual blocks of the generator.
        discriminator_width: Channels of the discriminator's first level.
        layers: After how many of the generator's stages features are compared; 0 is the slice
            itself, 2 and 3 come after the halvings, from 4 on a residual block each.
        patches: Places of a slice that are compared with each other.
        projection: Width in which they are compared.
        temperature: Of the comparison.
        weights: Weights of the losses.
    """

    one_way: ClassVar[bool] = True

    method: str = "cut"
    batch: int = 1
    width: int = 64
    blocks: int = 9
    discriminator_width: int = 64
    layers: tuple[int, ...] = (0, 2, 3, 4, 8)
    patches: int = 256
    projection: int = 256
    temperature: float = 0.07
    weights: CutWeights = field(default_factory=CutWeights)

    @property
    def side_multiple(self) -> int:
        """A slice's sides are halved twice, and features mirrored at their edges."""
        return 8

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        sizes = {
            name: getattr(self, name)
            for name in ("width", "blocks", "discriminator_width", "patches", "projection")
        }
        deepest = 3 + self.blocks
        return [
            *super().faults(),
            (min(sizes.values()) < 1, f"{sizes}: at least 1 each"),
            (
                not self.layers
                or min(self.layers) < 0
                or max(self.layers) > deepest
                or len(set(self.layers)) < len(self.layers),
                f"layers = {list(self.layers)}: some from 0 to {deepest}, the last residual block, "
                "each once",
            ),
            (self.temperature <= 0, f"temperature = {self.temperature}: above 0"),
        ]
