"""NIfTI files: what is kept, what is refused, and that no half file is left."""

import gzip
import itertools
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from conftest import DERIVATION

from i2igalip_cli.errors import EmptyVolumeError, VolumeError
from i2igalip_cli.volumes import (
    Volume,
    VolumeEntry,
    list_volumes,
    load_entry,
    load_volume,
    save_volume,
    volume_suffix,
)

AFFINE = np.array([[-0.9, 0.1, 0, 80], [0.1, 0.9, 0, -90], [0, 0, 5.5, -30], [0, 0, 0, 1.0]])
NAMES = ("a.nii", "a.nii.gz", "A.NII.GZ", "a.hdr", "a.img", "Kopf ü (1).nii")
GEOMETRY = ("pixdim", "qform_code", "sform_code", "xyzt_units", "dim_info", "srow_x", "srow_y")
QUATERNION = ("srow_z", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_z")


def write(path: Path, array, affine=AFFINE, kind=nib.Nifti1Image) -> Path:
    nib.save(kind(array, affine), path)
    return path


def numbers(shape=(3, 4, 5), dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


def patched(path: Path, **fields) -> Path:
    """The file again, single and uncompressed NIfTI-1, with header fields overwritten."""
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(raw)
    return path


def position(affine, index) -> np.ndarray:
    return (np.asarray(affine) @ [*index, 1])[:3]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_keeps_the_source_geometry_bit_for_bit(tmp_path, kind, name) -> None:
    image = kind(numbers(), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"scanner A"
    image.set_qform(AFFINE, code=1)
    image.set_sform(AFFINE, code=4)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
    source = tmp_path / "source.nii.gz"
    nib.save(image, source)
    save_volume(load_volume(source), tmp_path / name)
    before, after = nib.load(source), nib.load(tmp_path / name)
    assert isinstance(after, nib.Nifti1Pair | nib.Nifti2Pair)
    assert after.header.sizeof_hdr == before.header.sizeof_hdr
    assert after.get_data_dtype() == np.float32
    np.testing.assert_array_equal(after.affine, before.affine)
    for field in (*GEOMETRY, *QUATERNION):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    assert after.header["descrip"] == before.header["descrip"]
    assert after.header.extensions[0].get_content() == b"kept"
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
    np.testing.assert_array_equal(load_volume(tmp_path / name).array, before.get_fdata())


@pytest.mark.parametrize("codes", [*itertools.product((0, 1, 2), (0, 1, 4))])
def test_transform_codes_stay_as_they_are_and_the_sform_counts(tmp_path: Path, codes) -> None:
    image = nib.Nifti1Image(numbers(dtype=np.float32), AFFINE)
    image.set_qform(AFFINE, code=codes[0])
    image.set_sform(AFFINE, code=codes[1])
    nib.save(image, tmp_path / "in.nii")
    volume = load_volume(tmp_path / "in.nii")
    save_volume(volume, tmp_path / "out.nii")
    before, after = nib.load(tmp_path / "in.nii"), nib.load(tmp_path / "out.nii")
    assert (after.header["qform_code"], after.header["sform_code"]) == codes
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(volume.affine, before.affine)
    unknown = "left and right are unknown" in " ".join(volume.warnings)
    assert unknown == (codes == (0, 0))


def test_transforms_that_disagree_are_told_in_millimetres_at_the_corners(tmp_path: Path) -> None:
    def warnings(shift_mm: float, turn_degrees: float = 0.0, mm: float = 1.0) -> str:
        image = nib.Nifti1Image(numbers((11, 11, 11), np.float32), np.eye(4))
        other = np.eye(4)
        c, s = np.cos(np.deg2rad(turn_degrees)), np.sin(np.deg2rad(turn_degrees))
        other[:2, :2] = [[c, -s], [s, c]]
        other[0, 3] = shift_mm
        image.set_qform(other, code=1)
        image.set_sform(np.eye(4), code=1)
        image.header.set_xyzt_units("mm" if mm == 1 else "micron")
        nib.save(image, tmp_path / "a.nii")
        return " | ".join(load_volume(tmp_path / "a.nii").warnings)

    assert warnings(0.09) == ""
    assert "up to 0.2 mm apart; sform is used" in warnings(0.2)
    # a quarter turn takes the corner (10, 10) to (-10, 10)
    assert "up to 20 mm apart" in warnings(0, 90)
    assert "apart" not in warnings(0.2, mm=1e-3)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 1e-3), ("mm", 1.0)])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1)])
def test_units_scale_the_affine_to_millimetres_as_itk_has_it(tmp_path, unit, factor, codes) -> None:
    affine = np.diag([1 / factor, 1 / factor, 3 / factor, 1])
    affine[:3, 3] = np.array([10, -20, 30]) / factor
    image = nib.Nifti1Image(numbers(), affine)
    image.set_qform(affine, code=codes[0])
    image.set_sform(affine, code=codes[1])
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    volume = load_volume(tmp_path / "a.nii")
    expected = np.array([[1, 0, 0, 10], [0, 1, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1.0]])
    np.testing.assert_allclose(volume.affine, expected, rtol=1e-6)
    itk = sitk.ReadImage(str(tmp_path / "a.nii"))
    corner = np.multiply(itk.TransformIndexToPhysicalPoint((2, 3, 4)), (-1, -1, 1))
    np.testing.assert_allclose(position(volume.affine, (2, 3, 4)), corner, rtol=1e-5)
    assert bool(volume.warnings) == (factor != 1)
    save_volume(volume, tmp_path / "b.nii")
    before, after = nib.load(tmp_path / "a.nii").header, nib.load(tmp_path / "b.nii").header
    for field in (*GEOMETRY, *QUATERNION):
        np.testing.assert_array_equal(after[field], before[field])
    np.testing.assert_array_equal(load_volume(tmp_path / "b.nii").affine, volume.affine)


def test_an_unknown_unit_is_told(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.nii", numbers()), xyzt_units=5)
    assert "unit 5 is none of the standard's" in load_volume(path).warnings[0]
    assert load_volume(patched(path, xyzt_units=0)).warnings == ()


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["i2", "u2", "u1", "i1", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_big_endian_and_every_scalar_type_are_read(tmp_path, kind, dtype) -> None:
    image = kind(numbers(dtype=dtype), AFFINE, dtype=dtype)
    swapped = kind(image.dataobj, AFFINE, image.header.as_byteswapped(">"), dtype=dtype)
    nib.save(swapped, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:2] == b"\0\0"  # big-endian indeed
    volume = load_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array, numbers())
    assert volume.stored_dtype == np.dtype(dtype)
    save_volume(volume, tmp_path / "b.nii.gz", dtype="int16")
    again = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(again.get_fdata(), numbers(), atol=59 / 2**15)
    np.testing.assert_array_equal(again.affine, nib.load(tmp_path / "a.nii").affine)


@pytest.mark.parametrize(
    ("slope", "inter", "expected"),
    [
        (2.0, 10.0, [10, 12, 14, -4]),
        (-0.5, 0.0, [0, -0.5, -1, 3.5]),
        (0.0, 7.0, [0, 1, 2, -7]),
        (np.nan, 7.0, [0, 1, 2, -7]),
        (np.inf, 7.0, [0, 1, 2, -7]),
    ],
)
def test_scaled_integers_are_read_in_their_unit(tmp_path, slope, inter, expected) -> None:
    path = write(tmp_path / "a.nii", np.array([[[0, 1, 2, -7]]], np.int16))
    volume = load_volume(patched(path, scl_slope=slope, scl_inter=inter))
    np.testing.assert_array_equal(volume.array.ravel(), expected)
    assert ("infinite" in " ".join(volume.warnings)) == np.isinf(slope)


@pytest.mark.parametrize("lowest", [-1024, -501, -500, -3], ids=str)
def test_not_finite_voxels_among_hounsfield_units_become_air_not_water(tmp_path, lowest) -> None:
    array = np.full((3, 4, 5), 40, np.float32)
    array[0, 0, :3] = np.nan, lowest, np.inf
    volume = load_volume(write(tmp_path / "ct.nii.gz", array))
    assert volume.nonfinite_voxels == 2
    told = lowest if lowest <= -500 else 0
    np.testing.assert_array_equal(volume.array[0, 0], [told, lowest, told, 40, 40])


def test_not_finite_voxels_become_zero_and_are_counted(tmp_path: Path) -> None:
    array = np.ones((3, 4, 5), np.float64)
    array[0, 0, :4] = np.nan, np.inf, -np.inf, 1e300  # the last is beyond float32
    volume = load_volume(write(tmp_path / "a.nii.gz", array))
    assert volume.nonfinite_voxels == 4
    assert volume.array.sum() == 56
    with pytest.raises(EmptyVolumeError, match=r"a.nii: none of its 60 voxels is finite"):
        load_volume(write(tmp_path / "a.nii", np.full((3, 4, 5), np.nan)))


def rgb() -> np.ndarray:
    return np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 4, 5, 2), np.float32), r"2 volumes on a fourth axis; choose one"),
        (np.ones((3, 4, 5, 1, 3), np.float32), r"shape \(3, 4, 5, 1, 3\): a vector at each voxel"),
        (np.ones((3, 4), np.float32), r"shape \(3, 4\): a volume has three axes"),
        (rgb(), "RGB voxels"),
        (np.ones((3, 4, 5), np.complex64), "complex voxels"),
    ],
)
def test_what_is_no_scalar_volume_is_refused(tmp_path, array, message) -> None:
    path = write(tmp_path / "a.nii.gz", array)
    with pytest.raises(VolumeError, match=f"a.nii.gz: .*{message}"):
        load_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
def test_each_volume_of_a_series_is_read_by_its_number(tmp_path: Path, name) -> None:
    array = numbers((3, 4, 5, 6))
    image = (nib.Nifti1Pair if name == "a.img" else nib.Nifti1Image)(array, AFFINE)
    image.header["pixdim"][4], image.header["toffset"] = 2.5, 9
    image.header["slice_end"], image.header["slice_duration"] = 4, 0.5
    image.header.set_xyzt_units("mm", "sec")
    image.header["intent_code"], image.header["intent_name"] = 1001, b"correlation"
    image.header["cal_max"] = 55
    nib.save(image, tmp_path / name)
    entries = list_volumes(tmp_path / name)
    assert [entry.volume for entry in entries] == list(range(6))
    for n in range(6):
        np.testing.assert_array_equal(load_entry(entries[n]).array, array[..., n])
    volume = load_volume(tmp_path / name, volume=4)
    np.testing.assert_array_equal(volume.array, array[..., 4])
    save_volume(volume, tmp_path / "out.nii")
    after = nib.load(tmp_path / "out.nii")
    assert after.shape == (3, 4, 5)
    assert after.header["dim"].tolist() == [3, 3, 4, 5, 1, 1, 1, 1]
    assert after.header["pixdim"][4:].tolist() == [0, 0, 0, 0]
    assert after.header.get_xyzt_units() == ("mm", "unknown")
    for field in ("toffset", "slice_end", "slice_duration", "intent_code", "cal_max"):
        assert after.header[field] == 0
    assert after.header["intent_name"] == b""
    np.testing.assert_array_equal(after.affine, nib.load(tmp_path / name).affine)
    with pytest.raises(VolumeError, match=r"6 volumes on a fourth axis; choose one"):
        load_volume(tmp_path / name)
    with pytest.raises(VolumeError, match="--volume 6, but there are 0 to 5"):
        load_volume(tmp_path / name, volume=6)
    with pytest.raises(VolumeError, match="no volume 6 on a fourth axis"):
        load_entry(VolumeEntry(path=tmp_path / name, volume=6))


def test_only_the_wanted_volume_of_a_series_is_read_from_disk(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "a.nii", numbers((3, 4, 5, 6)))
    asked = []
    from i2igalip_cli.volumes import nifti

    real = nifti.read_block
    monkeypatch.setattr(nifti, "read_block", lambda *args: asked.append(args[1:]) or real(*args))
    load_volume(path, volume=2)
    assert asked == [(352 + 2 * 120, 120, 352 + 6 * 120)]


def test_a_singleton_fourth_axis_is_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", np.ones((3, 4, 5, 1), np.float32))
    assert load_volume(path).shape == (3, 4, 5)
    assert [entry.volume for entry in list_volumes(path)] == [None]


def test_a_pair_is_one_volume_under_either_name(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(numbers(), AFFINE), tmp_path / "a.img")
    listed = {entry for name in ("a.hdr", "a.img") for entry in list_volumes(tmp_path / name)}
    assert listed == {VolumeEntry(path=tmp_path / "a.hdr")}
    (tmp_path / "a.hdr").unlink()
    with pytest.raises(VolumeError, match=r"a\.hdr: a pair of .hdr and .img, but there is no"):
        load_volume(tmp_path / "a.img")


def test_a_pair_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    nib.save(nib.Nifti1Pair(numbers(), AFFINE), tmp_path / "a.img")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    volume = load_volume(tmp_path / "a.hdr")
    for name in ("a.hdr", "a.img"):
        with pytest.raises(VolumeError, match="exists; give another -o or --overwrite"):
            save_volume(volume, tmp_path / name)
    (tmp_path / "b.img").write_bytes(b"of something else")
    with pytest.raises(VolumeError, match=r"b\.img exists"):
        save_volume(volume, tmp_path / "b.hdr")
    (tmp_path / "b.img").unlink()

    def full(*args) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("i2igalip_cli.volumes.pair._put", full)  # the old header is aside by now
        with pytest.raises(VolumeError, match="No space left on device"):
            save_volume(volume.with_array(volume.array * 2), tmp_path / "a.hdr", overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    save_volume(volume.with_array(volume.array * 2), tmp_path / "a.img", overwrite=True)
    np.testing.assert_array_equal(nib.load(tmp_path / "a.img").get_fdata(), numbers() * 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.hdr", "a.img"]


def test_analyze_is_refused_because_left_and_right_are_unknown(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(numbers(), np.diag([1.0, 1, 1, 1])), tmp_path / "a.img")
    with pytest.raises(VolumeError, match=r"Analyze 7.5 .*left and right are unknown"):
        load_volume(tmp_path / "a.hdr")


def sform(row: int, column: int, value: float) -> dict:
    rows = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    rows[row, column] = value
    return {"sform_code": 1, "srow_x": rows[0], "srow_y": rows[1], "srow_z": rows[2]}


QFORM_ONLY = {"sform_code": 0, "qform_code": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (sform(0, 3, np.nan), "its sform holds NaN or infinity"),
        (sform(2, 2, 0), "its sform is singular"),
        ({**QFORM_ONLY, "quatern_b": 2}, "its qform is invalid: quaternion"),
        ({**QFORM_ONLY, "quatern_c": np.nan}, "its qform holds NaN"),
        ({**QFORM_ONLY, "qoffset_x": np.inf}, "its qform holds NaN or infinity"),
        ({**QFORM_ONLY, "pixdim": [5, 1, 1, 1, 0, 0, 0, 0]}, "its qform is invalid: .*qfac 5"),
        ({**QFORM_ONLY, "pixdim": [1, 1, 0, 1, 0, 0, 0, 0]}, r"pixdim = \[1.0, 0.0, 1.0\]"),
        ({"sform_code": 0, "pixdim": [1, 1, 1, -1, 0, 0, 0, 0]}, "pixdim = .*-1.0"),
        ({"dim": [9, 3, 4, 5, 1, 1, 1, 1]}, "dim = .9, 3"),
        ({"dim": [3, 3, -4, 5, 1, 1, 1, 1]}, "dim = .3, 3, -4"),
        ({"dim": [3, 3, 0, 5, 1, 1, 1, 1]}, "dim = .3, 3, 0"),
        ({"datatype": 2304}, "RGBA voxels"),
        ({"datatype": 1536}, "128-bit float voxels"),
        ({"datatype": 77}, "unknown voxels .datatype 77"),
        ({"vox_offset": 300}, "vox_offset = 300"),
        ({"vox_offset": 352.5}, "vox_offset = 352.5"),
        ({"vox_offset": np.nan}, "vox_offset = nan"),
        ({"vox_offset": 1e30}, "vox_offset = 1e.30"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "scl_slope is 2, but scl_inter is nan"),
        ({"magic": b"ni1"}, "in another file: rename it to .hdr"),
        ({"magic": b"xyz"}, "Analyze 7.5"),
    ],
)
def test_headers_against_the_standard_are_refused_by_name(tmp_path, fields, message) -> None:
    path = patched(write(tmp_path / "a.nii", numbers()), **fields)
    with pytest.raises(VolumeError, match=f"a.nii: .*{message}"):
        load_volume(path)


def test_an_invalid_qform_beside_a_sform_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", numbers())
    volume = load_volume(patched(path, qform_code=1, quatern_b=2))
    assert "its qform is invalid" in volume.warnings[0]
    assert "its sform is used" in volume.warnings[0]
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)


def test_a_quaternion_that_was_rounded_is_read_as_itk_reads_it(tmp_path: Path) -> None:
    affine = np.diag([-2.0, -2, 3, 1])  # half a turn about z
    image = nib.Nifti1Image(numbers(), affine)
    image.set_sform(None, code=0)
    image.set_qform(affine, code=1)
    nib.save(image, tmp_path / "a.nii")
    volume = load_volume(patched(tmp_path / "a.nii", quatern_d=1.00005))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    itk = sitk.ReadImage(str(tmp_path / "a.nii"))
    lps = itk.TransformIndexToPhysicalPoint((2, 3, 4))
    np.testing.assert_allclose(
        position(volume.affine, (2, 3, 4)), np.multiply(lps, (-1, -1, 1)), atol=1e-3
    )
    save_volume(volume, tmp_path / "b.nii")
    assert nib.Nifti1Header.from_fileobj((tmp_path / "b.nii").open("rb"), check=False)[
        "quatern_d"
    ] == np.float32(1.00005)


def test_a_qfac_of_zero_is_one(tmp_path: Path) -> None:
    image = nib.Nifti1Image(numbers(), np.diag([2.0, 2, 3, 1]))
    image.set_sform(None, code=0)
    image.set_qform(np.diag([2.0, 2, 3, 1]), code=1)
    nib.save(image, tmp_path / "a.nii")
    pixdim = image.header["pixdim"].copy()
    pixdim[0] = 0
    volume = load_volume(patched(tmp_path / "a.nii", pixdim=pixdim))
    np.testing.assert_array_equal(volume.affine, np.diag([2.0, 2, 3, 1]))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_headers_that_claim_more_than_the_file_can_hold_are_refused(tmp_path, name, kind) -> None:
    """And before memory is taken: a terabyte could not be."""
    header = kind(numbers(), AFFINE).header.copy()
    header["vox_offset"] = 352 if kind is nib.Nifti1Image else 544
    small = 1200
    for dim in ([3, small, small, small // 4], [4, small, small, 9, 10**4]):
        header["dim"] = [*dim, *[1] * (8 - len(dim))]
        raw = header.binaryblock + bytes(10**4)
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
        with pytest.raises(VolumeError, match="truncated: its header asks for"):
            list_volumes(tmp_path / name)
    header["dim"] = [3, *[10**4 if kind is nib.Nifti1Image else 10**12] * 3, 1, 1, 1, 1]
    (tmp_path / name).write_bytes(header.binaryblock + bytes(10**4))
    with pytest.raises(VolumeError, match="more than 2147483648 voxels"):
        list_volumes(tmp_path / name)


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header["dim"] = [3, 1024, 1024, 80, 1, 1, 1, 1]
    header["datatype"], header["vox_offset"], header["magic"] = 2, 352, b"n+1"
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(80):
            file.write(bytes(2**20))
    with pytest.raises(VolumeError, match="no image compresses more than 200-fold"):
        list_volumes(tmp_path / "a.nii.gz")


def test_data_that_go_on_and_on_are_refused(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.nii", numbers()).read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw + bytes(20 * 2**20)))
    with pytest.raises(VolumeError, match="goes on far beyond"):
        load_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("spot", ["checksum", "length", "voxels", "header"])
def test_a_damaged_gzip_is_refused(tmp_path: Path, spot) -> None:
    array = np.random.default_rng(0).random((20, 20, 20))
    raw = bytearray(write(tmp_path / "a.nii.gz", array).read_bytes())
    place = {"checksum": -8, "length": -4, "voxels": len(raw) // 2, "header": 30}[spot]
    raw[place] ^= 0x55
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises(VolumeError, match=r"a.nii.gz: (damaged or truncated|not a readable|its)"):
        load_volume(tmp_path / "a.nii.gz")


def test_what_follows_the_voxels_is_told_and_ignored(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.nii", numbers()).read_bytes()
    members = gzip.compress(raw[:200]) + gzip.compress(raw[200:])
    for name, content, trailing in [
        ("b.nii", raw + b"tail", 4),
        ("b.nii.gz", gzip.compress(raw) + b"garbage", 7),
        ("c.nii.gz", gzip.compress(raw + b"tail") + bytes(512), 4),  # zeros pad tapes
        ("d.nii.gz", members + bytes(100), 0),
        ("e.nii.gz", members, 0),
        ("f.nii", gzip.compress(raw), 0),  # compressed, whatever its name says
        ("g.nii.gz", raw, 0),
    ]:
        (tmp_path / name).write_bytes(content)
        volume = load_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, numbers())
        expected = (f"{trailing} bytes after its voxels are ignored",) if trailing else ()
        assert volume.warnings == expected


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.nii.gz", np.random.default_rng(0).random((30, 30, 30)))
    plain = write(tmp_path / "plain.nii", numbers())
    contents = {
        "truncated.nii.gz": (whole.read_bytes()[:-5000], "truncated"),
        "last.nii.gz": (whole.read_bytes()[:-1], "truncated"),
        "plain.nii": (plain.read_bytes()[:-1], "truncated"),
        "text.nii": (b"not a volume", "not a readable NIfTI"),
        "short.nii": (plain.read_bytes()[:347], "not a readable NIfTI"),
        "bad.nii.gz": (b"plain bytes", "not a readable NIfTI"),
        "empty.nii.gz": (gzip.compress(b""), "not a readable NIfTI"),
        "nothing.nii": (b"", "not a readable NIfTI"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VolumeError, match=message) as caught:
            load_volume(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(VolumeError, match="not a regular file"):
        load_volume(tmp_path / "folder.nii")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.nii.gz")
    with pytest.raises(VolumeError, match="not a regular file"):
        load_volume(tmp_path / "a.nii.gz")


def test_extensions_are_kept_to_the_byte_and_the_derivation_is_one_more(tmp_path: Path) -> None:
    """Codes that nibabel would parse and write anew (2 is DICOM) and ones it doesn't know."""
    raw = write(tmp_path / "a.nii", numbers()).read_bytes()
    blocks = b"".join(
        struct.pack("<2i", 8 + len(content), code) + content
        for code, content in ((2, bytes(range(40))), (44, b"\xff" * 24), (6, b"ends\0\0\0\0"))
    )
    (tmp_path / "a.nii").write_bytes(raw[:348] + b"\1\0\0\0" + blocks + raw[352:])
    patched(tmp_path / "a.nii", vox_offset=352 + len(blocks))
    volume = load_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.array, numbers())
    for name in ("b.nii", "b.hdr"):
        save_volume(volume, tmp_path / name)
        assert (tmp_path / name).read_bytes()[348 : 352 + len(blocks)] == b"\1\0\0\0" + blocks
        np.testing.assert_array_equal(load_volume(tmp_path / name).array, numbers())
    save_volume(replace(volume, derivation=DERIVATION), tmp_path / "c.nii")
    last = nib.load(tmp_path / "c.nii").header.extensions[-1]
    assert (last.get_code(), last.get_content().rstrip(b"\0").decode()) == (
        6,
        DERIVATION.describe(),
    )
    np.testing.assert_array_equal(nib.load(tmp_path / "c.nii").get_fdata(), numbers())


@pytest.mark.parametrize(
    ("header", "descrip"), [(None, b"i2igalip synthetic"), (object(), b"i2igalip synthetic")]
)
def test_a_volume_of_another_format_gets_a_fresh_header(tmp_path, header, descrip) -> None:
    angle = np.deg2rad(20)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0] * 3]
    )
    turn[2, 2] = 1
    affine = np.eye(4)
    affine[:3, :3] = turn * [0.9, 0.8, -3.0]
    affine[:3, 3] = 80.25, -91.5, 30
    volume = Volume(array=numbers(), affine=affine, header=header, derivation=DERIVATION)
    save_volume(volume, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.header["descrip"] == descrip
    np.testing.assert_allclose(image.get_sform(), affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-4)
    assert image.header["pixdim"][1:4] == pytest.approx((0.9, 0.8, 3.0))
    sheared = affine.copy()
    sheared[:3, 2] += 0.1 * sheared[:3, 0]
    save_volume(Volume(array=numbers(), affine=sheared), tmp_path / "b.nii")
    image = nib.load(tmp_path / "b.nii")
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 0)
    assert image.header["descrip"] == b"i2igalip"
    np.testing.assert_allclose(image.affine, sheared, atol=1e-5)


def test_a_volume_that_was_moved_does_not_keep_its_old_place(tmp_path: Path) -> None:
    volume = load_volume(write(tmp_path / "a.nii", numbers()))
    moved = volume.affine.copy()
    moved[0, 3] += 5
    save_volume(replace(volume, affine=moved), tmp_path / "b.nii")
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").affine, moved, atol=1e-5)


# Storing


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "int32"])
def test_hounsfield_units_are_stored_as_they_are_and_cut_to_the_range(tmp_path, dtype) -> None:
    values = np.array([-1024.0, -0.6, 0.4, 200.5, 201.5, 3071, 7e4, 5e9]).reshape(2, 2, 2)
    volume = Volume(array=values, affine=AFFINE, modality="CT")
    save_volume(volume, tmp_path / "a.nii", dtype=dtype)
    image = nib.load(tmp_path / "a.nii")
    limits = np.iinfo(dtype)
    rounded = np.array([-1024, -1, 0, 200, 202, 3071, 70000, 5000000000])
    assert image.get_data_dtype() == np.dtype(dtype)
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    expected = np.clip(rounded, limits.min, limits.max).reshape(2, 2, 2)
    np.testing.assert_array_equal(image.get_fdata(), expected)


def test_what_was_integers_in_its_file_stays_so(tmp_path: Path) -> None:
    volume = load_volume(write(tmp_path / "a.nii", numbers()))
    save_volume(
        volume.with_array(volume.array + np.float32(0.3)), tmp_path / "b.nii", dtype="int16"
    )
    image = nib.load(tmp_path / "b.nii")
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(image.get_fdata(), numbers())


def test_integers_that_do_not_fit_the_type_are_scaled_rather_than_cut(tmp_path: Path) -> None:
    array = numbers() * np.int16(50)  # to 2950
    volume = load_volume(write(tmp_path / "a.nii", array))
    save_volume(volume, tmp_path / "b.nii", dtype="uint8")
    np.testing.assert_allclose(nib.load(tmp_path / "b.nii").get_fdata(), array, atol=2950 / 255 / 2)
    with pytest.raises(VolumeError, match="uint8 voxels need a scale"):
        save_volume(volume, tmp_path / "b.nrrd", dtype="uint8")
    save_volume(volume, tmp_path / "c.mgz", dtype=">i2")  # the byte order is the file's own
    np.testing.assert_array_equal(nib.load(tmp_path / "c.mgz").get_fdata(), array)


def test_scaled_integers_get_a_scale_again(tmp_path: Path) -> None:
    """Their intensities, 0 to 0.59, would all round to 0 or 1."""
    path = patched(write(tmp_path / "a.nii", numbers()), scl_slope=0.01, scl_inter=0)
    volume = load_volume(path)
    assert volume.stored_dtype == np.int16
    save_volume(volume, tmp_path / "b.nii", dtype="int16")
    np.testing.assert_allclose(
        nib.load(tmp_path / "b.nii").get_fdata(), numbers() * 0.01, atol=0.59 / 2**15
    )


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "int32"])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 812.7), (-3.3, 9.1), (-900, -0.1), (0, 3e-7), (0, 0)]
)
def test_other_intensities_are_stored_on_one_scale_of_the_range(
    tmp_path, kind, dtype, low, high
) -> None:
    values = np.linspace(low, high, 60, dtype=np.float32).reshape(3, 4, 5)
    values[0, 0, 1] = np.clip(0, low, high)
    source = load_volume(write(tmp_path / "s.nii", np.ones((3, 4, 5), np.float32), kind=kind))
    save_volume(source.with_array(values), tmp_path / "a.nii", dtype=dtype)
    image = nib.load(tmp_path / "a.nii")
    assert image.get_data_dtype() == np.dtype(dtype)
    limits = np.iinfo(dtype)
    widest = max(abs(low), abs(high), high - low)
    step = widest / limits.max  # at the coarsest
    written = image.get_fdata()
    np.testing.assert_allclose(written, values, atol=step / 2 + 1e-6 * widest, rtol=0)
    if low >= 0 or (high > 0 and dtype.startswith("int")):
        assert written[0, 0, 1] == 0  # exactly: masks ask for more than 0
    if low == 0:
        assert (written > 0).sum() == (58 if high else 0)  # what was above 0 still is
    raw = np.asarray(image.dataobj.get_unscaled())
    if high > low:
        assert max(raw.max() / limits.max, raw.min() / limits.min if limits.min else 0) > 0.99
    np.testing.assert_allclose(load_volume(tmp_path / "a.nii").array, written, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64", ">U3"])
def test_other_types_are_refused(tmp_path, dtype) -> None:
    volume = Volume(array=numbers(), affine=AFFINE)
    with pytest.raises(VolumeError, match="choose one of float32, int16, uint16, uint8, int32"):
        save_volume(volume, tmp_path / "a.nii", dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", np.ones((3, 4, 5), np.float32))
    volume = load_volume(path)
    before = path.read_bytes()
    with pytest.raises(VolumeError, match="exists; give another -o or --overwrite"):
        save_volume(volume.with_array(volume.array * 2), path)
    assert path.read_bytes() == before
    save_volume(volume.with_array(volume.array * 2), path, overwrite=True)
    assert load_volume(path).array.max() == 2


FULL = """
import resource, sys
import numpy as np
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume, save_volume
volume = Volume(array=np.random.default_rng(0).random((40, 40, 40)), affine=np.eye(4))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as if the disk were full
try:
    save_volume(volume, sys.argv[1])
except VolumeError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.hdr", "a.mgz", "a.nrrd", "a.mha", "a.mhd"]
)
def test_a_write_that_fails_leaves_nothing(tmp_path: Path, name) -> None:
    out = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / name)], capture_output=True, text=True
    )
    assert out.stdout.startswith("can't write ")
    assert out.stdout.count("\n") == 1
    assert "choose another -o" in out.stdout
    assert list(tmp_path.iterdir()) == []
    volume = Volume(array=np.ones((3, 4, 5)), affine=AFFINE)
    with pytest.raises(VolumeError, match=r"can't write .*choose another -o"):
        save_volume(volume, tmp_path / "absent" / name)


def test_the_same_volume_gives_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    volume = Volume(array=numbers(), affine=AFFINE)
    for name in ("a.nii.gz", "other.nii.gz"):
        save_volume(volume, tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()


def test_a_read_only_folder_is_enough_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    path = write(folder / "a.nii.gz", numbers())
    folder.chmod(0o555)
    path.chmod(0o444)
    try:
        np.testing.assert_array_equal(load_volume(path).array, numbers())
        assert [file.name for file in folder.iterdir()] == ["a.nii.gz"]
    finally:
        folder.chmod(0o755)


def test_suffixes_are_recognised_in_any_case() -> None:
    names = ("a.nii", "b.NII.gz", "c.HDR", "d.Img", "e.MGZ", "f.nhdr", "g.MHA", "h.png")
    expected = [".nii", ".nii.gz", ".hdr", ".img", ".mgz", ".nhdr", ".mha", None]
    assert [volume_suffix(Path(name)) for name in names] == expected


def test_an_output_of_ours_is_known_as_synthetic(tmp_path: Path) -> None:
    volume = Volume(array=np.ones((3, 4, 5)) * np.arange(5), affine=AFFINE)
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        save_volume(volume, tmp_path / name)
        assert not list_volumes(tmp_path / name)[0].synthetic
        made = tmp_path / f"made_{name}"
        save_volume(replace(volume, derivation=DERIVATION), made)
        assert list_volumes(made)[0].synthetic
        assert any("synthetic image itself" in w for w in load_volume(made).warnings)
