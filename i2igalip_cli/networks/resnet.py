"""The residual generator of Johnson et al. (2016), as CycleGAN has it (Zhu et al. 2017)."""

from collections.abc import Sequence
from itertools import islice

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with instance norm, added to what came in; sides stay."""

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        first, second = (
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias)
            for _ in range(2)
        )
        self.layers = nn.Sequential(
            first,
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            second,
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform (N, C, H, W)."""
        out: Tensor = x + self.layers(x)
        return out


def _convolve(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(
        channels,
        out_channels,
        kernel,
        stride,
        padding=kernel // 2,
        padding_mode="reflect" if stride == 1 else "zeros",
    )
    return nn.Sequential(convolution, nn.InstanceNorm2d(out_channels), nn.ReLU())


def _double(channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(
        channels, out_channels, 3, stride=2, padding=1, output_padding=1
    )
    return nn.Sequential(convolution, nn.InstanceNorm2d(out_channels), nn.ReLU())


class ResnetGenerator(nn.Sequential):
    """Slices to slices: halved twice, residual blocks, doubled twice, tanh.

    Its stages are: 7 x 7 convolution, two that halve the sides, the residual blocks one by one,
    two that double them, 7 x 7 convolution to one channel. With 64 channels and nine blocks it has
    11.4 million parameters.

    Args:
        width: Channels of the first stage.
        blocks: Residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__(
            _convolve(1, width, 7),
            _convolve(width, 2 * width, 3, stride=2),
            _convolve(2 * width, 4 * width, 3, stride=2),
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            _double(4 * width, 2 * width),
            _double(2 * width, width),
            nn.Sequential(
                nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect"),
                nn.Tanh(),
            ),
        )

    def features(self, slices: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What slices (N, 1, H, W) in [-1, 1] are after some numbers of stages, (N, C, h, w) each.

        Args:
            slices: What the generator is given.
            layers: After how many stages, in rising order; 0 is the slices themselves.
        """
        found = [slices] if 0 in layers else []
        for number, stage in enumerate(islice(self, max(layers)), start=1):
            slices = stage(slices)
            if number in layers:
                found.append(slices)
        return found
