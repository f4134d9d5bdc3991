"""Augmentation of training slices: mirrored, magnified, cropped."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from i2igalip_cli.config import TrainConfig


def augment(slices: Tensor, config: TrainConfig, rng: np.random.Generator) -> Tensor:
    """Augment each slice by itself, as the run's `mirror`, `zoom` and `crop` ask.

    Args:
        slices: (N, 1, H, W) in [0, 1].
        config: The run.
        rng: Where chance comes from.

    Returns:
        (N, 1, H, W), or the height and width of the crop.
    """
    if config.mirror:
        mirrored = torch.from_numpy(rng.random(len(slices)) < 0.5).view(-1, 1, 1, 1)
        slices = torch.where(mirrored, slices.flip(3), slices)
    if config.zoom > 1:
        slices = _magnify(slices, config.zoom, rng)
    if config.crop:
        height, width = config.crop
        tops = rng.integers(slices.shape[2] - height + 1, size=len(slices))
        lefts = rng.integers(slices.shape[3] - width + 1, size=len(slices))
        windows = [
            whole[:, top : top + height, left : left + width]
            for whole, top, left in zip(slices, tops, lefts, strict=True)
        ]
        slices = torch.stack(windows)
    return slices


def _magnify(slices: Tensor, largest: float, rng: np.random.Generator) -> Tensor:
    """Magnify half of the slices by 1 to `largest` about a random place inside the frame."""
    number = len(slices)
    zoom = np.where(rng.random(number) < 0.5, rng.uniform(1, largest, number), 1)
    theta = np.zeros((number, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    # The window shown spans 1 / zoom of the frame [-1, 1]; half of the room left is used.
    theta[:, :, 2] = rng.uniform(-1, 1, (number, 2)) * (1 - 1 / zoom)[:, None] * 0.5
    grid = F.affine_grid(torch.from_numpy(theta), list(slices.shape), align_corners=False)
    magnified = F.grid_sample(slices, grid, align_corners=False)
    return torch.where(torch.from_numpy(zoom > 1).view(-1, 1, 1, 1), magnified, slices)
