"""Written slices lie where the volume lies: every orientation, read back by four others."""

import itertools
import subprocess
from pathlib import Path

import dcm2niix
import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydicom import DataElement
from pydicom.config import IGNORE
from volumes.dicom.series_maker import affine_of, make_series, oblique
from volumes.dicom.written_series import bare_volume, intensities, position, source_volume, written

from i2igalip_cli.errors import VolumeError

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("LR", "AP", "SI"))
    for letters in itertools.product(*order)
]
MARKER = (5, 1, 2)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def marked(affine: np.ndarray):
    array = np.zeros((7, 5, 4), np.float32)
    array[MARKER] = 1000
    return bare_volume(affine, array=array)


def expected_position(affine: np.ndarray) -> np.ndarray:
    return (LPS @ affine @ (*MARKER, 1))[:3]


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("turned", [affine_of, oblique], ids=["straight", "oblique"])
@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_marker_stays_at_its_place_in_the_patient(tmp_path: Path, axes, turned) -> None:
    affine = turned(axes)
    datasets = written(marked(affine), tmp_path / "out")
    place = expected_position(affine)

    column, row, k = np.unravel_index(intensities(datasets).argmax(), intensities(datasets).shape)
    assert intensities(datasets).max() == 1000
    np.testing.assert_allclose(position(datasets[k], column, row), place, atol=1e-3)

    volume = highdicom.get_volume_from_series(datasets)
    found = np.unravel_index(volume.array.argmax(), volume.array.shape)
    np.testing.assert_allclose((volume.affine @ (*found, 1))[:3], place, atol=1e-3)

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in sorted((tmp_path / "out").iterdir())])
    image = reader.Execute()
    array = SimpleITK.GetArrayFromImage(image)
    z, y, x = (int(n) for n in np.unravel_index(array.argmax(), array.shape))
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((x, y, z)), place, atol=1e-3)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SAL", "ILA"])
def test_dcm2niix_finds_the_marker_too(tmp_path: Path, axes) -> None:
    affine = oblique(axes)
    written(marked(affine), tmp_path / "out")
    command = [dcm2niix.bin, "-b", "n", "-z", "n", "-f", "back", "-o", tmp_path, tmp_path / "out"]
    subprocess.run(command, check=True, capture_output=True)
    image = nib.load(tmp_path / "back.nii")
    found = np.unravel_index(np.asarray(image.dataobj).argmax(), image.shape)
    place = (affine @ (*MARKER, 1))[:3]
    np.testing.assert_allclose((image.affine @ (*found, 1))[:3], place, atol=1e-3)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_slices_are_numbered_along_their_normal(tmp_path: Path, axes) -> None:
    datasets = written(bare_volume(oblique(axes)), tmp_path / "out")
    cosines = np.array(datasets[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    places = [np.array(d.ImagePositionPatient, dtype=float) @ normal for d in datasets]
    np.testing.assert_allclose(np.diff(places), 3.0, atol=1e-6)
    assert [d.InstanceNumber for d in datasets] == [1, 2, 3, 4]
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["0001.dcm", "0002.dcm", "0003.dcm", "0004.dcm"]


def test_a_source_slices_geometry_is_copied_to_the_last_digit(tmp_path: Path) -> None:
    affine = affine_of("PSL", (0.9765625, 0.9765625, 4.8))
    series = make_series(affine=affine)
    for dataset in series:  # ways of writing that computing would not repeat
        x, y, z = (float(number) for number in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [f"+{x:.5f}", f"{y:.8E}", f"{z:.3f}0"]
        dataset.ImageOrientationPatient = ["0.000", "1.0", "-0.0", "0", "0", "1.00000"]
        dataset.PixelSpacing = ["9.765625e-1", "0.97656250"]
        dataset.SliceThickness = "4.00"
        dataset.SliceLocation = "12.5000"
    result = written(source_volume(series, affine), tmp_path / "out")
    keywords = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    for before, after in zip(series, result, strict=True):
        for keyword in (*keywords, "SliceThickness", "SliceLocation", "SpacingBetweenSlices"):
            source = before[keyword]
            strings = source.value if source.VM > 1 else [source.value]
            expected = "\\".join(number.original_string for number in strings)
            assert after.get_item(keyword).value.decode().strip() == expected, keyword


def test_decimal_strings_beyond_the_limit_are_shortened_not_moved(tmp_path: Path) -> None:
    series = make_series()
    for k, dataset in enumerate(series):
        long = [f"{31.4:.15f}", f"{-15.9:.15f}", f"{26.5 + 3 * k + 1e-7 / 3:.15f}"]
        dataset["ImagePositionPatient"] = DataElement(
            0x00200032, "DS", long, validation_mode=IGNORE
        )
    result = written(source_volume(series), tmp_path / "out")
    for k, dataset in enumerate(result):
        strings = dataset.get_item("ImagePositionPatient").value.decode().split("\\")
        assert max(len(string.strip()) for string in strings) <= 16
        np.testing.assert_allclose(
            [float(s) for s in strings], [31.4, -15.9, 26.5 + 3 * k + 1e-7 / 3], atol=1e-9
        )


def test_resampled_slices_lie_where_the_affine_says(tmp_path: Path) -> None:
    affine = affine_of("LPS", (0.8, 1.25, 2.0))
    volume = source_volume(make_series(), affine, regular=False)  # the source: 3 mm apart
    result = written(volume, tmp_path / "out")
    for k, dataset in enumerate(result):
        np.testing.assert_allclose(position(dataset, 0, 0), (31.4, -15.9, 26.5 + 2 * k), atol=1e-6)
        assert dataset.SpacingBetweenSlices == dataset.SliceThickness == 2
        assert dataset.SourceImageSequence[0].SpatialLocationsPreserved == "NO"
        codes = [item.CodeValue for item in dataset.DerivationCodeSequence]
        assert codes == ["123110", "113085"]  # artificial intelligence, spatial resampling


def test_resampled_slices_are_placed_anew_even_between_the_same_ends(tmp_path: Path) -> None:
    heights = [26.5, 28.0, 33.0, 35.5]  # of the source; the volume's are 3 mm apart
    places = [{"ImagePositionPatient": [31.4, -15.9, height]} for height in heights]
    volume = source_volume(make_series(per_slice=places), regular=False)
    result = written(volume, tmp_path / "out")
    assert [float(d.ImagePositionPatient[2]) for d in result] == [26.5, 29.5, 32.5, 35.5]


@pytest.mark.parametrize("spacing", [(0.8, 1.25, 2.0), (0.8, 1.0, 3.0), (1.0, 1.25, 3.0)])
def test_a_grid_stretched_since_it_was_read_is_written_as_it_is_now(tmp_path, spacing) -> None:
    affine = affine_of("LPS", spacing)
    result = written(source_volume(make_series(), affine), tmp_path / "out")
    place = (LPS @ affine @ (6, 4, 3, 1))[:3]
    np.testing.assert_allclose(position(result[3], 6, 4), place, atol=1e-6)


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, 0, 1), (0.5, 0, 0)])
def test_a_grid_moved_since_it_was_read_is_written_where_it_is_now(tmp_path: Path, shift) -> None:
    affine = affine_of("LPS")
    affine[:3, 3] += affine[:3, :3] @ shift
    result = written(source_volume(make_series(), affine), tmp_path / "out")
    for k, dataset in enumerate(result):
        place = (LPS @ affine @ (0, 0, k, 1))[:3]
        np.testing.assert_allclose(position(dataset, 0, 0), place, atol=1e-6)
        assert dataset.SourceImageSequence[0].SpatialLocationsPreserved == "NO"


def test_turned_round_slices_keep_their_source_image(tmp_path: Path) -> None:
    affine = affine_of("LPI")  # against the normal
    series = make_series(affine=affine)
    result = written(source_volume(series, affine), tmp_path / "out")
    sources = {dataset.SOPInstanceUID: dataset for dataset in series}
    for dataset in result:
        source = sources[dataset.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert dataset.ImagePositionPatient == source.ImagePositionPatient
        np.testing.assert_array_equal(dataset.pixel_array, source.pixel_array)
    heights = [float(dataset.ImagePositionPatient[2]) for dataset in result]
    assert heights == sorted(heights, reverse=True), "numbered as the source's"
    for dataset, source in zip(result, series, strict=True):
        assert dataset.InstanceNumber == source.InstanceNumber
        assert dataset.ImagePositionPatient == source.ImagePositionPatient


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_volume_that_was_no_dicom_is_seen_as_radiologists_see_it(tmp_path: Path, axes) -> None:
    result = written(bare_volume(affine_of(axes)), tmp_path / "out")
    cosines = np.array(result[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    row, column = (np.argmax(np.abs(direction)) for direction in cosines)
    slices = "RLAPSI".index(axes[2]) // 2  # axis of the patient along which slices are stacked
    expected = {2: ((0, 1), (1, 1)), 1: ((0, 1), (2, -1)), 0: ((1, 1), (2, -1))}[slices]
    assert (row, np.sign(cosines[0, row])) == expected[0]  # LPS: left, posterior, superior
    assert (column, np.sign(cosines[1, column])) == expected[1]


def sheared(degrees: float, first: int, second: int) -> np.ndarray:
    affine = oblique("LPS")
    affine[:3, second] += np.tan(np.radians(degrees)) * (
        affine[:3, first] / np.linalg.norm(affine[:3, first]) * np.linalg.norm(affine[:3, second])
    )
    return affine


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)], ids=["in plane", "rows", "columns"])
def test_a_sheared_grid_is_refused(tmp_path: Path, axes) -> None:
    with pytest.raises(VolumeError, match=r"out: its grid is sheared by 0\.60 degrees.*resample"):
        written(bare_volume(sheared(0.6, *axes)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)], ids=["in plane", "rows", "columns"])
def test_a_header_rounded_slightly_askew_is_mended_about_its_centre(tmp_path: Path, axes) -> None:
    affine = sheared(0.4, *axes)
    result = written(bare_volume(affine), tmp_path / "out")
    cosines = np.array(result[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    np.testing.assert_allclose(cosines @ cosines.T, np.eye(2), atol=1e-9)
    steps = np.diff([d.ImagePositionPatient for d in result], axis=0).astype(float)
    np.testing.assert_allclose(steps @ cosines.T, 0, atol=1e-8)
    centre = (position(result[1], 3, 2) + position(result[2], 3, 2)) / 2
    np.testing.assert_allclose(centre, (LPS @ affine @ (3, 2, 1.5, 1))[:3], atol=1e-6)
    for (i, j), k in itertools.product(((0, 0), (6, 0), (0, 4), (6, 4)), (0, 3)):
        here, there = position(result[k], i, j), (LPS @ affine @ (i, j, k, 1))[:3]
        assert np.linalg.norm(here - there) < 0.05  # 0.2 degrees over 6 mm


def decimal_strings(datasets) -> list[str]:
    elements = [e for dataset in datasets for e in dataset.iterall() if e.VR == "DS"]
    values = [value for e in elements for value in (e.value if e.VM > 1 else [e.value])]
    return [str(value) for value in values if value is not None]


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_coordinates_are_decimal_strings_of_at_most_16_characters(tmp_path, precision) -> None:
    affine = oblique("LPS", (1 / 3, 0.123456789, 2.0000001)).astype(precision).astype(np.float64)
    affine[:3, 3] = -98765.43210987654, 1e-13, 0.1 + 0.2
    result = written(bare_volume(affine), tmp_path / "out")
    for string in decimal_strings(result):
        assert len(string) <= 16
        assert "e" not in string.lower()
        assert string != "-0"
    assert np.linalg.det(affine[:3, :3]) > 0
    place = (LPS @ affine @ (6, 4, 3, 1))[:3]
    np.testing.assert_allclose(position(result[3], 6, 4), place, atol=1e-6)


def test_one_slice_is_a_series(tmp_path: Path) -> None:
    volume = bare_volume(oblique("LPS"), array=np.arange(35.0).reshape(7, 5, 1))
    (dataset,) = written(volume, tmp_path / "out")
    np.testing.assert_array_equal(dataset.pixel_array, volume.array[:, :, 0].T)
    place = (LPS @ volume.affine @ (6, 4, 0, 1))[:3]
    np.testing.assert_allclose(position(dataset, 6, 4), place, atol=1e-6)
