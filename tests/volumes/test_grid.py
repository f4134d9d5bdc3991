"""Sheared grids: their angle, the orthogonal grid that covers one, resampling there and back."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.grid import orthogonal_grid, resample, shear_degrees, straighten


def sheared(degrees: float, pair=(1, 2), spacing=(1.0, 0.9, 3.0), origin=(10, -20, 30)):
    """Axis pair[1] leans towards axis pair[0] by an angle; a gantry's tilt leans slices in rows."""
    axes = np.eye(3)
    angle = np.deg2rad(degrees)
    axes[pair[0], pair[1]], axes[pair[1], pair[1]] = np.sin(angle), np.cos(angle)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = origin
    return affine


def ramp(affine, shape) -> np.ndarray:
    """Intensities that are linear in space: linear interpolation reproduces them exactly."""
    index = np.array(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")).reshape(3, -1)
    place = affine[:3, :3] @ index + affine[:3, 3:]
    return (100 + np.array([0.5, -0.25, 0.75]) @ place).reshape(shape).astype(np.float32)


def itk_image(array, affine) -> "sitk.Image":
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("pair", [*itertools.permutations(range(3), 2)])
@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.05, 0.5, 20, 60])
def test_the_shear_is_the_angle_between_the_axes(pair, degrees) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    affine = sheared(degrees, pair)
    affine[:3, :3] = turn @ affine[:3, :3] * [1, -1, 1]
    assert shear_degrees(affine) == pytest.approx(degrees, abs=1e-9)


def test_a_tilted_gantry_is_straightened_in_the_planes_of_its_slices() -> None:
    """20 degrees, 3 mm between slices along the lean: 3 cos 20 mm apart, each 3 sin 20 mm on."""
    affine, shape = orthogonal_grid(sheared(20), (7, 10, 5))
    step = 3 * np.cos(np.deg2rad(20))
    np.testing.assert_allclose(affine[:3, :3], np.diag([1, 0.9, step]), atol=1e-12)
    # the last slice is 4 * 3 sin 20 / 0.9 = 4.56 rows on, so 5 rows more
    assert shape == (7, 15, 5)
    np.testing.assert_allclose(affine[:3, 3], [10, -20, 30], atol=1e-12)
    backwards, shape = orthogonal_grid(sheared(-20), (7, 10, 5))
    assert shape == (7, 15, 5)
    np.testing.assert_allclose(backwards[:3, 3], [10, -20 - 5 * 0.9, 30], atol=1e-12)


def test_slices_that_lean_both_ways_keep_their_planes() -> None:
    leaning = sheared(20)
    leaning[0, 2] = 0.4
    affine, _ = orthogonal_grid(leaning, (7, 10, 5))
    np.testing.assert_allclose(affine[:3, :2], leaning[:3, :2], atol=1e-12)


grids = st.builds(
    lambda axes, spacing, flips, turn: (axes, spacing, flips, turn),
    st.tuples(*[st.floats(-0.7, 0.7)] * 3),
    st.tuples(*[st.floats(0.4, 6)] * 3),
    st.tuples(*[st.sampled_from([-1, 1])] * 3),
    st.integers(0, 10**6),
)


@settings(deadline=None, max_examples=100)
@given(grid=grids, shape=st.tuples(*[st.integers(1, 9)] * 3), order=st.permutations(range(3)))
def test_an_orthogonal_grid_covers_the_sheared_one_in_its_order_and_sense(
    grid, shape, order
) -> None:
    (a, b, c), spacing, flips, seed = grid
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = (turn @ [[1, a, b], [0, 1, c], [0, 0, 1]])[:, order] * spacing * flips
    affine[:3, 3] = 5, -7, 11
    covering, size = orthogonal_grid(affine, shape)
    assert shear_degrees(covering) < 1e-6
    assert np.sign(np.linalg.det(covering)) == np.sign(np.linalg.det(affine))
    # a shear keeps the volume of a voxel
    assert np.linalg.det(covering) == pytest.approx(np.linalg.det(affine), rel=1e-9)
    for axis in range(3):
        assert covering[:3, axis] @ affine[:3, axis] > 0
    corners = np.array([[*index, 1] for index in itertools.product(*[(0, n - 1) for n in shape])]).T
    inside = np.linalg.solve(covering, affine @ corners)[:3]
    assert inside.min() > -1e-5
    assert (inside.max(axis=1) < np.array(size) - 1 + 1e-5).all()
    assert (inside.min(axis=1) < 1).all()  # and no larger than it must be
    assert (inside.max(axis=1) > np.array(size) - 2).all()


@pytest.mark.parametrize("pair", [*itertools.permutations(range(3), 2)])
@pytest.mark.parametrize("degrees", [-20, 3, 35])
def test_resampling_there_and_back_reproduces_what_is_linear_in_space(pair, degrees) -> None:
    affine = sheared(degrees, pair)
    shape = (17, 19, 11)
    array = ramp(affine, shape)
    covering, size = orthogonal_grid(affine, shape)
    there = resample(array, affine, covering, size)
    inside = resample(np.ones(shape, np.float32), affine, covering, size) > 1 - 1e-5
    assert inside.sum() > array.size / 2
    np.testing.assert_allclose(there[inside], ramp(covering, size)[inside], atol=1e-3)
    back = resample(there, covering, affine, shape)
    sure = resample(inside.astype(np.float32), covering, affine, shape) > 1 - 1e-5
    assert sure.sum() > array.size / 2
    np.testing.assert_allclose(back[sure], array[sure], atol=1e-3)


def test_resampling_is_itks_linear_interpolation() -> None:
    affine = sheared(25, (0, 2))
    array = np.random.default_rng(0).random((12, 14, 9), dtype=np.float32)
    covering, size = orthogonal_grid(affine, array.shape)
    reference = itk_image(np.zeros(size, np.float32), covering)
    expected = sitk.GetArrayFromImage(
        sitk.Resample(itk_image(array, affine), reference, sitk.Transform(), sitk.sitkLinear, -1.0)
    ).T
    ours = resample(array, affine, covering, size)
    index = np.array(np.meshgrid(*[np.arange(n) for n in size], indexing="ij")).reshape(3, -1)
    place = np.linalg.solve(affine, covering @ np.vstack([index, np.ones(index.shape[1])]))[:3]
    inside = ((place > 0) & (place < np.array(array.shape)[:, None] - 1)).all(axis=0).reshape(size)
    assert inside.sum() > 500
    np.testing.assert_allclose(ours[inside], expected[inside], atol=1e-5)
    outside = ((place < -1) | (place > np.array(array.shape)[:, None])).any(axis=0).reshape(size)
    assert outside.any()
    assert not ours[outside].any()


def test_a_marker_on_the_outermost_slices_is_not_lost() -> None:
    array = np.zeros((6, 7, 5), np.float32)
    array[:, :, 0] = array[:, :, -1] = 1
    straight, _ = straighten(Volume(array=array, affine=sheared(20, origin=(1 / 3, 0.1, -7 / 3))))
    # each row of voxels shifts within its slice by a part of a voxel: their sum stays
    np.testing.assert_allclose(straight.array.sum(axis=(0, 1)), [42, 0, 0, 0, 42], rtol=1e-5)


@pytest.mark.parametrize(
    ("degrees", "warning"),
    [
        (0.0, None),
        (0.055, None),
        (0.07, "axes sheared by 0.07 degrees are treated as orthogonal"),
        (0.49, "axes sheared by 0.49 degrees are treated as orthogonal"),
    ],
)
def test_a_small_shear_is_left_alone(degrees, warning) -> None:
    volume = Volume(array=np.ones((3, 4, 5)), affine=sheared(degrees))
    straight, warnings = straighten(volume)
    assert straight is volume
    assert warnings == (() if warning is None else (warning,))


def test_a_clear_shear_is_resampled_and_told() -> None:
    volume = Volume(array=np.ones((3, 4, 5)), affine=sheared(0.6), header="kept")
    straight, warnings = straighten(volume)
    assert shear_degrees(straight.affine) < 1e-6
    assert straight.header == "kept"
    assert warnings == ("axes sheared by 0.6 degrees: resampled to an orthogonal grid and back",)


def test_a_grid_that_is_nearly_flat_is_refused() -> None:
    volume = Volume(array=np.ones((40, 40, 400)), affine=sheared(89.9, spacing=(1, 0.01, 3)))
    with pytest.raises(VolumeError, match=r"sheared by 89.9 degrees: an orthogonal grid would"):
        straighten(volume)
