"""Dice and HD95 of labels against distances by scipy and by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from i2igalip_cli.evaluation.overlap import label_overlaps, mean_overlap

SPACING = (1.0, 0.9, 3.0)


def labels(seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = np.zeros((17, 19, 5), np.int16)
    reference[2:9, 3:11, 1:4] = 3
    reference[10:16, 8:17, :3] = 7
    predicted = np.roll(reference, (1, -2, 1), (0, 1, 2))
    predicted[rng.random(predicted.shape) > 0.95] = 0
    return predicted, reference


def slow_hd95(ours: np.ndarray, theirs: np.ndarray) -> float:
    surfaces = [np.argwhere(m & ~binary_erosion(m)) * np.array(SPACING) for m in (ours, theirs)]
    distances = cdist(*surfaces)
    return max(
        float(np.percentile(distances.min(axis=1), 95)),
        float(np.percentile(distances.min(axis=0), 95)),
    )


def test_they_equal_sets_and_distances_of_points() -> None:
    predicted, reference = labels()
    found = label_overlaps(predicted, reference, SPACING)
    assert [one.label for one in found] == [3, 7]
    for one in found:
        ours, theirs = predicted == one.label, reference == one.label
        dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        assert one.dice == pytest.approx(dice, abs=1e-6)
        assert one.hd95 == pytest.approx(slow_hd95(ours, theirs), abs=1e-5)


def test_one_voxel_by_hand() -> None:
    reference, predicted = (np.zeros((9, 9, 5), np.uint8) for _ in range(2))
    reference[4, 4, 1] = predicted[4, 4, 3] = 1  # two slices of 3 mm apart
    (only,) = label_overlaps(predicted, reference, SPACING)
    assert (only.dice, only.hd95) == (0, pytest.approx(6))


def test_a_label_that_the_prediction_lacks_is_the_worst_and_an_extra_one_is_no_matter() -> None:
    predicted, reference = labels()
    predicted[predicted == 7] = 9
    three, seven = label_overlaps(predicted, reference, SPACING)
    assert (seven.dice, seven.hd95) == (0, math.inf)
    assert mean_overlap([three, seven]) == (pytest.approx(three.dice / 2), math.inf)
    assert mean_overlap([]) == (None, None)
    assert label_overlaps(predicted, np.zeros_like(reference), SPACING) == ()
