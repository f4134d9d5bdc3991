"""Axes in another order and sense: voxels stay where they are in the patient."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.reorienting import reorient

ORIENTATIONS = [
    "".join(axes)
    for pairs in itertools.permutations(("LR", "PA", "IS"))
    for axes in itertools.product(*pairs)
]


def volume(axes: str = "RAS", shape=(17, 19, 5), tilt=0.0) -> Volume:
    """Spacing 1, 0.9 and 3 mm; origin and directions with no round numbers."""
    turn = nib.orientations.axcodes2ornt(tuple(axes))
    directions = np.zeros((3, 3))
    directions[turn[:, 0].astype(int), range(3)] = turn[:, 1]
    lean = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = lean @ directions * (1.0, 0.9, 3.0)
    affine[:3, 3] = 1 / 3, -np.pi * 20, 0.1
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    return Volume(array=array, affine=affine, header="kept")


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("tilt", [0.0, 0.4], ids=["straight", "oblique"])
def test_every_voxel_stays_at_its_place(axes: str, tilt: float) -> None:
    made = volume("RAS", tilt=tilt)
    turned = reorient(made, axes)
    assert nib.aff2axcodes(turned.affine) == tuple(axes)
    back = np.linalg.solve(made.affine, turned.affine)  # turned indices to indices of before
    for index in (0, 0, 0), (1, 2, 0), tuple(n - 1 for n in turned.shape):
        before = back[:3, :3] @ index + back[:3, 3]
        np.testing.assert_allclose(before, np.round(before), atol=1e-9)
        assert turned.array[index] == made.array[tuple(np.round(before).astype(int))]


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("shape", [(17, 19, 5), (6, 1, 7)])
def test_turning_back_undoes_it(axes: str, shape) -> None:
    made = volume(axes, shape, tilt=0.3)
    for target in ("RAS", "LPS", "PIR"):
        back = reorient(reorient(made, target), axes)
        np.testing.assert_array_equal(back.array, made.array)
        np.testing.assert_allclose(back.affine, made.affine, rtol=0, atol=1e-12)
        assert back.header == "kept"


def test_by_hand_left_to_right_is_a_flip_that_moves_the_origin_to_the_other_end() -> None:
    affine = np.diag([-2.0, 1.0, 1.0, 1.0])
    affine[0, 3] = 10
    made = Volume(array=np.arange(3).reshape(3, 1, 1), affine=affine)  # x = 10, 8, 6
    turned = reorient(made)
    assert turned.array.ravel().tolist() == [2, 1, 0]
    assert turned.affine[0].tolist() == [2, 0, 0, 6]


def test_small_letters_are_as_good() -> None:
    assert nib.aff2axcodes(reorient(volume(), "lpi").affine) == ("L", "P", "I")


@pytest.mark.parametrize("axes", ["", "RA", "RRS", "RLS", "RASA", "XYZ", "RAX"])
def test_what_names_no_orientation_is_refused(axes: str) -> None:
    with pytest.raises(VolumeError, match=f"axes '{axes}' name no orientation"):
        reorient(volume(), axes)
