"""Volumes in a page: the same place and the same intensities, as far as it says."""

import base64
import gzip

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE
from skimage.measure import block_reduce

from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.evaluation.report.viewer import (
    LEVELS,
    ViewerCase,
    embed,
    embed_within,
)
from i2igalip_cli.volumes import Volume

SHAPES = [(17, 19, 5), (17, 19, 1), (6, 4, 8)]


def panel(shape=(17, 19, 5), low=-3.0, high=5.0, signed=False) -> Shown:
    array = np.random.default_rng(0).normal(0, 4, shape).astype(np.float32)
    volume = Volume(array=array, affine=OBLIQUE)
    return Shown(title="t", volume=volume, low=low, high=high, kind="signed" if signed else "image")


def unpack(nifti: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(nifti)))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_page_holds_the_intensities_to_half_a_level(shape, signed: bool) -> None:
    low, high = (-4.0, 4.0) if signed else (-3.0, 5.0)
    given = panel(shape, low, high, signed)
    embedded = embed(given, 1)
    image = unpack(embedded.nifti)
    expected = np.clip(given.volume.array, low, high)
    half = (high - low) / LEVELS / 2
    np.testing.assert_allclose(image.get_fdata(), expected, rtol=0, atol=half * 1.001)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (embedded.low, embedded.high) == (low, high)
    assert embedded.colours == ("signed" if signed else "gray")


def test_no_error_is_exactly_zero() -> None:
    volume = Volume(array=np.zeros((3, 4, 5), np.float32), affine=np.eye(4))
    for largest in (0.25, 200.0, 1 / 3):
        zero = Shown(title="e", volume=volume, low=-largest, high=largest, kind="signed")
        assert not unpack(embed(zero, 1).nifti).get_fdata().any()


def test_a_volume_of_one_intensity_is_shown() -> None:
    volume = Volume(array=np.full((3, 4, 5), 7, np.float32), affine=np.eye(4))
    flat = Shown(title="f", volume=volume, low=7.0, high=7.0)
    np.testing.assert_allclose(unpack(embed(flat, 1).nifti).get_fdata(), 7)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_coarser_volume_is_the_mean_of_blocks_where_they_lie(shape, stride: int) -> None:
    given = panel(shape, -50.0, 50.0)
    image = unpack(embed(given, stride).nifti)
    steps = tuple(min(stride, n) for n in shape)
    whole = given.volume.array[tuple(slice(n // s * s) for n, s in zip(shape, steps, strict=True))]
    expected = block_reduce(whole, steps, np.mean)
    np.testing.assert_allclose(image.get_fdata(), expected, rtol=0, atol=100 / LEVELS / 2 * 1.001)
    voxels = np.stack(np.meshgrid(*map(np.arange, whole.shape), indexing="ij"))
    places = nib.affines.apply_affine(OBLIQUE, np.moveaxis(voxels, 0, -1))
    centres = np.stack([block_reduce(places[..., a], steps, np.mean) for a in range(3)], axis=-1)
    coarse = np.moveaxis(np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij")), 0, -1)
    np.testing.assert_allclose(nib.affines.apply_affine(image.affine, coarse), centres, atol=1e-4)


def test_all_cases_get_coarser_together_until_they_fit() -> None:
    cases = [ViewerCase(title=str(n), panels=[panel((24, 24, 24))] * 2) for n in range(2)]
    whole, stride = embed_within(cases, 10**9)
    assert stride == 1
    size = sum(len(one.nifti) for _, panels in whole for one in panels)
    assert embed_within(cases, size)[1] == 1  # what just fits stays as it is
    fitted, stride = embed_within(cases, size - 1)
    assert stride == 2
    assert [title for title, _ in fitted] == ["0", "1"]
    assert {unpack(one.nifti).shape for _, panels in fitted for one in panels} == {(12, 12, 12)}


def test_no_room_at_all_comes_to_an_end() -> None:
    fitted, stride = embed_within([ViewerCase(title="c", panels=[panel()])], 0)
    assert stride <= 19
    assert len(fitted[0][1]) == 1
