"""Statistics: intervals that cover, p-values that are uniform, and no NaN anywhere."""

import math

import numpy as np
import pytest
from scipy import stats

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation import statistics
from i2igalip_cli.evaluation.statistics import (
    bland_altman,
    compare_paired,
    holm,
    summarize,
)


def test_a_summary_by_hand() -> None:
    found = summarize([1, 2, 3, 10])
    assert (found.count, found.mean, found.median, found.infinite) == (4, 4, 2.5, 0)
    assert found.deviation == pytest.approx(math.sqrt((9 + 4 + 1 + 36) / 3))
    assert found.low < 4 < found.high
    assert found.high - 4 > 4 - found.low  # the one large value is on the upper side


def test_few_equal_and_infinite_values_have_no_nan() -> None:
    one = summarize([3.0])
    assert (one.mean, one.deviation, one.low, one.high) == (3, None, None, None)
    equal = summarize([2.0, 2.0, 2.0])
    assert (equal.deviation, equal.low, equal.high) == (0, 2, 2)
    infinite = summarize([30.0, math.inf, 20.0])
    assert (infinite.mean, infinite.median, infinite.infinite) == (math.inf, 30, 1)
    assert (infinite.deviation, infinite.low, infinite.high) == (None, None, None)
    two = summarize([1.0, 2.0])
    assert two.low is None or 1 <= two.low <= two.high <= 2
    with pytest.raises(EvaluationError, match="no values"):
        summarize([])
    with pytest.raises(EvaluationError, match="NaN"):
        summarize([1.0, math.nan])


def test_intervals_are_the_same_every_time_and_leave_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()
    assert summarize([1, 2, 4, 8]) == summarize([1, 2, 4, 8])
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    wide, narrow = summarize([1, 2, 4, 8], 0.99), summarize([1, 2, 4, 8], 0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_covers_the_mean_of_a_skewed_distribution(monkeypatch) -> None:
    monkeypatch.setattr(statistics, "_RESAMPLES", 999)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        found = summarize(rng.exponential(1.0, 40))
        covered += found.low <= 1 <= found.high
    # 95 % is meant; the bootstrap falls a little short on small skewed samples (Efron 1987).
    assert 0.905 < covered / 300 < 0.98


@pytest.mark.parametrize("ties", [False, True])
def test_p_values_of_equal_methods_are_uniform(monkeypatch, ties) -> None:
    monkeypatch.setattr(statistics, "_RESAMPLES", 9)  # intervals aren't looked at
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(500):
        subjects = rng.normal(30, 3, 60 if ties else 30)
        a, b = (subjects + rng.normal(0, 1, len(subjects)) for _ in range(2))
        if ties:
            a, b = np.round(a, 1), np.round(b, 1)
        p_values.append(compare_paired(a, b).p)
    # Signed ranks of 30 pairs take 466 values: p has steps far below what 500 draws can show.
    assert stats.kstest(p_values, "uniform").pvalue > 0.05
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.07


def test_a_known_difference_is_found() -> None:
    rng = np.random.default_rng(2)
    subjects = rng.normal(30, 3, 25)
    a = subjects + 0.8 + rng.normal(0, 0.5, 25)
    found = compare_paired(a, subjects)
    assert found.p < 1e-4
    assert found.low < 0.8 < found.high
    assert found.effect > 0.9
    turned = compare_paired(subjects, a)
    assert turned.p == found.p
    assert turned.effect == -found.effect
    assert turned.median_difference == pytest.approx(-found.median_difference)


def test_exact_p_by_hand() -> None:
    # All of n pairs in one direction: two of the 2^n sign patterns are as extreme.
    assert compare_paired([2, 4, 6, 9, 15], [1, 2, 3, 5, 10]).p == pytest.approx(2 / 2**5)
    tied = compare_paired([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0])
    assert tied.p == pytest.approx(2 / 2**6)
    assert tied.effect == 1
    assert tied.low == tied.high == 1
    # Ranks 1, 2, 3 with 1 and 3 against: effect (2 - 4) / 6.
    assert compare_paired([9, 12, 7], [10, 10, 10]).effect == pytest.approx(-2 / 6)
    # Pratt: the zero takes rank 1 and is dropped, so that 2 and 3 are left, all above.
    zero = compare_paired([10, 11, 12], [10, 10, 10])
    assert zero.effect == 1
    assert zero.p == pytest.approx(2 / 4)


def test_equal_sets_and_infinities_compare() -> None:
    same = compare_paired([1, 2, 3], [1, 2, 3])
    assert (same.p, same.effect, same.mean_difference) == (1, 0, 0)
    assert compare_paired([5.0], [4.0]).p == 1
    both = compare_paired([math.inf, 2, 3], [math.inf, 1, 1])
    assert (both.mean_difference, both.median_difference) == (1, 1)
    better = compare_paired([math.inf, 31, 32], [30, 30, 30])
    assert (better.mean_difference, better.median_difference) == (math.inf, 2)
    assert better.low is None
    assert better.effect == 1
    assert better.p == pytest.approx(2 / 8)
    with pytest.raises(EvaluationError, match="2 values against 1"):
        compare_paired([1, 2], [1])


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling: 0.03, 0.04, 0.04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx((0.04, 0.03, 0.04))
    assert holm([0.6, 0.9]) == pytest.approx((1, 1))
    assert holm([]) == ()


def test_bland_and_altman_by_hand() -> None:
    found = bland_altman([11, 12, 16], [10, 10, 10])
    deviation = math.sqrt((4 + 1 + 9) / 2)
    assert (found.count, found.bias) == (3, 3)
    assert found.deviation == pytest.approx(deviation)
    assert found.lower_limit == pytest.approx(3 - 1.96 * deviation)
    assert found.upper_limit == pytest.approx(3 + 1.96 * deviation)
    single = bland_altman([2], [1])
    assert (single.bias, single.deviation, single.lower_limit) == (1, None, None)
    with pytest.raises(EvaluationError, match="finite"):
        bland_altman([math.inf], [1])
