"""A small head of four tissues that is no mirror image of itself, in any place."""

import numpy as np

SHAPE = (40, 44, 36)


def tissues(turn: float = 0.0, shift=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Labels 0 to 3, turned about the last axis (rad) and shifted (voxels)."""
    places = np.stack(np.meshgrid(*(np.arange(n) - n / 2 for n in SHAPE), indexing="ij"))
    x, y, z = places - np.reshape(shift, (3, 1, 1, 1))
    x, y = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
    radius = np.sqrt((x / 14) ** 2 + (y / 18) ** 2 + (z / 13) ** 2)
    labels = (radius < 1).astype(int) + (radius < 0.85) + (radius < 0.6)
    labels[np.hypot(x - 4, (y - 3) / 2) < 3 * (radius < 0.8)] = 1
    labels[np.sqrt((x + 6) ** 2 + (y - 6) ** 2 + (z - 4) ** 2) < 3] = 2
    return labels
