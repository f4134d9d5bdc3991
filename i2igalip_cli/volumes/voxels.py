"""Stored voxels to float32 intensities, and intensities to the type that a file holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EmptyVolumeError, VolumeError
from i2igalip_cli.volumes.volume import Array, Volume, freeze

# Half way from air to water: so low are HU alone, for normalised MR goes to -1 or a few deviations.
AIR_BELOW_HU = -500.0
STORED_TYPES = ("float32", "int16", "uint16", "uint8", "int32")


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredVoxels:
    """Voxels as a file holds them: intensity = slope * voxel + inter.

    Attributes:
        array: (I, J, K), of one of `STORED_TYPES`.
        slope: Intensity between neighbouring integers.
        inter: Intensity of the voxel 0.
    """

    array: npt.NDArray[Any]
    slope: float = 1.0
    inter: float = 0.0


def to_intensities(stored: npt.NDArray[Any], slope: float = 1.0, inter: float = 0.0) -> Array:
    """Float32 intensities of stored voxels, computed in float64, slab by slab to spare memory.

    Args:
        stored: (I, J, K), integers or floats of any width and byte order.
        slope: Of the file.
        inter: Of the file.

    Returns:
        (I, J, K) float32; what float32 can't hold is infinite.
    """
    array = np.empty(stored.shape, np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (slope, inter) != (1.0, 0.0)
        for k in range(stored.shape[2]):
            slab = stored[:, :, k]
            array[:, :, k] = slab.astype(np.float64) * slope + inter if scaled else slab
    return array


def make_finite(array: Array) -> tuple[Array, int]:
    """No signal in place of NaN and infinity, and how many voxels that were.

    No signal is 0; where other voxels lie so low that they must be Hounsfield units, the lowest of
    them: 0 would be water.

    Args:
        array: (I, J, K) float32; changed in place, and frozen.

    Raises:
        EmptyVolumeError: No voxel is finite.
    """
    slabs = [array[:, :, k] for k in range(array.shape[2])]
    bad = {k: ~finite for k, slab in enumerate(slabs) if not (finite := np.isfinite(slab)).all()}
    count = sum(int(np.count_nonzero(where)) for where in bad.values())
    if count == array.size:
        raise EmptyVolumeError(f"none of its {count} voxels is finite")
    if count:
        lowest = float(np.min(array, where=np.isfinite(array), initial=0.0))
        for k, where in bad.items():
            slabs[k][where] = lowest if lowest <= AIR_BELOW_HU else 0.0
    return freeze(array), count


def check_stored_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in the machine's byte order, if files are written with it.

    Raises:
        VolumeError: It is none of `STORED_TYPES`.
    """
    if dtype.name not in STORED_TYPES:
        raise VolumeError(f"voxels of {dtype}: choose one of {', '.join(STORED_TYPES)}")
    return np.dtype(dtype.name)


def holds_integers(volume: Volume, dtype: np.dtype[Any]) -> bool:
    """Whether an integer type shall hold the intensities themselves.

    HU always (a few beyond the range are cut), other intensities where they were integers in their
    file and the type has room for them.
    """
    if volume.modality == "CT":
        return True
    limits = np.iinfo(dtype)
    low, high = np.rint([volume.array.min(), volume.array.max()])
    return volume.stored_dtype.kind in "iu" and limits.min <= low and high <= limits.max


def store_as_is(volume: Volume, dtype: np.dtype[Any]) -> StoredVoxels:
    """The intensities themselves, rounded and cut to the range of an integer type.

    Args:
        volume: Of any intensities.
        dtype: One that `check_stored_type` returned.
    """
    if dtype.kind == "f":
        return StoredVoxels(array=volume.array)
    return StoredVoxels(array=_quantise(volume.array, dtype, 1.0, 0.0))


def store_scaled(volume: Volume, dtype: np.dtype[Any], scale_type: np.dtype[Any]) -> StoredVoxels:
    """Intensities on one scale that uses the range of an integer type.

    Zero stays exactly zero (masks ask for more than 0), so the scale has an intercept only where an
    unsigned type has to hold negative intensities.

    Args:
        volume: Of any intensities.
        dtype: Integer type of the voxels.
        scale_type: Float type of the file's slope and intercept; the voxels fit what it can hold.
    """
    limits = np.iinfo(dtype)
    low, high = float(volume.array.min()), float(volume.array.max())
    inter = float(scale_type.type(low)) if low < 0 and dtype.kind == "u" else 0.0
    slope = (high - inter) / limits.max
    if dtype.kind == "i":
        slope = max(slope, low / limits.min)
    slope = float(scale_type.type(slope))
    if slope < float(np.finfo(scale_type).tiny):
        slope = 1.0  # nothing but zeros, or too little to tell from them
    array = _quantise(volume.array, dtype, slope, inter)
    return StoredVoxels(array=array, slope=slope, inter=inter)


def store_unscaled(volume: Volume, dtype: np.dtype[Any], path: Path) -> StoredVoxels:
    """Voxels for a format without a scale: float32, or integers where the intensities are such.

    Raises:
        VolumeError: A type that no file is written with, or an integer type for intensities that
            aren't integers or don't fit it.
    """
    dtype = check_stored_type(dtype)
    if dtype.kind != "f" and not holds_integers(volume, dtype):
        raise VolumeError(
            f"{path}: {dtype} voxels need a scale, which this format lacks: use float32 or .nii.gz"
        )
    return store_as_is(volume, dtype)


def write_voxels(array: npt.NDArray[Any], dtype: np.dtype[Any], file: IO[bytes]) -> None:
    """Append voxels, first axis fastest, slab by slab to spare memory.

    Args:
        array: (I, J, K).
        dtype: The type of `array`, in the byte order of the file.
        file: Open for writing.
    """
    for k in range(array.shape[2]):
        file.write(array[:, :, k].astype(dtype).tobytes(order="F"))


def _quantise(array: Array, dtype: np.dtype[Any], slope: float, inter: float) -> npt.NDArray[Any]:
    limits = np.iinfo(dtype)
    stored = np.empty(array.shape, dtype, order="F")
    for k in range(array.shape[2]):
        exact = (array[:, :, k].astype(np.float64) - inter) / slope
        stored[:, :, k] = np.clip(np.rint(exact), limits.min, limits.max)
    return stored
