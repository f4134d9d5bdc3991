"""The generator of U-GAT-IT (Kim et al. 2020): attention by class activation, and norms that adapt.

"U-GAT-IT: Unsupervised generative attentional networks with adaptive layer-instance normalization
for image-to-image translation", ICLR 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.resnet import ResidualBlock

_HALVED = 4  # how often the deepest features fit into a slice's side
_RHO = 0.9  # share of the instance norm in a residual block's norms, to begin with


def normalise(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Instance norm and layer norm, mixed, scaled and shifted (section 2.1.1).

    Args:
        x: (N, C, H, W).
        rho: Share of the instance norm in [0, 1], (C,).
        gamma: Scale, (N or 1, C).
        beta: Shift, (N or 1, C).

    Returns:
        (N, C, H, W).
    """
    rho = rho[:, None, None]  # (C,) -> (C, 1, 1)
    mixed = rho * F.instance_norm(x) + (1 - rho) * F.group_norm(x, 1)
    return gamma[:, :, None, None] * mixed + beta[:, :, None, None]


class MixedNorm(nn.Module):
    """What every layer-instance norm learns: the share of each kind, which stays in [0, 1]."""

    def __init__(self, channels: int, rho: float) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), rho))

    @torch.no_grad()
    def clip(self) -> None:
        """Bring the shares back into [0, 1], where a step took them out of it."""
        self.rho.clamp_(0, 1)


class AdaptiveNorm(MixedNorm):
    """Layer-instance norm with a scale and shift that other features decide: AdaLIN."""

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Normalise (N, C, H, W) with scale and shift (N, C)."""
        return normalise(x, self.rho, gamma, beta)


class LearnedNorm(MixedNorm):
    """Layer-instance norm with a scale and shift of its own: LIN."""

    def __init__(self, channels: int, rho: float) -> None:
        super().__init__(channels, rho)
        self.gamma = nn.Parameter(torch.ones(1, channels))
        self.beta = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        return normalise(x, self.rho, self.gamma, self.beta)


def _convolution(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        out_channels,
        kernel,
        stride,
        padding=kernel // 2,
        padding_mode="reflect",
        bias=False,
    )


def _convolve(channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = _convolution(channels, out_channels, kernel, stride)
    return nn.Sequential(convolution, nn.InstanceNorm2d(out_channels), nn.ReLU())


def _double(channels: int, out_channels: int) -> nn.Sequential:
    convolution = _convolution(channels, out_channels, 3)
    return nn.Sequential(
        nn.Upsample(scale_factor=2), convolution, LearnedNorm(out_channels, 0.0), nn.ReLU()
    )


class DecoderBlock(nn.Module):
    """Two 3 x 3 convolutions with AdaLIN, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(channels, channels, 3) for _ in range(2))
        self.norms = nn.ModuleList(AdaptiveNorm(channels, _RHO) for _ in range(2))

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Transform (N, C, H, W), both norms with the same scale and shift (N, C)."""
        inner = self.norms[0](self.convolutions[0](x), gamma, beta).relu()
        out: Tensor = x + self.norms[1](self.convolutions[1](inner), gamma, beta)
        return out


class ClassAttention(nn.Module):
    """Features weighed by what tells two domains apart: class activation maps (section 2.1.1).

    Two linear classifiers, of the means and of the largest values of the channels (Zhou et al.
    2016), find the domain; their weights weigh the channels at every place.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_mean = nn.Linear(channels, 1, bias=False)
        self.of_largest = nn.Linear(channels, 1, bias=False)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh features (N, C, H, W).

        Returns:
            The features weighed, before any activation, (N, C, H, W), and the logits of both
            classifiers, (N, 2).
        """
        logits = [self.of_mean(x.mean(dim=(2, 3))), self.of_largest(x.amax(dim=(2, 3)))]
        layers = (self.of_mean, self.of_largest)
        weighed = [x * layer.weight[:, :, None, None] for layer in layers]  # (1, C) -> (1, C, 1, 1)
        return self.mix(torch.cat(weighed, dim=1)), torch.cat(logits, dim=1)


class Modulation(nn.Module):
    """Scale and shift of AdaLIN, which a perceptron finds in the weighed features.

    Args:
        channels: Of the features.
        places: Of the features, all of which it sees; 1 shows it their means (the light variant).
    """

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        self.light = places == 1
        self.layers = nn.Sequential(
            nn.Linear(places * channels, channels, bias=False),
            nn.ReLU(),
            nn.Linear(channels, channels, bias=False),
            nn.ReLU(),
        )
        self.gamma = nn.Linear(channels, channels, bias=False)
        self.beta = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Find scale and shift, (N, C) each, of features (N, C, H, W)."""
        hidden = self.layers(x.mean(dim=(2, 3)) if self.light else x.flatten(1))
        return self.gamma(hidden), self.beta(hidden)


class UgatitGenerator(nn.Module):
    """Slices to slices, and how much they look like the domain that they are translated from.

    Halved twice, residual blocks with instance norm, attention, residual blocks with AdaLIN,
    doubled twice with LIN, tanh. With 64 channels and four blocks each it has 278.9 million
    parameters for slices of 256 x 256, and 10.6 million in the light variant.

    Args:
        width: Channels of the first stage.
        blocks: Residual blocks before the attention, and after it.
        size: Height and width of the slices; None for the light variant, which takes any.
    """

    def __init__(self, width: int = 64, blocks: int = 4, size: int | None = 256) -> None:
        super().__init__()
        channels = _HALVED * width
        self.encoder = nn.Sequential(
            _convolve(1, width, 7),
            _convolve(width, 2 * width, 3, stride=2),
            _convolve(2 * width, channels, 3, stride=2),
            *(ResidualBlock(channels, bias=False) for _ in range(blocks)),
        )
        self.attention = ClassAttention(channels)
        self.modulation = Modulation(channels, 1 if size is None else (size // _HALVED) ** 2)
        self.decoder = nn.ModuleList(DecoderBlock(channels) for _ in range(blocks))
        self.head = nn.Sequential(
            _double(channels, 2 * width),
            _double(2 * width, width),
            _convolution(width, 1, 7),
            nn.Tanh(),
        )
        initialise_normal(self)

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Translate slices (N, 1, H, W) in [-1, 1].

        Returns:
            The translated slices, the same shape and range, and the logits (N, 2) of their being of
            the domain that is translated; both float32.
        """
        x, logits = self.attention(self.encoder(slices))
        x = x.relu()
        gamma, beta = self.modulation(x)
        for block in self.decoder:
            x = block(x, gamma, beta)
        return self.head(x).float(), logits.float()

    def clip_shares(self) -> None:
        """Bring the shares of all layer-instance norms back into [0, 1], after a step."""
        for module in self.modules():
            if isinstance(module, MixedNorm):
                module.clip()
