"""NIfTI files: what is kept, what is refused, and that no half file is left."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume, load_volume, save_volume, volume_suffix

AFFINE = np.array([[-0.9, 0.1, 0, 80], [0.1, 0.9, 0, -90], [0, 0, 5.5, -30], [0, 0, 0, 1.0]])


def write(path: Path, array, affine=AFFINE, kind=nib.Nifti1Image) -> Path:
    nib.save(kind(array, affine), path)
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_what_is_written_keeps_the_source_geometry_bit_for_bit(tmp_path, kind, name) -> None:
    image = kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"scanner A"
    image.set_qform(AFFINE, code=1)
    image.set_sform(AFFINE, code=4)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
    source = tmp_path / "source.nii.gz"
    nib.save(image, source)
    save_volume(load_volume(source), tmp_path / name)
    before, after = nib.load(source), nib.load(tmp_path / name)
    assert type(after) is kind
    assert after.get_data_dtype() == np.float32
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in ("pixdim", "qform_code", "sform_code", "quatern_b", "srow_x", "xyzt_units"):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    assert after.header["descrip"] == before.header["descrip"]
    assert after.header.extensions[0].get_content() == b"kept"
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 1)])
def test_transform_codes_stay_as_they_are(tmp_path: Path, codes) -> None:
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.diag([2.0, 2, 3, 1]))
    image.header["qform_code"], image.header["sform_code"] = codes
    nib.save(image, tmp_path / "in.nii")
    save_volume(load_volume(tmp_path / "in.nii"), tmp_path / "out.nii")
    before, after = nib.load(tmp_path / "in.nii"), nib.load(tmp_path / "out.nii")
    assert (after.header["qform_code"], after.header["sform_code"]) == (
        before.header["qform_code"],
        before.header["sform_code"],
    )
    np.testing.assert_array_equal(after.affine, before.affine)


def test_scaled_integers_are_read_in_their_unit(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[0, 1, 2]]], np.int16), AFFINE)
    image.header.set_slope_inter(2.0, 10.0)
    nib.save(image, tmp_path / "a.nii")
    # nibabel rescales on saving; what counts is that both readings agree
    expected = nib.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(load_volume(tmp_path / "a.nii").array, expected, atol=1e-4)


def test_not_finite_voxels_become_zero_and_are_counted(tmp_path: Path) -> None:
    array = np.ones((3, 4, 5), np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = load_volume(write(tmp_path / "a.nii.gz", array))
    assert volume.nonfinite_voxels == 3
    assert volume.array.sum() == 57


def rgb() -> np.ndarray:
    return np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 4, 5, 2), np.float32), r"shape \(3, 4, 5, 2\)"),
        (np.ones((3, 4), np.float32), r"shape \(3, 4\)"),
        (rgb(), "RGB voxels"),
        (np.ones((3, 4, 5), np.complex64), "complex voxels"),
        (np.full((3, 4, 5), np.nan, np.float32), "none of its 60 voxels is finite"),
    ],
)
def test_volumes_that_are_no_scalar_volume_are_refused(tmp_path, array, message) -> None:
    path = write(tmp_path / "a.nii.gz", array)
    with pytest.raises(VolumeError, match=f"a.nii.gz: .*{message}"):
        load_volume(path)


def test_a_singleton_fourth_axis_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", np.ones((3, 4, 5, 1), np.float32))
    assert load_volume(path).shape == (3, 4, 5)


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.nii.gz", np.random.default_rng(0).random((30, 30, 30)))
    truncated = tmp_path / "truncated.nii.gz"
    truncated.write_bytes(whole.read_bytes()[:-5000])
    text = tmp_path / "text.nii"
    text.write_text("not a volume")
    bad_gzip = tmp_path / "bad.nii.gz"
    bad_gzip.write_bytes(b"plain bytes")
    empty = tmp_path / "empty.nii.gz"
    empty.write_bytes(gzip.compress(b""))
    unknown = tmp_path / "a.png"
    unknown.write_bytes(b"")
    for path, message in [
        (truncated, "truncated"),
        (text, "not a readable NIfTI"),
        (bad_gzip, "not a readable NIfTI"),
        (empty, "not a readable NIfTI"),
        (unknown, "known are .nii, .nii.gz"),
        (tmp_path / "none.nii", "no such file"),
    ]:
        with pytest.raises(VolumeError, match=message) as caught:
            load_volume(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", np.ones((3, 4, 5), np.float32))
    volume = load_volume(path)
    before = path.read_bytes()
    with pytest.raises(VolumeError, match="exists; give another -o or --overwrite"):
        save_volume(volume.with_array(volume.array * 2), path)
    assert path.read_bytes() == before
    save_volume(volume.with_array(volume.array * 2), path, overwrite=True)
    assert load_volume(path).array.max() == 2


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    volume = Volume(array=np.ones((3, 4, 5)), affine=AFFINE)
    with pytest.raises(VolumeError, match=r"can't write .*choose another -o"):
        save_volume(volume, tmp_path / "absent" / "a.nii.gz")

    def full(image, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("i2igalip_cli.volumes.nifti.nib.save", full)
    with pytest.raises(VolumeError, match="No space left on device"):
        save_volume(volume, tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []


def test_suffixes_are_recognised_in_any_case() -> None:
    assert [volume_suffix(Path(n)) for n in ("a.nii", "b.NII.gz", "c.dcm")] == [
        ".nii",
        ".nii.gz",
        None,
    ]
