"""Structural similarity: Wang's over slices, and SynthRAD2023's over a masked volume."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.windows import (
    GAUSSIAN_RADIUS,
    UNIFORM_RADIUS,
    Doubles,
    Floats,
    Workspace,
    filled_spans,
    gaussian_band,
    moments,
    slab_moments,
    smooth_planes,
)

Mask = npt.NDArray[np.bool_]
SSIM_WINDOW = 2 * GAUSSIAN_RADIUS + 1  # pixels
K1, K2 = 0.01, 0.03  # Wang et al. 2004


def structural_similarity(
    prediction: Floats, reference: Floats, data_range: float, mask: Mask | None = None
) -> float:
    """SSIM of one slice in percent; see `slice_similarities`.

    Args:
        prediction: One slice (H, W).
        reference: The same shape.
        data_range: Largest possible difference, in the unit of the arrays.
        mask: Where the map is averaged.

    Raises:
        EvaluationError: The slice is smaller than the window.
    """
    where = None if mask is None else mask[None]
    return float(slice_similarities(prediction[None], reference[None], data_range, where)[0])


def slice_similarities(
    prediction: Floats, reference: Floats, data_range: float, mask: Mask | None = None
) -> Doubles:
    """SSIM of every slice in percent (Wang et al. 2004).

    Gaussian weights, sigma 1.5, population covariance: `skimage.metrics.structural_similarity`
    with `gaussian_weights=True, use_sample_covariance=False`, and equal to it. Where both slices
    are 0 throughout a window, SSIM is 1; nothing is computed there.

    Args:
        prediction: (N, H, W).
        reference: The same shape.
        data_range: Largest possible difference, in the unit of the arrays.
        mask: Where the map is averaged, (N, H, W), no slice empty; without one everywhere but the
            border of half a window.

    Returns:
        (N,) in percent.

    Raises:
        EvaluationError: The slices are smaller than the window.
    """
    height, width = reference.shape[1:]
    if min(height, width) < SSIM_WINDOW:
        raise EvaluationError(
            f"slices of {(height, width)} pixels: SSIM needs at least {SSIM_WINDOW} on a side"
        )
    r = GAUSSIAN_RADIUS
    inner = np.zeros((height, width), bool)
    inner[r : height - r, r : width - r] = True
    work = Workspace()
    return 100 * np.array(
        [
            _similarity(ours, theirs, data_range, inner if mask is None else mask[k], work)
            for k, (ours, theirs) in enumerate(zip(prediction, reference, strict=True))
        ]
    )


def _similarity(
    prediction: Floats, reference: Floats, data_range: float, where: Mask, work: Workspace
) -> float:
    """Mean of the SSIM map of one slice over `where`, computed in the box that isn't 0."""
    spans = filled_spans((prediction != 0) | (reference != 0))
    rows, columns = (
        slice(max(start - GAUSSIAN_RADIUS, 0), stop + GAUSSIAN_RADIUS) for start, stop in spans
    )
    box = rows, columns
    inside = where[box]
    count = int(np.count_nonzero(where))
    if not inside.any():
        return 1.0
    planes = moments(prediction[box], reference[box], work, apart=False)
    bands = gaussian_band(inside.shape[0]), gaussian_band(inside.shape[1])
    windowed = smooth_planes(planes, *bands, work)
    total = float(similarity_map(windowed, data_range).sum(where=inside))
    return (total + count - int(np.count_nonzero(inside))) / count


def similarity_map(
    windowed: Doubles, data_range: float, *, covariance: float = 1.0, luminance: bool = True
) -> Doubles:
    """SSIM at every place from its moments (Wang et al. 2004, Eq. 13).

    Args:
        windowed: Windowed means of p, r, p r, p^2 + r^2: (4, ...); overwritten.
        data_range: Largest possible difference.
        covariance: n / (n - 1) for the covariance of a sample of n, 1 for the population's.
        luminance: Whether the luminance takes part; contrast and structure alone otherwise.

    Returns:
        (...) in [-1, 1].
    """
    ours, theirs, product, squares = windowed
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    means = ours * theirs
    np.multiply(ours, ours, out=ours)
    np.multiply(theirs, theirs, out=theirs)
    ours += theirs  # the sum of the squared means
    product -= means
    squares -= ours
    if covariance != 1:
        product *= covariance
        squares *= covariance
    product *= 2
    product += c2
    squares += c2
    product /= squares
    if luminance:
        means *= 2
        means += c1
        ours += c1
        means /= ours
        product *= means
    similarities: Doubles = product
    return similarities


def volume_similarity(
    prediction: Floats, reference: Floats, data_range: float, mask: Mask
) -> float | None:
    """SSIM of volumes within a mask, as SynthRAD2023 takes it.

    Windows of 7 x 7 x 7 equal weights, covariance of a sample, mean of the map over the mask
    without the border of half a window. Cutting to the range, blanking outside of the mask and
    shifting to 0 is the caller's (the protocol's) business.

    Args:
        prediction: (N, H, W).
        reference: The same shape.
        data_range: Largest possible difference.
        mask: Where the map is averaged, (N, H, W).

    Returns:
        In [-1, 1]; None where no whole window has its centre in the mask.
    """
    samples = (2 * UNIFORM_RADIUS + 1) ** 3
    found = box_of_windows(mask)
    if found is None:
        return None
    outer, inner = found
    total = 0.0
    where = mask[inner]
    for planes, windowed in slab_moments(prediction[outer], reference[outer], apart=False):
        values = similarity_map(windowed, data_range, covariance=samples / (samples - 1))
        total += float(values.sum(where=where[planes]))
    return total / int(np.count_nonzero(where))


def box_of_windows(
    mask: Mask,
) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """The box that the 7 x 7 x 7 windows around a mask's voxels fill, and that of their centres.

    Args:
        mask: (N, H, W); voxels nearer to the border than half a window don't count.

    Returns:
        Box of the windows, box of their centres; None where no centre is left.
    """
    r = UNIFORM_RADIUS
    inner = mask[tuple(slice(r, size - r) for size in mask.shape)]
    spans = filled_spans(inner)
    if spans[0] == (0, 0):
        return None
    outer = tuple(slice(start, stop + 2 * r) for start, stop in spans)
    return outer, tuple(slice(start + r, stop + r) for start, stop in spans)
