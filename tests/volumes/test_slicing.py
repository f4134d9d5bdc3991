"""Slicing and its inverse, for every orientation."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import (
    cut_padding,
    in_plane_spacing,
    pad_slices,
    turn_box,
    view_slices,
)

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


def there_and_back(volume: Volume, plane: str, multiple: int) -> np.ndarray:
    """Slices as the generator takes them, written to the view of an empty volume."""
    slices = view_slices(volume.array, volume.affine, plane)
    padded = pad_slices(slices, multiple)
    assert padded.shape[:2] == (len(slices), 1)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert padded.sum(dtype=np.float64) == pytest.approx(volume.array.sum(dtype=np.float64))
    back = np.zeros(volume.shape, np.float32)
    view_slices(back, volume.affine, plane)[:] = cut_padding(padded, *slices.shape[1:])
    return back


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_slicing_is_undone_exactly(axes: str, plane: str) -> None:
    volume = phantom(axes)
    assert "".join(nib.aff2axcodes(volume.affine)) == axes
    np.testing.assert_array_equal(there_and_back(volume, plane, 32), volume.array)


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
    np.testing.assert_array_equal(there_and_back(volume, plane, multiple), volume.array)


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
    slices = view_slices(array, empty.affine, plane)
    (n, r, c), (n2, r2, c2), (n3, r3, c3) = (np.argwhere(slices == mark)[0] for mark in (1, 2, 3))
    assert (n2, r2, c2) == (n, r + 1, c)
    assert (n3, r3, c3) == (n, r, c + 1)


def test_axial_slices_run_from_the_feet_to_the_head() -> None:
    volume = phantom("RAI")
    slices = view_slices(volume.array, volume.affine)
    assert (slices[0].max(), slices[-1].max()) == (
        volume.array[:, :, -1].max(),
        volume.array[:, :, 0].max(),
    )


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_a_box_is_the_same_voxels_in_either_order(axes: str, plane: str) -> None:
    volume = phantom(axes)
    box = (slice(3, 12), slice(1, 18), slice(2, 4))
    turned = turn_box(box, volume.shape, volume.affine, plane)
    np.testing.assert_array_equal(
        view_slices(volume.array, volume.affine, plane)[turned],
        view_slices(volume.array[box], volume.affine, plane),
    )


def test_in_plane_spacing_follows_the_axes() -> None:
    volume = phantom("PIR", spacing=(1.0, 2.0, 3.0))
    assert in_plane_spacing(volume.affine, "axial") == pytest.approx((1.0, 3.0))
    assert in_plane_spacing(volume.affine, "sagittal") == pytest.approx((2.0, 1.0))
