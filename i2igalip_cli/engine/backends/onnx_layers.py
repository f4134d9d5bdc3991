"""Layers of the networks as ONNX runtimes compute them fastest; equal in mathematics.

Taken literally, the exporter's graph spends half of its time outside the convolutions. The weights
keep their names: the graph is filled with those of a checkpoint. Gated projections stay whole: two
products of one input are fused by OpenVINO, whose kernel for that dies in bfloat16 at 64 channels.
"""

import torch
from torch import Tensor, nn
from torch.onnx.ops import symbolic

from i2igalip_cli.networks.layers import Attention


def with_onnx_layers(module: nn.Module) -> nn.Module:
    """Exchange layers of a module, in place, for those below; it then serves for export only."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.GroupNorm):
            of_channels = layer.num_groups == layer.num_channels
            module.register_module(name, (_ChannelNorm if of_channels else _GroupNorm)(layer))
        elif isinstance(layer, Attention):
            module.register_module(name, _Attention(layer))
        else:
            with_onnx_layers(layer)
    return module


class _ChannelNorm(nn.Module):
    """A GroupNorm whose groups are single channels: one InstanceNormalization."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        return _instance_norm(x, self.weight, self.bias, self.epsilon)


class _GroupNorm(nn.Module):
    """Statistics of groups as those of wider channels; scale and bias in one pass.

    A BatchNormalization with mean 0 and variance 1 is that pass.
    """

    zero: Tensor
    one: Tensor
    parted: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = norm.weight, norm.bias, norm.eps
        self.groups = norm.num_groups
        self.register_buffer("zero", torch.zeros(norm.num_channels))
        self.register_buffer("one", torch.ones(norm.num_channels))
        self.register_buffer("parted", torch.tensor([0, norm.num_groups, -1]))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        n, groups = x.shape[0], self.groups
        size = x.shape[1] // groups * x.shape[2] * x.shape[3]
        wide = symbolic("Reshape", (x, self.parted), dtype=x.dtype, shape=(n, groups, size))
        wide = _instance_norm(wide, self.one[:groups], self.zero[:groups], self.epsilon)
        shape = symbolic("Shape", (x,), dtype=torch.int64, shape=(4,))
        normed = symbolic("Reshape", (wide, shape), dtype=x.dtype, shape=x.shape)
        return symbolic(
            "BatchNormalization",
            (normed, self.weight, self.bias, self.zero, self.one),
            {"epsilon": 0.0},
            dtype=x.dtype,
            shape=x.shape,
        )


def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Normalise each channel of each slice, (N, C, ...)."""
    return symbolic(
        "InstanceNormalization",
        (x, scale, bias),
        {"epsilon": epsilon},
        dtype=x.dtype,
        shape=x.shape,
    )


class _Attention(nn.Module):
    """Attention as one operation that parts the heads by itself."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v
        self.to_out, self.heads = attention.to_out, attention.heads

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend from (N, L, C) to the context (N, M, D)."""
        context = tokens if context is None else context
        query = self.to_q(tokens)
        attended = symbolic(
            "com.microsoft::MultiHeadAttention",
            (query, self.to_k(context), self.to_v(context)),
            {"num_heads": self.heads},
            dtype=query.dtype,
            shape=query.shape,
            version=1,
        )
        out: Tensor = self.to_out(attended)
        return out
