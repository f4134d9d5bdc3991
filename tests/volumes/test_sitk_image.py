"""Volumes as ITK's images: every voxel in the same place of the patient, and exactly back."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.sitk_image import from_image, to_image

SHAPES = [(17, 19, 5), (6, 7, 1), (1, 4, 3)]
TURN = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]  # oblique


def volume(shape=(17, 19, 5), flips=(1, 1, 1), order=(0, 1, 2), turn=TURN) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = (turn * flips * (1.0, 0.9, 3.0))[:, order]
    affine[:3, 3] = -60, 11.3, 140
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    return Volume(array=array, affine=affine, header="kept")


def test_a_left_and_a_right_handed_grid_are_among_those_tested() -> None:
    signs = {np.sign(np.linalg.det(volume(flips=(1, 1, flip)).affine)) for flip in (1, -1)}
    assert signs == {-1, 1}


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_voxel_lies_in_the_same_place_with_left_and_posterior_positive(shape, flip) -> None:
    made = volume(shape, flips=(1, 1, flip))
    image = to_image(made)
    assert image.GetPixelID() == sitk.sitkFloat32
    assert np.linalg.det(np.reshape(image.GetDirection(), (3, 3))) == pytest.approx(1)
    last = shape[0] - 1, shape[1] - 1, shape[2] - 1
    for index in (0, 0, 0), last, (0, last[1] // 2, last[2]):
        x, y, z = made.affine[:3, :3] @ index + made.affine[:3, 3]
        there = image.TransformPhysicalPointToIndex((-x, -y, z))
        assert image[there] == made.array[index]
        place = image.TransformIndexToPhysicalPoint(there)
        np.testing.assert_allclose(place, (-x, -y, z), atol=1e-9)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("flips", [*itertools.product((1, -1), repeat=3)])
@pytest.mark.parametrize("turn", [np.eye(3), TURN], ids=["straight", "oblique"])
def test_back_come_the_same_voxels_affine_and_header(turn, flips, order) -> None:
    made = volume(flips=flips, order=order, turn=turn)
    back = from_image(to_image(made), like=made)
    np.testing.assert_array_equal(back.array, made.array)
    np.testing.assert_array_equal(back.affine, made.affine)
    assert back.header == "kept"


@pytest.mark.parametrize("flip", [1, -1])
def test_a_marker_that_itk_sets_at_a_place_is_found_there(flip) -> None:
    made = volume(flips=(1, 1, flip))
    image = sitk.Image(to_image(made))
    x, y, z = made.affine[:3, :3] @ (3, 8, 1) + made.affine[:3, 3]
    image[image.TransformPhysicalPointToIndex((-x, -y, z))] = 9
    marked = from_image(image, like=made).array
    assert np.argwhere(marked == 9).tolist() == [[3, 8, 1]]


def test_a_mask_comes_back_as_zeros_and_ones() -> None:
    made = volume()
    back = from_image(to_image(made) > 0.5, like=made).array
    np.testing.assert_array_equal(back, made.array > 0.5)


def test_a_sheared_grid_is_refused() -> None:
    made = volume(turn=np.array([[1, 0, np.sin(0.3)], [0, 1, 0], [0, 0, np.cos(0.3)]]))
    with pytest.raises(VolumeError, match=r"sheared by 17\.2 degrees: resample to an orthogonal"):
        to_image(made)


def test_an_image_of_another_grid_is_refused() -> None:
    made = volume()
    moved = to_image(made)
    moved.SetOrigin(np.add(moved.GetOrigin(), (0, 0.1, 0)).tolist())
    for image in moved, to_image(made)[1:], sitk.Shrink(to_image(made), (2, 2, 1)):
        with pytest.raises(VolumeError, match="doesn't lie on the volume's grid"):
            from_image(image, like=made)
    with pytest.raises(VolumeError, match="doesn't lie on the volume's grid"):
        from_image(to_image(volume(flips=(1, 1, -1))), like=made)
