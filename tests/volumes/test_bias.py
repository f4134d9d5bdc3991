"""N4 on fields that are known: what is left of them within one tissue, and what must not change."""

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess import bias
from i2igalip_cli.volumes.preprocess.bias import correct_bias

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPE = (33, 40, 28)
SMALL = (17, 20, 14)  # for laws that hold however well the field is found


def variation(array: np.ndarray) -> float:
    """Coefficient of variation."""
    return float(array.std() / array.mean())


def phantom(shape=SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two tissues in shells, a smooth field of +-20 % along all axes, and where tissue is."""
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in shape]
    i, j, k = np.meshgrid(*axes, indexing="ij")
    r = np.sqrt(i**2 + j**2 + (k**2 if shape[2] > 1 else 0))
    truth = np.where(np.sin(r * 14) > 0, 100.0, 150.0) * (r < 0.95)
    truth = truth + np.random.default_rng(0).normal(0, 2, shape) * (r < 0.95)
    field = 1 + 0.2 * np.sin(1.2 * i - 0.9 * j + 0.7 * k)
    return truth, field, r < 0.95


def made(array: np.ndarray, spacing=(4.0, 4.0, 4.0)) -> Volume:
    return Volume(array=array, affine=np.diag([*spacing, 1.0]), header="kept")


def test_a_known_field_is_reduced_to_a_third_in_each_tissue() -> None:
    truth, field, mask = phantom()
    _, found = correct_bias(made(truth * field), mask)
    for tissue in mask & (truth > 125), mask & (truth < 125):
        assert variation((field / found)[tissue]) < variation(field[tissue]) / 3


def test_the_volume_is_the_field_times_the_corrected_one_and_its_mean_stays() -> None:
    truth, field, mask = phantom(SMALL)
    volume = made(truth * field)
    corrected, found = correct_bias(volume, mask)
    assert found.dtype == np.float32
    assert found.min() > 0
    np.testing.assert_allclose(corrected.array * found, volume.array, rtol=1e-5, atol=1e-3)
    assert corrected.array[mask].mean() == pytest.approx(volume.array[mask].mean(), rel=1e-5)
    assert corrected.header == "kept"


def test_a_volume_without_a_field_stays_nearly_as_it_is() -> None:
    truth, _, mask = phantom()
    _, found = correct_bias(made(truth), mask)
    assert variation(found[mask]) < 0.01


def test_the_unit_does_not_matter() -> None:
    truth, field, mask = phantom(SMALL)
    _, found = correct_bias(made(truth * field), mask)
    _, other = correct_bias(made(truth * field * 1000), mask)
    np.testing.assert_allclose(other, found, rtol=5e-3)


def test_what_lies_outside_of_the_mask_has_no_say() -> None:
    truth, field, mask = phantom(SMALL)
    _, found = correct_bias(made(truth * field), mask)
    _, other = correct_bias(made(np.where(mask, truth * field, 700)), mask)
    np.testing.assert_array_equal(other, found)
    _, other = correct_bias(made(np.where(mask, truth * field, -1)), np.ones(SMALL, bool))
    np.testing.assert_allclose(other / other[mask].mean(), found / found[mask].mean(), rtol=1e-4)


def test_a_left_handed_volume_has_the_same_field_the_other_way_round() -> None:
    truth, field, mask = phantom(SMALL)
    _, found = correct_bias(made(truth * field), mask)
    affine = np.diag([4.0, 4.0, -4.0, 1.0])
    mirrored = Volume(array=(truth * field)[:, :, ::-1], affine=affine)
    _, other = correct_bias(mirrored, mask[:, :, ::-1])
    np.testing.assert_allclose(other[:, :, ::-1], found, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((64, 60, 1), (2.0, 2.0, 5.0)), ((66, 80, 14), (2.0, 2.0, 8.0))],
    ids=["one slice", "thick slices"],
)
def test_few_slices_are_corrected_as_well(shape, spacing) -> None:
    truth, field, mask = phantom(shape)
    _, found = correct_bias(made(truth * field, spacing), mask)
    assert found.shape == shape
    tissue = mask & (truth > 125)
    assert variation((field / found)[tissue]) < variation(field[tissue]) / 2


def test_a_core_in_a_corner_has_no_say(monkeypatch) -> None:
    truth, field, mask = phantom()
    volume = made(truth * field)
    monkeypatch.setattr(bias, "_find_core", lambda *_: np.zeros(SHAPE, bool))
    _, first = correct_bias(volume, mask)
    for share, told in ((0.03, False), (0.3, True)):
        corner = mask & (np.cumsum(mask).reshape(SHAPE) <= share * mask.sum())
        monkeypatch.setattr(bias, "_find_core", lambda *_, corner=corner: corner)
        _, found = correct_bias(volume, mask)
        assert corner.sum() > bias.MINIMUM_VOXELS
        assert np.array_equal(found, first) != told


def test_the_number_of_threads_changes_no_bit() -> None:
    truth, field, mask = phantom(SMALL)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    for threads in (1, 3):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        try:
            found.append(correct_bias(made(truth * field), mask)[1])
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    np.testing.assert_array_equal(*found)


def test_what_has_no_field_to_find_is_refused() -> None:
    truth, _, mask = phantom()
    volume = made(truth)
    ct = Volume(array=truth, affine=volume.affine, modality="CT")
    with pytest.raises(VolumeError, match="CT has no receive field"):
        correct_bias(ct, mask)
    with pytest.raises(VolumeError, match=r"a mask of shape \(33, 40, 27\) doesn't fit"):
        correct_bias(volume, mask[:, :, 1:])
    few = np.zeros(SHAPE, bool)
    few[10:13, 10:13, 10:13] = True
    with pytest.raises(VolumeError, match="27 voxels of tissue are too few"):
        correct_bias(volume, few)
    with pytest.raises(VolumeError, match="too few"):
        correct_bias(made(-truth - 10), mask)
    with pytest.raises(VolumeError, match=r"the tissue is constant \(5\)"):
        correct_bias(made(np.full(SHAPE, 5)), mask)


def left_over(number: int, contrast: str, factor: int) -> float:
    """Variation of a field of +-20 % within the white matter of a held-out subject, after / before.

    Args:
        number: Of the held-out subject.
        contrast: T1, T2 or PD.
        factor: Voxels of 2 mm along each axis that become one.
    """
    sys.path.insert(0, str(EXAMPLES))
    try:
        import simulate_brains as brains
    finally:
        sys.path.remove(str(EXAMPLES))
    anatomy = brains.Anatomy()
    subject = brains.Subject(anatomy, brains.FIRST_SEED["test"] + number)
    truth = subject.truth(brains.FIXED[contrast])
    drawn = subject.draw_scan(truth)
    field = drawn.field * (0.2 / np.abs(drawn.field[subject.brain]).max())
    scan = brains.Scan(field, drawn.real, drawn.imaginary, drawn.brain)
    arrays = scan.image(truth), field, subject.tissues[2], subject.brain.astype(np.float32)
    image, field, white, brain = (
        brains.coarsen(array, anatomy.affine, factor)[0] for array in arrays
    )
    _, affine = brains.coarsen(white, anatomy.affine, factor)
    _, found = correct_bias(Volume(array=image, affine=affine), brain > 0.5)
    before, after = (1 + field)[white > 0.9], ((1 + field) / found)[white > 0.9]
    return variation(after) / variation(before)


def test_a_simulated_brain_keeps_a_third_of_its_field_at_most() -> None:
    assert left_over(0, "T1", factor=2) < 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["T1", "T2", "PD"])
def test_at_2_mm_too_in_every_contrast(contrast: str) -> None:
    assert left_over(0, contrast, factor=1) < 1 / 3
