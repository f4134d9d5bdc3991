"""Settings of U-GAT-IT; defaults as the paper of I2I-Galip compares it (appendix B.2)."""

from dataclasses import dataclass, field

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.two_domains import AdversarialConfig
from i2igalip_cli.config.methods.weights import Weights

_LEAST_LAYERS = 3  # of a discriminator: one halves the sides, one keeps them, one judges


@dataclass(frozen=True, kw_only=True)
class UgatitWeights(Weights):
    """Weights of U-GAT-IT's losses; `cam` is that of the generators' attention."""

    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 10.0
    cam: float = 1000.0


@dataclass(frozen=True, kw_only=True)
class UgatitConfig(AdversarialConfig):
    """A run of U-GAT-IT.

    Attributes:
        light: Scale and shift of the generators' norms come from the means of features, which takes
            slices of any sides and 10.6 instead of 278.9 million parameters; the paper compares the
            full variant, where they come from every place of the features.
        size: Height and width of the slices that the full variant takes.
        width: Channels of the generators' first level.
        blocks: Residual blocks of a generator's encoder, and of its decoder.
        discriminator_width: Channels of the discriminators' first level.
        global_layers: Convolutions of the discriminators that see far.
        local_layers: Convolutions of those that see near.
        weights: Weights of the losses.
    """

    method: str = "ugatit"
    batch: int = 1
    learning_rate: float = 1e-4
    discriminator_rate: float = 1e-4
    weight_decay: float = 1e-4
    light: bool = False
    size: int = 256
    width: int = 64
    blocks: int = 4
    discriminator_width: int = 64
    global_layers: int = 7
    local_layers: int = 5
    weights: UgatitWeights = field(default_factory=UgatitWeights)

    @property
    def side_multiple(self) -> int:
        """Sides are halved twice and mirrored at their edges; the full variant takes one size."""
        return 8 if self.light else max(self.size, 1)

    @property
    def smallest_side(self) -> int:
        """Of the slices it learns from: all layers of a discriminator but two halve a side.

        Of what is left the last two take a pixel each, and mirror the border for it.
        """
        return int(3 * 2 ** (max(self.global_layers, self.local_layers) - 2))

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        layers = (self.global_layers, self.local_layers)
        side = min(self.crop or (self.smallest_side,)) if self.light else self.size
        return [
            (self.size < 4 or self.size % 4 != 0, f"size = {self.size}: a multiple of 4"),
            *super().faults(),
            (
                min(self.width, self.blocks, self.discriminator_width) < 1,
                f"width = {self.width}, blocks = {self.blocks}, "
                f"discriminator_width = {self.discriminator_width}: at least 1",
            ),
            (
                min(layers) < _LEAST_LAYERS,
                f"global_layers = {layers[0]}, local_layers = {layers[1]}: "
                f"at least {_LEAST_LAYERS}",
            ),
            (
                side < self.smallest_side,
                f"slices of {side} pixels: discriminators of {max(layers)} layers need "
                f"{self.smallest_side}; take fewer in global_layers and local_layers",
            ),
            (
                bool(self.crop) and not self.light and set(self.crop) != {self.size},
                f"crop = {list(self.crop)}: the full variant learns from {self.size} x "
                f"{self.size}; set size to that, or light = true",
            ),
        ]
