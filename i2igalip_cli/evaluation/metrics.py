"""Metrics of slices: arrays in, one number out. The data are never changed."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.volumes.volume import Array

Mask = npt.NDArray[np.bool_]
SSIM_SIGMA = 1.5
FOREGROUND = 0.1  # of the range: what is darker is no tissue whose course could be followed
SSIM_WINDOW = 11  # pixels: the Gaussian cut at 3.5 sigma


def mean_absolute_error(prediction: Array, reference: Array, mask: Mask | None = None) -> float:
    """Mean absolute difference, in the unit of the arrays.

    Args:
        prediction: Any shape.
        reference: The same shape.
        mask: Where to look; everywhere without one.
    """
    difference = np.abs(prediction.astype(np.float64) - reference)
    return float(difference.mean() if mask is None else difference[mask].mean())


def peak_signal_to_noise_ratio(
    prediction: Array, reference: Array, data_range: float, mask: Mask | None = None
) -> float:
    """PSNR in dB: 10 log10(range^2 / mean squared error); infinite where both are equal.

    Args:
        prediction: Any shape.
        reference: The same shape.
        data_range: Largest possible difference, in the unit of the arrays.
        mask: Where to look; everywhere without one.
    """
    squares = (prediction.astype(np.float64) - reference) ** 2
    error = float(squares.mean() if mask is None else squares[mask].mean())
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def structural_similarity(
    prediction: Array, reference: Array, data_range: float, mask: Mask | None = None
) -> float:
    """SSIM in percent (Wang et al. 2004): Gaussian weights, sigma 1.5, population covariance.

    Args:
        prediction: One slice (H, W).
        reference: The same shape.
        data_range: Largest possible difference, in the unit of the arrays.
        mask: Where the map is averaged; without one everywhere but the border of half a window.

    Raises:
        EvaluationError: The slice is smaller than the window.
    """
    from skimage.metrics import structural_similarity as scikit_image_ssim

    if min(reference.shape) < SSIM_WINDOW:
        raise EvaluationError(
            f"slices of {reference.shape} pixels: SSIM needs at least {SSIM_WINDOW} on a side"
        )
    mean, full = scikit_image_ssim(
        prediction.astype(np.float64),
        reference.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return 100 * float(mean if mask is None else full[mask].mean())


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
