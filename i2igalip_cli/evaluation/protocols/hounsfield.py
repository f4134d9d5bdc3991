"""Errors in Hounsfield units: over the body and by tissue class."""

from collections.abc import Iterator

from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols.base import Case
from i2igalip_cli.evaluation.protocols.regions import (
    error_measures,
    mean_measures,
    region_values,
)
from i2igalip_cli.evaluation.tissues import TISSUES, outline_body, split_tissues

OUTLINED = "outline of the reference above -500 HU, largest piece, holes filled slice by slice"


def hounsfield_measures(*, masked: bool) -> tuple[Measure, ...]:
    """MAE, mean error and both means of the body and of each tissue class.

    Args:
        masked: Whether the body is a mask that was given; otherwise the reference's outline.
    """
    body = "the mask given" if masked else OUTLINED
    regions = {"body": body, **{name: f"{rule} within {body}" for name, rule in TISSUES.items()}}
    return tuple(
        measure
        for region, rule in regions.items()
        for make in (error_measures, mean_measures)
        for measure in make(region, "HU", f"HU as they are, not cut; {rule}")
    )


def hounsfield_scores(case: Case) -> Iterator[Score]:
    """Scores of `hounsfield_measures`; values are None where a class is empty."""
    prediction, reference = case.prediction.array, case.reference.array
    body = case.mask
    if body is None:
        body = outline_body(reference, case.reference.affine)
    regions = {"body": body, **split_tissues(reference, body)}
    values = {
        region: region_values(prediction, reference, where) for region, where in regions.items()
    }
    for measure in hounsfield_measures(masked=case.mask is not None):
        yield Score(measure=measure, value=values[measure.region][measure.name])
