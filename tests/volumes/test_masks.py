"""Masks of drawn heads and bodies, whose outlines are known by their formulas."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.errors import EmptyVolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.masks import find_mask
from i2igalip_cli.volumes.preprocess.reorienting import reorient

SPACING = (2.0, 1.8, 4.0)
SHAPE = (61, 70, 21)
AFFINE = np.diag([*SPACING, 1.0])


def distance(shape=SHAPE, spacing=SPACING, centre=(0, 0, 0), stretch=(1, 1, 1)) -> np.ndarray:
    """mm from a point near the middle of the grid, each axis by its own stretch."""
    axes = [
        ((np.arange(n) - (n - 1) / 2) * step - c) * s
        for n, step, c, s in zip(shape, spacing, centre, stretch, strict=True)
    ]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(i**2 + j**2 + k**2)


def magnitude(signal: np.ndarray, noise: float) -> np.ndarray:
    """With Rician noise."""
    real, imaginary = np.random.default_rng(0).standard_normal((2, *signal.shape)) * noise
    return np.hypot(signal + real, imaginary)


def head() -> tuple[Volume, np.ndarray]:
    """Skin and fat of 5 mm, a void of 5 mm for the skull, brain; in noisy air, with a ghost."""
    r = distance()
    signal = np.select([r < 25, r < 30, r < 35], [500, 0, 900])
    ghost = distance(centre=(0, 55, 0)) < 5
    return Volume(array=magnitude(signal + 400 * ghost, 30), affine=AFFINE), r < 35


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_a_head_is_its_outline_with_the_dark_skull_within_and_without_ghosts() -> None:
    volume, truth = head()
    mask = find_mask(volume)
    assert mask.dtype == bool
    assert dice(mask, truth) > 0.97
    assert mask[distance() < 33].all()
    assert not mask[distance() > 38].any()


def test_it_goes_by_contrast_not_by_unit() -> None:
    volume, _ = head()
    expected = find_mask(volume)
    for array in volume.array * np.float32(1024), volume.array - np.float32(256):
        assert dice(find_mask(volume.with_array(array)), expected) > 0.999


def test_a_few_glaring_voxels_change_nothing() -> None:
    volume, truth = head()
    array = np.array(volume.array)
    array[30, 35, 9:12] = 50_000
    assert dice(find_mask(volume.with_array(array)), truth) > 0.97


def test_it_turns_with_the_volume() -> None:
    """Of a head that no flip leaves as it is."""
    r = np.minimum(distance(stretch=(1, 1.3, 1.6)), distance(centre=(20, -25, 9)) * 2)
    volume = Volume(array=magnitude(500.0 * (r < 30), 20), affine=AFFINE)
    mask = find_mask(volume)
    turned = reorient(volume, "PIL")
    found = turned.with_array(find_mask(turned).astype(np.float32))
    back = reorient(found, "".join(nib.aff2axcodes(AFFINE))).array > 0
    assert dice(back, mask) > 0.999
    assert not np.array_equal(mask, mask[::-1])


def test_a_brain_in_nothing_is_the_brain() -> None:
    """Skull-stripped: everything outside is 0."""
    r = distance()
    tissue = np.where(r < 18, 600, 400) * (r < 30)
    mask = find_mask(Volume(array=tissue, affine=AFFINE))
    assert dice(mask, r < 30) > 0.97


def body() -> tuple[Volume, np.ndarray]:
    """HU of a trunk that goes through every slice, with open lungs, 6 mm above a couch of foam."""
    i, j = (np.arange(n) * s - (n - 1) * s / 2 for n, s in zip(SHAPE[:2], SPACING, strict=False))
    x, y = np.meshgrid(i, j, indexing="ij")
    trunk = (x / 45) ** 2 + (y / 30) ** 2 < 1
    lung = ((np.abs(x) - 20) / 12) ** 2 + (y / 18) ** 2 < 1
    cover = (y < -36) & (y > -40)
    hu = np.select([lung, trunk, cover, y <= -40], [-850, 40, 100, -600], -1000)
    hu = np.repeat(hu[..., None], SHAPE[2], axis=2)
    noisy = hu + np.random.default_rng(0).normal(0, 20, SHAPE)
    return Volume(array=noisy, affine=AFFINE, modality="CT"), np.repeat(
        trunk[..., None], SHAPE[2], axis=2
    )


def test_a_trunk_holds_its_lungs_and_no_couch() -> None:
    volume, trunk = body()
    mask = find_mask(volume)
    assert dice(mask, trunk) > 0.98
    assert mask[:, :, [0, -1]].any(axis=(0, 1)).all()


def test_the_ct_threshold_is_in_hu() -> None:
    """What is -250 HU all over is body, what is -350 is not."""
    r = distance() < 30
    for value, found in ((-250, True), (-350, False)):
        volume = Volume(array=np.where(r, value, -1000), affine=AFFINE, modality="CT")
        if found:
            assert dice(find_mask(volume), r) > 0.97
        else:
            with pytest.raises(EmptyVolumeError, match="no head or body found in intensities"):
                find_mask(volume)


@pytest.mark.parametrize("shape", [(61, 70, 1), (40, 1, 21)])
def test_one_slice_is_enough(shape) -> None:
    r = distance(shape)
    mask = find_mask(Volume(array=magnitude(500.0 * (r < 30), 20), affine=AFFINE))
    assert mask.shape == shape
    assert dice(mask, r < 30) > 0.95


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_a_constant_volume_is_refused(modality) -> None:
    volume = Volume(array=np.full((5, 6, 7), 3), affine=AFFINE, modality=modality)
    with pytest.raises(EmptyVolumeError, match="every voxel is 3, there is no body to find"):
        find_mask(volume)


def test_without_a_modality_it_is_taken_as_mr() -> None:
    volume, _ = head()
    mask = find_mask(volume)
    np.testing.assert_array_equal(mask, find_mask(replace(volume, modality="MR")))
