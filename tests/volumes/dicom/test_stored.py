"""Stored values: 16 bits, one scale for the series, and a window that shows something."""

from pathlib import Path

import numpy as np
import pytest
from volumes.dicom.written_series import bare_volume, derivation, intensities, written

from i2igalip_cli.errors import VolumeError

INT16, UINT16 = np.dtype(np.int16), np.dtype(np.uint16)


def volume_of(array, modality="MR", **changes):
    target = "pelvic-CT" if modality == "CT" else "T2"
    array = np.asarray(array, np.float32).reshape(7, 5, 4)
    return bare_volume(array=array, derivation=derivation(target, modality), **changes)


def spread(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 140)


@pytest.mark.parametrize("high", [1e-30, 0.003, 1.0, 249.5])
def test_small_mr_intensities_have_one_slope_and_come_back_within_half_of_it(
    tmp_path: Path, high
) -> None:
    volume = volume_of(spread(0, high))
    result = written(volume, tmp_path / "out")
    slopes = {str(dataset.RescaleSlope) for dataset in result}
    assert len(slopes) == 1
    slope = float(slopes.pop())
    assert slope == pytest.approx(high / 32767, rel=1e-5)
    assert all(float(dataset.RescaleIntercept) == 0 for dataset in result)
    error = np.abs(intensities(result) - volume.array)
    assert error.max() <= slope * 0.5001
    assert {dataset.PixelRepresentation for dataset in result} == {0}


@pytest.mark.parametrize("high", [260.4, 4095.25, 65535.4])
def test_mr_intensities_of_a_scanners_range_are_whole_numbers_without_rescale(
    tmp_path: Path, high
) -> None:
    volume = volume_of(spread(0, high))
    result = written(volume, tmp_path / "out")
    assert not any("RescaleSlope" in dataset for dataset in result)  # no part of an MR Image
    pixels = np.stack([dataset.pixel_array.T for dataset in result], axis=-1)
    np.testing.assert_array_equal(pixels, np.rint(volume.array))


def test_mr_whole_numbers_stay_as_they_are_however_small(tmp_path: Path) -> None:
    volume = volume_of(np.arange(140) % 12)
    result = written(volume, tmp_path / "out")
    assert not any("RescaleSlope" in dataset for dataset in result)
    pixels = np.stack([dataset.pixel_array.T for dataset in result], axis=-1)
    np.testing.assert_array_equal(pixels, volume.array)


@pytest.mark.parametrize(("low", "high"), [(-0.7, 1.3), (-300.2, 250.0), (-2500.0, 100.0)])
def test_negative_mr_intensities_are_signed(tmp_path: Path, low, high) -> None:
    volume = volume_of(spread(low, high))
    result = written(volume, tmp_path / "out")
    assert {dataset.PixelRepresentation for dataset in result} == {1}
    slope = float(result[0].get("RescaleSlope", 1))
    assert np.abs(intensities(result) - volume.array).max() <= slope * 0.5001


def test_intensities_beyond_16_bits_are_scaled_down(tmp_path: Path) -> None:
    volume = volume_of(spread(0, 3e6))
    result = written(volume, tmp_path / "out")
    slope = float(result[0].RescaleSlope)
    assert slope == pytest.approx(3e6 / 32767, rel=1e-5)
    assert np.abs(intensities(result) - volume.array).max() <= slope * 0.5001


def test_one_bright_voxel_does_not_coarsen_the_rest(tmp_path: Path) -> None:
    array = spread(0, 50)
    array[77] = 5000
    volume = volume_of(array)
    result = written(volume, tmp_path / "out")
    assert np.abs(intensities(result) - volume.array).max() < 0.08


def test_counts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    volume = volume_of(spread(0, 60_000), stored_dtype=UINT16)
    with pytest.raises(VolumeError, match="0 to 60000, don't fit int16; choose another --dtype"):
        written(volume, tmp_path / "out", INT16)


def test_counts_stay_counts_when_an_integer_type_is_asked_for(tmp_path: Path) -> None:
    volume = volume_of(spread(0, 200.4), stored_dtype=UINT16)
    result = written(volume, tmp_path / "out", UINT16)
    assert not any("RescaleSlope" in dataset for dataset in result)
    np.testing.assert_array_equal(intensities(result), np.rint(volume.array))


@pytest.mark.parametrize(
    ("dtype", "signed", "intercept"),
    [(np.dtype(np.float32), 1, 0), (INT16, 1, 0), (UINT16, 0, -1024)],
)
def test_ct_is_in_whole_hounsfield_units(tmp_path: Path, dtype, signed, intercept) -> None:
    volume = volume_of(spread(-1024, 3000.3), "CT")
    result = written(volume, tmp_path / "out", dtype)
    for dataset in result:
        assert dataset.PixelRepresentation == signed
        assert (dataset.RescaleSlope, dataset.RescaleIntercept) == (1, intercept)
        assert dataset.RescaleType == "HU"
    np.testing.assert_array_equal(intensities(result), np.rint(volume.array))


def test_unsigned_ct_below_air_moves_its_offset(tmp_path: Path) -> None:
    volume = volume_of(spread(-2000.5, 100), "CT")
    result = written(volume, tmp_path / "out", UINT16)
    assert {dataset.RescaleIntercept for dataset in result} == {-2001}
    assert np.abs(intensities(result) - volume.array).max() <= 0.5


@pytest.mark.parametrize(
    ("array", "modality", "dtype", "message"),
    [
        (spread(-1000, 40_000), "CT", INT16, "-1000 to 40000, don't fit int16; choose another"),
        (spread(-1, 5), "MR", UINT16, "begin at -1, below uint16; --dtype int16"),
        (spread(0, 5), "MR", np.dtype(np.uint8), "of 16 bits, not uint8; --dtype int16"),
        (spread(0, 5), "CT", np.dtype(np.int32), "of 16 bits, not int32; --dtype int16"),
    ],
)
def test_what_16_bits_cannot_hold_is_refused(tmp_path, array, modality, dtype, message) -> None:
    with pytest.raises(VolumeError, match=f"can't write .*out: .*{message}"):
        written(volume_of(array, modality), tmp_path / "out", dtype)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("modality", ["MR", "CT"])
@pytest.mark.parametrize("value", [0, -1000, 0.25])
def test_a_constant_volume_is_written(tmp_path: Path, modality, value) -> None:
    result = written(volume_of(np.full(140, value), modality), tmp_path / "out")
    tolerance = 0.5 if modality == "CT" else 1e-5
    np.testing.assert_allclose(intensities(result), value, atol=tolerance)
    assert all(float(dataset.WindowWidth) > 0 for dataset in result)


def test_the_window_spans_what_is_not_background(tmp_path: Path) -> None:
    array = np.zeros(140)
    array[39:] = np.arange(1, 102) * 100  # 1st and 99th percentile of 100, 200 ... 10100
    result = written(volume_of(array), tmp_path / "out")
    for dataset in result:
        assert dataset.WindowCenter == (200 + 10_000) / 2
        assert dataset.WindowWidth == 10_000 - 200
        assert "VOILUTFunction" not in dataset


def test_a_window_below_1_is_exact(tmp_path: Path) -> None:
    result = written(volume_of(spread(0, 0.5)), tmp_path / "out")
    assert 0 < float(result[0].WindowWidth) < 0.5
    assert result[0].VOILUTFunction == "LINEAR_EXACT"  # LINEAR is for widths of 1 and more


def test_pixels_are_described_as_they_are(tmp_path: Path) -> None:
    for dataset in written(volume_of(spread(0, 900)), tmp_path / "out"):
        assert (dataset.Rows, dataset.Columns) == (5, 7)
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 16, 15)
        assert dataset.PhotometricInterpretation == "MONOCHROME2"
        assert len(dataset.PixelData) == 5 * 7 * 2
