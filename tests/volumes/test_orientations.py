"""Every output lies exactly where its source lies, as nibabel and SimpleITK read it.

An identity in place of the generator shows that each voxel comes back to its own place: the output
holds the source's intensities, cut at the window.
"""

import functools
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from conftest import IdentityBackend, make_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.volumes import load_volume, save_volume

SHAPE = (5, 7, 4)
SPACING = (1.9, 0.8, 3.3)
ORIENTATIONS = [
    "".join(codes)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*order)
]
CODES = [(1, 0), (0, 1), (1, 1), (2, 4), (0, 0)]  # qform, sform
TOLERANCE_MM = 1e-3


@functools.cache
def checkpoint_of(plane: str) -> Checkpoint:
    return make_checkpoint(planes={plane: (1.9, 1.9)})


def oriented(axes: str, angles=(0.0, 0.0, 0.0)) -> np.ndarray:
    """An affine whose axes run to `axes`, turned by Euler angles in degrees."""
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*np.deg2rad(angles)) @ (
        nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (1, 1, 1))[:3, :3].T
        * SPACING
    )
    affine[:3, 3] = -81.25, 93.5, 12.125
    return affine


def voxels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE, dtype=np.float32) * 100


def write_nifti(path: Path, affine, codes=(1, 1)) -> Path:
    image = nib.Nifti1Image(voxels(), affine)
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    nib.save(image, path)
    return path


def read_nibabel(path: Path):
    image = nib.load(path)
    return image.get_fdata(dtype=np.float32), np.asarray(image.affine)


def read_itk(path: Path):
    """Voxels (I, J, K) and an affine to RAS of four points that ITK places."""
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    origin = np.array(image.TransformIndexToPhysicalPoint((0, 0, 0)))
    for axis in range(3):
        step = [int(axis == other) for other in range(3)]
        affine[:3, axis] = np.array(image.TransformIndexToPhysicalPoint(step)) - origin
    affine[:3, 3] = origin
    return sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ affine


def translate_file(source: Path, out: Path, options, plane: str = "axial") -> np.ndarray:
    """Translate a file; returns the voxels that the output must hold."""
    volume = load_volume(source)
    translation = translate_volume(volume, checkpoint_of(plane), "T2", options=options)
    save_volume(translation.volume, out)
    return np.clip(volume.array, 0, translation.window.high)


def assert_same_place(got, expected, affine) -> None:
    array, placed = got
    np.testing.assert_allclose(array, expected, rtol=1e-5)
    corners = np.array([[*index, 1] for index in itertools.product(*[(0, n - 1) for n in SHAPE])]).T
    np.testing.assert_allclose((placed @ corners)[:3], (affine @ corners)[:3], atol=TOLERANCE_MM)


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_nifti_in_every_orientation_and_transform(tmp_path: Path, identity, axes) -> None:
    for plane, codes in zip(("axial", "coronal", "sagittal", "axial", "axial"), CODES, strict=True):
        source = write_nifti(tmp_path / f"in{codes}.nii.gz", oriented(axes, (7, -12, 20)), codes)
        out = tmp_path / f"out{codes}.nii.gz"
        expected = translate_file(source, out, identity, plane)
        np.testing.assert_array_equal(nib.load(out).affine, nib.load(source).affine)
        for read in (read_nibabel, read_itk):
            array, affine = read(source)
            np.testing.assert_array_equal(array, voxels())
            assert_same_place(read(out), expected, affine)
        if codes != (0, 0):
            assert_same_place(read_itk(out), expected, oriented(axes, (7, -12, 20)))


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mgz", ".img"])
def test_other_formats_in_every_orientation_and_across(tmp_path, identity, axes, suffix) -> None:
    affine = oriented(axes, (-15, 4, 9))
    source = tmp_path / f"in{suffix}"
    if suffix == ".mgz":
        nib.save(nib.MGHImage(voxels(), affine), source)
    elif suffix == ".img":
        nib.save(nib.Nifti1Pair(voxels(), affine), source)
    else:
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels().T))
        image.SetSpacing(SPACING)
        image.SetOrigin((np.diag([-1, -1, 1]) @ affine[:3, 3]).tolist())
        image.SetDirection((np.diag([-1, -1, 1]) @ affine[:3, :3] / SPACING).ravel().tolist())
        sitk.WriteImage(image, str(source))
    for out in (tmp_path / f"out{suffix}", tmp_path / "out.nii"):
        expected = translate_file(source, out, identity)
        if out.suffix in (".mgz", ".img", ".nii"):
            assert_same_place(read_nibabel(out), expected, affine)
        if out.suffix != ".mgz":
            assert_same_place(read_itk(out), expected, affine)
    back = tmp_path / f"back{suffix}"  # from NIfTI to the other format
    expected = translate_file(write_nifti(tmp_path / "n.nii", affine), back, identity)
    read = read_nibabel if suffix == ".mgz" else read_itk
    assert_same_place(read(back), expected, affine)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL", "PIR", "IRP"])
@pytest.mark.parametrize("degrees", [0.3, 5, 25])
def test_sheared_volumes_keep_their_sheared_place(tmp_path, identity, axes, degrees) -> None:
    """SimpleITK refuses them: nibabel alone reads these."""
    affine = oriented(axes, (3, 2, 1))
    affine[:3, 2] += np.tan(np.deg2rad(degrees)) * SPACING[2] / SPACING[1] * affine[:3, 1]
    image = nib.Nifti1Image(voxels(), affine)
    image.set_qform(None, code=0)
    image.set_sform(affine, code=1)
    nib.save(image, tmp_path / "in.nii.gz")
    volume = load_volume(tmp_path / "in.nii.gz")
    result = translate_volume(volume, checkpoint_of("axial"), "T2", options=identity)
    assert f"sheared by {degrees:.2g}" in " ".join(result.warnings)
    save_volume(result.volume, tmp_path / "out.nii.gz")
    array, placed = read_nibabel(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(placed, nib.load(tmp_path / "in.nii.gz").affine)
    assert array.shape == SHAPE
    if degrees < 0.5:  # no resampling
        np.testing.assert_allclose(array, np.clip(voxels(), 0, result.window.high), rtol=1e-5)


def test_a_marker_in_a_sheared_volume_comes_back_to_its_voxel(tmp_path: Path, identity) -> None:
    """Whole voxels of shear: resampling meets the voxels, and the marker is not even blurred."""
    affine = np.array([[2.0, 0, 0, -30], [0, 2, 4, 17], [0, 0, 3, 5], [0, 0, 0, 1]])
    array = np.zeros((6, 9, 5), np.float32)
    array[2:4, 3:6, 1:4] = 50
    array[2, 5, 3] = 100
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "in.nii")
    expected = translate_file(tmp_path / "in.nii", tmp_path / "out.nii", identity)
    got, placed = read_nibabel(tmp_path / "out.nii")
    np.testing.assert_allclose(got, expected, atol=1e-3)
    assert np.unravel_index(got.argmax(), got.shape) == (2, 5, 3)
    np.testing.assert_allclose(placed @ [2, 5, 3, 1], [-26, 39, 14, 1])


@settings(deadline=None, max_examples=40)
@given(
    axes=st.sampled_from(ORIENTATIONS),
    angles=st.tuples(*[st.floats(-44, 44)] * 3),
    plane=st.sampled_from(["axial", "coronal", "sagittal"]),
)
def test_oblique_volumes_lie_where_their_source_lies(tmp_path_factory, axes, angles, plane) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "identity", IdentityBackend)
        options = TranslationOptions(backend="identity")
        affine = oriented(axes, angles)
        source = write_nifti(folder / "in.nii", affine)
        expected = translate_file(source, folder / "out.nii", options, plane)
    for read in (read_nibabel, read_itk):
        assert_same_place(read(folder / "out.nii"), expected, affine)


def test_the_generator_itself_changes_voxels_and_no_place(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "in.nii", oriented("PIR", (5, 6, 7)))
    expected = translate_file(source, tmp_path / "out.nii", TranslationOptions())
    array, affine = read_nibabel(tmp_path / "out.nii")
    np.testing.assert_array_equal(affine, nib.load(source).affine)
    assert np.abs(array - expected).max() > 1
