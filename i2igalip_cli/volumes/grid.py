"""Grids in patient space: how far from orthogonal they are, and volumes on other grids."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.volume import Array, Volume

SILENT_SHEAR_DEGREES = 0.06  # what rounding of stored directions makes
MAX_SHEAR_DEGREES = 0.5  # slices sheared by more are no longer what the generator knows
MAX_GROWTH = 16  # an orthogonal grid with more voxels than this times the source's is refused

Affine = npt.NDArray[np.float64]


def shear_degrees(affine: Affine) -> float:
    """The largest deviation from a right angle between two axes of a grid.

    Args:
        affine: (4, 4) voxel indices to mm, not singular.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return max(_deviation(axes, pair) for pair in ((0, 1), (0, 2), (1, 2)))


def _deviation(axes: Affine, pair: tuple[int, int]) -> float:
    """Degrees from a right angle between two axes of unit length."""
    first, second = axes[:, pair[0]], axes[:, pair[1]]
    # The sine's inverse keeps its precision near a right angle, the cosine's does not.
    return math.degrees(math.asin(min(1.0, abs(float(first @ second)))))


def orthogonal_grid(
    affine: Affine, shape: tuple[int, int, int]
) -> tuple[Affine, tuple[int, int, int]]:
    """An orthogonal grid that covers a sheared one, with its layers on the sheared one's layers.

    The two axes that are nearest to a right angle keep their plane: a stack of slices that a
    tilted gantry sheared is shifted in the planes of its slices, never mixed across them. Along
    the third axis, voxels are as far apart as those planes.

    Args:
        affine: (4, 4) voxel indices to mm, not singular.
        shape: Voxels along I, J, K.

    Returns:
        Affine and shape of the orthogonal grid, its axes in the order and sense of the sheared one.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    first, second = min(((0, 1), (0, 2), (1, 2)), key=lambda pair: _deviation(axes, pair))
    order = [first, second, 3 - first - second]
    directions, steps = np.linalg.qr(affine[:3, order])
    straight = np.empty((3, 3))
    straight[:, order] = directions * np.diag(steps)  # QR's signs cancel
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    placed = np.linalg.solve(straight, affine[:3, :3]) @ corners  # (3, 8) in the new axes
    lowest = np.floor(placed.min(axis=1) + 1e-6)
    highest = np.ceil(placed.max(axis=1) - 1e-6)
    i, j, k = (int(n) for n in highest - lowest + 1)
    covering = np.eye(4)
    covering[:3, :3] = straight
    covering[:3, 3] = affine[:3, 3] + straight @ lowest
    return covering, (i, j, k)


def resample(
    array: Array,
    affine: Affine,
    to: Affine,
    shape: tuple[int, int, int],
    *,
    nearest: bool = False,
    outside: float = 0.0,
) -> Array:
    """An array on another grid, linearly interpolated.

    Args:
        array: (I, J, K) on the grid of `affine`.
        affine: (4, 4) voxel indices to mm.
        to: (4, 4) the other grid's.
        shape: The other grid's voxels along its axes.
        nearest: Take the nearest voxel instead, for masks and label maps.
        outside: What stands where the array doesn't reach.

    Returns:
        float32 of `shape`.
    """
    from scipy.ndimage import affine_transform

    between = np.linalg.solve(affine, to)  # indices of the other grid to indices of the array
    resampled: Array = affine_transform(
        array,
        between[:3, :3],
        between[:3, 3],
        output_shape=shape,
        output=np.float32,
        order=0 if nearest else 1,
        cval=outside,
        mode="grid-constant",  # fades over one voxel: rounding can't drop the outermost layer
    )
    return resampled


def straighten(volume: Volume) -> tuple[Volume, tuple[str, ...]]:
    """A volume on an orthogonal grid: the same one, unless its axes are clearly sheared.

    Args:
        volume: Its background is 0.

    Returns:
        The volume, resampled where the shear is above `MAX_SHEAR_DEGREES`, and warnings.

    Raises:
        VolumeError: The shear is so strong that an orthogonal grid would be far larger.
    """
    shear = shear_degrees(volume.affine)
    if shear <= SILENT_SHEAR_DEGREES:
        return volume, ()
    if shear <= MAX_SHEAR_DEGREES:
        return volume, (f"axes sheared by {shear:.2f} degrees are treated as orthogonal",)
    affine, shape = orthogonal_grid(volume.affine, volume.shape)
    if math.prod(shape) > MAX_GROWTH * volume.array.size + 10**6:
        raise VolumeError(
            f"axes sheared by {shear:.1f} degrees: an orthogonal grid would need {shape} voxels; "
            f"resample the volume first"
        )
    straight = replace(
        volume, array=resample(volume.array, volume.affine, affine, shape), affine=affine
    )
    return straight, (
        f"axes sheared by {shear:.1f} degrees: resampled to an orthogonal grid and back",
    )
