"""How much the intensities of two volumes tell of each other."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EmptyVolumeError
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform
from i2igalip_cli.volumes.volume import Array, Volume

BINS = 32  # of each contrast's intensities
WINDOW = (0.1, 99.9)  # percentiles between which the bins lie: single bright voxels leave them wide
Mask = npt.NDArray[np.bool_]
Bins = npt.NDArray[np.intp]


def mutual_information(
    fixed: Volume, moving: Volume, transform: RigidTransform, within: Mask | None = None
) -> float:
    """How much the intensities of two volumes tell of each other, by their joint histogram.

    The sum of p(f, m) log(p(f, m) / (p(f) p(m))) over bins f and m (Maes et al. 1997), where the
    moving volume is interpolated linearly at the fixed one's voxels.

    Args:
        fixed: Gives the grid.
        moving: Of any grid.
        transform: From the fixed to the moving.
        within: (I, J, K) of the fixed volume's grid: which voxels count; None for all.

    Returns:
        Nats, from 0 to log 32; 0 where fewer places than bins overlap.

    Raises:
        EmptyVolumeError: A volume is constant.
    """
    values, counted = lay(moving, fixed, transform)
    if within is not None:
        counted &= within
    first = number_bins(fixed.array[counted], find_window(fixed.array))
    second = number_bins(values[counted], find_window(moving.array))
    return inform(first, second)


def inform(first: Bins, second: Bins) -> float:
    """Mutual information of voxels by the bins (N,) that they have in two volumes, in nats."""
    if first.size < BINS:
        return 0.0
    joint = np.bincount(first * BINS + second, minlength=BINS**2).reshape(BINS, BINS) / first.size
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / apart[held])).sum())


def lay(moving: Volume, fixed: Volume, transform: RigidTransform) -> tuple[Array, Mask]:
    """The moving volume's values at the fixed one's voxels, and which of those it reaches."""
    from scipy.ndimage import affine_transform

    between = np.linalg.solve(moving.affine, transform.matrix @ fixed.affine)
    values: Array = affine_transform(
        moving.array, between[:3, :3], between[:3, 3], fixed.shape, order=1, mode="nearest"
    )
    reached = np.ones(fixed.shape, bool)
    i, j, k = np.ogrid[: fixed.shape[0], : fixed.shape[1], : fixed.shape[2]]
    for row, size in zip(between, moving.shape, strict=False):  # of index along I, J, K
        index = row[0] * i + row[1] * j + row[2] * k + row[3]
        reached &= (index >= -0.5) & (index <= size - 0.5)
    return values, reached


def number_bins(values: Array, window: tuple[float, float]) -> Bins:
    """The bin of each value, from 0; bins are equally wide within a volume's window."""
    low, high = window
    numbers: Bins = np.clip((values - low) * (BINS / (high - low)), 0, BINS - 1).astype(np.intp)
    return numbers


def find_window(array: Array) -> tuple[float, float]:
    """Where the bins of a volume begin and end: at percentiles, or at its extremes.

    Raises:
        EmptyVolumeError: It is constant.
    """
    low, high = (float(end) for end in np.percentile(array, WINDOW))
    if low == high:
        low, high = float(array.min()), float(array.max())
    if low == high:
        raise EmptyVolumeError(f"constant: every voxel is {low:g}, there is nothing to register")
    return low, high
