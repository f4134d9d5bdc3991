"""FID and KID of given features against their formulas."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.distributions import frechet_distance, kernel_distance


def features(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, 7)) @ rng.random((7, 7)) + shift).astype(np.float32)


@pytest.mark.parametrize(("n", "m"), [(40, 31), (5, 9)])
def test_fid_equals_its_formula(n, m) -> None:
    a, b = features(n, 0).astype(float), features(m, 1, 0.5).astype(float)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(one @ two)
    gap = a.mean(axis=0) - b.mean(axis=0)
    expected = gap @ gap + np.trace(one + two - 2 * np.real(root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_fid_of_a_shift_is_its_square_and_of_equal_sets_nothing() -> None:
    a = features(50, 2)
    assert frechet_distance(a + np.float32(2), a) == pytest.approx(7 * 4, rel=1e-4)
    assert 0 <= frechet_distance(a, a) < 1e-4


def slow_kid(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD, pair by pair."""

    def mean(x: np.ndarray, y: np.ndarray, same: bool) -> float:
        values = [
            (float(p @ q) / len(p) + 1) ** 3
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (same and i == j)
        ]
        return float(np.mean(values))

    return mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)


def test_kid_of_few_rows_equals_its_formula() -> None:
    a, b = features(12, 3).astype(float), features(12, 4, 0.3).astype(float)
    mean, deviation = kernel_distance(a, b, subsets=3)
    assert mean == pytest.approx(slow_kid(a, b), rel=1e-6)
    assert deviation == pytest.approx(0, abs=1e-6)  # nothing to draw


def test_kid_draws_subsets_of_its_own_and_tells_their_spread() -> None:
    a, b = features(30, 5), features(18, 6, 0.3)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = kernel_distance(a, b, subsets=20, subset_size=10)
    assert torch.rand(1) == expected, "the global generator stays where it was"
    assert kernel_distance(a, b, subsets=20, subset_size=10) == first
    assert first[1] > 0
    assert kernel_distance(a, b, subsets=200)[0] == pytest.approx(slow_kid(a, b), rel=0.3)


def test_kid_of_one_distribution_is_about_0() -> None:
    a, b = features(60, 8), features(120, 8)[60:]
    near, far = kernel_distance(a, b, subsets=10)[0], kernel_distance(a, b + 1, subsets=10)[0]
    assert abs(near) < 0.1 * far


def test_what_cant_be_compared_is_refused() -> None:
    a = features(9, 0)
    for measure in (frechet_distance, kernel_distance):
        with pytest.raises(EvaluationError, match="same encoder"):
            measure(a, a[:, :3])
        with pytest.raises(EvaluationError, match="2 slices at least"):
            measure(a, a[:1])
        with pytest.raises(EvaluationError, match="finite"):
            measure(a, np.where(a > 1, np.nan, a))
