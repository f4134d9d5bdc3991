"""Slicing and its inverse, for every orientation."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import SliceStack, in_plane_spacing

PLANES = ("axial", "coronal", "sagittal")
ORIENTATIONS = [
    "".join(codes)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*order)
]


def phantom(axes: str = "RAS", shape=(17, 19, 5), spacing=(1.0, 0.9, 3.0), seed=0) -> Volume:
    """Random voxels; `shape` and `spacing` go along the volume's own axes."""
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), shape)
    affine = np.linalg.inv(turn) @ np.diag([*spacing, 1.0])
    array = np.random.default_rng(seed).random(shape)
    return Volume(array=array, affine=affine)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_slicing_is_undone_exactly(axes: str, plane: str) -> None:
    volume = phantom(axes)
    assert "".join(nib.aff2axcodes(volume.affine)) == axes
    stack = SliceStack.from_volume(volume, plane, multiple=32)
    restored = stack.to_volume(stack.slices)
    np.testing.assert_array_equal(restored.array, volume.array)
    np.testing.assert_array_equal(restored.affine, volume.affine)
    assert stack.slices.shape[2] % 32 == stack.slices.shape[3] % 32 == 0


@settings(deadline=None, max_examples=60)
@given(
    axes=st.sampled_from(ORIENTATIONS),
    plane=st.sampled_from(PLANES),
    angles=st.tuples(*[st.floats(-40, 40)] * 3),
    shape=st.tuples(*[st.integers(1, 23)] * 3),
    multiple=st.sampled_from([1, 4, 16, 32]),
)
def test_slicing_of_oblique_volumes_is_undone_exactly(axes, plane, angles, shape, multiple) -> None:
    rotation = nib.eulerangles.euler2mat(*np.deg2rad(angles))
    volume = phantom(axes, shape)
    affine = volume.affine.copy()
    affine[:3, :3] = rotation @ affine[:3, :3]
    volume = Volume(array=volume.array, affine=affine)
    stack = SliceStack.from_volume(volume, plane, multiple)
    restored = stack.to_volume(stack.slices)
    np.testing.assert_array_equal(restored.array, volume.array)
    np.testing.assert_array_equal(restored.affine, affine)


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize(
    ("plane", "row_mm", "column_mm"),
    [
        ("axial", (0, -1, 0), (-1, 0, 0)),
        ("coronal", (0, 0, -1), (-1, 0, 0)),
        ("sagittal", (0, 0, -1), (0, -1, 0)),
    ],
)
def test_rows_and_columns_run_as_radiologists_see_them(axes, plane, row_mm, column_mm) -> None:
    """Three marked voxels a known RAS step apart lie one row and one column apart."""
    empty = phantom(axes, spacing=(1.0, 1.0, 1.0))
    centre = np.array([2, 2, 2])
    to_voxels = np.linalg.inv(empty.affine[:3, :3])
    array = np.zeros(empty.shape)
    array[tuple(centre)] = 1
    array[tuple((centre + to_voxels @ row_mm).round().astype(int))] = 2
    array[tuple((centre + to_voxels @ column_mm).round().astype(int))] = 3
    slices = SliceStack.from_volume(Volume(array=array, affine=empty.affine), plane).slices[:, 0]
    (n, r, c), (n2, r2, c2), (n3, r3, c3) = (np.argwhere(slices == mark)[0] for mark in (1, 2, 3))
    assert (n2, r2, c2) == (n, r + 1, c)
    assert (n3, r3, c3) == (n, r, c + 1)


def test_axial_slices_run_from_the_feet_to_the_head() -> None:
    volume = phantom("RAI")
    stack = SliceStack.from_volume(volume)
    assert (stack.slices[0].max(), stack.slices[-1].max()) == (
        volume.array[:, :, -1].max(),
        volume.array[:, :, 0].max(),
    )


def test_slices_of_another_shape_are_refused() -> None:
    stack = SliceStack.from_volume(phantom())
    with pytest.raises(VolumeError, match="don't fit the stack"):
        stack.to_volume(stack.slices[1:])


def test_in_plane_spacing_follows_the_axes() -> None:
    volume = phantom("PIR", spacing=(1.0, 2.0, 3.0))
    assert in_plane_spacing(volume, "axial") == pytest.approx((1.0, 3.0))
    assert in_plane_spacing(volume, "sagittal") == pytest.approx((2.0, 1.0))
