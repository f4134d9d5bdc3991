"""Room 1, patient space: volumes, their files, intensities and slices. No torch.

`FORMATS` names the file formats: a format is one file with `SUFFIXES`, `read` and `write`, and one
line here.
"""

import os
from pathlib import Path
from types import ModuleType

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import nifti
from i2igalip_cli.volumes.volume import Volume

FORMATS: dict[str, ModuleType] = {"nifti": nifti}


def volume_suffix(path: Path) -> str | None:
    """The suffix by which the path is a volume of a known format; None when it is none."""
    suffixes = [suffix for module in FORMATS.values() for suffix in module.SUFFIXES]
    matches = [suffix for suffix in suffixes if path.name.lower().endswith(suffix)]
    return max(matches, key=len, default=None)


def _format(path: Path) -> ModuleType:
    suffix = volume_suffix(path)
    for module in FORMATS.values():
        if suffix in module.SUFFIXES:
            return module
    known = ", ".join(suffix for module in FORMATS.values() for suffix in module.SUFFIXES)
    raise VolumeError(f"{path}: not a volume file by its name; known are {known}")


def load_volume(path: str | Path) -> Volume:
    """Read a volume of any known format.

    Args:
        path: The file.

    Returns:
        Volume with float32 intensities (I, J, K) and the affine to RAS+ millimetres.

    Raises:
        VolumeError: The file is absent, of an unknown format, damaged, or no scalar 3-D volume.
    """
    path = Path(path)
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
    volume: Volume = _format(path).read(path)
    return volume


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that can't be written, before hours are spent on it.

    Raises:
        VolumeError: An unknown format, no such folder, a read-only one, or a file in the way.
    """
    _format(path)
    if not path.parent.is_dir():
        raise VolumeError(f"can't write {path}: no folder {path.parent}; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise VolumeError(f"can't write {path}: {path.parent} is read-only; choose another -o")
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")


def save_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a volume in the format its name says: whole, or not at all.

    Raises:
        VolumeError: The file exists (without `overwrite`), or can't be written.
    """
    path = Path(path)
    _format(path).write(volume, path, overwrite=overwrite)


__all__ = ["FORMATS", "Volume", "check_output", "load_volume", "save_volume", "volume_suffix"]
