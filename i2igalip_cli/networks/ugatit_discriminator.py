"""The discriminators of U-GAT-IT (Kim et al. 2020): one sees far, one near, both with attention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, register_parametrization

from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.ugatit import ClassAttention

_FIRST_ITERATIONS = 5  # of a norm whose vectors have just been drawn


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value (Miyato et al. 2018).

    The value is that of two vectors, which power iteration brings nearer to the singular ones when
    it is called for, not at each call: so what is learned in a step doesn't depend on how often and
    on what the weight is used in it.

    Args:
        weight: What will be divided; its first axis are the rows of a matrix.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        for name, size in zip(("left", "right"), weight.flatten(1).shape, strict=True):
            self.register_buffer(name, F.normalize(torch.randn(size), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self.iterate(weight)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """Bring the vectors a step nearer to the first singular ones of the weight."""
        matrix = weight.flatten(1)
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))
        self.right.copy_(F.normalize(matrix.T @ self.left, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """Divide the weight, in float32."""
        with torch.autocast(weight.device.type, enabled=False):
            value = self.left @ weight.flatten(1) @ self.right
        return weight / value


def _constrain(layer: nn.Module) -> None:
    """Give a layer's weight a spectral norm."""
    weight = layer.weight
    assert isinstance(weight, Tensor), "a convolution or a linear layer"
    # The check of shapes and types that this leaves out would run the norm without a device.
    register_parametrization(layer, "weight", SpectralNorm(weight), unsafe=True)


class AttentionDiscriminator(nn.Module):
    """Slices to logits of patches, and to logits of the whole by its attention.

    4 x 4 convolutions, all but the last two of which halve the sides, with spectral norm.

    Args:
        width: Channels of the first level; each doubles them.
        layers: Convolutions, the one that judges included.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        levels: list[nn.Module] = []
        channels = 1
        for level in range(layers - 1):
            stride = 2 if level < layers - 2 else 1
            out_channels = 2**level * width
            levels += [
                nn.Conv2d(channels, out_channels, 4, stride, 1, padding_mode="reflect"),
                nn.LeakyReLU(0.2),
            ]
            channels = out_channels
        self.features = nn.Sequential(*levels)
        self.attention = ClassAttention(channels)
        self.judge = nn.Conv2d(channels, 1, 4, 1, 1, padding_mode="reflect", bias=False)
        initialise_normal(self)
        for layer in list(self.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not self.attention.mix:
                _constrain(layer)

    def forward(self, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Judge slices (N, 1, H, W): logits (N, 1, h, w) of patches, (N, 2) of the attention."""
        x, logits = self.attention(self.features(slices))
        return self.judge(F.leaky_relu(x, 0.2)), logits


class UgatitDiscriminators(nn.Module):
    """What judges one domain; with 64 channels and 7 and 5 layers 56.4 million parameters.

    Args:
        width: Channels of the first level.
        global_layers: Convolutions of the one that sees far.
        local_layers: Convolutions of the one that sees near.
    """

    def __init__(self, width: int = 64, global_layers: int = 7, local_layers: int = 5) -> None:
        super().__init__()
        self.whole = AttentionDiscriminator(width, global_layers)
        self.near = AttentionDiscriminator(width, local_layers)

    def forward(self, slices: Tensor) -> list[Tensor]:
        """Judge slices (N, 1, H, W) in [-1, 1].

        Returns:
            Logits in float32 that weigh alike: (N, 1, h, w) of patches and (N, 2) of the attention,
            first of the one that sees far, then of the one that sees near.
        """
        return [logits.float() for judge in (self.whole, self.near) for logits in judge(slices)]

    def iterate_norms(self) -> None:
        """One power iteration of every spectral norm: once a training step."""
        for weight in self.modules():
            if isinstance(weight, ParametrizationList):
                (norm,) = weight
                assert isinstance(norm, SpectralNorm)
                norm.iterate(weight.original)
