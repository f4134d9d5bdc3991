"""The discriminator of Xiao et al. 2022: is a slice that, a step of noise before another, real?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.networks.fir import Halve
from i2igalip_cli.networks.initialise import initialise_xavier
from i2igalip_cli.networks.time_embedding import embed_time

_LARGEST = 8  # times the width
_SLOPE = 0.2
_HALF = 0.5**0.5


class DownBlock(nn.Module):
    """Two convolutions, a time in between, and a way around them; sides are halved.

    A feature map of which a side is 1 stays as large as it is.
    """

    def __init__(self, channels: int, out_channels: int, time: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time, out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.halve = Halve()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(N, C, H, W) at an embedded time (N, E) to (N, C', H/2, W/2)."""
        h = self.first(F.leaky_relu(x, _SLOPE))
        h = F.leaky_relu(h + self.time(time)[:, :, None, None], _SLOPE)
        if min(x.shape[-2:]) > 1:
            x, h = self.halve(x), self.halve(h)
        out: Tensor = _HALF * (self.skip(x) + self.second(h))
        return out


def append_deviation(x: Tensor) -> Tensor:
    """A last channel that says how much features vary, (N, C, H, W) to (N, C + 1, H, W).

    It is the deviation over the pixels of one slice, in the mean of its channels. Karras et al.
    2018 measure it over the slices of a batch instead: that is 0 in a batch of one, with which
    SynDiff is trained, and elsewhere would tie a slice's logit to how a batch is divided.
    """
    deviation = (x.float().var(dim=(2, 3), correction=0) + 1e-8).sqrt().mean(dim=1)  # -> (N,)
    channel = deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x.dtype)], dim=1)


class NoisyDiscriminator(nn.Module):
    """Judge slices after a step t by those that come of them in the step after it.

    With a width of 64 and six levels 27.7 million parameters.

    Args:
        width: Half of the channels of the first level; they double up to eight times the width.
        levels: How often sides are halved.
        time: Width of the embedded time.
    """

    def __init__(self, width: int = 64, levels: int = 6, time: int = 256) -> None:
        super().__init__()
        widths = [min(2 ** (level + 1), _LARGEST) * width for level in range(levels + 1)]
        self.time_width = time
        self.time = nn.Sequential(
            nn.Linear(time, time), nn.LeakyReLU(_SLOPE), nn.Linear(time, time), nn.LeakyReLU(_SLOPE)
        )
        self.entry = nn.Conv2d(2, widths[0], 1)
        self.blocks = nn.ModuleList(
            DownBlock(widths[level], widths[level + 1], time) for level in range(levels)
        )
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.out = nn.Linear(widths[-1], 1)
        initialise_xavier(self)

    def forward(self, before: Tensor, noisy: Tensor, step: Tensor) -> Tensor:
        """Judge slices.

        Args:
            before: Before a step of noise, (N, 1, H, W); any sides.
            noisy: After it, (N, 1, H, W).
            step: From 0, (N,).

        Returns:
            Logits (N,) float32.
        """
        time = self.time(embed_time(step, self.time_width))
        h = self.entry(torch.cat([before, noisy], dim=1))  # -> (N, 2 width, H, W)
        for block in self.blocks:
            h = block(h, time)
        h = F.leaky_relu(self.last(append_deviation(h)), _SLOPE)
        logits: Tensor = self.out(h.float().sum(dim=(2, 3)))[:, 0]  # -> (N, C) -> (N,)
        return logits.float()
