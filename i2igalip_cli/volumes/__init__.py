"""Room 1, patient space: volumes, their files, intensities and slices. No torch.

`FORMATS` names the file formats. A format is one module with `SUFFIXES`, `list_volumes` (headers
only), `read` and `write`, and one line here.
"""

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import nifti
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry, choose_entries
from i2igalip_cli.volumes.volume import Derivation, Volume


class Format(Protocol):
    """What the module of a file format holds."""

    SUFFIXES: tuple[str, ...]

    def list_volumes(self, path: Path) -> tuple[VolumeEntry, ...]:
        """The volumes of a file, by its header.

        Raises:
            VolumeError: Absent, damaged, or no volume at all.
        """

    def read(self, entry: VolumeEntry, irregular: Irregular) -> Volume:
        """Read one of them.

        Raises:
            VolumeError: Damaged, or against a rule that the message names.
        """

    def write(
        self, volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False
    ) -> None:
        """Write a volume whole or not at all.

        Raises:
            VolumeError: The file exists (without `overwrite`), or can't be written.
        """


FORMATS: dict[str, Format] = {"nifti": nifti}


def volume_suffix(path: Path) -> str | None:
    """The suffix by which the path is a volume of a known format; None when it is none."""
    suffixes = [suffix for module in FORMATS.values() for suffix in module.SUFFIXES]
    matches = [suffix for suffix in suffixes if path.name.lower().endswith(suffix)]
    return max(matches, key=len, default=None)


def find_format(path: Path) -> Format:
    """The format of a file, by its name.

    Raises:
        VolumeError: The name has no suffix of a known format.
    """
    suffix = volume_suffix(path)
    for module in FORMATS.values():
        if suffix in module.SUFFIXES:
            return module
    known = ", ".join(suffix for module in FORMATS.values() for suffix in module.SUFFIXES)
    raise VolumeError(f"{path}: not a volume file by its name; known are {known}")


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes that a path holds, by headers alone.

    Raises:
        VolumeError: Absent, of an unknown format, or damaged.
    """
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    return find_format(path).list_volumes(path)


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
    return find_format(entry.path).read(entry, irregular)


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


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that can't be written, before hours are spent on it.

    Raises:
        VolumeError: An unknown format, no such folder, a read-only one, or a file in the way.
    """
    find_format(path)
    if not path.parent.is_dir():
        raise VolumeError(f"can't write {path}: no folder {path.parent}; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise VolumeError(f"can't write {path}: {path.parent} is read-only; choose another -o")
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")


def save_volume(
    volume: Volume, path: str | Path, *, dtype: str = "float32", overwrite: bool = False
) -> None:
    """Write a volume in the format its name says: whole, or not at all.

    Args:
        volume: What to write.
        path: Its suffix names the format.
        dtype: Type of the voxels in the file. An integer type holds the intensities themselves
            where they are in HU or were integers before, and otherwise one scale for the file.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists (without `overwrite`), or can't be written.
    """
    path = Path(path)
    find_format(path).write(volume, path, dtype=np.dtype(dtype), overwrite=overwrite)


__all__ = [
    "FORMATS",
    "Derivation",
    "Irregular",
    "Volume",
    "VolumeEntry",
    "check_output",
    "choose_entries",
    "find_format",
    "list_volumes",
    "load_entry",
    "load_volume",
    "save_volume",
    "volume_suffix",
]
