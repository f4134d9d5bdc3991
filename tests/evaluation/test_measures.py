"""A measure says all that a number depends on; a score is a number, an infinity or nothing."""

import math
from dataclasses import replace

import pytest

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure, Score

MAE = Measure(
    name="mae", unit="HU", better="lower", definition="mean |p - r|", dimensions=3, region="mask"
)


def test_a_key_names_the_region_away_from_the_main_one() -> None:
    assert MAE.key == "mae"
    assert replace(MAE, region="bone", main=False).key == "mae[bone]"


@pytest.mark.parametrize(
    "change",
    [{"unit": ""}, {"dimensions": 2}, {"data_range": (0.0, 1.0)}, {"region": "body"}],
)
def test_measures_that_differ_in_anything_are_unequal(change) -> None:
    assert replace(MAE, **change) != MAE


def test_nan_is_no_score() -> None:
    assert Score(measure=MAE, value=math.inf).value == math.inf
    assert Score(measure=MAE, value=None).value is None
    with pytest.raises(EvaluationError, match="mae is not a number"):
        Score(measure=MAE, value=math.nan)
    with pytest.raises(EvaluationError, match="None"):
        Score(measure=MAE, value=0.0, spread=math.nan)
