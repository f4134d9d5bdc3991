"""Other spacings and other grids: what is linear in space stays, what is fine is smoothed away."""

import types

import numpy as np
import pytest

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.resampling import clear_padding, lay_onto, resample, smooth_for

TURN = np.linalg.qr(np.random.default_rng(5).standard_normal((3, 3)))[0]  # oblique


def place(affine, shape) -> np.ndarray:
    """RAS mm of every voxel, (3, I, J, K)."""
    index = np.array(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"))
    return np.tensordot(affine[:3, :3], index, 1) + affine[:3, 3].reshape(3, 1, 1, 1)


def ramp(affine, shape) -> np.ndarray:
    """Linear in space: neither a Gaussian nor linear interpolation changes it."""
    return 100 + np.tensordot([0.5, -0.25, 0.75], place(affine, shape), 1)


def grid(spacing, turn=TURN, origin=(10, -20, 30)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = origin
    return affine


def centre(volume: Volume) -> np.ndarray:
    return volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]


def outer(volume: Volume) -> np.ndarray:
    """Extent of the field of view in mm along I, J, K."""
    return np.array(volume.shape) * volume.spacing_mm


@pytest.mark.parametrize("flip", [1, -1], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.4, 1.3, 5.0), (1.0, 0.5, 3.0)])
def test_centre_and_extent_stay_and_the_spacing_is_as_asked(spacing, flip) -> None:
    shape = (17, 19, 5)
    affine = grid((1.0, 0.9, 3.0 * flip))
    made = Volume(array=ramp(affine, shape), affine=affine, header="kept")
    other = resample(made, spacing)
    assert other.header == "kept"
    assert other.spacing_mm == pytest.approx(spacing, rel=1e-12)
    np.testing.assert_allclose(centre(other), centre(made), atol=1e-9)
    assert (np.abs(outer(other) - outer(made)) <= np.array(spacing) / 2 + 1e-9).all()
    directions = other.affine[:3, :3] / other.spacing_mm
    np.testing.assert_allclose(directions, made.affine[:3, :3] / made.spacing_mm, atol=1e-12)
    inner = tuple(slice(n // 3, n - n // 3) for n in other.shape)  # away from the edges
    np.testing.assert_allclose(
        other.array[inner], ramp(other.affine, other.shape)[inner], atol=1e-3
    )


def test_by_hand_half_the_spacing_doubles_the_voxels_about_the_same_centre() -> None:
    made = Volume(array=np.array([0.0, 4.0]).reshape(2, 1, 1), affine=np.diag([2.0, 1, 1, 1]))
    other = resample(made, (1.0, 1.0, 1.0))
    # centres at 0 and 2 mm, extent -1 to 3: the new centres are -0.5, 0.5, 1.5, 2.5
    assert other.affine[0].tolist() == [1, 0, 0, -0.5]
    assert other.array.ravel().tolist() == [0, 1, 3, 4]


def test_one_slice_becomes_thin_ones_that_are_all_alike() -> None:
    made = Volume(array=np.random.default_rng(0).random((4, 5, 1)), affine=np.diag([1, 1, 5, 1]))
    other = resample(made, (1, 1, 1))
    assert other.shape == (4, 5, 5)
    np.testing.assert_allclose(other.array, np.repeat(made.array, 5, axis=2), rtol=1e-6)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("ratio", [2.0, 3.0, 2.5])
def test_fewer_voxels_have_the_width_of_their_spacing(axis: int, ratio: float) -> None:
    """An edge, blurred by a Gaussian whose variance is (r^2 - 1) / (8 ln 2): by the error function.

    Between samples of the blurred edge there is the linear interpolation's error, below
    h^2 / 8 times its curvature of at most 0.242 / sigma^2.
    """
    from math import erf, log, sqrt

    sigma = sqrt((ratio**2 - 1) / (8 * log(2)))
    shape = [3, 3, 3]
    shape[axis] = 60
    edge = np.zeros(shape, np.float32)
    np.moveaxis(edge, axis, 0)[30:] = 1  # from 29.5 on
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = ratio
    other = resample(Volume(array=edge, affine=np.eye(4)), tuple(spacing))
    profile = np.moveaxis(other.array, axis, 0)[:, 1, 1]
    where = other.affine[axis, axis] * np.arange(len(profile)) + other.affine[axis, 3]
    expected = [(1 + erf((x - 29.5) / sigma / sqrt(2))) / 2 for x in where]
    np.testing.assert_allclose(profile, expected, atol=0.03 / sigma**2 + 0.005)
    assert (np.diff(profile) >= -1e-6).all()


def test_what_is_finer_than_the_new_voxels_does_not_alias() -> None:
    """Stripes of period 2 at spacing 4: without smoothing the samples see 0 or 1 alone."""
    stripes = np.tile([0.0, 1.0], 40).reshape(80, 1, 1)
    other = resample(Volume(array=stripes, affine=np.eye(4)), (4.0, 1.0, 1.0))
    np.testing.assert_allclose(other.array[2:-2], 0.5, atol=0.01)


def test_the_mean_stays() -> None:
    array = np.random.default_rng(0).random((40, 36, 20), dtype=np.float32)
    made = Volume(array=array, affine=np.eye(4))
    assert resample(made, (2, 2, 2)).array.mean() == pytest.approx(array.mean(), rel=5e-3)


def test_the_same_spacing_is_the_same_volume() -> None:
    made = Volume(array=np.ones((3, 4, 5)), affine=grid((0.898, 0.898, 5.5)))
    assert resample(made, (0.89801, 0.898, 5.5)) is made


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan"))])
def test_a_spacing_that_is_no_length_is_refused(spacing) -> None:
    with pytest.raises(VolumeError, match="give positive lengths"):
        resample(Volume(array=np.ones((3, 4, 5)), affine=np.eye(4)), spacing)


def test_a_slip_of_the_spacing_does_not_fill_the_memory() -> None:
    made = Volume(array=np.ones((30, 40, 50)), affine=np.eye(4))
    with pytest.raises(VolumeError, match="too many to hold; give a larger spacing"):
        resample(made, (0.01, 0.01, 0.01))


def test_laid_onto_another_grid_every_place_keeps_its_value() -> None:
    affine = grid((1.0, 0.9, 3.0))
    made = Volume(array=ramp(affine, (30, 32, 12)), affine=affine)
    to = grid((0.8, 0.8, 0.8), turn=np.eye(3), origin=centre(made) - 3)
    target = Volume(array=np.zeros((8, 7, 9)), affine=to, header="the grid's")
    laid = lay_onto(made, target)
    np.testing.assert_array_equal(laid.affine, to)
    np.testing.assert_allclose(laid.array, ramp(to, target.shape), atol=1e-3)


def test_the_transform_goes_from_the_grid_to_the_volume() -> None:
    """A marker at (12, 5, 3) mm, moved by +2 mm in x: in the grid it was at (10, 5, 3)."""
    array = np.zeros((20, 20, 20), np.float32)
    array[12, 5, 3] = 7
    moved = np.eye(4)
    moved[0, 3] = 2
    grid = Volume(array=np.zeros((20, 18, 16)), affine=np.eye(4))
    laid = lay_onto(
        Volume(array=array, affine=np.eye(4)), grid, types.SimpleNamespace(matrix=moved)
    )
    assert np.argwhere(laid.array).tolist() == [[10, 5, 3]]
    assert laid.array[10, 5, 3] == pytest.approx(7)


def test_where_it_does_not_reach_stands_its_lowest_value() -> None:
    made = Volume(array=np.full((4, 4, 4), -5.0) + np.eye(4)[0] * 9, affine=np.eye(4))
    far = grid((1, 1, 1), turn=np.eye(3), origin=(50, 0, 0))
    laid = lay_onto(made, Volume(array=np.zeros((3, 4, 5)), affine=far))
    assert (laid.array == -5).all()


@pytest.mark.parametrize("lowest", [40, -1000, -3024])
def test_ct_is_air_where_it_does_not_reach_whatever_its_lowest_value(lowest: float) -> None:
    """A field of view within the body ends in tissue, one with padding far below air."""
    array = np.full((4, 4, 4), 60.0)
    array[0] = lowest
    made = Volume(array=array, affine=np.eye(4), modality="CT")
    laid = lay_onto(made, Volume(array=np.zeros((4, 4, 9)), affine=np.eye(4)))
    np.testing.assert_array_equal(laid.array[:, :, :4], array)
    assert (laid.array[:, :, 5:] == -1024).all()


def test_padding_of_ct_becomes_air_and_nothing_else_changes() -> None:
    array = np.array([-3024.0, -1025, -1024, -1000, 0, 3000]).reshape(6, 1, 1)
    made = Volume(array=array, affine=np.eye(4), modality="CT", header="kept")
    cleared = clear_padding(made)
    assert cleared.array.ravel().tolist() == [-1024, -1024, -1024, -1000, 0, 3000]
    assert cleared.header == "kept"
    assert clear_padding(cleared) is cleared
    for other in ("MR", None):
        same = Volume(array=array, affine=np.eye(4), modality=other)
        assert clear_padding(same) is same


def test_onto_its_own_grid_a_volume_stays() -> None:
    made = Volume(array=np.random.default_rng(0).random((9, 8, 5)), affine=grid((1.0, 0.9, 3.0)))
    np.testing.assert_allclose(lay_onto(made, made).array, made.array, atol=1e-5)


def test_laid_onto_larger_voxels_it_is_smoothed_as_if_resampled() -> None:
    """The grid's axes in another order and sense: the volume's own axis is what counts."""
    made = Volume(array=np.random.default_rng(0).random((24, 16, 12)), affine=np.eye(4))
    coarse = resample(made, (3.0, 1.0, 2.0))
    turned = coarse.affine[:, [2, 0, 1, 3]]
    target = Volume(array=np.zeros(np.array(coarse.shape)[[2, 0, 1]]), affine=turned)
    laid = lay_onto(made, target).array.transpose(1, 2, 0)
    np.testing.assert_allclose(laid, coarse.array, atol=1e-5)


def test_thick_slices_that_lean_do_not_smooth_what_is_fine_within_them() -> None:
    """Slices of 6 mm that lean by 10 degrees step 1.04 mm aside, but are as fine in plane as it."""
    lean = np.deg2rad(10)
    turn = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
    affine, leaning = (grid((1, 1, 6), axes, (0, 0, 0)) for axes in (np.eye(3), turn))
    array = np.random.default_rng(0).random((9, 8, 5), dtype=np.float32)
    assert smooth_for(array, np.linalg.solve(affine, leaning)) is array
    larger = np.linalg.solve(affine, leaning @ np.diag([1, 1.5, 1, 1]))
    smooth = smooth_for(array, larger)
    assert smooth.std(axis=1).max() < array.std(axis=1).max()
    constant_along_j = np.repeat(array[:, :1], 8, axis=1)
    np.testing.assert_allclose(smooth_for(constant_along_j, larger), constant_along_j, rtol=1e-5)
