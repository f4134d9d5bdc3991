"""Indicators: known values by hand, and laws on awkward shapes."""

import numpy as np
import pytest

from i2igalip_cli.engine.quality.indicators import (
    EDGE,
    edge_agreement,
    find_foreground,
    mean_within,
)
from i2igalip_cli.engine.quality.maps import deviation_of_planes, map_name

SPACING = (1.0, 0.9, 3.0)


def noise(shape=(17, 19, 5), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def ramp(axis: int, step: float, shape=(17, 19, 5)) -> np.ndarray:
    """Rises by `step` a voxel along an axis."""
    along = np.arange(shape[axis], dtype=np.float32) * np.float32(step)
    return np.broadcast_to(np.moveaxis(along[:, None, None], 0, axis), shape).copy()


def everywhere(image) -> np.ndarray:
    return np.ones(image.shape, bool)


@pytest.mark.parametrize("shape", [(17, 19, 5), (33, 4, 1), (1, 6, 7)])
def test_an_image_and_its_negative_have_the_images_edges(shape) -> None:
    image = noise(shape)
    where = everywhere(image)
    assert edge_agreement(image, image, SPACING, where) == pytest.approx(1, abs=1e-12)
    assert edge_agreement(image, 1 - image, SPACING, where) == pytest.approx(1, abs=1e-4)
    other = edge_agreement(image, noise(shape, seed=1), SPACING, where)
    assert 0 < other < 0.7
    assert edge_agreement(noise(shape, seed=1), image, SPACING, where) == pytest.approx(other)


def test_edges_that_cross_or_are_absent_agree_in_nothing() -> None:
    rising, across, flat = ramp(0, 0.05), ramp(1, 0.045), np.full((17, 19, 5), 0.4, np.float32)
    where = everywhere(flat)
    assert edge_agreement(rising, across, SPACING, where) == pytest.approx(0, abs=1e-9)
    assert edge_agreement(rising, flat, SPACING, where) == pytest.approx(0, abs=1e-9)
    assert edge_agreement(flat, flat, SPACING, where) == 1


def test_parallel_edges_of_two_strengths_by_hand() -> None:
    """Along J voxels are 0.9 mm apart: 0.018 and 0.09 a voxel are 0.02 and 0.1 a mm."""
    weak, strong = (np.float64(g) ** 2 / (g**2 + EDGE**2) for g in (0.02, 0.1))  # |n|^2
    expected = 2 * weak * strong / (weak**2 + strong**2)
    weak_image, strong_image = ramp(1, 0.018), ramp(1, 0.09) / 2 + 0.1
    found = edge_agreement(weak_image, 2 * strong_image, SPACING, everywhere(weak_image))
    assert found == pytest.approx(expected, abs=1e-5)


def test_edges_outside_the_foreground_dont_count() -> None:
    source = ramp(0, 0.05)
    result = source.copy()
    result[10:] = 0
    where = everywhere(source)
    assert edge_agreement(source, result, SPACING, where) < 0.9
    where[8:] = False
    assert edge_agreement(source, result, SPACING, where) == pytest.approx(1, abs=1e-12)


def test_edges_are_those_of_the_whole_image_however_many_layers() -> None:
    ours, theirs = noise((37, 6, 5)), noise((37, 6, 5), seed=1)

    def fields(image):
        gradient = np.array(np.gradient(image.astype(float), *SPACING))
        return gradient / np.sqrt((gradient**2).sum(0) + EDGE**2)

    n, m = fields(ours), fields(theirs)
    expected = 2 * ((n * m).sum(0) ** 2).sum()
    expected /= ((n**2).sum(0) ** 2).sum() + ((m**2).sum(0) ** 2).sum()
    found = edge_agreement(ours, theirs, SPACING, everywhere(ours))
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_foreground_is_where_either_image_is_bright() -> None:
    source = np.array([0.0, 0.05, 0.5, 0.05], np.float32)
    result = np.array([0.0, 0.9, 0.05, 0.1], np.float32)
    foreground = find_foreground(source, result)
    np.testing.assert_array_equal(foreground, [False, True, True, False])
    assert mean_within(np.array([9, 0.2, 0.4, 9], np.float32), foreground) == pytest.approx(0.3)
    assert find_foreground(source * 0, result * 0).all()


def test_the_planes_deviation_by_hand() -> None:
    shape = (2, 3, 2)
    three = [np.full(shape, value, np.float32) for value in (0.5, 0.1, 0.4)]
    np.testing.assert_allclose(deviation_of_planes(three), 0.4 / 3, rtol=1e-6)
    np.testing.assert_allclose(deviation_of_planes(three[:2]), 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("t1_T2.nii.gz", "t1_T2_qc.nii.gz"),
        ("t1_T2.nii", "t1_T2_qc.nii.gz"),
        ("t1.v1_T2.mha", "t1.v1_T2_qc.nii.gz"),
        ("series_T2", "series_T2_qc.nii.gz"),
    ],
)
def test_the_maps_name(output, expected) -> None:
    assert map_name(output) == expected
