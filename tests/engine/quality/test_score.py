"""The score: worked by hand without and with a calibration; a fit finds what made the errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from i2igalip_cli.checkpoints import Calibration
from i2igalip_cli.engine.quality.fitting import KnownError, calibrate, rank_correlation
from i2igalip_cli.engine.quality.score import INDICATORS, expected_error, log_disagreement

CALIBRATION = Calibration(
    log_error=math.log(0.05),
    weights={"cycle": 0.5, "edges": 1.0},
    means={"cycle": math.log(0.04), "edges": math.log(0.2)},
    highest={"cycle": math.log(0.2), "edges": math.log(0.8), "distance": math.log(1.2)},
    subjects=6,
    cases=36,
    held_out_subjects=6,
    held_out_cases=36,
    spearman=0.7,
    spearman_by_direction={"T1 to T2": 0.6},
    made_from="nothing",
)
KNOWN = {"cycle": 0.03, "flips": 0.01, "planes": 0.02, "edges": 0.6, "distance": 0.8}


def test_without_a_calibration_it_is_the_mean_of_the_disagreements() -> None:
    assert expected_error(KNOWN, None) == (pytest.approx(0.02), False)


def test_a_plane_that_isnt_there_doesnt_count() -> None:
    assert expected_error({**KNOWN, "planes": None}, None) == (pytest.approx(0.02), False)
    assert expected_error({"cycle": 0.03, "planes": None}, None)[0] == pytest.approx(0.03)


def test_with_a_calibration_it_is_what_the_formula_says() -> None:
    """Cycle 4 times the usual with weight 1/2, missing edges twice the usual with weight 1."""
    found = expected_error({"cycle": 0.16, "edges": 0.6}, CALIBRATION)
    assert found == (pytest.approx(0.05 * 2 * 2), True)


def test_what_isnt_known_counts_as_usual() -> None:
    assert expected_error({"cycle": 0.16, "edges": None}, CALIBRATION)[0] == pytest.approx(0.1)
    assert expected_error({"edges": 0.6}, CALIBRATION)[0] == pytest.approx(0.1)


def test_beyond_what_the_calibration_saw_it_isnt_calibrated() -> None:
    """A T2 as T1: its distance is beyond, and the larger of model and disagreement is told."""
    strange = {"cycle": 0.01, "edges": 0.9, "distance": 4.1}
    model = 0.05 * math.sqrt(0.01 / 0.04) * 0.1 / 0.2
    assert expected_error(strange, CALIBRATION) == (pytest.approx(model), False)
    assert expected_error({**strange, "distance": 1.3}, CALIBRATION)[1]
    doubtful = {**strange, "flips": 0.15}
    assert expected_error(doubtful, CALIBRATION) == (pytest.approx(0.08), False)


def test_no_error_is_beyond_the_range() -> None:
    assert expected_error({"cycle": 1.0, "edges": 0.0}, replace(CALIBRATION, log_error=0.0))[0] == 1


@pytest.mark.parametrize("name", INDICATORS)
def test_every_indicator_objects_more_the_worse_it_is(name) -> None:
    worse = 0.2 if name in ("edges", "caption_in", "caption_out") else 0.8
    assert log_disagreement(name, worse) == pytest.approx(math.log(0.8))
    better = 1 - worse
    assert log_disagreement(name, better) < log_disagreement(name, worse)


def known_errors(count: int, first: int = 0, directions=("T1 to T2",)) -> list[KnownError]:
    """Error = 0.3 cycle^0.5 (1 - edges)^0.25; flips fall as it grows, planes are noise."""
    rng = np.random.default_rng((7, first))
    cases = []
    for number in range(count):
        cycle, missing, noise = np.exp(rng.normal(np.log([0.05, 0.3, 0.02]), 0.5))
        error = 0.3 * cycle**0.5 * missing**0.25
        indicators = {"cycle": cycle, "edges": 1 - missing, "planes": noise, "flips": 0.01 / error}
        direction = directions[number % len(directions)]
        known = {**indicators, "caption_in": None, "distance": 0.5}
        cases.append(
            KnownError(
                subject=str(first + number), direction=direction, indicators=known, error=error
            )
        )
    return cases


def test_a_fit_finds_what_made_the_errors() -> None:
    fitted, held_out = known_errors(200), known_errors(60, 1000, ("T1 to T2", "T2 to T1"))
    found = calibrate(fitted, held_out, "made up")
    assert found.weights["cycle"] == pytest.approx(0.5, rel=0.15)  # the ridge takes some
    assert found.weights["edges"] == pytest.approx(0.25, rel=0.15)
    assert found.weights["planes"] == pytest.approx(0, abs=0.05)
    assert found.weights["flips"] == 0  # better where the error is larger: no disagreement's way
    assert found.weights["distance"] == 0  # always the same
    assert "caption_in" not in found.weights
    for case in held_out:
        assert expected_error(case.indicators, found)[0] == pytest.approx(case.error, rel=0.2)
    assert found.spearman > 0.98
    top = max(case.indicators["cycle"] for case in (*fitted, *held_out))
    assert found.highest["cycle"] == pytest.approx(math.log(top))
    assert set(found.spearman_by_direction) == {"T1 to T2", "T2 to T1"}
    assert (found.subjects, found.cases) == (200, 200)
    assert (found.held_out_subjects, found.held_out_cases) == (60, 60)


def test_the_correlation_is_of_the_held_out_cases_alone() -> None:
    fitted = known_errors(60)
    held_out = [replace(case, error=1 / case.error) for case in known_errors(40, 1000)]
    assert calibrate(fitted, held_out, "").spearman < -0.9


def test_the_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 17))
    two[3] = two[5]  # a tie
    ranks = stats.rankdata(one), stats.rankdata(two)
    expected = np.corrcoef(*ranks)[0, 1]
    assert rank_correlation(one.tolist(), two.tolist()) == pytest.approx(expected)
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0
    assert rank_correlation([], []) == 0
