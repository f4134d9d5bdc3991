"""Fits the score: which indicators tell the error, by how much, and how well that ranks cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Calibration
from i2igalip_cli.engine.quality.score import INDICATORS, expected_error, log_disagreement

STIFFNESS = 0.1  # of the ridge, for indicators of unit spread: cases are few, indicators alike
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class KnownError:
    """A translation whose error is known.

    Attributes:
        subject: Whom it shows.
        direction: Such as "T1 to T2".
        indicators: Of quality, by name; None where one isn't known.
        error: Mean absolute error in the foreground, of the range, above 0.
    """

    subject: str
    direction: str
    indicators: Mapping[str, float | None]
    error: float


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, in [-1, 1]; 0 where one of them is constant."""
    from scipy.stats import spearmanr

    if min(len(set(first)), len(set(second))) < 2:
        return 0.0
    return float(spearmanr(first, second).statistic)


def calibrate(
    fitted: Sequence[KnownError], held_out: Sequence[KnownError], made_from: str
) -> Calibration:
    """Fit the score to some cases and judge it on others.

    The logarithm of the error is a sum over indicators with weights from 0 up (more disagreement
    never makes a translation better), by least squares with a ridge.

    Args:
        fitted: At least two cases.
        held_out: Of other subjects.
        made_from: In words, what the subjects are.
    """
    names = [name for name in INDICATORS if any(c.indicators.get(name) is not None for c in fitted)]
    table = np.array([[_log(case, name) for name in names] for case in fitted])  # (n, m)
    means = np.nanmean(table, axis=0)
    log_errors = np.log([case.error for case in fitted])
    weights = _fit_weights(np.nan_to_num(table - means), log_errors - log_errors.mean())
    draft = Calibration(
        log_error=float(log_errors.mean()),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        means=dict(zip(names, means.tolist(), strict=True)),
        highest={name: _highest([*fitted, *held_out], name) for name in names},
        subjects=len({case.subject for case in fitted}),
        cases=len(fitted),
        held_out_subjects=len({case.subject for case in held_out}),
        held_out_cases=len(held_out),
        spearman=0.0,  # of what follows
        spearman_by_direction={},
        made_from=made_from,
    )
    return _judge(draft, held_out)


def _log(case: KnownError, name: str) -> float:
    value = case.indicators.get(name)
    return float("nan") if value is None else log_disagreement(name, value)


def _highest(cases: Sequence[KnownError], name: str) -> float:
    return float(np.nanmax([_log(case, name) for case in cases]))


def _fit_weights(features: Floats, wanted: Floats) -> Floats:
    """Weights from 0 up of centred features (n, m) for centred values (n,)."""
    from scipy.optimize import nnls

    spread = features.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    ridge = np.sqrt(STIFFNESS * len(features)) * np.eye(features.shape[1])
    stacked = np.concatenate([features / scale, ridge])
    weights: Floats = nnls(stacked, np.concatenate([wanted, np.zeros(len(ridge))]))[0]
    return np.where(spread > 0, weights / scale, 0.0)


def _judge(draft: Calibration, held_out: Sequence[KnownError]) -> Calibration:
    """A calibration with its rank correlations on cases that it wasn't fitted to."""

    def of(cases: Sequence[KnownError]) -> float:
        expected = [expected_error(case.indicators, draft)[0] for case in cases]
        return rank_correlation(expected, [case.error for case in cases])

    directions = dict.fromkeys(case.direction for case in held_out)
    by_direction = {d: of([c for c in held_out if c.direction == d]) for d in directions}
    return replace(draft, spearman=of(held_out), spearman_by_direction=by_direction)
