"""How indicators of quality tell a translation's error, as it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A log-linear model of the error, and how well it did on subjects that it wasn't fitted to.

    log(error) = log_error + sum of weights[k] (x[k] - means[k]) over indicators k, where x[k] is
    the logarithm of the indicator's disagreement (see `engine.quality.score`).

    Attributes:
        log_error: Mean logarithm of the true error over the cases that it was fitted to; the error
            is the mean absolute one in the foreground, of the range, under the best scale.
        weights: By indicator; 0 where it tells nothing that the others don't.
        means: Mean logarithm of each indicator's disagreement over the same cases.
        highest: Largest logarithm of each indicator's disagreement over all cases, the held-out
            ones included: beyond it nothing is known.
        subjects: How many subjects it was fitted to.
        cases: How many of their translations.
        held_out_subjects: How many other subjects it was judged on.
        held_out_cases: How many of their translations.
        spearman: Rank correlation of expected and true error over the held-out cases.
        spearman_by_direction: The same by direction, such as "T1 to T2".
        made_from: In words, what the subjects were.
    """

    log_error: float
    weights: Mapping[str, float]
    means: Mapping[str, float]
    highest: Mapping[str, float]
    subjects: int
    cases: int
    held_out_subjects: int
    held_out_cases: int
    spearman: float
    spearman_by_direction: Mapping[str, float]
    made_from: str
