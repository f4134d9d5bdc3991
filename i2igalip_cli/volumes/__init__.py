"""Room 1, patient space: volumes, their files, intensities and slices. No torch.

Whatever the format, a path is listed (`list_volumes`), read (`load_volume`, `load_entry`) and
written (`save_volume`) here; `formats` has the registry.
"""

import os
from pathlib import Path

import numpy as np

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry, choose_entries
from i2igalip_cli.volumes.formats import (
    FORMATS,
    find_format,
    is_second_of_pair,
    known_suffixes,
    output_format,
    volume_suffix,
)
from i2igalip_cli.volumes.volume import Derivation, Volume


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes that a path holds, by headers alone.

    Raises:
        VolumeError: Absent, of an unknown format, or damaged.
    """
    if not path.exists():
        raise VolumeError(f"{path}: no such file or folder")
    entries = find_format(path).load().list_volumes(path)
    if entries:
        return entries
    if path.is_dir():
        raise VolumeError(f"{path}: holds no DICOM images")
    raise VolumeError(
        f"{path}: not a volume file by its name (known are {known_suffixes()}), and no DICOM "
        "(a folder, file, DICOMDIR, zip or tar)"
    )


def load_entry(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume that `list_volumes` found.

    Args:
        entry: Which.
        irregular: What to do with DICOM slices that make no regular grid: refuse them, or make a
            regular grid of them by linear interpolation or by the nearest slice.

    Raises:
        VolumeError: Damaged, or against a rule that the message names.
    """
    if entry.refusal:
        raise VolumeError(f"{entry.path}: {entry.refusal}")
    return find_format(entry.path).load().read(entry, irregular)


def load_volume(
    path: str | Path,
    *,
    series: str | None = None,
    volume: int | None = None,
    irregular: Irregular = "fail",
) -> Volume:
    """Read a volume of any known format.

    Args:
        path: The file.
        series: DICOM: number, UID or description pattern, where there are several.
        volume: Place on the fourth axis, from 0, where there is one.
        irregular: As in `load_entry`.

    Returns:
        Volume with float32 intensities (I, J, K) and the affine to RAS+ millimetres.

    Raises:
        VolumeError: The file is absent, of an unknown format, damaged, no scalar 3-D volume, or
            holds several and none was chosen.
    """
    chosen = choose_entries(list_volumes(Path(path)), series, volume)
    if len(chosen) > 1:
        listed = "; ".join(entry.describe() for entry in chosen)
        raise VolumeError(f"{path}: several volumes fit; narrow --series: {listed}")
    return load_entry(chosen[0], irregular)


def check_output(path: Path, *, format: str | None = None, overwrite: bool = False) -> None:
    """Refuse an output that can't be written, before hours are spent on it.

    Raises:
        VolumeError: An unknown format, no such folder, a read-only one, or a file in the way.
    """
    output_format(path, format)
    if not path.parent.is_dir():
        raise VolumeError(f"can't write {path}: no folder {path.parent}; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise VolumeError(f"can't write {path}: {path.parent} is read-only; choose another -o")
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")


def save_volume(
    volume: Volume,
    path: str | Path,
    *,
    format: str | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
) -> None:
    """Write a volume in the format its name says: whole, or not at all.

    Args:
        volume: What to write.
        path: Its suffix names the format.
        format: "dicom" writes a folder of DICOM images; None goes by the suffix.
        dtype: Type of the voxels in the file. An integer type holds the intensities themselves
            where they are in HU or were integers before, and otherwise one scale for the file.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists (without `overwrite`), or can't be written.
    """
    path = Path(path)
    try:
        kind = np.dtype(dtype)
    except TypeError as error:
        raise VolumeError(f"unknown type of voxels '{dtype}': float32, int16 ...") from error
    output_format(path, format).load().write(volume, path, dtype=kind, overwrite=overwrite)


__all__ = [
    "FORMATS",
    "Derivation",
    "Irregular",
    "Volume",
    "VolumeEntry",
    "check_output",
    "choose_entries",
    "is_second_of_pair",
    "list_volumes",
    "load_entry",
    "load_volume",
    "save_volume",
    "volume_suffix",
]
