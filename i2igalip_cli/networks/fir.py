"""Sides halved and doubled through a low-pass filter, so that nothing aliases.

The filter (1, 3, 3, 1) is that of Karras et al. 2020, "Analyzing and improving the image quality of
StyleGAN", which Song et al. 2021 took over for their score networks. Here it is a convolution of
each channel with itself alone, which every device has. Outside of a feature map are zeros.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TAPS = (1.0, 3.0, 3.0, 1.0)


class Fir(nn.Module):
    """What all of them have: the filter, of sum 1, whose state isn't kept."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(_TAPS) / sum(_TAPS)
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None], persistent=False)

    def each(self, x: Tensor) -> Tensor:
        """The filter for each of the channels of (N, C, H, W) in its dtype, (C, 1, 4, 4)."""
        return self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)


class Halve(Fir):
    """Filter, and take every second pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H/2, W/2), rounded down; sides from 2."""
        return F.conv2d(x, self.each(x), stride=2, padding=1, groups=x.shape[1])


class Double(Fir):
    """Put zeros between the pixels, and filter; four times as strong, so that levels stay."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2H, 2W)."""
        return F.conv_transpose2d(x, 4 * self.each(x), stride=2, padding=1, groups=x.shape[1])


class HalvingConvolution(Fir):
    """Filter, and a 3 x 3 convolution of every second pixel.

    Args:
        channels: Of what comes in.
        out_channels: Of what goes out.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out_channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H/2, W/2); H and W are even."""
        blurred = F.conv2d(x, self.each(x), padding=2, groups=x.shape[1])  # -> (N, C, H+1, W+1)
        halved: Tensor = self.convolution(blurred)
        return halved
