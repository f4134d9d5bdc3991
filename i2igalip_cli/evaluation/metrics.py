"""Metrics of voxels: arrays in, one number out. The data are never changed.

Structural similarity is in `similarity.py` and `multiscale.py`, label maps in `overlap.py`.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.volume import Array

Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
FOREGROUND = 0.1  # of the range: what is darker is no tissue whose course could be followed


def mean_absolute_error(prediction: Array, reference: Array, mask: Mask | None = None) -> float:
    """Mean absolute difference, in the unit of the arrays.

    Args:
        prediction: Any shape.
        reference: The same shape.
        mask: Where to look, not empty; everywhere without one.
    """
    total, count = 0.0, 0
    for ours, theirs, inside in _layers(prediction, reference, mask):
        error = np.subtract(ours, theirs, out=ours)
        total += float(np.abs(error, out=error).sum())
        count += inside
    return total / count


def peak_signal_to_noise_ratio(
    prediction: Array, reference: Array, data_range: float, mask: Mask | None = None
) -> float:
    """PSNR in dB: 10 log10(range^2 / mean squared error); infinite where both are equal.

    Args:
        prediction: Any shape.
        reference: The same shape.
        data_range: Largest possible difference, in the unit of the arrays.
        mask: Where to look, not empty; everywhere without one.
    """
    total, count = 0.0, 0
    for ours, theirs, inside in _layers(prediction, reference, mask):
        error = np.subtract(ours, theirs, out=ours)
        total += float(error @ error)
        count += inside
    return float("inf") if total == 0 else float(10 * np.log10(data_range**2 / (total / count)))


def normalized_mean_squared_error(
    prediction: Array, reference: Array, mask: Mask | None = None
) -> float | None:
    """NMSE: |prediction - reference|^2 / |reference|^2, as fastMRI has it (Zbontar et al. 2018).

    Args:
        prediction: Any shape.
        reference: The same shape.
        mask: Where to look, not empty; everywhere without one.

    Returns:
        At least 0; None where the reference is 0 throughout.
    """
    errors, energy = 0.0, 0.0
    for ours, theirs, _ in _layers(prediction, reference, mask):
        energy += float(theirs @ theirs)
        error = np.subtract(ours, theirs, out=ours)
        errors += float(error @ error)
    return errors / energy if energy else None


def through_plane_jump(slices: Array) -> float | None:
    """How far slices lie from the mean of their two neighbours, over the foreground.

    A smooth course of anatomy from slice to slice counts nothing, a slice that is brighter or
    darker than its neighbours, or shows an edge that they don't, counts in full.

    Args:
        slices: (N, H, W) in [0, 1], in their order.

    Returns:
        Mean of |s[k] - (s[k - 1] + s[k + 1]) / 2| over the voxels of s[k] above `FOREGROUND`, in
        [0, 1]; slices beside an empty one are left out. None where nothing is left.
    """
    total, count = 0.0, 0
    filled = [bool(slice_.any()) for slice_ in slices]
    for k in range(1, len(slices) - 1):
        inside = slices[k] > FOREGROUND
        if filled[k - 1] and filled[k + 1] and inside.any():
            neighbours = (slices[k - 1][inside] + slices[k + 1][inside]) / 2
            total += float(np.abs(slices[k][inside] - neighbours).sum(dtype=np.float64))
            count += int(inside.sum())
    return total / count if count else None


def _layers(
    prediction: Array, reference: Array, mask: Mask | None
) -> Iterator[tuple[Doubles, Doubles, int]]:
    """Both flat and 0 off the mask, and how many count; a layer at a time stays in the cache."""
    if reference.ndim != 3:
        prediction, reference = prediction[None], reference[None]
        mask = mask if mask is None else mask[None]
    for k, layers in enumerate(zip(prediction, reference, strict=True)):
        ours, theirs = (layer.ravel().astype(np.float64) for layer in layers)
        if mask is None:
            yield ours, theirs, ours.size
        else:
            inside = mask[k].ravel()
            ours *= inside
            theirs *= inside
            yield ours, theirs, int(np.count_nonzero(inside))
