"""Protocols: how two volumes are scaled before they are compared, slice by slice.

A protocol is one function and one line in `PROTOCOLS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.metrics import (
    Mask,
    mean_absolute_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.volume import Array


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What one protocol says of one volume.

    Attributes:
        psnr: Mean over slices in dB; infinite if a slice is reproduced exactly.
        ssim: Mean over slices in percent.
        mae: Mean absolute error within the mask; None where the protocol has no fixed unit.
        slices: Slices counted.
        empty: Slices left out since their reference is empty.
    """

    psnr: float
    ssim: float
    mae: float | None
    slices: int
    empty: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the fixed protocol maps intensities.

    Attributes:
        value_range: Intensities (low, high) that span the range for both volumes; None scales each
            volume by the policy.
        policy: Percentile scaling of arbitrary units.
    """

    value_range: tuple[float, float] | None = None
    policy: IntensityPolicy = field(default_factory=IntensityPolicy)

    def __post_init__(self) -> None:
        """Refuse an empty range.

        Raises:
            EvaluationError: The high end isn't above the low one.
        """
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            low, high = self.value_range
            raise EvaluationError(f"range {low:g} to {high:g}: the second must be the larger")


def paper(prediction: Array, reference: Array, mask: Mask | None, scale: Scale) -> Scores:
    """Protocol of the paper: each slice of either volume divided by its own maximum.

    A prediction that is a scaled copy of its reference therefore scores 100 %.

    Args:
        prediction: Axial slices (N, H, W).
        reference: The same shape.
        mask: Where to look, (N, H, W).
        scale: Not used here.
    """
    pairs = []
    for k in range(len(reference)):
        top, reached = float(reference[k].max()), float(prediction[k].max())
        if top > 0:
            own = prediction[k] / reached if reached > 0 else np.zeros_like(prediction[k])
            pairs.append((own, reference[k] / top, None if mask is None else mask[k]))
    psnr, ssim = _mean_over_slices(pairs, 1.0)
    return Scores(
        psnr=psnr, ssim=ssim, mae=None, slices=len(pairs), empty=len(reference) - len(pairs)
    )


def fixed(prediction: Array, reference: Array, mask: Mask | None, scale: Scale) -> Scores:
    """Protocol with a fixed range: one scale a volume, none a slice.

    Args:
        prediction: Axial slices (N, H, W).
        reference: The same shape.
        mask: Where to look, (N, H, W); the MAE is taken over the reference's foreground without
            one (voxels above its mean).
        scale: A common range, or each volume's own percentiles.
    """
    if scale.value_range is not None:
        low, high = scale.value_range
        window = IntensityWindow(low=low, high=high)
        ours, theirs = window.to_unit(prediction), window.to_unit(reference)
        unit = high - low
    else:
        theirs = find_window(reference, None, scale.policy).to_unit(reference)
        ours = _unit_or_zeros(prediction, scale.policy)
        unit = 1.0
    counted = [k for k in range(len(reference)) if theirs[k].any()]
    pairs = [(ours[k], theirs[k], None if mask is None else mask[k]) for k in counted]
    psnr, ssim = _mean_over_slices(pairs, 1.0)
    where = theirs > theirs.mean(dtype=np.float64) if mask is None else mask
    mae = unit * mean_absolute_error(ours, theirs, where)
    return Scores(
        psnr=psnr, ssim=ssim, mae=mae, slices=len(pairs), empty=len(reference) - len(pairs)
    )


def _unit_or_zeros(array: Array, policy: IntensityPolicy) -> Array:
    """An empty prediction counts as zeros."""
    if not array.any():
        return np.zeros_like(array)
    return find_window(array, None, policy).to_unit(array)


def _mean_over_slices(
    pairs: Iterable[tuple[Array, Array, Mask | None]], data_range: float
) -> tuple[float, float]:
    """Mean PSNR and SSIM of (prediction, reference, mask) slices."""
    psnrs, ssims = [], []
    for prediction, reference, mask in pairs:
        if mask is not None and not mask.any():
            continue
        psnrs.append(peak_signal_to_noise_ratio(prediction, reference, data_range, mask))
        ssims.append(structural_similarity(prediction, reference, data_range, mask))
    if not psnrs:
        raise EvaluationError("no slice to compare: the reference or the mask is empty")
    return float(np.mean(psnrs)), float(np.mean(ssims))


Protocol = Callable[[Array, Array, Mask | None, Scale], Scores]
PROTOCOLS: dict[str, Protocol] = {"paper": paper, "fixed": fixed}
