"""Slices on no regular grid -> slices on one, when the user asks for it (`--irregular`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from i2igalip_cli.volumes.dicom.frames import Frame
from i2igalip_cli.volumes.dicom.stack import (
    Matrix,
    Stack,
    neighbours,
    regular_distances,
    to_affine,
)
from i2igalip_cli.volumes.volume import Array

WHOLE_PIXEL = 0.01  # a way that is nearer to whole pixels was rounded: nothing to interpolate


@dataclass(frozen=True, kw_only=True, eq=False)
class RegularGrid:
    """A stack's planes on an orthogonal grid of equal distances.

    Attributes:
        array: (columns, rows, slices) float32.
        affine: (4, 4), voxel indices to RAS+ mm.
        nearest: Number of the source slice nearest to each slice.
    """

    array: Array
    affine: Matrix
    nearest: tuple[int, ...]


def make_regular(
    stack: Stack, planes: Sequence[Array], background: float, order: int
) -> RegularGrid:
    """Lay irregular slices on a regular grid that covers them.

    Each slice is moved within its plane to where its position says, which undoes a gantry tilt;
    between slices, intensities are interpolated.

    Args:
        stack: Places of the slices.
        planes: Their intensities (rows, columns), in the stack's order.
        background: What fills pixels that no slice reaches.
        order: 1 for linear interpolation, 0 for the nearest slice and pixel.
    """
    first = stack.frames[0]
    row, column = (direction / np.linalg.norm(direction) for direction in _directions(first))
    spacing = np.array(first.spacing)
    positions = np.array([frame.position for frame in stack.frames])
    # Way of each slice's first pixel from the first slice's, in pixels: along rows, along columns.
    ways = (positions - positions[0]) @ np.stack(
        [column / spacing[0], row / spacing[1]]
    ).T  # (N, 2)
    whole = np.round(ways)
    ways = whole if order == 0 else np.where(np.abs(ways - whole) < WHOLE_PIXEL, whole, ways)
    low, high = np.floor(ways.min(axis=0)), np.ceil(ways.max(axis=0))
    moved = [
        _move(plane, way - low, high - low, background, order)
        for plane, way in zip(planes, ways, strict=True)
    ]
    origin = positions[0] + low[0] * spacing[0] * column + low[1] * spacing[1] * row
    slices, nearest = [], []
    for distance in regular_distances(stack):
        below, above, share = neighbours(stack, float(distance))
        nearest.append(above if share >= 0.5 else below)
        if order == 0:
            slices.append(moved[nearest[-1]])
        else:
            slices.append(np.float32(1 - share) * moved[below] + np.float32(share) * moved[above])
    return RegularGrid(
        array=np.stack(slices).transpose(2, 1, 0).astype(np.float32),  # (N, rows, columns) -> IJK
        affine=to_affine(first, origin, np.cross(row, column) * stack.step),
        nearest=tuple(nearest),
    )


def _directions(frame: Frame) -> tuple[Matrix, Matrix]:
    """Of a row and of a column, LPS (3)."""
    orientation = np.array(frame.orientation)
    return orientation[:3], orientation[3:]


def _move(plane: Array, way: Matrix, room: Matrix, background: float, order: int) -> Array:
    """A plane with room for all, moved by a fraction of a pixel or many."""
    grown = np.pad(
        plane, [(0, math.ceil(size)) for size in room], constant_values=np.float32(background)
    )
    if not way.any():
        return grown
    from scipy.ndimage import shift

    moved: Array = shift(grown, way, order=order, mode="grid-constant", cval=background)
    return moved
