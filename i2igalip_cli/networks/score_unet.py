"""Networks that know how noisy a slice is: the score model, and a classifier of domains.

Both begin with the way down of one U-Net. It is that of improved diffusion (Nichol and Dhariwal,
"Improved denoising diffusion probabilistic models", 2021): the step scales and shifts the second
norm of each residual block, strided convolutions halve the sides, and every block begins as the
identity. Attention is ours and has no biases of its own for queries, keys and values.
"""

import torch
from torch import Tensor, nn

from i2igalip_cli.config import TimedUnetConfig
from i2igalip_cli.networks.layers import Attention, Resample
from i2igalip_cli.networks.time_embedding import embed_time


def _begin_at_zero(layer: nn.Module) -> nn.Module:
    """A layer that gives 0 until it has learned."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class TimedBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; the embedding scales and shifts the second norm.

    Args:
        channels: Of what comes in.
        out_channels: Of what goes out.
        embedding: Width of the embedding of the step.
        groups: Of each GroupNorm.
    """

    def __init__(self, channels: int, out_channels: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out_channels))
        self.norm = nn.GroupNorm(groups, out_channels)
        last = _begin_at_zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.second = nn.Sequential(nn.SiLU(), last)
        self.skip: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Transform (N, C, H, W) with the embedding (N, E) of the step."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(self.first(x)) * (1 + scale) + shift  # scale: (N, C', 1, 1)
        out: Tensor = self.skip(x) + self.second(h)
        return out


class PixelAttention(nn.Module):
    """Every pixel attends to all others; added to what came in.

    Args:
        channels: Of the feature map.
        head_width: Channels of one head.
        groups: Of the GroupNorm.
    """

    def __init__(self, channels: int, head_width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.attention = Attention(channels, channels, head_width)
        _begin_at_zero(self.attention.to_out)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (N, C, H, W)."""
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, HW, C)
        h: Tensor = self.attention(tokens)
        return x + h.transpose(1, 2).reshape(x.shape)


class Stage(nn.ModuleList):
    """Layers in a row; residual blocks are told the step."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Run (N, C, H, W) through the layers."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, TimedBlock) else layer(x)
        return x


def _stage(
    config: TimedUnetConfig, channels: int, width: int, level: int, *more: nn.Module
) -> Stage:
    """A residual block, attention where the level has it, and what else follows."""
    groups = config.norm_groups
    layers: list[nn.Module] = [TimedBlock(channels, width, config.embedding, groups)]
    if 2**level in config.attention_reductions:
        layers.append(PixelAttention(width, config.head_width, groups))
    return Stage([*layers, *more])


class TimedEncoder(nn.Module):
    """The way down: slices and their step to feature maps.

    Args:
        config: The sizes.
    """

    def __init__(self, config: TimedUnetConfig) -> None:
        super().__init__()
        c = self.config = config
        self.time = nn.Sequential(
            nn.Linear(c.width, c.embedding), nn.SiLU(), nn.Linear(c.embedding, c.embedding)
        )
        channels = c.width
        self.widths = [channels]  # of the feature maps that the way up will see again
        down = [Stage([nn.Conv2d(1, channels, 3, padding=1)])]
        for level, multiplier in enumerate(c.multipliers):
            if level > 0:
                down.append(Stage([nn.Conv2d(channels, channels, 3, stride=2, padding=1)]))
                self.widths.append(channels)
            for _ in range(c.residual_blocks):
                down.append(_stage(c, channels, c.width * multiplier, level))
                channels = c.width * multiplier
                self.widths.append(channels)
        self.down = nn.ModuleList(down)
        self.middle = Stage(
            [
                TimedBlock(channels, channels, c.embedding, c.norm_groups),
                PixelAttention(channels, c.head_width, c.norm_groups),
                TimedBlock(channels, channels, c.embedding, c.norm_groups),
            ]
        )

    def forward(self, noisy: Tensor, step: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Encode slices.

        Args:
            noisy: (N, 1, H, W), about [-1, 1] and noise; H and W multiples of
                `config.side_multiple`.
            step: Of the noise of each, (N,) int64.

        Returns:
            The deepest feature map (N, C, h, w); those on the way to it, which are as many as
            `widths`; the embedding of the steps (N, E).
        """
        embedding = self.time(embed_time(step, self.config.width))  # (N,) -> (N, E)
        x, maps = noisy, []
        for stage in self.down:
            x = stage(x, embedding)
            maps.append(x)
        return self.middle(x, embedding), maps, embedding


class ScoreUnet(nn.Module):
    """Find the noise of slices; the score is minus it, over its deviation.

    Args:
        config: The sizes.
    """

    def __init__(self, config: TimedUnetConfig) -> None:
        super().__init__()
        c = config
        self.encoder = TimedEncoder(c)
        skips = list(self.encoder.widths)
        channels = skips[-1]
        up = []
        for level, multiplier in reversed(list(enumerate(c.multipliers))):
            for index in range(c.residual_blocks + 1):
                before, channels = channels + skips.pop(), c.width * multiplier
                larger: list[nn.Module] = []
                if level > 0 and index == c.residual_blocks:
                    larger = [Resample("up"), nn.Conv2d(channels, channels, 3, padding=1)]
                up.append(_stage(c, before, channels, level, *larger))
        self.up = nn.ModuleList(up)
        self.out = nn.Sequential(
            nn.GroupNorm(c.norm_groups, channels),
            nn.SiLU(),
            _begin_at_zero(nn.Conv2d(channels, 1, 3, padding=1)),
        )

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        """The noise (N, 1, H, W) in slices and steps as in `TimedEncoder`."""
        x, maps, embedding = self.encoder(noisy, step)
        for stage in self.up:
            x = stage(torch.cat([x, maps.pop()], dim=1), embedding)
        out: Tensor = self.out(x)
        return out


class DomainClassifier(nn.Module):
    """Tell from which domain slices are, however noisy they are.

    Args:
        config: The sizes.
        domains: How many there are.
    """

    def __init__(self, config: TimedUnetConfig, domains: int = 2) -> None:
        super().__init__()
        self.encoder = TimedEncoder(config)
        channels = self.encoder.widths[-1]
        self.last = nn.Sequential(nn.GroupNorm(config.norm_groups, channels), nn.SiLU())
        self.judge = nn.Linear(channels, domains)

    def features(self, noisy: Tensor, step: Tensor) -> Tensor:
        """What it judges by, (N, C, h, w), of slices and steps as in `TimedEncoder`."""
        deepest, _, _ = self.encoder(noisy, step)
        features: Tensor = self.last(deepest)
        return features

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        """Logits (N, D)."""
        logits: Tensor = self.judge(self.features(noisy, step).mean(dim=(2, 3)))
        return logits
