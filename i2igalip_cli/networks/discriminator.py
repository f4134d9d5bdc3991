"""Projected discriminator heads on a frozen encoder's patch tokens, one set a domain.

The design follows StyleGAN-T (Sauer et al. 2023), divided into sets for each target domain
(section 3.1 of the paper). A caption projects the features of a head (Miyato and Koyama 2018).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm

from i2igalip_cli.config import HeadConfig
from i2igalip_cli.networks.initialise import seeded


class Convolution(nn.Conv1d):
    """A circular convolution along the tokens, with spectral norm (Miyato et al. 2018).

    The norm divides the result instead of the weights: by linearity the same, without copies of
    the weights, which are far larger than the tokens. For the same reason it is one matrix product
    over windows: a convolution kernel would first bring the weights into its own order.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, L) to (N, C', L)."""
        weight, norm = _spectral(self)
        matrix = weight.flatten(1)  # (C', C, K) -> (C', C x K)
        size = weight.shape[2]
        if torch.is_autocast_enabled(x.device.type):  # before the windows repeat it
            x = x.to(torch.get_autocast_dtype(x.device.type))
        if size > 1:
            x = F.pad(x, (size // 2, size // 2), mode="circular")
        windows = x.unfold(2, size, 1).transpose(1, 2).flatten(2)  # -> (N, L, C x K)
        sigma = torch.vdot(norm._u, torch.mv(matrix, norm._v))
        assert self.bias is not None
        product = F.linear(windows, matrix) / sigma
        return (product + self.bias.to(product.dtype)).transpose(1, 2)  # -> (N, C', L)


def _spectral(layer: nn.Module) -> tuple[Tensor, _SpectralNorm]:
    """The weight of a layer as it is learned, and its spectral norm."""
    parametrizations: Any = layer.parametrizations  # torch gives it no closer type
    of_weight = parametrizations["weight"]
    return of_weight.original, of_weight[0]


def _convolution(channels: int, out_channels: int, kernel: int) -> nn.Module:
    return spectral_norm(Convolution(channels, out_channels, kernel))


def _block(channels: int, kernel: int) -> nn.Sequential:
    """Spectral-norm convolution, norm, LeakyReLU.

    StyleGAN-T's local batch norm takes its statistics over small groups of samples; the paper's
    program shows it one sample at a time, which is an instance norm over that sample's tokens. So
    the batch may be grouped at will without a change of the result.
    """
    return nn.Sequential(
        _convolution(channels, channels, kernel),
        nn.InstanceNorm1d(channels, affine=True),
        nn.LeakyReLU(0.2),
    )


class Head(nn.Module):
    """Judge the patch tokens of one encoder block against a caption."""

    def __init__(self, channels: int, context: int, config: HeadConfig) -> None:
        super().__init__()
        self.entry = _block(channels, 1)
        self.residual = _block(channels, config.kernel)
        self.features = _convolution(channels, config.projection, 1)
        self.caption = nn.Linear(context, config.projection)

    def forward(self, patches: Tensor, caption: Tensor) -> Tensor:
        """Logits (N, L) of patch tokens (N, L, C) under captions (N, E)."""
        x = self.entry(patches.transpose(1, 2))  # (N, L, C) -> (N, C, L)
        x = (self.residual(x) + x) / math.sqrt(2)
        x = self.features(x)  # -> (N, P, L)
        key = self.caption(caption).unsqueeze(2)  # (N, E) -> (N, P, 1)
        logits: Tensor = (x * key).sum(dim=1) / math.sqrt(x.shape[1])
        return logits


class Discriminator(nn.Module):
    """A set of heads for each domain; a slice is judged by the set of its own domain only.

    Args:
        domains: Number of domains.
        channels: Width of the encoder's patch tokens.
        context: Width of a caption embedding.
        config: Sizes of the heads.
        seed: Of the initial weights; the global random state is left as it was.
    """

    def __init__(
        self, domains: int, channels: int, context: int, config: HeadConfig, seed: int = 0
    ) -> None:
        super().__init__()
        with seeded(seed):
            self.sets = nn.ModuleList(
                nn.ModuleList(Head(channels, context, config) for _ in config.blocks)
                for _ in range(domains)
            )
        self._layers = [m for m in self.modules() if isinstance(m, Convolution)]

    @torch.no_grad()
    def iterate_norms(self) -> None:
        """One power iteration of every spectral norm (Miyato et al. 2018): once a training step.

        Left to themselves, heads would iterate at each call, so that the weights in a step depend
        on how often and on what they were called, and differ between processes.
        """
        for layer in self._layers:
            weight, norm = _spectral(layer)
            norm._power_method(weight.flatten(1), 1)

    def forward(self, patches: list[Tensor], captions: Tensor, domains: Tensor) -> Tensor:
        """Judge slices.

        Args:
            patches: For each head's block the patch tokens, (N, L, C).
            captions: Embedding of each slice's caption, (N, E).
            domains: Domain of each slice, (N,) int64.

        Returns:
            Logits of all heads, (N, heads x L) float32, in the order of the slices.
        """
        order, logits = [], []
        for domain in sorted(set(domains.tolist())):
            chosen = (domains == domain).nonzero()[:, 0]  # -> (n,)
            judged = [
                head(tokens[chosen], captions[chosen])
                for head, tokens in zip(self.sets[domain], patches, strict=True)
            ]
            order.append(chosen)
            logits.append(torch.cat(judged, dim=1).float())  # -> (n, heads x L)
        back = torch.cat(order).argsort()
        return torch.cat(logits)[back]
