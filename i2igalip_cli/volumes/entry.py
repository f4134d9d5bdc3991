"""What a path holds: one volume, or several (DICOM series, a fourth axis)."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from i2igalip_cli.errors import VolumeError

SYNTHETIC = "it is a synthetic image itself"  # a note of such an entry
Irregular = Literal["fail", "resample", "nearest"]


@dataclass(frozen=True, kw_only=True)
class VolumeEntry:
    """One volume in a file, folder or archive, known by its header alone.

    Attributes:
        path: What the user named.
        series: DICOM: its SeriesInstanceUID, with "/1", "/2" ... where one series holds several
            volumes; "" for other formats.
        number: DICOM: SeriesNumber; None for other formats.
        description: What it says of itself, for people and for `--series`.
        volume: Place on the fourth axis, from 0; None where there is none.
        files: DICOM: its files, in the folder or archive.
        frames: DICOM: (file, number of the frame from 1, or None) of each of its images.
        notes: What listing it had to mend.
        synthetic: Whether it says of itself that it is no measured image.
        refusal: Why it can't be used, a whole sentence that names the rule; "" where it can.
        expected: Whether users expect such an entry to be left out (localizers, reports).
    """

    path: Path
    series: str = ""
    number: int | None = None
    description: str = ""
    volume: int | None = None
    files: tuple[str, ...] = ()
    frames: tuple[tuple[str, int | None], ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    refusal: str = ""
    expected: bool = False

    def say(self, fault: object) -> str:
        """What is wrong, without its path before it, for those who name it otherwise."""
        return str(fault).removeprefix(f"{self.path}: ")

    def describe(self) -> str:
        """One line that tells it from the others of its path."""
        if self.volume is not None:
            return f"--volume {self.volume}"
        number = "without number" if self.number is None else str(self.number)
        part = self.series.partition("/")[2]
        return f"{number}{'/' + part if part else ''} '{self.description}' ({self.series})"


def choose_entries(
    entries: Sequence[VolumeEntry], series: str | None = None, volume: int | str | None = None
) -> tuple[VolumeEntry, ...]:
    """The entries of one path that are wanted; several only where several were asked for.

    Args:
        entries: All of the path, at least one.
        series: SeriesInstanceUID (also with its part), series number, a pattern of descriptions
            such as '*T1*', or "all"; None where there is one that can be used.
        volume: Place on the fourth axis, from 0, or "all"; None where there is one.

    Raises:
        VolumeError: None fits, several fit, or the one that fits can't be used.
    """
    path = entries[0].path
    if entries[0].volume is not None:
        return _choose_volume(entries, volume)
    if volume not in (None, "all", 0):
        raise VolumeError(f"{path}: --volume {volume}, but there is no fourth axis")
    usable = [entry for entry in entries if not entry.refusal]
    measured = [entry for entry in usable if not entry.synthetic]
    if series in (None, "all"):
        fits = measured or usable or [entries[0]]
    else:
        fits = [entry for entry in entries if _fits(entry, str(series))]
    if len(fits) == 1 and fits[0].refusal:
        raise VolumeError(f"{path}: {fits[0].refusal}")
    if fits and (len(fits) == 1 or series is not None):
        return tuple(fits)
    listed = "; ".join(entry.describe() for entry in fits or usable)
    others = len(entries) - len(fits or usable)
    listed += f" ({others} others are synthetic or no volumes)" if others else ""
    if not entries[0].series:
        raise VolumeError(f"{path}: --series {series}, but it is no DICOM")
    if fits:
        raise VolumeError(
            f"{path}: {len(fits)} volumes; choose one with --series (number, UID or pattern), or "
            f"--series all: {listed}"
        )
    raise VolumeError(f"{path}: no series fits --series {series}; there are {listed}")


def _choose_volume(
    entries: Sequence[VolumeEntry], volume: int | str | None
) -> tuple[VolumeEntry, ...]:
    path = entries[0].path
    if volume == "all":
        return tuple(entries)
    if volume is None:
        raise VolumeError(
            f"{path}: {len(entries)} volumes on a fourth axis; choose one with --volume N "
            f"(from 0), or --volume all"
        )
    fits = [entry for entry in entries if entry.volume == volume]
    if not fits:
        raise VolumeError(f"{path}: --volume {volume}, but there are 0 to {len(entries) - 1}")
    return tuple(fits)


def _fits(entry: VolumeEntry, series: str) -> bool:
    uid, _, part = entry.series.partition("/")
    number = "" if entry.number is None else str(entry.number)
    names = {uid, entry.series, number, f"{number}/{part}"} - {""}
    return series in names or fnmatch.fnmatch(entry.description.casefold(), series.casefold())
