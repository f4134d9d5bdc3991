"""Where a volume's foreground lies: the box that slices are cut to."""

import math

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import CropPolicy
from i2igalip_cli.volumes.intensity import IntensityWindow
from i2igalip_cli.volumes.volume import Array, Volume

Box = tuple[slice, slice, slice]  # along I, J, K


def find_box(volume: Volume, window: IntensityWindow, policy: CropPolicy) -> Box:
    """The box around a volume's foreground, with the policy's margin.

    A layer across an axis counts if enough of it is foreground; the box runs from the first to the
    last such layer.

    Args:
        volume: Intensities (I, J, K) of any unit.
        window: What of them is 0 and 1 to the policy's threshold.
        policy: Threshold, share and margin.

    Returns:
        Slices along I, J, K; the whole volume where the policy says so or nothing is foreground.
    """
    shape = volume.shape
    everything = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    if policy.whole:
        return everything
    counts = _count_foreground(volume.array, foreground_level(window, policy))
    if counts[0].sum() == 0:
        return everything
    i, j, k = (
        _extent(counts[axis], policy.share * volume.array.size / shape[axis], margin)
        for axis, margin in enumerate(
            math.ceil(policy.margin_mm / spacing) for spacing in volume.spacing_mm
        )
    )
    return i, j, k


def foreground_level(window: IntensityWindow, policy: CropPolicy) -> float:
    """The intensity above which a voxel is foreground, in the volume's unit.

    Where the whole field of view is kept, everything above the window's low end is.
    """
    if policy.whole:
        return window.low
    return window.low + policy.threshold * (window.high - window.low)


def count_above(array: Array, threshold: float) -> int:
    """Voxels above an intensity; a layer at a time, for memory's sake."""
    layers = array.transpose(_memory_order(array))
    return sum(int(np.count_nonzero(layer > threshold)) for layer in layers)


def _memory_order(array: Array) -> npt.NDArray[np.intp]:
    """Axes from the slowest to the fastest: layers across the first lie together in memory."""
    return np.argsort(array.strides)[::-1]


def _count_foreground(array: Array, threshold: float) -> list[npt.NDArray[np.int64]]:
    """Foreground voxels of each layer across I, J and K; a layer at a time, for memory's sake."""
    order = _memory_order(array)
    counts = [np.zeros(size, np.int64) for size in array.shape]
    first, second, third = (counts[axis] for axis in order)
    for number, layer in enumerate(array.transpose(order)):
        above = layer > threshold
        second += above.sum(axis=1)
        third += above.sum(axis=0)
        first[number] = above.sum()
    return counts


def _extent(counts: npt.NDArray[np.int64], least: float, margin: int) -> slice:
    """From the first to the last layer with more than `least` voxels, and the margin."""
    filled = np.flatnonzero(counts > least)
    if filled.size == 0:  # thin things: every layer with any voxel
        filled = np.flatnonzero(counts)
    start, stop = int(filled[0]) - margin, int(filled[-1]) + 1 + margin
    return slice(max(start, 0), min(stop, len(counts)))
