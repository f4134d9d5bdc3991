"""Projected discriminator heads on a frozen encoder's patch tokens, one set a domain.

The design follows StyleGAN-T (Sauer et al. 2023), divided into sets for each target domain
(section 3.1 of the paper). A caption projects the features of a head (Miyato and Koyama 2018).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from i2igalip_cli.config import HeadConfig


def _convolution(channels: int, out_channels: int, kernel: int) -> nn.Module:
    padding = {"padding": kernel // 2, "padding_mode": "circular"} if kernel > 1 else {}
    layer = nn.Conv1d(channels, out_channels, kernel, **padding)  # type: ignore[arg-type]  # mixed
    return spectral_norm(layer)


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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.sets = nn.ModuleList(
                nn.ModuleList(Head(channels, context, config) for _ in config.blocks)
                for _ in range(domains)
            )
        # The same in training and evaluation; `iterate_norms` is what brings them forward.
        self._norms = [m for m in self.modules() if isinstance(m, _SpectralNorm)]
        self.train()

    def train(self, mode: bool = True) -> "Discriminator":
        """Set the mode; the spectral norms move with `iterate_norms` alone."""
        super().train(mode)
        for norm in self._norms:
            norm.train(False)
        return self

    @torch.no_grad()
    def iterate_norms(self) -> None:
        """One power iteration of every spectral norm (Miyato et al. 2018): once a training step.

        Left to themselves, heads would iterate at each call, so that the weights in a step depend
        on how often and on what they were called, and differ between processes.
        """
        for layer in self.modules():
            if is_parametrized(layer, "weight"):
                for norm in layer.parametrizations["weight"]:  # type: ignore[index]
                    norm.train()
                    _ = layer.weight  # reading it iterates
                    norm.eval()

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
