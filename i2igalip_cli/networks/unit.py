"""Networks of UNIT (Liu et al. 2017): encoders into one space of codes, decoders out of it.

An encoder ends, and a decoder begins, with residual blocks that both domains share.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.networks.resnet import ResidualBlock

_LARGEST = 8  # times the width of a discriminator's first level


def _convolve(
    channels: int, out_channels: int, kernel: int, stride: int, padding: int
) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out_channels, kernel, stride, padding, padding_mode="reflect")
    return nn.Sequential(convolution, nn.InstanceNorm2d(out_channels), nn.ReLU())


def _double(channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.InstanceNorm2d(out_channels), nn.ReLU())


class SharedBlocks(nn.Sequential):
    """Residual blocks on codes (N, C, h, w) that both domains go through."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__(*(ResidualBlock(channels) for _ in range(blocks)))


class Encoder(nn.Sequential):
    """What an encoder has for itself: (N, 1, H, W) in [-1, 1] to (N, 4 width, H/4, W/4).

    With 64 channels, three blocks and a shared one it has 5.4 million parameters.

    Args:
        width: Channels of the first level.
        blocks: Residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__(
            _convolve(1, width, 7, stride=1, padding=3),
            _convolve(width, 2 * width, 4, stride=2, padding=1),
            _convolve(2 * width, 4 * width, 4, stride=2, padding=1),
            SharedBlocks(4 * width, blocks),
        )


class Decoder(nn.Sequential):
    """What a decoder has for itself: (N, 4 width, h, w) to (N, 1, 4h, 4w) in [-1, 1].

    Arguments as in `Encoder`, and as many parameters.
    """

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__(
            SharedBlocks(4 * width, blocks),
            _double(4 * width, 2 * width),
            _double(2 * width, width),
            nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )


class MultiscaleDiscriminator(nn.Module):
    """Slices (N, 1, H, W) in [-1, 1] to logits of each scale, (N, 1, h, w).

    One set of weights judges every scale, which is what the paper of I2I-Galip counts (2.8
    million parameters); in UNIT each scale has its own.

    Args:
        width: Channels of the first level.
        levels: 4 x 4 convolutions, each of which halves the sides.
        scales: How many sizes are judged, each half of the one before.
    """

    def __init__(self, width: int = 64, levels: int = 4, scales: int = 3) -> None:
        super().__init__()
        self.scales = scales
        widths = [min(2**level, _LARGEST) * width for level in range(levels)]
        layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1),
                nn.InstanceNorm2d(after),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, slices: Tensor) -> list[Tensor]:
        """Judge slices from the largest scale on, in float32."""
        judged = [self.layers(slices).float()]
        for _ in range(self.scales - 1):
            slices = F.avg_pool2d(slices, 2)  # (N, 1, H, W) -> (N, 1, H/2, W/2)
            judged.append(self.layers(slices).float())
        return judged
