"""The patch discriminator of Isola et al. (2017): each of its logits judges 70 x 70 pixels."""

from torch import Tensor, nn

_LARGEST = 8  # times the width of the first level


class PatchDiscriminator(nn.Module):
    """Slices (N, 1, H, W) in [-1, 1] to logits (N, 1, h, w).

    4 x 4 convolutions, three of which halve the sides; with 64 channels 2.8 million parameters.

    Args:
        width: Channels of the first level.
        halvings: Levels that halve the sides: three judge 70 x 70 pixels.
    """

    def __init__(self, width: int = 64, halvings: int = 3) -> None:
        super().__init__()
        widths = [min(2**level, _LARGEST) * width for level in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(1, halvings + 1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(widths[level - 1], widths[level], 4, stride, 1),
                nn.InstanceNorm2d(widths[level]),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, slices: Tensor) -> Tensor:
        """Judge slices, in float32."""
        logits: Tensor = self.layers(slices)
        return logits.float()
