"""How networks of diffusion know the step."""

import math

import torch
from torch import Tensor


def embed_time(step: Tensor, width: int) -> Tensor:
    """Sines and cosines of steps, by which networks know them (Vaswani et al. 2017).

    Args:
        step: (N,).
        width: An even number.

    Returns:
        (N, width) float32.
    """
    half = width // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, device=step.device) / half)
    angles = step[:, None].float() * rates  # (N,) -> (N, half)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
