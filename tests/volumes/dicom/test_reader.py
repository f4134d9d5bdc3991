"""DICOM in: places, intensities and files, against independent readers and by hand."""

import itertools
import multiprocessing
import os
import pickle
import shutil
import subprocess
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its own short name)
from pydicom.data import get_testdata_file
from pydicom.fileset import FileSet
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from volumes.dicom.series_maker import (
    ABSENT,
    affine_of,
    make_series,
    oblique,
    pack_lossless_jpeg,
    ramp,
)

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume, load_volume
from i2igalip_cli.volumes.dicom import list_volumes, lossless_jpeg, read
from i2igalip_cli.volumes.dicom.pixels import decode_frame
from i2igalip_cli.volumes.entry import choose_entries

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS
AXES = [
    "".join(letters)
    for letters in itertools.product("RLAPSI", repeat=3)
    if len({"RLAPSI".index(letter) // 2 for letter in letters}) == 3
]


def load(path: Path, series: str | None = None, irregular="fail") -> Volume:
    (entry,) = choose_entries(list_volumes(path), series)
    return read(entry, irregular)


def place(volume: Volume, value: float) -> np.ndarray:
    """Patient position (RAS mm) of the only voxel of that intensity."""
    (index,) = np.argwhere(volume.array == value)
    return volume.affine[:3] @ (*index, 1)


def same_grid(volume: Volume, array: np.ndarray, affine: np.ndarray) -> bool:
    """Whether a volume holds these voxels at these places, in whatever order of the third axis."""
    corner = np.linalg.inv(volume.affine) @ affine @ (0, 0, 0, 1)
    flipped = corner[2] > 0.5
    expected = array[:, :, ::-1] if flipped else array
    return bool(np.array_equal(volume.array, expected)) and bool(np.allclose(corner[:2], 0))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("make_affine", [affine_of, oblique], ids=["straight", "oblique"])
def test_every_voxel_lies_where_its_slice_says(tmp_path, axes, make_affine) -> None:
    affine = make_affine(axes)
    stored = ramp()
    make_series(tmp_path, stored=stored, affine=affine)
    volume = load(tmp_path)
    assert same_grid(volume, stored, affine)
    for index in [(0, 0, 0), (6, 4, 3), (2, 3, 1)]:
        expected = affine[:3] @ (*index, 1)
        found = place(volume, float(stored[index]))
        np.testing.assert_allclose(found, expected, atol=1e-3)
    normal = np.cross(volume.affine[:3, 0], volume.affine[:3, 1])
    assert normal @ volume.affine[:3, 2] > 0, "slices run along their normal (same sign in RAS)"


def test_highdicom_simpleitk_and_dcm2niix_see_the_same_volume(tmp_path) -> None:
    affine = oblique("PSL")
    datasets = make_series(tmp_path / "in", affine=affine)
    volume = load(tmp_path / "in")
    theirs = highdicom.get_volume_from_series(datasets)
    for value in (0, 33, 411):
        (index,) = np.argwhere(np.squeeze(theirs.array) == value)
        position = (FLIP @ theirs.affine)[:3] @ (*index, 1)
        np.testing.assert_allclose(place(volume, value), position, atol=1e-3)

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "in")))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    for value in (0, 33, 411):
        (index,) = np.argwhere(array == value)
        position = image.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]])
        np.testing.assert_allclose(place(volume, value)[:2], -np.array(position[:2]), atol=1e-3)
        np.testing.assert_allclose(place(volume, value)[2], position[2], atol=1e-3)

    (tmp_path / "out").mkdir()
    program = shutil.which("dcm2niix") or str(Path(shutil.sys.executable).parent / "dcm2niix")
    command = [program, "-f", "x", "-o", str(tmp_path / "out"), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True)
    nifti = nib.load(tmp_path / "out" / "x.nii")
    data = np.asanyarray(nifti.dataobj)
    for value in (0, 33, 411):
        (index,) = np.argwhere(data == value)
        position = nifti.affine[:3] @ (*index, 1)
        np.testing.assert_allclose(place(volume, value), position, atol=1e-3)


def test_neither_names_nor_instance_numbers_order_slices(tmp_path) -> None:
    backwards = [{"InstanceNumber": number} for number in (9, 1, 5, 3)]
    stored = ramp()
    make_series(tmp_path, stored=stored, per_slice=backwards, names=["c", "a", "d.ima", "b b.dcm"])
    np.testing.assert_array_equal(load(tmp_path).array, stored)


def test_non_square_pixels_keep_rows_and_columns_apart(tmp_path) -> None:
    make_series(tmp_path)  # PixelSpacing 1.25\\0.8: between rows, between columns
    volume = load(tmp_path)
    assert volume.shape == (7, 5, 4)
    np.testing.assert_allclose(volume.spacing_mm, (0.8, 1.25, 3.0))


def test_rescale_is_applied_slice_by_slice_in_float(tmp_path) -> None:
    stored = ramp()
    slopes, intercepts = (0.5, 2.0, 1.0, 0.25), (1.0, -3.5, 0.0, 10.0)
    make_series(tmp_path, stored=stored, slopes=slopes, intercepts=intercepts)
    expected = stored * np.array(slopes) + np.array(intercepts)
    np.testing.assert_allclose(load(tmp_path).array, expected, rtol=1e-6)


def test_ct_is_in_hounsfield_units_with_padding_as_air(tmp_path) -> None:
    stored = ramp(dtype=np.int16)
    stored[:2] = -2000
    extra = {"PixelPaddingValue": -2000}
    make_series(tmp_path, stored=stored, modality="CT", intercepts=-1024.0, slopes=1.0, extra=extra)
    volume = load(tmp_path)
    assert volume.modality == "CT"
    assert volume.stored_dtype == np.int16
    np.testing.assert_array_equal(volume.array[2:], stored[2:].astype(np.float32) - 1024)
    assert (volume.array[:2] == stored[2:].min() - 1024).all(), "the lowest true value"


def test_ct_without_rescale_has_no_hounsfield_units(tmp_path) -> None:
    make_series(tmp_path, modality="CT", extra={"RescaleSlope": ABSENT, "RescaleIntercept": ABSENT})
    with pytest.raises(VolumeError, match="CT without RescaleSlope and RescaleIntercept"):
        load(tmp_path)


@pytest.mark.parametrize(
    "odd", [{"PhotometricInterpretation": "MONOCHROME1"}, {"RescaleSlope": ABSENT}]
)
def test_slices_whose_intensities_mean_different_things_are_refused(tmp_path, odd) -> None:
    make_series(tmp_path, slopes=2.0, per_slice=[{}, odd, {}, {}])
    with pytest.raises(VolumeError, match=f"{next(iter(odd))} isn't alike in all slices"):
        load(tmp_path)


@pytest.mark.parametrize("rescale", [True, False])
def test_rescale_goes_before_a_real_world_value_mapping(tmp_path, rescale) -> None:
    mapping = pydicom.Dataset()
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 3.0, 1.0
    stored = ramp()
    make_series(
        tmp_path,
        stored=stored,
        slopes=2.0 if rescale else None,
        extra={"RealWorldValueMappingSequence": [mapping]},
    )
    volume = load(tmp_path)
    expected = stored * 2.0 if rescale else stored * 3.0 + 1
    np.testing.assert_allclose(volume.array, expected)
    counts = "RescaleSlope counts" if rescale else "RealWorldValueMapping counts"
    assert any(counts in warning for warning in volume.warnings)


def test_the_file_meta_tells_the_class_where_the_image_does_not(tmp_path) -> None:
    make_series(tmp_path)
    for file in tmp_path.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.SOPClassUID
        dataset.save_as(file)
    assert load(tmp_path).modality == "MR"


def test_a_slice_cut_off_anywhere_is_never_passed_over(tmp_path) -> None:
    make_series(tmp_path, stored=ramp((7, 5, 6)))
    whole = (tmp_path / "IM0006").read_bytes()
    for end in range(0, len(whole), 7):
        (tmp_path / "IM0006").write_bytes(whole[:end])
        with pytest.raises(VolumeError, match="IM0006"):
            load(tmp_path)


def test_unreadable_folders_and_links_are_seen(tmp_path) -> None:
    make_series(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    assert load(tmp_path / "in").shape == (7, 5, 4)


def test_a_disc_copied_in_lower_case_is_found(tmp_path) -> None:
    make_series(tmp_path / "a", names=[f"IM{k}" for k in range(4)])
    files = FileSet()
    for file in (tmp_path / "a").iterdir():
        files.add(file)
    files.write(tmp_path / "disc")
    for file in sorted((tmp_path / "disc").rglob("*"), reverse=True):
        if file.name != "DICOMDIR":
            file.rename(file.with_name(file.name.lower()))
    assert load(tmp_path / "disc" / "DICOMDIR").shape == (7, 5, 4)
    shutil.copy(tmp_path / "disc" / "DICOMDIR", tmp_path / "disc" / "DICOMDIR.bak")
    assert load(tmp_path / "disc").shape == (7, 5, 4)


def test_a_range_of_padding_values_is_background(tmp_path) -> None:
    stored = ramp(low=100)
    stored[0, 0] = 5
    stored[1, 1] = 9
    make_series(
        tmp_path, stored=stored, extra={"PixelPaddingValue": 10, "PixelPaddingRangeLimit": 4}
    )
    volume = load(tmp_path)
    lowest = stored[stored > 10].min()
    assert (volume.array[0, 0] == lowest).all()
    assert (volume.array[1, 1] == lowest).all()


def test_monochrome1_is_inverted_within_its_bits_but_not_hounsfield_units(tmp_path) -> None:
    stored = ramp(low=7)
    extra = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    make_series(tmp_path / "mr", stored=stored, extra=extra)
    volume = load(tmp_path / "mr")
    np.testing.assert_array_equal(volume.array, 4095 - stored.astype(np.float32))
    assert any("MONOCHROME1" in warning for warning in volume.warnings)
    make_series(tmp_path / "ct", stored=stored, extra=extra, modality="CT", intercepts=-1024.0)
    volume = load(tmp_path / "ct")
    np.testing.assert_array_equal(volume.array, stored.astype(np.float32) - 1024)
    assert any("MONOCHROME1" in warning for warning in volume.warnings)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_bits_above_and_below_the_stored_ones_are_dropped(tmp_path, dtype) -> None:
    signed = dtype == np.int16
    stored = ramp(dtype=np.int16, low=-200 if signed else 0)
    packed = ((stored.astype(np.int32) & 0x0FFF) << 2 | 0x4000 | 0x0001).astype(np.uint16)
    extra = {"BitsStored": 12, "HighBit": 13}
    make_series(tmp_path, stored=packed.view(dtype), extra=extra)
    np.testing.assert_array_equal(load(tmp_path).array, stored.astype(np.float32))


@pytest.mark.parametrize(
    "syntax",
    [
        *(ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian),
        *(RLELossless, JPEG2000Lossless, JPEGLSLossless),
    ],
    ids=lambda uid: uid.name,
)
def test_transfer_syntaxes_hold_the_same_voxels(tmp_path, syntax) -> None:
    stored = ramp(shape=(67, 65, 4)).astype(np.uint16) & 0x3FFF
    datasets = make_series(tmp_path / "plain", stored=stored)
    (tmp_path / "packed").mkdir()
    for number, dataset in enumerate(datasets):
        if syntax.is_encapsulated:
            dataset.compress(syntax)
        elif syntax == ExplicitVRBigEndian:
            dataset.file_meta.TransferSyntaxUID = syntax
            pixels = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
            dataset.PixelData = pixels.tobytes()
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
        encoding = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
        path = tmp_path / "packed" / f"{number}.dcm"
        if syntax == ExplicitVRBigEndian:
            pydicom.dcmwrite(path, _swap(dataset), **encoding)
        else:
            dataset.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(load(tmp_path / "packed").array, stored)


def _swap(dataset):
    """A dataset that pydicom lets be written with the other byte order."""
    swapped = pydicom.Dataset(dict(dataset.items()))
    swapped.file_meta = dataset.file_meta
    return swapped


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1], ids=lambda uid: uid.name)
def test_lossless_jpeg_of_old_archives_is_read(tmp_path, syntax) -> None:
    stored = ramp(shape=(16, 24, 3))
    make_series(tmp_path / "plain", stored=stored)
    (tmp_path / "packed").mkdir()
    for file in (tmp_path / "plain").iterdir():
        pack_lossless_jpeg(
            file, tmp_path / "packed" / file.name, first_order=syntax == JPEGLosslessSV1
        )
    found = pydicom.dcmread(tmp_path / "packed" / "IM0001", stop_before_pixels=True)
    assert found.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(load(tmp_path / "packed").array, stored)


def lossless_series(folder: Path, low: int) -> None:
    make_series(folder, stored=ramp(shape=(16, 24, 4), low=low))
    for file in folder.iterdir():
        pack_lossless_jpeg(file, file)


def lowest_of(folder: Path) -> float:
    return float(load(folder).array.min())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_never_get_each_others_frames(tmp_path) -> None:
    folders = [tmp_path / str(k) for k in range(6)]
    for number, folder in enumerate(folders):
        lossless_series(folder, low=1000 * number)
    assert lowest_of(folders[0]) == 0  # the parent's process is running
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(lowest_of, folders * 3) == [1000.0 * k for k in range(6)] * 3


def test_an_interrupted_frame_is_not_the_next_ones(tmp_path, monkeypatch) -> None:
    for number in (1, 2):
        lossless_series(tmp_path / str(number), low=1000 * number)
    load_answer, calls = pickle.load, iter([True])

    def interrupt(stream):
        if next(calls, False):
            raise KeyboardInterrupt
        return load_answer(stream)

    monkeypatch.setattr("i2igalip_cli.volumes.dicom.lossless_jpeg.pickle.load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "1")
    assert lowest_of(tmp_path / "2") == 2000


def test_a_decoder_that_dies_or_hangs_is_one_refusal(tmp_path, monkeypatch) -> None:
    lossless_series(tmp_path, low=0)
    monkeypatch.setattr("i2igalip_cli.volumes.dicom.lossless_jpeg.SECONDS", 0.0)
    lossless_jpeg._SERVER.forget()
    with pytest.raises(VolumeError, match="ended itself on these bytes, or took too long"):
        load(tmp_path)
    monkeypatch.undo()
    assert lowest_of(tmp_path) == 0


@pytest.mark.parametrize(
    "name",
    [
        *("JPEG2000.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"),
        *("MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm", "693_J2KI.dcm"),
        *("JPEGLSNearLossless_16.dcm", "SC_rgb_jpeg.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_compressed_images_of_pydicom_decode_or_are_refused_by_name(name) -> None:
    """Single slices: too few for a volume, so the decoder is called itself."""
    dataset = pydicom.dcmread(get_testdata_file(name, download=False))
    if dataset.SamplesPerPixel != 1:
        with pytest.raises(VolumeError, match="only monochrome"):
            decode_frame(dataset, dataset, None)
        return
    if name == "JPGExtended.dcm" and find_spec("libjpeg") is None:
        with pytest.raises(VolumeError, match=r"JPEG Extended .*pip install 'i2igalip\[jpeg\]'"):
            decode_frame(dataset, dataset, None)
        return
    found = decode_frame(dataset, dataset, None)
    slope = float(dataset.get("RescaleSlope", 1))
    expected = dataset.pixel_array * slope + float(dataset.get("RescaleIntercept", 0))
    np.testing.assert_allclose(found.array, expected)


def test_a_missing_decoder_is_named() -> None:
    dataset = pydicom.dcmread(get_testdata_file("MR_small_jp2klossless.dcm", download=False))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2, which none decodes
    with pytest.raises(VolumeError, match=r"can't be decoded .*MPEG2"):
        decode_frame(dataset, dataset, None)


def test_files_may_lack_preamble_meta_and_name(tmp_path) -> None:
    stored = ramp()
    for number, dataset in enumerate(make_series(stored=stored)):
        bare = pydicom.Dataset(dict(dataset.items()))
        pydicom.dcmwrite(
            tmp_path / f"image{number}",
            bare,
            implicit_vr=True,
            little_endian=True,
            enforce_file_format=False,
        )
    assert (tmp_path / "image0").read_bytes()[:2] == b"\x08\x00", "no preamble"
    np.testing.assert_array_equal(load(tmp_path).array, stored)


def test_zip_tar_and_dicomdir_hold_what_the_folder_holds(tmp_path) -> None:
    stored = ramp()
    make_series(tmp_path / "a" / "IMAGES", stored=stored, names=[f"IM{k}" for k in range(4)])
    (tmp_path / "a" / "readme.txt").write_text("not DICOM")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((tmp_path / "a").rglob("*")):
            archive.write(file, file.relative_to(tmp_path))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", "a")
    files = FileSet()
    for file in (tmp_path / "a" / "IMAGES").iterdir():
        files.add(file)
    files.write(tmp_path / "disc")
    for path in (
        *(tmp_path / "a", tmp_path / "a.zip", tmp_path / "a.tar.gz"),
        *(tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"),
    ):
        volume = load(path)
        np.testing.assert_array_equal(volume.array, stored)
    listed = [f for f in (tmp_path / "disc").rglob("*") if f.is_file() and f.name != "DICOMDIR"]
    listed[0].unlink()
    with pytest.raises(VolumeError, match="DICOMDIR: refers to 1 files that aren't there"):
        load(tmp_path / "disc" / "DICOMDIR")


def test_an_anonymised_series_reads_with_empty_names(tmp_path) -> None:
    extra = {"PatientID": "", "PatientName": ABSENT, "SeriesDescription": ABSENT}
    make_series(tmp_path, extra={**extra, "ProtocolName": ABSENT, "InstanceNumber": ABSENT})
    assert load(tmp_path).shape == (7, 5, 4)


def test_the_header_behind_each_slice_is_its_own_without_pixels(tmp_path) -> None:
    per_slice = [{"SliceLocation": str(10 * k)} for k in range(4)]
    make_series(tmp_path, per_slice=per_slice[::-1])
    header = load(tmp_path).header
    assert header.regular
    assert header.frames == (None,) * 4
    assert [int(d.SliceLocation) for d in header.datasets] == [30, 20, 10, 0]
    assert not any("PixelData" in dataset for dataset in header.datasets)


def test_damaged_files_beside_a_series_are_named(tmp_path) -> None:
    make_series(tmp_path)
    whole = (tmp_path / "IM0001").read_bytes()
    (tmp_path / "IM0001").write_bytes(whole[:-10])
    with pytest.raises(VolumeError, match="IM0001: pixels can't be decoded"):
        load(tmp_path)
    (tmp_path / "IM0001").write_bytes(whole[:300])
    with pytest.raises(VolumeError, match="IM0001"):
        load(tmp_path)


def test_what_holds_no_dicom_is_said_so(tmp_path) -> None:
    (tmp_path / "note.txt").write_text("nothing here")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut")
    assert list_volumes(tmp_path) == ()
    assert list_volumes(tmp_path / "note.txt") == ()
    with pytest.raises(VolumeError, match="holds no DICOM images"):
        load_volume(tmp_path)
    with pytest.raises(VolumeError, match=r"not a volume file .*\.nii\.gz.*no DICOM \(a folder"):
        load_volume(tmp_path / "note.txt")
