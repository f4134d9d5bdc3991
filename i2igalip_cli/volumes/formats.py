"""The file formats of volumes: which there are, and which one a path is of.

A format is one module with `list_volumes`, `read` and `write`, and one line in `FORMATS`.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry
from i2igalip_cli.volumes.volume import Volume


class FormatModule(Protocol):
    """What the module of a file format holds."""

    def list_volumes(self, path: Path) -> tuple[VolumeEntry, ...]:
        """The volumes of a path, by headers; none where nothing there is of this format.

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
            VolumeError: The path exists (without `overwrite`), or can't be written.
        """


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format; its module is imported at its first use, for not every run needs pydicom.

    Attributes:
        module: Name of the module in this package.
        suffixes: Of its files, lower case; () where files are known by their content.
    """

    module: str
    suffixes: tuple[str, ...]

    def load(self) -> FormatModule:
        """The module."""
        return cast(FormatModule, import_module(f"{__package__}.{self.module}"))


FORMATS: dict[str, Format] = {
    "nifti": Format(module="nifti", suffixes=(".nii", ".nii.gz", ".hdr", ".img")),
    "mgh": Format(module="mgh", suffixes=(".mgz", ".mgh")),
    "itk": Format(module="itk", suffixes=(".nrrd", ".nhdr", ".mha", ".mhd")),
    "dicom": Format(module="dicom", suffixes=()),
}


def known_suffixes() -> str:
    """The suffixes of all formats, for messages."""
    return ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)


def volume_suffix(path: Path) -> str | None:
    """The suffix by which the path is a volume of a known format; None when it is none."""
    suffixes = [suffix for known in FORMATS.values() for suffix in known.suffixes]
    matches = [suffix for suffix in suffixes if path.name.lower().endswith(suffix)]
    return max(matches, key=len, default=None)


def is_second_of_pair(path: Path) -> bool:
    """Whether a file holds only the voxels of a header beside it, which stands for both."""
    return path.suffix.lower() == ".img" and any(
        path.with_suffix(suffix).is_file() for suffix in (".hdr", ".HDR")
    )


def find_format(path: Path) -> Format:
    """The format of a path: by its suffix, and DICOM where that is none of a volume file's."""
    suffix = volume_suffix(path)
    return next((f for f in FORMATS.values() if suffix in f.suffixes), FORMATS["dicom"])


def output_format(path: Path, format: str | None = None) -> Format:
    """The format in which a path is written.

    Args:
        path: Where to.
        format: Name in `FORMATS`; None for what the path's suffix says.

    Raises:
        VolumeError: An unknown format, or a suffix of another one.
    """
    if format is not None and format not in FORMATS:
        raise VolumeError(f"unknown format '{format}': known are {', '.join(FORMATS)}")
    suffix = volume_suffix(path)
    chosen = find_format(path) if format is None else FORMATS[format]
    if suffix in chosen.suffixes or (suffix is None and format == "dicom"):
        return chosen
    named = "" if format is None else f" of {format}"
    known = known_suffixes() if format is None else ", ".join(chosen.suffixes)
    known = known or "none: it is a folder, without a suffix of a volume file"
    raise VolumeError(f"{path}: not a volume file{named} by its name; known are {known}")
