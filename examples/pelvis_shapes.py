"""The shapes of a pelvis as distances in mm, negative inside, for `simulate_pelvis.py`.

Points lie in millimetres from the middle between the heads of the femora, along R, A and S, of one
who lies on his back.
"""

from itertools import pairwise

import numpy as np

Points = np.ndarray  # (3, I, J, K): millimetres along R, A and S
Place = tuple[float, float, float]


def ellipsoid(points: Points, centre: Place, radii: Place) -> np.ndarray:
    """Distance to an ellipsoid to first order, negative inside."""
    scale = np.array(radii).reshape(3, 1, 1, 1)
    unit = (points - np.array(centre).reshape(3, 1, 1, 1)) / scale
    level = np.linalg.norm(unit, axis=0)
    slope = np.linalg.norm(unit / scale, axis=0) / np.maximum(level, 1e-6)
    return (level - 1) / np.maximum(slope, 1e-6)


def tube(points: Points, path: list[Place], radii: list[float]) -> np.ndarray:
    """Distance to a tube along a path whose radius changes from corner to corner."""
    nearest = np.full(points.shape[1:], np.inf)
    for start, end, first, last in zip(path, path[1:], radii, radii[1:], strict=False):
        origin, along = np.array(start), np.subtract(end, start)
        offset = points - origin.reshape(3, 1, 1, 1)
        share = np.clip(np.tensordot(along, offset, 1) / (along @ along), 0, 1)
        away = np.linalg.norm(offset - along.reshape(3, 1, 1, 1) * share, axis=0)
        nearest = np.minimum(nearest, away - (first + (last - first) * share))
    return nearest


def body(points: Points, girth_mm: float) -> np.ndarray:
    """Distance to the skin, or by `girth_mm` inside it: trunk, thighs and the cleft behind."""
    x, y, z = points
    width = np.where(z < 0, 176, 176 - 0.14 * z) - girth_mm
    depth = np.where(y < 0, 112, 104) - girth_mm * np.where(y < 0, 1.5, 1.0)
    taper = np.sqrt(np.clip(1 - np.clip(-(z + 42) / 48, 0, None) ** 2, 0.02, 1))
    level = (np.abs(x / width) ** 2.3 + np.abs(y / (depth * taper)) ** 2.3) ** (1 / 2.3)
    trunk = (level - 1) * depth * taper
    thigh = ellipsoid(
        np.stack([np.abs(x), y, np.minimum(z, -30)]),
        (90, 0, -30),
        (84 - girth_mm, 100 - girth_mm * 1.1, 400),
    )
    cleft = tube(points, [(0, -126, 40), (0, -112, -20), (0, -88, -110)], [10, 16, 20])
    whole = np.minimum(trunk, np.where(z < 10, thigh, np.inf))
    return np.maximum(whole, -(cleft - girth_mm * 0.5))


def hip(points: Points) -> np.ndarray:
    """Distance to the hip bone of the right side."""
    x, y, z = points
    # The wing: a plate whose ends and bulge move outwards with height.
    high = np.clip((z - 10) / 90, 0, 1)
    corners = [
        (58 - 16 * high, -42 - 22 * high),
        (78 + 2 * high, -26 - 12 * high),
        (90 + 16 * high, -4 + 2 * high),
        (93 + 31 * high, 18 + 24 * high),
    ]
    thick = 10 - 4.5 * np.sqrt(high)
    flat = np.stack([x, y])
    wing = np.full(x.shape, np.inf)
    for start, end in pairwise(corners):
        along = np.stack([end[0] - start[0], end[1] - start[1]])
        offset = flat - np.stack([np.broadcast_to(side, x.shape) for side in start])
        share = np.clip((offset * along).sum(0) / (along**2).sum(0), 0, 1)
        wing = np.minimum(wing, np.linalg.norm(offset - along * share, axis=0) - thick)
    wing = np.maximum(wing, 22 - z)
    from_head = points - np.array([88.0, 0, 0]).reshape(3, 1, 1, 1)
    radius = np.linalg.norm(from_head, axis=0)
    inward = np.tensordot([-0.75, -0.1, 0.65], from_head, 1)
    socket = np.maximum.reduce([radius - 39, 28 - radius, 2 - inward])
    pubis = tube(points, [(62, 24, -6), (34, 46, -14), (9, 56, -26)], [10, 8, 9])
    arch = tube(points, [(9, 54, -28), (12, 46, -46), (44, -8, -72)], [8, 7, 7])
    ischium = tube(points, [(70, -32, -4), (66, -44, -36), (56, -42, -66)], [14, 14, 17])
    return np.minimum.reduce([wing, socket, pubis, arch, ischium])


def femur(points: Points) -> np.ndarray:
    """Distance to the femur of the right side."""
    head = ellipsoid(points, (88, 0, 0), (24, 24, 24))
    neck = tube(points, [(90, 0, -2), (126, -8, -24)], [15, 16])
    shaft = tube(points, [(134, -12, -10), (136, -8, -46), (126, 2, -130)], [15, 17, 15])
    return np.minimum.reduce([head, neck, shaft])


def sacrum(points: Points) -> np.ndarray:
    """Distance to the sacrum and coccyx, wide above and narrow below."""
    narrow = points / np.array([2.2, 1, 1]).reshape(3, 1, 1, 1)
    path = [(0, -54, 100), (0, -74, 48), (0, -90, 4), (0, -78, -26)]
    return tube(narrow, path, [22, 17, 9, 4])
