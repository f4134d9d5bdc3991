"""What the user named, as volumes: files, folders, globs, list files and BIDS datasets.

Volumes are known by their headers, read in a pool of threads. What can't be read is found too, with
its fault: it becomes a row of its own and never the end of a run.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.cohort.places import Place, find_places
from i2igalip_cli.errors import GalipError, VolumeError, first_line, os_reason
from i2igalip_cli.volumes import (
    FORMATS,
    VolumeEntry,
    choose_entries,
    list_volumes,
    volume_suffix,
)

_OTHER_SUFFIX = re.compile(r"\.(dcm|dicom|ima|zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
_READERS = 8  # threads that read headers


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which volumes of a path are wanted.

    Attributes:
        series: DICOM: number, UID or description pattern; None or "all" for every one.
        volume: Place on the fourth axis, from 0, or "all".
    """

    series: str | None = None
    volume: int | str | None = None

    @property
    def asks_for_series(self) -> bool:
        """Whether some series are wanted and others not."""
        return self.series not in (None, "all")


@dataclass(frozen=True, kw_only=True)
class FoundVolume:
    """A volume, or a file that should be one.

    Attributes:
        entry: Where it lies.
        folder: Below the output folder, as it lies below what the user named.
        stem: Name without suffix.
        named: Whether the user named it, or its series, rather than a folder above it.
        several: Whether all volumes of a fourth axis were asked for.
        fault: Why it can't be read; "" where it can.
        bids: Path of the source in its BIDS dataset; "" elsewhere.
    """

    entry: VolumeEntry
    folder: PurePosixPath
    stem: str
    named: bool
    several: bool = False
    fault: str = ""
    bids: str = ""


def find_volumes(
    inputs: Sequence[str],
    list_file: Path | None = None,
    *,
    choice: Choice | None = None,
    out: Path | None = None,
    bids_source: str | None = None,
) -> tuple[FoundVolume, ...]:
    """Find the volumes that the user means.

    Args:
        inputs: Files, folders (searched through all levels; BIDS datasets by their own rule) and
            globs (`**` for any number of folders).
        list_file: One such path a line, relative to the list's folder; `#` begins a comment.
        choice: Which volumes of a path are wanted.
        out: The output folder: nothing in it is a source.
        bids_source: Suffix of the sources in a BIDS dataset.

    Raises:
        VolumeError: An input isn't there, or nothing was found.
        ConfigError: A BIDS dataset without `bids_source`.
    """
    choice = choice or Choice()
    inside = None if out is None else out.resolve()
    places = _outside(find_places(inputs, list_file, bids_source), inputs, inside)
    with ThreadPoolExecutor(_READERS) as pool:
        listed = list(pool.map(lambda place: _list(place, choice, inside), places))
    found = tuple(one for volumes in listed for one in volumes)
    which = f" that fits --series {choice.series}" if choice.asks_for_series else ""
    for folder in [Path(text) for text in inputs if Path(text).is_dir()]:
        if not any(one.entry.path.is_relative_to(folder) for one in found):
            raise VolumeError(f"{folder}: no volume found{which}")
    if not found:
        raise VolumeError(f"{', '.join([*inputs, str(list_file or '')])}: no volume found{which}")
    return found


def _outside(places: Sequence[Place], inputs: Sequence[str], out: Path | None) -> list[Place]:
    """The places that aren't outputs of an earlier run.

    Raises:
        VolumeError: The user named a path in the output folder.
    """
    named = [Path(text) for text in inputs] + [place.path for place in places if place.named]
    for path in named:
        if path.exists() and _is_inside(path, out):
            raise VolumeError(f"{path} lies in the output folder {out}; choose another -o")
    return [place for place in places if not _is_inside(place.path, out)]


def _is_inside(path: Path, out: Path | None) -> bool:
    return out is not None and path.resolve().is_relative_to(out)


def _list(place: Place, choice: Choice, out: Path | None) -> list[FoundVolume]:
    """The volumes of a place; one with a fault where it can't be read."""
    if place.refusal:
        left_out = VolumeEntry(path=place.path, refusal=place.refusal, expected=place.expected)
        return [_found(place, left_out, choice)]
    try:
        if place.path.is_dir():
            return _list_folder(place, choice, out)
        entries = _choose(list_volumes(place.path), choice)
        return [_found(place, entry, choice, several=len(entries) > 1) for entry in entries]
    except GalipError as error:
        fault = str(error)
    except OSError as error:
        fault = f"{place.path}: {os_reason(error)}"
    except Exception as error:  # whatever a library meets damaged bytes with
        fault = f"{place.path}: {type(error).__name__}: {first_line(error)}"
    return [_found(place, VolumeEntry(path=place.path), choice, fault=fault)]


def _choose(entries: Sequence[VolumeEntry], choice: Choice) -> Sequence[VolumeEntry]:
    """The wanted entries of a path; the refused among several series stay, to be told of.

    Raises:
        VolumeError: None fits, or the only one can't be used.
    """
    if not any(is_dicom(entry) for entry in entries):
        return choose_entries(entries, None, choice.volume)
    if choice.asks_for_series:
        return _fitting(entries, choice)
    return choose_entries(entries) if len(entries) == 1 else entries


def _fitting(entries: Sequence[VolumeEntry], choice: Choice) -> list[VolumeEntry]:
    """The series that fit, those that can't be used too; and damage, which may be of one that fits.

    Raises:
        VolumeError: None fits, and nothing is damaged.
    """
    damaged = [entry for entry in entries if entry.refusal and not entry.series]
    known = [replace(entry, refusal="") for entry in entries if entry not in damaged]
    try:
        fits = choose_entries(known, choice.series) if known else ()
    except VolumeError:
        if not damaged:
            raise
        fits = ()
    kept = {entry.series for entry in fits}
    return [entry for entry in entries if entry.series in kept or entry in damaged]


def _list_folder(place: Place, choice: Choice, out: Path | None) -> list[FoundVolume]:
    """The DICOM volumes below a folder; each mirrored where its first file lies.

    Raises:
        VolumeError: The folder can't be read.
    """
    listed = FORMATS["dicom"].load().list_volumes(place.path)
    entries = [entry for entry in listed if not _is_told_elsewhere(place.path, entry, out)]
    if entries and choice.asks_for_series:
        try:
            entries = _fitting(entries, choice)
        except VolumeError:
            return []  # none fits; other folders may have one
    found = []
    for entry in entries:
        where = place.folder / PurePosixPath(entry.files[0] if entry.files else "").parent
        found.append(
            replace(
                _found(place, entry, choice, several=True),
                folder=where.parent,
                stem=where.name or place.path.resolve().name,
            )
        )
    return found


def _is_told_elsewhere(folder: Path, entry: VolumeEntry, out: Path | None) -> bool:
    """Whether an entry is an output, or nothing but what is a place of its own.

    That is folders that can't be searched, and files of other formats that can't be read.
    """
    if not entry.files:
        return False
    places = not entry.series and all(
        os.path.isdir(folder / name) or volume_suffix(Path(name)) is not None  # noqa: PTH112
        for name in entry.files
    )
    return places or _is_inside(folder / entry.files[0], out)


def _found(
    place: Place,
    entry: VolumeEntry,
    choice: Choice,
    *,
    several: bool = False,
    fault: str = "",
) -> FoundVolume:
    return FoundVolume(
        entry=entry,
        folder=place.folder,
        stem=stem_of(place.path),
        named=(choice.asks_for_series and bool(entry.series)) or (place.named and not several),
        several=choice.volume == "all",
        fault=fault,
        bids=place.bids,
    )


def is_dicom(entry: VolumeEntry) -> bool:
    """Whether an entry is of DICOM, also where it has no series: it alone is made of files."""
    return bool(entry.files)


def stem_of(path: Path) -> str:
    """Name of a file without the suffix of its format; a DICOMDIR is called as its folder is."""
    if path.name.upper() == "DICOMDIR":
        return path.resolve().parent.name or path.name
    suffix = volume_suffix(path)
    if suffix is not None:
        return path.name[: len(path.name) - len(suffix)]
    # A file of DICOM may be called by its UID, of which the last number is no suffix.
    return path.name if path.is_dir() else _OTHER_SUFFIX.sub("", path.name)
