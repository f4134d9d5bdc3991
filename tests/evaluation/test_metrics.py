"""Metrics of voxels against values by hand and other libraries."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio
from torchmetrics.functional import mean_absolute_error as torch_mae

from i2igalip_cli.evaluation.metrics import (
    mean_absolute_error,
    normalized_mean_squared_error,
    peak_signal_to_noise_ratio,
    through_plane_jump,
)

# Worked by hand: errors 1, 0, 2, 0, 0, 1, 0, 2, 0 of truths whose squares sum to 285.
TRUTH = np.arange(1, 10, dtype=np.float32).reshape(3, 3)
GUESS = TRUTH + np.array([[1, 0, -2], [0, 0, 1], [0, 2, 0]], np.float32)


def pair(shape=(17, 19, 5), seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 300, shape).astype(np.float32)
    return (
        reference + rng.normal(0, 40, shape).astype(np.float32),
        reference,
        rng.random(shape) > 0.6,
    )


def test_a_three_by_three_case_by_hand() -> None:
    assert mean_absolute_error(GUESS, TRUTH) == pytest.approx(6 / 9)
    assert peak_signal_to_noise_ratio(GUESS, TRUTH, 9) == pytest.approx(
        10 * math.log10(81 / (10 / 9))
    )
    assert normalized_mean_squared_error(GUESS, TRUTH) == pytest.approx(10 / 285)
    corner = TRUTH > 6  # errors 0, 2, 0 of truths 7, 8, 9
    assert mean_absolute_error(GUESS, TRUTH, corner) == pytest.approx(2 / 3)
    assert normalized_mean_squared_error(GUESS, TRUTH, corner) == pytest.approx(4 / 194)


@pytest.mark.parametrize("shape", [(17, 19, 5), (7, 3), (1, 12, 11)])
@pytest.mark.parametrize("masked", [False, True])
def test_they_equal_other_libraries(shape, masked) -> None:
    ours, theirs, mask = pair(shape)
    where = mask if masked else np.ones(shape, bool)
    given = mask if masked else None
    p, r = ours[where].astype(np.float64), theirs[where].astype(np.float64)
    assert peak_signal_to_noise_ratio(ours, theirs, 4024, given) == pytest.approx(
        peak_signal_noise_ratio(r, p, data_range=4024), abs=1e-9
    )
    assert mean_absolute_error(ours, theirs, given) == pytest.approx(
        float(torch_mae(torch.from_numpy(p), torch.from_numpy(r))), rel=1e-9
    )
    assert normalized_mean_squared_error(ours, theirs, given) == pytest.approx(
        normalized_root_mse(r, p, normalization="euclidean") ** 2, rel=1e-9
    )


def test_equal_images_and_empty_references() -> None:
    zeros = np.zeros((4, 4), np.float32)
    assert peak_signal_to_noise_ratio(zeros, zeros, 1.0) == math.inf
    assert normalized_mean_squared_error(zeros + 1, zeros) is None
    assert normalized_mean_squared_error(TRUTH, TRUTH) == 0


def test_a_jump_leaves_slices_beside_empty_ones_out() -> None:
    slices = np.full((5, 3, 3), 0.5, np.float32)
    slices[2] = 0.8  # 0.3 above both neighbours, which lie 0.15 below the mean of theirs
    assert through_plane_jump(slices) == pytest.approx((0.15 + 0.3 + 0.15) / 3)
    slices[0] = 0
    assert through_plane_jump(slices) == pytest.approx((0.3 + 0.15) / 2)
    assert through_plane_jump(slices[:2]) is None
