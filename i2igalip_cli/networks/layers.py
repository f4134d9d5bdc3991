"""Building blocks of the generator's U-Net.

Residual blocks follow Dhariwal and Nichol, "Diffusion models beat GANs" (2021); the spatial
transformer follows Rombach et al., "High-resolution image synthesis with latent diffusion models"
(2022); GEGLU is Shazeer's (2020). Submodules carry the names of the authors' checkpoints, so that
those load as they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Resample(nn.Module):
    """Change the side of a feature map by a factor of two, without parameters."""

    def __init__(self, direction: str) -> None:
        super().__init__()
        if direction not in ("none", "down", "up"):
            raise ValueError(f"direction '{direction}': none, down or up")
        self.direction = direction

    def forward(self, x: Tensor) -> Tensor:
        """Average (down) or repeat (up) 2 x 2 pixels of (N, C, H, W)."""
        if self.direction == "down":
            return F.avg_pool2d(x, 2)  # (N, C, H, W) -> (N, C, H/2, W/2)
        if self.direction == "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")  # -> (N, C, 2H, 2W)
        return x


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; the domain embedding is added in between."""

    def __init__(
        self, channels: int, out_channels: int, embedding: int, groups: int, direction: str = "none"
    ) -> None:
        super().__init__()
        self.resample = Resample(direction)
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out_channels))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        # The third place belongs to the dropout of the original design, which is 0 here.
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels), nn.SiLU(), nn.Identity(), last
        )
        self.skip_connection: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Transform (N, C, H, W) with the embedding (N, E) of the target domain."""
        norm, activation, convolution = self.in_layers
        h = convolution(self.resample(activation(norm(x))))
        h = h + self.emb_layers(embedding)[:, :, None, None]  # (N, C') -> (N, C', 1, 1)
        residual: Tensor = self.skip_connection(self.resample(x)) + self.out_layers(h)
        return residual


class Attention(nn.Module):
    """Multi-head attention from tokens to a context (to the tokens themselves without one)."""

    def __init__(self, width: int, context: int, head_width: int) -> None:
        super().__init__()
        self.heads = width // head_width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def _split(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        return x.reshape(n, length, self.heads, -1).transpose(1, 2)  # -> (N, h, L, C/h)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend from (N, L, C) to the context (N, M, D); returns (N, L, C)."""
        context = tokens if context is None else context
        attended = F.scaled_dot_product_attention(
            self._split(self.to_q(tokens)),
            self._split(self.to_k(context)),
            self._split(self.to_v(context)),
        )
        out: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))  # -> (N, L, C)
        return out


class GatedProjection(nn.Module):
    """GEGLU: a linear layer whose second half gates the first through a GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """Project (N, L, C) to (N, L, inner)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        gated: Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """GEGLU to four times the width, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 4 * width
        # The second place belongs to the dropout of the original design, which is 0 here.
        self.net = nn.Sequential(
            GatedProjection(width, inner), nn.Identity(), nn.Linear(inner, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform (N, L, C)."""
        out: Tensor = self.net(x)
        return out


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the caption, feed-forward; each after a LayerNorm."""

    def __init__(self, width: int, context: int, head_width: int) -> None:
        super().__init__()
        self.attn1 = Attention(width, width, head_width)
        self.ff = FeedForward(width)
        self.attn2 = Attention(width, context, head_width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Transform (N, L, C) under the caption tokens (N, M, D)."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), tokens)
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class SpatialTransformer(nn.Module):
    """A transformer block over the pixels of a feature map, conditioned on the caption."""

    def __init__(self, channels: int, context: int, head_width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context, head_width)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Transform (N, C, H, W) under the caption tokens (N, M, D)."""
        height, width = x.shape[-2:]
        h = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)  # (N, C, H, W) -> (N, HW, C)
        for block in self.transformer_blocks:
            h = block(h, tokens)
        h = h.transpose(1, 2).reshape(x.shape[0], -1, height, width)  # -> (N, C, H, W)
        out: Tensor = x + self.proj_out(h.contiguous(memory_format=torch.channels_last))
        return out
