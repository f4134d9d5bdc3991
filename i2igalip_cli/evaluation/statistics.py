"""Statistics across subjects: summaries with intervals, paired comparisons, agreement.

Values are one a subject. Slices of a subject are no independent observations, so they are averaged
before anything here is asked. Random draws have generators of their own with fixed seeds: the same
values give the same figures.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError

_SEED = 20250710  # of every bootstrap
_RESAMPLES = 9999
_EXACT_TO = 50  # pairs up to which the signed-rank distribution is enumerated
_ENUMERATED_TO = 13  # pairs up to which all signs are tried where ranks are tied
_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One measure over subjects.

    Attributes:
        count: Subjects.
        mean: Infinite if one value is.
        deviation: Sample standard deviation (n - 1); None below two subjects or with infinities.
        median: Of all values, infinite ones too.
        low: Lower end of the bootstrap interval of the mean (BCa); None below two subjects or
            with infinities, the mean itself where all values are equal.
        high: Upper end.
        infinite: Values that are infinite.
    """

    count: int
    mean: float
    deviation: float | None
    median: float
    low: float | None
    high: float | None
    infinite: int


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Two methods on the same subjects, as a - b.

    Attributes:
        count: Pairs.
        mean_difference: Mean of a - b; infinite if one difference is.
        median_difference: Median of a - b.
        low: Lower end of the bootstrap interval of the mean difference (BCa); None below two
            pairs or with infinities.
        high: Upper end.
        p: Of the two-sided Wilcoxon signed-rank test, before any correction; 1 where all pairs are
            equal.
        effect: Matched-pairs rank-biserial correlation, from -1 (b above a in every pair) to 1.
    """

    count: int
    mean_difference: float
    median_difference: float
    low: float | None
    high: float | None
    p: float
    effect: float


@dataclass(frozen=True, kw_only=True)
class BlandAltman:
    """Agreement of a measured quantity with its reference (Bland and Altman 1986).

    Attributes:
        count: Pairs.
        bias: Mean of measured - reference.
        deviation: Sample standard deviation of the differences; None below two pairs.
        lower_limit: bias - 1.96 deviations: 95 % of differences lie between the limits if they
            are normal; None below two pairs.
        upper_limit: bias + 1.96 deviations.
    """

    count: int
    bias: float
    deviation: float | None
    lower_limit: float | None
    upper_limit: float | None


def summarize(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Mean, deviation, median and bootstrap interval of one value a subject.

    Args:
        values: One a subject; may be infinite, not NaN.
        confidence: Of the interval, in (0, 1).

    Raises:
        EvaluationError: No value, or NaN.
    """
    array = _checked(values)
    infinite = int(np.isinf(array).sum())
    low, high = (None, None) if infinite else _interval(array, confidence)
    return Summary(
        count=len(array),
        mean=_mean(array),
        deviation=None if infinite or len(array) < 2 else float(array.std(ddof=1)),
        median=_median(array),
        low=low,
        high=high,
        infinite=infinite,
    )


def compare_paired(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95
) -> PairedComparison:
    """Compare two methods on the same subjects by Wilcoxon's signed-rank test, two-sided.

    Equal pairs are ranked and then dropped (Pratt 1959). The null distribution is exact up to 50
    pairs without ties, and up to 13 pairs with them; beyond, it is the normal approximation.

    Args:
        a: One value a subject; may be infinite, not NaN.
        b: The other method's values of the same subjects, in the same order.
        confidence: Of the interval, in (0, 1).

    Raises:
        EvaluationError: No value, NaN, or unequal numbers.
    """
    differences = _differences(a, b)
    infinite = bool(np.isinf(differences).any())
    low, high = (None, None) if infinite else _interval(differences, confidence)
    return PairedComparison(
        count=len(differences),
        mean_difference=_mean(differences),
        median_difference=_median(differences),
        low=low,
        high=high,
        p=_signed_rank_p(_finite_ranks(differences)),
        effect=_rank_biserial(_finite_ranks(differences)),
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for their number by Holm's step-down method (1979), in their order."""
    if not p_values:
        return ()
    from statsmodels.stats.multitest import multipletests

    return tuple(float(p) for p in multipletests(list(p_values), method="holm")[1])


def bland_altman(measured: Sequence[float], reference: Sequence[float]) -> BlandAltman:
    """Bias and 95 % limits of agreement, one pair a subject.

    Raises:
        EvaluationError: No value, NaN or infinity, or unequal numbers.
    """
    differences = _differences(measured, reference)
    if np.isinf(differences).any():
        raise EvaluationError("limits of agreement need finite values")
    bias = float(differences.mean())
    if len(differences) < 2:
        return BlandAltman(count=1, bias=bias, deviation=None, lower_limit=None, upper_limit=None)
    deviation = float(differences.std(ddof=1))
    return BlandAltman(
        count=len(differences),
        bias=bias,
        deviation=deviation,
        lower_limit=bias - 1.96 * deviation,
        upper_limit=bias + 1.96 * deviation,
    )


def _checked(values: Sequence[float]) -> _Doubles:
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise EvaluationError("no values: a statistic needs one subject at least")
    if np.isnan(array).any():
        raise EvaluationError("NaN among the values of a statistic; leave such subjects out")
    return array


def _differences(a: Sequence[float], b: Sequence[float]) -> _Doubles:
    """Pairwise a - b; equal infinities differ by 0."""
    ours, theirs = _checked(a), _checked(b)
    if len(ours) != len(theirs):
        raise EvaluationError(f"{len(ours)} values against {len(theirs)}: pairs are needed")
    equal = ours == theirs
    return np.where(equal, 0.0, np.where(equal, 0.0, ours) - np.where(equal, 0.0, theirs))


def _mean(array: _Doubles) -> float:
    """The mean; infinities of both signs have none, so the larger group's sign counts."""
    signs = np.sign(array[np.isinf(array)]).sum()
    if np.isinf(array).any():
        return math.copysign(math.inf, signs) if signs else 0.0
    return float(array.mean())


def _median(array: _Doubles) -> float:
    """The median; between infinities of both signs it is 0."""
    lower, upper = (float(np.quantile(array, 0.5, method=m)) for m in ("lower", "higher"))
    return lower if lower == upper else (0.0 if lower == -upper else (lower + upper) / 2)


def _interval(array: _Doubles, confidence: float) -> tuple[float | None, float | None]:
    """Bootstrap interval of the mean, bias-corrected and accelerated (Efron 1987)."""
    if len(array) < 2:
        return None, None
    mean = float(array.mean())
    if array.min() == array.max():
        return mean, mean
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate draws are told by their NaN, below
        found = stats.bootstrap(
            (array,),
            np.mean,
            n_resamples=_RESAMPLES,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _finite_ranks(differences: _Doubles) -> _Doubles:
    """Differences of the same signs and ranks without infinities."""
    finite = np.abs(differences[np.isfinite(differences)])
    beyond = 2 * finite.max() + 1 if finite.size else 1.0
    return np.clip(differences, -beyond, beyond)


def _signed_rank_p(differences: _Doubles) -> float:
    from scipy import stats

    if not differences.any():
        return 1.0
    sizes = np.abs(differences)
    tied = len(np.unique(sizes)) < len(sizes) or bool((sizes == 0).any())
    method: object = "asymptotic"
    if not tied and len(sizes) <= _EXACT_TO:
        method = "exact"
    elif len(sizes) <= _ENUMERATED_TO:
        method = stats.PermutationMethod(n_resamples=2**_ENUMERATED_TO)
    found = stats.wilcoxon(differences, zero_method="pratt", method=method)
    return min(float(found.pvalue), 1.0)


def _rank_biserial(differences: _Doubles) -> float:
    """(R+ - R-) / (R+ + R-), of the ranks of the test (Kerby 2014)."""
    from scipy import stats

    ranks = stats.rankdata(np.abs(differences))
    above, below = ranks[differences > 0].sum(), ranks[differences < 0].sum()
    return float((above - below) / (above + below)) if above + below else 0.0
