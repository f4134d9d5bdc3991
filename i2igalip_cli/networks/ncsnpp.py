"""NCSN++ as the generator of a diffusion in few steps: it guesses the clean slice at once.

The network is that of Song et al. 2021, "Score-based generative modeling through stochastic
differential equations"; Xiao et al. 2022, "Tackling the generative learning trilemma with denoising
diffusion GANs", normalise its features by a latent, and Özbey et al. 2023 (SynDiff) show it the
source slice beside the noisy one. Sums of two equals are divided by the square root of 2.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.networks.fir import Double, Halve, HalvingConvolution
from i2igalip_cli.networks.initialise import initialise_xavier
from i2igalip_cli.networks.time_embedding import embed_time

_GROUPS = 32  # at most, of at least four channels each
_EPSILON = 1e-6
_LATENT_LAYERS = 4
_HALF = 0.5**0.5
Direction = Literal["none", "down", "up"]


def count_groups(channels: int) -> int:
    """Into how many groups channels (from 4) are normed: the most that they divide into."""
    most = min(channels // 4, _GROUPS)
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


class LatentMapping(nn.Module):
    """A latent (N, L) of unit mean square, through dense layers, to a style (N, S)."""

    def __init__(self, latent: int, style: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, out_width in pairwise([latent, *[style] * _LATENT_LAYERS]):
            layers += [nn.Linear(width, out_width), nn.SiLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """Normalise (N, L), and transform it to (N, S)."""
        size = latent.square().mean(dim=1, keepdim=True)
        style: Tensor = self.layers(latent * torch.rsqrt(size + 1e-8))
        return style


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift a style decides."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(count_groups(channels), channels, _EPSILON, affine=False)
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Normalise (N, C, H, W) by the style (N, S)."""
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)  # (N, C, 1, 1) each
        normed: Tensor = (1 + scale) * self.norm(x) + shift
        return normed


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, as BigGAN has it; sides change after the first SiLU."""

    def __init__(
        self, channels: int, out_channels: int, time: int, style: int, direction: Direction = "none"
    ) -> None:
        super().__init__()
        changes = {"none": nn.Identity, "down": Halve, "up": Double}
        self.resample = changes[direction]()
        self.first_norm = AdaptiveGroupNorm(channels, style)
        self.first = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time, out_channels)
        self.second_norm = AdaptiveGroupNorm(out_channels, style)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = channels == out_channels and direction == "none"
        self.skip: nn.Module = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor, style: Tensor) -> Tensor:
        """Transform (N, C, H, W) at an embedded time (N, E) with a style (N, S)."""
        h = self.first(self.resample(F.silu(self.first_norm(x, style))))
        h = h + self.time(F.silu(time))[:, :, None, None]  # (N, C') -> (N, C', 1, 1)
        h = self.second(F.silu(self.second_norm(h, style)))
        out: Tensor = _HALF * (self.skip(self.resample(x)) + h)
        return out


class Attention(nn.Module):
    """Each pixel of a feature map attends to all of them, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(count_groups(channels), channels, _EPSILON)
        self.query, self.key, self.value, self.out = (
            nn.Conv2d(channels, channels, 1) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform (N, C, H, W)."""
        h = self.norm(x)
        query, key, value = (
            layer(h).flatten(2).transpose(1, 2)[:, None]  # (N, C, H, W) -> (N, 1, HW, C)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value)[:, 0]
        out: Tensor = _HALF * (x + self.out(attended.transpose(1, 2).reshape(x.shape)))
        return out


class Stage(nn.ModuleList):
    """Layers in a row, each given what it needs besides the feature map."""

    def forward(self, x: Tensor, time: Tensor, style: Tensor) -> Tensor:
        """Run (N, C, H, W) through the layers."""
        for layer in self:
            x = layer(x, time, style) if isinstance(layer, ResidualBlock) else layer(x)
        return x


class Level(nn.ModuleList):
    """Stages at one resolution on the way down."""

    def forward(self, x: Tensor, time: Tensor, style: Tensor) -> list[Tensor]:
        """What each of them makes of what the one before it made, (N, C, H, W) each."""
        made = []
        for stage in self:
            x = stage(x, time, style)
            made.append(x)
        return made


class NcsnPP(nn.Module):
    """Guess the clean slice from a noisy one, the source slice, the step, and a latent.

    Args:
        width: Channels of the first level, from 4; even.
        multipliers: Channel multiplier of each level; each level but the first halves the side.
        residual_blocks: Residual blocks a level on the way down (one more on the way up).
        attention_reductions: Levels, by their reduction of the side, with attention.
        latent: Width of the latent.
        style: Width of what is made of the latent.
    """

    def __init__(
        self,
        width: int = 64,
        multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
        residual_blocks: int = 2,
        attention_reductions: Sequence[int] = (16,),
        latent: int = 100,
        style: int = 256,
    ) -> None:
        super().__init__()
        self.width, self.style = width, style
        self.attention_reductions = attention_reductions
        widths = [width * multiplier for multiplier in multipliers]
        self.time = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )
        self.mapping = LatentMapping(latent, style)
        self.entry = nn.Conv2d(2, width, 3, padding=1)
        skips = self._build_down(widths, residual_blocks)
        self.middle = Stage(
            [self._block(widths[-1]), Attention(widths[-1]), self._block(widths[-1])]
        )
        self._build_up(widths, residual_blocks, skips)
        self.last_norm = nn.GroupNorm(count_groups(widths[0]), widths[0], _EPSILON)
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        self._initialise()

    def _block(
        self, channels: int, out_channels: int | None = None, direction: Direction = "none"
    ) -> ResidualBlock:
        out_channels = out_channels or channels
        return ResidualBlock(channels, out_channels, 4 * self.width, self.style, direction)

    def _build_down(self, widths: Sequence[int], blocks: int) -> list[int]:
        """The way down; returns the widths of what the way up will see again."""
        self.down, self.halvings, self.pyramid = (nn.ModuleList() for _ in range(3))
        channels, shown = self.width, 2  # `shown`: of the input, halved beside the features
        skips = [channels]
        for level, width in enumerate(widths):
            stages = []
            for _ in range(blocks):
                layers: list[nn.Module] = [self._block(channels, width)]
                if 2**level in self.attention_reductions:
                    layers.append(Attention(width))
                stages.append(Stage(layers))
                channels = width
                skips.append(channels)
            self.down.append(Level(stages))
            if level < len(widths) - 1:
                self.halvings.append(self._block(channels, direction="down"))
                self.pyramid.append(HalvingConvolution(shown, channels))
                shown = channels
                skips.append(channels)
        return skips

    def _build_up(self, widths: Sequence[int], blocks: int, skips: list[int]) -> None:
        stages: list[Stage] = []
        channels = widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                stages.append(Stage([self._block(channels + skips.pop(), width)]))
                channels = width
            if 2**level in self.attention_reductions:
                stages[-1].append(Attention(channels))
            if level > 0:
                stages[-1].append(self._block(channels, direction="up"))
        self.up = nn.ModuleList(stages)

    def _initialise(self) -> None:
        """Xavier, uniform; what is added to something begins at 0, and so does the output."""
        initialise_xavier(self)
        nn.init.zeros_(self.last.weight)
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                nn.init.zeros_(module.second.weight)
            elif isinstance(module, Attention):
                nn.init.zeros_(module.out.weight)

    def forward(self, noisy: Tensor, source: Tensor, step: Tensor, latent: Tensor) -> Tensor:
        """Guess clean slices.

        Args:
            noisy: After a step, (N, 1, H, W); H and W multiples of 2 to the levels but one.
            source: Of the other domain, (N, 1, H, W) in [-1, 1].
            step: From 0, (N,).
            latent: Standard normal, (N, L).

        Returns:
            (N, 1, H, W) in [-1, 1].
        """
        time, style = self.time(embed_time(step, self.width)), self.mapping(latent)
        pyramid = torch.cat([noisy, source], dim=1)  # -> (N, 2, H, W)
        skips = [self.entry(pyramid)]
        for number, level in enumerate(self.down):
            skips += level(skips[-1], time, style)
            if number < len(self.halvings):
                h = self.halvings[number](skips[-1], time, style)
                pyramid = _HALF * (self.pyramid[number](pyramid) + h)
                skips.append(pyramid)
        h = self.middle(skips[-1], time, style)
        for stage in self.up:
            h = stage(torch.cat([h, skips.pop()], dim=1), time, style)
        return torch.tanh(self.last(F.silu(self.last_norm(h))))
