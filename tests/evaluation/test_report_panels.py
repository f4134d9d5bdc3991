"""Pictures of a case show the right slice the right way round, and errors in their colours."""

import io

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE
from PIL import Image
from scipy.ndimage import center_of_mass

from i2igalip_cli.evaluation.report.panels import choose_slice, draw_case, find_middle
from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.volumes import Volume


def phantom(axes: str = "RAS", shape=(17, 19, 5)) -> Volume:
    """Noise on a grid whose axes run this way, 1 x 0.9 x 3 mm, off the origin."""
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), shape)
    affine = np.array([[1, 0, 0, -9], [0, 0.9, 0, 4], [0, 0, 3, -20], [0, 0, 0, 1.0]]) @ turn
    array = np.random.default_rng(0).random(shape, dtype=np.float32) + 1
    return Volume(array=array, affine=affine)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_a_slice_is_the_one_at_its_place_as_radiologists_see_it(axes: str) -> None:
    volume = phantom(axes)
    upright = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    data = np.asarray(upright.dataobj)  # to the right, to the front, upwards
    i, j, k = (n // 3 for n in data.shape)
    place = nib.affines.apply_affine(upright.affine, (i, j, k))
    expected = {
        "axial": data[::-1, ::-1, k].T,
        "coronal": data[::-1, j, ::-1].T,
        "sagittal": data[i, ::-1, ::-1].T,
    }
    for plane, slice_ in expected.items():
        np.testing.assert_array_equal(choose_slice(volume, plane, place), slice_)


def test_a_place_outside_shows_the_nearest_slice() -> None:
    volume = phantom()
    far = choose_slice(volume, "axial", (0, 0, 1e4))
    np.testing.assert_array_equal(far, volume.array[::-1, ::-1, -1].T)


@pytest.mark.parametrize("shape", [(17, 19, 5), (17, 19, 1)])
def test_the_middle_is_the_centre_of_mass(shape) -> None:
    weights = np.random.default_rng(1).random(shape, dtype=np.float32) ** 3
    expected = nib.affines.apply_affine(OBLIQUE, center_of_mass(weights.astype(np.float64)))
    np.testing.assert_allclose(find_middle(weights, OBLIQUE), expected, atol=1e-4)


def test_the_middle_of_nothing_is_that_of_the_grid() -> None:
    middle = find_middle(np.zeros((17, 19, 5), np.float32), OBLIQUE)
    np.testing.assert_allclose(middle, nib.affines.apply_affine(OBLIQUE, (8, 9, 2)))


@pytest.mark.parametrize("shape", [(17, 19, 5), (40, 3, 3), (12, 12, 1)])
def test_a_case_of_any_shape_is_drawn(shape) -> None:
    volume = Volume(array=phantom(shape=shape).array, affine=OBLIQUE)
    columns = [Shown(title=str(n), volume=volume, low=1, high=2) for n in range(3)]
    picture = Image.open(io.BytesIO(draw_case(columns, find_middle(volume.array, OBLIQUE))))
    assert picture.format == "PNG"
    pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 100
    left, middle, right = (part[:, :200] for part in np.array_split(pixels, 3, axis=1))
    for part in (left, middle, right):  # every column has its slices
        assert len(np.unique(part)) > 50


@pytest.mark.parametrize(("error", "channel"), [(1, 0), (-1, 2)])
def test_the_sign_of_an_error_has_its_colour(error: int, channel: int) -> None:
    """Red above 0, blue below, black at 0."""
    array = np.zeros((20, 20, 20), np.float32)
    array[:, :, :10] = error
    column = Shown(
        title="e",
        volume=Volume(array=array, affine=np.eye(4)),
        low=-2.0,
        high=2.0,
        kind="signed",
    )
    drawn = {}
    for place in (3, 16):
        picture = Image.open(io.BytesIO(draw_case([column], (10, 10, place)))).convert("RGB")
        pixels = np.asarray(picture).astype(int)
        drawn[place] = pixels[60 : 60 + 40, 40:60].mean(axis=(0, 1))  # within the axial slice
    assert drawn[3].argmax() == channel
    assert np.ptp(drawn[3]) > 60
    assert drawn[16].max() < 8
