"""NRRD and MetaImage, with SimpleITK itself as the other side."""

import gzip
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from conftest import DERIVATION

from i2igalip_cli.errors import EmptyVolumeError, VolumeError
from i2igalip_cli.volumes import (
    Volume,
    list_volumes,
    load_entry,
    load_volume,
    save_volume,
)

NAMES = ("a.nrrd", "a.nhdr", "a.mha", "a.mhd")
ANGLE = 0.3
DIRECTION = (np.cos(ANGLE), -np.sin(ANGLE), 0, np.sin(ANGLE), np.cos(ANGLE), 0, 0, 0, -1)


def numbers(shape=(3, 4, 5), dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


def image(array=None) -> "sitk.Image":
    """Of (I, J, K) voxels."""
    made = sitk.GetImageFromArray(np.ascontiguousarray((numbers() if array is None else array).T))
    if made.GetDimension() == 3:
        made.SetSpacing((0.3, 1 / 3, 3))
        made.SetOrigin((1 / 7, -123.456789, 30))
        made.SetDirection(DIRECTION)
    return made


def write(path: Path, array=None, compress: bool = False) -> Path:
    sitk.WriteImage(image(array), str(path), useCompression=compress)
    return path


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"])
def test_voxels_lie_in_ras_where_itk_has_them_in_lps(tmp_path, name, dtype, compress) -> None:
    path = write(tmp_path / name, numbers(dtype=dtype), compress)
    volume = load_volume(path)
    np.testing.assert_array_equal(volume.array, numbers())
    assert volume.stored_dtype == np.dtype(dtype)
    assert volume.warnings == ()
    for index in ((0, 0, 0), (2, 0, 0), (1, 3, 4)):
        lps = sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint(index)
        ras = (volume.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(ras, np.multiply(lps, (-1, -1, 1)), atol=1e-9)


@pytest.mark.parametrize("out", ["b.nrrd", "b.nhdr", "b.mha", "b.mhd", "B.NRRD", "B.MHD", "B.NHDR"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_what_is_written_keeps_geometry_and_metadata(tmp_path, name, out) -> None:
    source = image()
    source.SetMetaData("Station", "Röntgen 3")
    sitk.WriteImage(source, str(tmp_path / name))
    volume = load_volume(tmp_path / name)
    save_volume(replace(volume, derivation=DERIVATION), tmp_path / out, dtype="int16")
    reader = sitk.ImageFileReader()
    reader.SetImageIO(
        "NrrdImageIO" if "nr" in out.lower() or "nh" in out.lower() else "MetaImageIO"
    )
    reader.SetFileName(str(tmp_path / out))
    after = reader.Execute()
    before = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after).T, numbers())
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(after, get)(), getattr(before, get)(), atol=1e-12)
    np.testing.assert_allclose(load_volume(tmp_path / out).affine, volume.affine, atol=1e-12)
    assert after.GetMetaData("i2igalip") == DERIVATION.describe()
    same_family = (name[2:4] == "nr") == (out[2:4].lower() in ("nr", "nh"))
    assert after.HasMetaDataKey("Station") == same_family
    if same_family:
        assert after.GetMetaData("Station") == "Röntgen 3"


@pytest.mark.parametrize("name", NAMES)
def test_scales_that_a_format_lacks_are_refused(tmp_path: Path, name) -> None:
    volume = Volume(array=numbers() * 0.5, affine=np.eye(4))
    with pytest.raises(VolumeError, match=r"need a scale, .*use float32"):
        save_volume(volume, tmp_path / name, dtype="int16")
    with pytest.raises(VolumeError, match="choose one of float32"):
        save_volume(volume, tmp_path / name, dtype="float64")
    assert list(tmp_path.iterdir()) == []
    save_volume(replace(volume, modality="CT"), tmp_path / name, dtype="uint8")
    assert load_volume(tmp_path / name).stored_dtype == np.uint8


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_a_header_and_its_raw_file_are_written_together(tmp_path: Path, name) -> None:
    volume = Volume(array=numbers(), affine=np.eye(4))
    (tmp_path / "a.raw").write_bytes(b"of something else")
    with pytest.raises(VolumeError, match=r"a\.raw exists"):
        save_volume(volume, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["a.raw"]
    save_volume(volume, tmp_path / name, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "a.raw"]
    np.testing.assert_array_equal(load_volume(tmp_path / name).array, numbers())


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_each_volume_of_a_series_is_read_by_its_number(tmp_path: Path, name) -> None:
    array = numbers((3, 4, 5, 6))
    series = sitk.JoinSeries([image(array[..., n]) for n in range(6)])
    sitk.WriteImage(series, str(tmp_path / name))
    entries = list_volumes(tmp_path / name)
    assert [entry.volume for entry in entries] == list(range(6))
    reference = image()
    for n, entry in enumerate(entries):
        volume = load_entry(entry)
        np.testing.assert_array_equal(volume.array, array[..., n])
        lps = reference.TransformIndexToPhysicalPoint((1, 3, 4))
        ras = (volume.affine @ [1, 3, 4, 1])[:3]
        np.testing.assert_allclose(ras, np.multiply(lps, (-1, -1, 1)), atol=1e-9)
    with pytest.raises(VolumeError, match="6 volumes on a fourth axis"):
        load_volume(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_scalar_volume_is_refused(tmp_path: Path, name) -> None:
    vector = sitk.Compose(image(), image(), image())
    sitk.WriteImage(vector, str(tmp_path / name))
    with pytest.raises(VolumeError, match="a vector at each voxel"):
        load_volume(tmp_path / name)
    write(tmp_path / name, numbers((6, 4)))
    with pytest.raises(VolumeError, match=r"shape \(6, 4\): a volume has three axes"):
        load_volume(tmp_path / name)
    write(tmp_path / name, np.full((3, 4, 5), np.nan, np.float32))
    with pytest.raises(EmptyVolumeError, match="none of its 60 voxels is finite"):
        load_volume(tmp_path / name)
    array = numbers(dtype=np.float32)
    array[0, 0, :2] = np.inf, np.nan
    volume = load_volume(write(tmp_path / name, array))
    assert (volume.nonfinite_voxels, volume.array[0, 0, 0]) == (2, 0)


def test_a_nrrd_in_ras_is_turned_and_one_without_space_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd")
    lps = load_volume(path).affine
    ras = load_volume(replaced(path, b"left-posterior-superior", b"right-anterior-superior")).affine
    np.testing.assert_allclose(ras, np.diag([-1, -1, 1, 1]) @ lps, atol=1e-12)
    head = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 3 4 5\nspacings: 2 2 3\nendian: little\n"
    raw = numbers().tobytes(order="F")
    path.write_bytes(head + b"encoding: raw\n\n" + raw)
    volume = load_volume(path)
    assert "names no patient space" in volume.warnings[0]
    np.testing.assert_array_equal(volume.array, numbers())
    assert volume.spacing_mm == (2, 2, 3)
    path.write_bytes((head + b"encoding: raw\n\n").replace(b"\n", b"\r\n") + raw)
    np.testing.assert_array_equal(load_volume(path).array, numbers())


def test_metadata_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    path = replaced(write(tmp_path / "a.nrrd"), b"\nendian", b"\nname:=M\xfcller\nendian")
    volume = load_volume(path)
    assert volume.warnings == ("1 metadata entries aren't in UTF-8 and are not kept",)
    save_volume(volume, tmp_path / "b.nrrd")


NRRD_FAULTS = [
    (b"NRRD0004", b"NRRD", "not a readable NRRD"),
    (b"sizes: 3 4 5\n", b"", "lacks sizes"),
    (b"sizes: 3 4 5", b"sizes: 3 4", "sizes = 3 4"),
    (b"sizes: 3 4 5", b"sizes: 3 -4 5", "sizes = 3 -4 5"),
    (b"sizes: 3 4 5", b"sizes: 900 900 900", "truncated: its header asks for"),
    (b"sizes: 3 4 5", b"sizes: 3 4 6", "truncated: its header asks for"),
    (b"dimension: 3", b"dimension: 99", "dimension = 99"),
    (b"type: short", b"type: block", "type 'block'"),
    (b"encoding: raw", b"encoding: bzip2", "encoding 'bzip2'"),
    (b"\nkinds", b'\nspace units: "um" "um" "um"\nkinds', "space units um, um, um; convert it"),
    (b"\nkinds", b"\nbyte skip: -1\nkinds", "'byteskip' is not read"),
    (b"\nkinds", b"\ndata file: LIST\nkinds", "voxels in several files"),
    (b"\nkinds", b"\ndata file: absent.raw\nkinds", "there is no .*absent.raw"),
    (b"(0,0,-3)", b"(0,0,0)", r"a.nrrd: .*"),
    (b"(0,0,-3)", b"(nan,0,-3)", r"a.nrrd: .*"),
]
META_FAULTS = [
    (b"ObjectType = Image\n", b"not a header\n", "not a readable MetaImage"),
    (b"DimSize = 3 4 5\n", b"", "lacks DimSize"),
    (b"DimSize = 3 4 5", b"DimSize = 3 4", "DimSize = 3 4"),
    (b"DimSize = 3 4 5", b"DimSize = 900 900 900", "truncated: its header asks for"),
    (b"DimSize = 3 4 5", b"DimSize = 3 x\nDimSize = 3 4 5", "says DimSize twice"),
    (b"NDims = 3", b"NDims = 12", "NDims = 12"),
    (b"MET_SHORT", b"MET_OTHER", "ElementType MET_OTHER"),
    (b"BinaryData = True", b"BinaryData = False", "voxels in text"),
    (b"BinaryData = True", b"BinaryData: x = True", "voxels in text"),
    (b"Offset = ", b"Offset = nan ", "says Offset = nan"),
    (b"ElementSpacing = 0.2", b"ElementSpacing = x.2", "says ElementSpacing"),
    (b"CompressedData = False", b"CompressedData = True", "lacks CompressedDataSize"),
    (b"ElementDataFile = LOCAL", b"ElementDataFile = LIST", "voxels in several files"),
    (b"ElementDataFile = LOCAL", b"ElementDataFile = no.raw", "there is no .*no.raw"),
    (b"\nDimSize", b"\nHeaderSize = -1\nDimSize", "HeaderSize -1 is not read"),
    (b"\nDimSize", b"\nElementToIntensityFunctionSlope = 2\nDimSize", "Slope = 2 is not read"),
    (b"\nDimSize", b"\nComment = " + b"a" * 5000 + b"\nDimSize", "its header is no text"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [*(("a.nrrd", *fault) for fault in NRRD_FAULTS), *(("a.mha", *fault) for fault in META_FAULTS)],
)
def test_damaged_headers_are_refused_in_one_silent_line(
    tmp_path, capfd, name, old, new, message
) -> None:
    made = image()
    made.SetSpacing((0.25, 1 / 3, 3))
    sitk.WriteImage(made, str(tmp_path / name))
    with pytest.raises(VolumeError, match=message) as caught:
        load_volume(replaced(tmp_path / name, old, new))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_and_damaged_voxels_are_refused(tmp_path, capfd, name, compress) -> None:
    array = np.random.default_rng(0).random((20, 20, 20), dtype=np.float32)
    write(tmp_path / name, array, compress)
    path = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)  # that of the voxels
    raw = path.read_bytes()
    for damaged in (raw[:-1], raw[:-2000]):
        path.write_bytes(damaged)
        with pytest.raises(VolumeError, match="truncated"):
            load_volume(tmp_path / name)
    if compress:
        path.write_bytes(raw[:-1000] + b"\x55" + raw[-999:])
        with pytest.raises(VolumeError, match="damaged"):
            load_volume(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, name) -> None:
    pack = gzip.compress if name == "a.nrrd" else zlib.compress
    payload = pack(bytes(2**22))
    header = (
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 1000 1000 400\nencoding: gzip\n\n"
        if name == "a.nrrd"
        else b"ObjectType = Image\nNDims = 3\nDimSize = 1000 1000 400\nElementType = MET_UCHAR\n"
        b"CompressedData = True\nCompressedDataSize = %d\nElementDataFile = LOCAL\n"
        % (len(payload) * 96)
    )
    (tmp_path / name).write_bytes(header + payload * 96)
    with pytest.raises(VolumeError, match="no image compresses more than 200-fold"):
        load_volume(tmp_path / name)
    (tmp_path / name).write_bytes(header.replace(b"1000 1000 400", b"100 100 40") + payload * 96)
    with pytest.raises(VolumeError, match="unfold to another size than 400000 bytes"):
        load_volume(tmp_path / name)


def test_simpleitk_is_loaded_only_by_who_needs_it() -> None:
    code = "import sys, i2igalip_cli.volumes; print('SimpleITK' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
