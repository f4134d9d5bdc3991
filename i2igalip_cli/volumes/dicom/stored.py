"""Intensities as 16-bit stored values with one scale for the whole series, and a window on them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.decimals import decimal_string
from i2igalip_cli.volumes.volume import Array

CT_OFFSET = -1024.0  # HU of the stored value 0, where stored values are unsigned
_ARBITRARY = "US"
_FINE = 250.0  # MR whose bright tissue reaches this is fine enough in whole numbers (0.2 %)
_FULL_SCALE = 32767  # also of unsigned values: some readers take all 16-bit values as signed
_SAMPLE = 2_000_000  # voxels that percentiles look at
_PERCENTILES = (1.0, 99.0)
_DIGITS = 6  # of a slope: it fits a decimal string exactly


@dataclass(frozen=True, kw_only=True)
class StoredScale:
    """Intensity = slope x stored value + intercept, one for the series.

    Attributes:
        dtype: Of the stored values, int16 or uint16.
        slope: Positive; exactly what the file says.
        intercept: Likewise.
        unit: RescaleType: "HU", or "US" (unspecified) where the unit is arbitrary.
    """

    dtype: np.dtype[Any]
    slope: float
    intercept: float
    unit: str

    def store(self, intensities: Array) -> npt.NDArray[Any]:
        """Stored values nearest to intensities, same shape."""
        values = np.rint((intensities.astype(np.float64) - self.intercept) / self.slope)
        limits = np.iinfo(self.dtype)
        return np.clip(values, limits.min, limits.max).astype(self.dtype)

    def elements(self) -> Dataset:
        """The pixel description (PS3.3 C.7.6.3) and the Modality LUT (C.11.1).

        The MR Image has no Modality LUT: without need, none is added that a viewer might ignore.
        """
        dataset = Dataset()
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = int(self.dtype.kind == "i")
        if self.unit == _ARBITRARY and self.slope == 1:
            return dataset
        dataset.RescaleIntercept = decimal_string(self.intercept)
        dataset.RescaleSlope = decimal_string(self.slope)
        dataset.RescaleType = self.unit
        return dataset


def find_scale(array: Array, modality: Modality, dtype: np.dtype[Any], whole: bool) -> StoredScale:
    """The scale of a series.

    CT is in whole HU, signed or with an offset. MR is in whole numbers where these are fine enough;
    smaller intensities are spread over 15 bits.

    Args:
        array: Intensities of the whole volume.
        modality: MR or CT.
        dtype: int16 or uint16; a floating type leaves the choice to the intensities.
        whole: MR: intensities are counts, to be rounded even where that is coarse.

    Raises:
        VolumeError: Another type, or intensities that it can't hold.
    """
    low, high = float(array.min()), float(array.max())
    if dtype.kind == "f":
        signed = modality == "CT" or low < 0
        dtype = np.dtype(np.int16 if signed else np.uint16)
    if dtype not in (np.dtype(np.int16), np.dtype(np.uint16)):
        raise VolumeError(f"MR and CT images in DICOM are of 16 bits, not {dtype}; --dtype int16")
    if modality == "CT":
        intercept = 0.0 if dtype.kind == "i" else min(CT_OFFSET, math.floor(low))
        return _whole_scale(low, high, dtype, intercept, "HU")
    if dtype.kind == "u" and low < 0:
        raise VolumeError(f"its intensities begin at {low:g}, below {dtype}; --dtype int16")
    limits = np.iinfo(dtype)
    fits = limits.min <= round(low) and round(high) <= limits.max
    if whole or (fits and (np.abs(_foreground(array)).max() >= _FINE or _is_whole(array))):
        return _whole_scale(low, high, dtype, 0.0, _ARBITRARY)
    slope = _round_up(max(high, -low) / _FULL_SCALE)
    return StoredScale(dtype=dtype, slope=slope, intercept=0.0, unit=_ARBITRARY)


def window_elements(array: Array, scale: StoredScale) -> Dataset:
    """A linear window (PS3.3 C.11.2) over the percentiles 1 to 99 of what isn't background.

    Args:
        array: Intensities of the whole volume; the lowest one counts as background.
        scale: Its intensities are what a viewer applies the window to.
    """
    low, high = (float(end) for end in _foreground(array))
    dataset = Dataset()
    width = high - low if high > low else scale.slope
    if width < 1:
        dataset.VOILUTFunction = "LINEAR_EXACT"  # LINEAR means widths of 1 and more
    dataset.WindowCenter = decimal_string(_rounded((low + high) / 2))
    dataset.WindowWidth = decimal_string(_rounded(width))
    return dataset


def _foreground(array: Array) -> npt.NDArray[np.float64]:
    """Percentiles 1 and 99 of what isn't background."""
    flat = array.ravel(order="K")
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    foreground = sample[sample > sample.min()]
    ends: npt.NDArray[np.float64] = np.percentile(
        foreground if foreground.size else sample, _PERCENTILES
    )
    return ends


def _whole_scale(
    low: float, high: float, dtype: np.dtype[Any], intercept: float, unit: str
) -> StoredScale:
    limits = np.iinfo(dtype)
    if round(low - intercept) < limits.min or round(high - intercept) > limits.max:
        raise VolumeError(
            f"its intensities, {low:g} to {high:g}, don't fit {dtype}; "
            f"choose another --dtype, or write NIfTI (.nii.gz)"
        )
    return StoredScale(dtype=dtype, slope=1.0, intercept=intercept, unit=unit)


def _is_whole(array: Array) -> bool:
    return all(np.array_equal(plane, np.rint(plane)) for plane in np.moveaxis(array, 2, 0))


def _round_up(slope: float) -> float:
    """The next number of few digits: a full scale that it spans can't be cut."""
    quantum = 10.0 ** (math.floor(math.log10(slope)) - _DIGITS + 1)
    return float(decimal_string(_rounded(math.ceil(slope / quantum) * quantum)))


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
