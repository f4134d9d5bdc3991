"""Features of places in slices, in a width in which they can be compared (Park et al. 2020)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class PatchProjection(nn.Module):
    """A small network for each layer that features come from.

    Args:
        channels: Of each layer's feature maps.
        width: Of the projected features.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width))
            for count in channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Project features.

        Args:
            maps: A feature map a layer, (N, C, h, w).
            places: Of the pixels that are looked at, (N, P) int64 a layer.

        Returns:
            (N, P, width) float32 of unit length a layer.
        """
        projected = []
        for layer, features, chosen in zip(self.layers, maps, places, strict=True):
            rows = features.flatten(2).transpose(1, 2)  # (N, C, h, w) -> (N, hw, C)
            rows = rows.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[2]))  # -> (N, P, C)
            projected.append(F.normalize(layer(rows).float(), dim=2))
        return projected
