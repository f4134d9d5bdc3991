"""Metrics and protocols against values by hand and from the papers' definitions."""

import math

import numpy as np
import pytest

from i2igalip_cli.errors import EvaluationError, VolumeError
from i2igalip_cli.evaluation.metrics import (
    mean_absolute_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from i2igalip_cli.evaluation.protocols import PROTOCOLS, Scale


def stack(seed: int = 0, shape=(4, 16, 18)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def test_psnr_by_hand() -> None:
    reference = np.zeros((4, 4), np.float32)
    # A constant error of 0.1 on a range of 1: 10 log10(1 / 0.01) = 20 dB; on 4: + 20 log10(4).
    assert peak_signal_to_noise_ratio(reference + 0.1, reference, 1.0) == pytest.approx(20)
    assert peak_signal_to_noise_ratio(reference + 0.1, reference, 4.0) == pytest.approx(
        20 + 20 * math.log10(4)
    )
    assert peak_signal_to_noise_ratio(reference, reference, 1.0) == math.inf


def test_mae_and_psnr_look_at_the_mask_only() -> None:
    reference, mask = np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)
    mask[:2] = True
    prediction = np.where(mask, 0.5, 9).astype(np.float32)
    assert mean_absolute_error(prediction, reference, mask) == 0.5
    assert mean_absolute_error(prediction, reference) == pytest.approx(4.75)
    assert peak_signal_to_noise_ratio(prediction, reference, 1.0, mask) == pytest.approx(6.0206)


def test_ssim_of_two_constants_by_hand() -> None:
    # Without variance SSIM is its luminance term (2ab + C1) / (a^2 + b^2 + C1), C1 = 0.01^2.
    a, b, c1 = 0.5, 0.25, 1e-4
    one, two = np.full((16, 16), a, np.float32), np.full((16, 16), b, np.float32)
    expected = 100 * (2 * a * b + c1) / (a * a + b * b + c1)
    assert structural_similarity(one, two, 1.0) == pytest.approx(expected, rel=1e-6)
    inside = np.zeros((16, 16), bool)
    inside[4:9, 4:9] = True
    assert structural_similarity(one, two, 1.0, inside) == pytest.approx(expected, rel=1e-6)


def test_ssim_against_its_definition_at_one_pixel() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.random((11, 11)), rng.random((11, 11))
    x = np.arange(-5, 6)
    w = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    w /= w.sum()
    m1, m2 = (w * one).sum(), (w * two).sum()
    v1, v2 = (w * one**2).sum() - m1**2, (w * two**2).sum() - m2**2
    c = (w * one * two).sum() - m1 * m2
    expected = (2 * m1 * m2 + 1e-4) * (2 * c + 9e-4) / ((m1**2 + m2**2 + 1e-4) * (v1 + v2 + 9e-4))
    # On 11 x 11 pixels the window fits at the centre alone.
    got = structural_similarity(one.astype(np.float32), two.astype(np.float32), 1.0)
    assert got == pytest.approx(100 * expected, abs=1e-3)


def test_slices_below_the_window_are_refused() -> None:
    with pytest.raises(EvaluationError, match="at least 11"):
        structural_similarity(np.zeros((9, 20), np.float32), np.zeros((9, 20), np.float32), 1.0)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_changes_nothing_and_a_copy_is_perfect(name) -> None:
    prediction, reference = stack(1), stack(2)
    before = prediction.copy(), reference.copy()
    scores = PROTOCOLS[name](prediction, reference, None, Scale())
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(reference, before[1])
    assert 0 < scores.psnr < 40
    assert scores.slices == 4
    same = PROTOCOLS[name](reference, reference, None, Scale())
    assert same.psnr == math.inf
    assert same.ssim == pytest.approx(100)


def test_the_paper_protocol_forgives_a_scale_per_slice_and_the_fixed_one_does_not() -> None:
    reference = stack()
    scaled = reference * np.array([0.5, 1, 2, 4], np.float32).reshape(4, 1, 1)
    scores = PROTOCOLS["paper"](scaled, reference, None, Scale())
    assert scores.psnr == math.inf
    assert scores.ssim == pytest.approx(100)
    assert PROTOCOLS["fixed"](scaled, reference, None, Scale()).psnr < 25


@pytest.mark.parametrize("name", PROTOCOLS)
def test_empty_references_are_left_out_and_empty_predictions_count_as_zeros(name) -> None:
    prediction, reference = stack(1), stack(2)
    reference[0] = 0
    prediction[1] = 0
    scores = PROTOCOLS[name](prediction, reference, None, Scale())
    assert (scores.slices, scores.empty) == (3, 1)
    alone = PROTOCOLS[name](np.zeros_like(reference), reference, None, Scale())
    if name == "paper":
        expected = np.mean([-10 * np.log10(np.mean((r / r.max()) ** 2)) for r in reference[1:]])
        assert alone.psnr == pytest.approx(expected, rel=1e-5)
    else:
        assert alone.psnr < scores.psnr


def test_the_paper_protocol_by_hand() -> None:
    prediction, reference = stack(3), stack(4)
    expected = np.mean(
        [
            -10 * np.log10(np.mean((p / p.max() - r / r.max()) ** 2))
            for p, r in zip(prediction.astype(float), reference.astype(float), strict=True)
        ]
    )
    assert PROTOCOLS["paper"](prediction, reference, None, Scale()).psnr == pytest.approx(expected)


def test_the_fixed_protocol_with_a_range_by_hand() -> None:
    reference = np.full((2, 16, 16), -1024, np.float32)
    reference[:, 4:12, 4:12] = 0
    prediction = reference + 100
    scores = PROTOCOLS["fixed"](
        prediction, reference, reference > -500, Scale(value_range=(-1024, 3000))
    )
    assert scores.psnr == pytest.approx(20 * np.log10(4024 / 100), rel=1e-4)
    assert scores.mae == pytest.approx(100, rel=1e-4)


def test_a_mask_moves_the_scores() -> None:
    reference = stack(5)
    prediction = reference.copy()
    prediction[:, :, :9] += 0.2
    mask = np.zeros(reference.shape, bool)
    mask[:, :, 12:] = True
    scores = PROTOCOLS["fixed"](prediction, reference, mask, Scale(value_range=(0, 2)))
    assert scores.mae == 0
    assert scores.psnr == math.inf


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no slice"):
        PROTOCOLS["paper"](stack(), np.zeros((4, 16, 18), np.float32), None, Scale())
    with pytest.raises(EvaluationError, match="no slice"):
        PROTOCOLS["paper"](stack(), stack(1), np.zeros((4, 16, 18), bool), Scale())
    with pytest.raises(VolumeError, match="constant"):
        PROTOCOLS["fixed"](stack(), np.ones((4, 16, 18), np.float32), None, Scale())
    with pytest.raises(EvaluationError, match="larger"):
        Scale(value_range=(3, 3))
