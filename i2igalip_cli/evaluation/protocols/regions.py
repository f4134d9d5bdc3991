"""Scores of regions that several protocols share: label maps, tissues of CT, means of regions."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from i2igalip_cli.evaluation.measures import Better, Measure, Score
from i2igalip_cli.evaluation.metrics import mean_absolute_error
from i2igalip_cli.evaluation.overlap import label_overlaps, mean_overlap
from i2igalip_cli.evaluation.protocols.base import Case
from i2igalip_cli.evaluation.protocols.slicewise import BoolArray
from i2igalip_cli.volumes.volume import Array

DICE = Measure(
    name="dice",
    unit="",
    better="higher",
    definition="Dice by MONAI, mean over the labels above 0 that the reference holds",
    dimensions=3,
    region="labels",
)
HD95 = Measure(
    name="hd95",
    unit="mm",
    better="lower",
    definition="Hausdorff distance by MONAI, 95th percentile of surface distances, the larger "
    "direction; mean over the labels above 0 that the reference holds, infinite without one",
    dimensions=3,
    region="labels",
)


def label_scores(case: Case) -> Iterator[Score]:
    """Dice and HD95 over all labels and of each; nothing where no label maps are given."""
    if case.labels is None or case.predicted_labels is None:
        return
    overlaps = label_overlaps(case.predicted_labels, case.labels, case.reference.spacing_mm)
    for measure, value in zip((DICE, HD95), mean_overlap(overlaps), strict=True):
        yield Score(measure=measure, value=value)
    for one in overlaps:
        for measure, value in ((DICE, one.dice), (HD95, one.hd95)):
            alone = measure.definition.split(", mean over")[0].split("; mean over")[0]
            yield Score(
                measure=replace(measure, region=f"label {one.label}", main=False, definition=alone),
                value=value,
            )


def mean_measures(region: str, unit: str, what: str, *, main: bool = False) -> tuple[Measure, ...]:
    """Mean intensity of a region in the prediction and in the reference, for Bland and Altman.

    Args:
        region: Its name.
        unit: Of the intensities.
        what: How intensities and region are defined.
        main: Whether it is the protocol's own region.
    """
    return tuple(
        Measure(
            name=name,
            unit=unit,
            better="neither",
            definition=f"mean intensity of the {volume}, {what}",
            dimensions=3,
            region=region,
            main=main,
        )
        for name, volume in (("mean", "prediction"), ("reference_mean", "reference"))
    )


def error_measures(region: str, unit: str, what: str) -> tuple[Measure, ...]:
    """MAE and mean error of a region beside the protocol's own; arguments as `mean_measures`."""
    errors: tuple[tuple[str, Better, str], ...] = (
        ("mae", "lower", "mean absolute error"),
        ("mean_error", "neither", "mean of prediction - reference"),
    )
    return tuple(
        Measure(
            name=name,
            unit=unit,
            better=better,
            definition=f"{words}, {what}",
            dimensions=3,
            region=region,
            main=False,
        )
        for name, better, words in errors
    )


def region_values(prediction: Array, reference: Array, where: BoolArray) -> dict[str, float | None]:
    """Values of `error_measures` and `mean_measures` by name; None where the region is empty."""
    ours, theirs = mean_values(prediction, reference, where)
    if ours is None or theirs is None:
        return dict.fromkeys(("mae", "mean_error", "mean", "reference_mean"))
    return {
        "mae": mean_absolute_error(prediction, reference, where),
        "mean_error": ours - theirs,
        "mean": ours,
        "reference_mean": theirs,
    }


def mean_values(
    prediction: Array, reference: Array, where: BoolArray
) -> tuple[float | None, float | None]:
    """Means of both volumes within a region; None where it is empty."""
    count = int(np.count_nonzero(where))
    if not count:
        return None, None
    ours, theirs = (
        float(array.sum(where=where, dtype=np.float64)) / count for array in (prediction, reference)
    )
    return ours, theirs
