"""Overlap and surface distance of label maps, through MONAI."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer[Any]]
PERCENTILE = 95


@dataclass(frozen=True, kw_only=True)
class LabelOverlap:
    """How well one label of the prediction lies on that of the reference.

    Attributes:
        label: Its number.
        dice: 2 |A and B| / (|A| + |B|), in [0, 1]; 0 where the prediction lacks the label.
        hd95: 95th percentile of the distances from either surface to the other in millimetres,
            the larger of both directions; infinite where the prediction lacks the label.
    """

    label: int
    dice: float
    hd95: float


def label_overlaps(
    predicted: Labels, reference: Labels, spacing_mm: tuple[float, float, float]
) -> tuple[LabelOverlap, ...]:
    """Dice and HD95 of every label of the reference, 0 left out.

    Args:
        predicted: (I, J, K), 0 for no label.
        reference: The same shape.
        spacing_mm: Along I, J, K.

    Returns:
        One a label that the reference holds, in the order of their numbers.
    """
    return tuple(
        _overlap(int(label), predicted == label, reference == label, spacing_mm)
        for label in np.unique(reference)
        if label != 0
    )


def mean_overlap(overlaps: Iterable[LabelOverlap]) -> tuple[float | None, float | None]:
    """Mean Dice and mean HD95 over labels; None where there is none."""
    found = list(overlaps)
    if not found:
        return None, None
    return float(np.mean([o.dice for o in found])), float(np.mean([o.hd95 for o in found]))


def _overlap(
    label: int,
    ours: npt.NDArray[np.bool_],
    theirs: npt.NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> LabelOverlap:
    if not ours.any():
        return LabelOverlap(label=label, dice=0.0, hd95=float("inf"))
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.meandice import compute_dice

    one_hot = [torch.from_numpy(mask)[None, None].float() for mask in (ours, theirs)]
    dice = compute_dice(*one_hot, include_background=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI warns of its own calls
        distance = compute_hausdorff_distance(
            *one_hot, include_background=True, percentile=PERCENTILE, spacing=list(spacing_mm)
        )
    return LabelOverlap(label=label, dice=float(dice), hd95=float(distance))
