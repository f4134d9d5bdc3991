"""The generator of I2I-Galip: one U-Net for every direction, conditioned on the target's caption.

The design is that of latent diffusion (Rombach et al. 2022), used on pixels and without a time
step: the embedding of each residual block is the row of a learned table for the TARGET domain.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from i2igalip_cli.config import GeneratorConfig
from i2igalip_cli.networks.initialise import seeded
from i2igalip_cli.networks.layers import ResidualBlock, SpatialTransformer


class Stage(nn.ModuleList):
    """Layers in a row, each given what it needs besides the feature map."""

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor) -> Tensor:
        """Run (N, C, H, W) through the layers."""
        for layer in self:
            if isinstance(layer, ResidualBlock):
                x = layer(x, embedding)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, tokens)
            else:
                x = layer(x)
        return x


class Generator(nn.Module):
    """Translate slices into the domain that a caption and a domain index name.

    Args:
        config: The sizes; the defaults are the paper's.
        seed: Of the initial weights; the global random state is left as it was.
    """

    def __init__(self, config: GeneratorConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.recompute = False  # activations: less memory and more time in training
        with seeded(seed):
            self._build()
            self._initialise()

    def _residual(self, channels: int, out_channels: int, direction: str = "none") -> ResidualBlock:
        c = self.config
        return ResidualBlock(channels, out_channels, c.embedding, c.norm_groups, direction)

    def _transformer(self, channels: int) -> SpatialTransformer:
        c = self.config
        return SpatialTransformer(channels, c.context, c.head_width, c.norm_groups)

    def _block(self, channels: int, out_channels: int, reduction: int) -> list[nn.Module]:
        """A residual block and, where the reduction has attention, a transformer after it."""
        block: list[nn.Module] = [self._residual(channels, out_channels)]
        if reduction in self.config.attention_reductions:
            block.append(self._transformer(out_channels))
        return block

    def _build(self) -> None:
        c = self.config
        widths = [c.width * multiplier for multiplier in c.multipliers]
        self.label_emb = nn.Embedding(c.domains, c.embedding)

        channels = c.width
        skips = [channels]  # widths of the feature maps that the way up will see again
        down = [Stage([nn.Conv2d(1, channels, 3, padding=1)])]
        for level, width in enumerate(widths):
            for _ in range(c.residual_blocks):
                down.append(Stage(self._block(channels, width, 2**level)))
                channels = width
                skips.append(channels)
            if level < len(widths) - 1:
                down.append(Stage([self._residual(channels, channels, "down")]))
                skips.append(channels)
        self.input_blocks = nn.ModuleList(down)

        self.middle_block = Stage(
            [
                self._residual(channels, channels),
                self._transformer(channels),
                self._residual(channels, channels),
            ]
        )

        up = []
        for level, width in reversed(list(enumerate(widths))):
            for index in range(c.residual_blocks + 1):
                layers = self._block(channels + skips.pop(), width, 2**level)
                channels = width
                if level > 0 and index == c.residual_blocks:
                    layers.append(self._residual(channels, channels, "up"))
                up.append(Stage(layers))
        self.output_blocks = nn.ModuleList(up)
        self.out = nn.Sequential(
            nn.GroupNorm(c.norm_groups, channels), nn.SiLU(), nn.Conv2d(channels, 1, 3, padding=1)
        )

    def _initialise(self) -> None:
        """Xavier: uniform for linear layers, normal with gain 0.02 for convolutions."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
            elif isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain=0.02)
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def _run(self, stage: nn.Module, x: Tensor, embedding: Tensor, tokens: Tensor) -> Tensor:
        """A stage, its activations kept for the way back or, on demand, computed again then."""
        if self.recompute and torch.is_grad_enabled():
            out: Tensor = checkpoint(stage, x, embedding, tokens, use_reentrant=False)
        else:
            out = stage(x, embedding, tokens)
        return out

    def forward(self, slices: Tensor, tokens: Tensor, domain_index: Tensor) -> Tensor:
        """Translate slices.

        Args:
            slices: (N, 1, H, W) in [0, 1]; H and W multiples of `config.side_multiple`.
            tokens: Caption tokens of the target domain, (N, M, context).
            domain_index: Row of the target domain for each slice, (N,) int64.

        Returns:
            (N, 1, H, W), about [0, 1] but not cut to it.
        """
        embedding = self.label_emb(domain_index)  # (N,) -> (N, E)
        x = slices
        skips = []
        for stage in self.input_blocks:
            x = self._run(stage, x, embedding, tokens)
            skips.append(x)
        x = self._run(self.middle_block, x, embedding, tokens)
        for stage in self.output_blocks:
            x = self._run(stage, torch.cat([x, skips.pop()], dim=1), embedding, tokens)
        out: Tensor = self.out(x)
        return out
