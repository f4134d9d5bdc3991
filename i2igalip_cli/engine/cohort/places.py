"""The paths that the user means: files, folders, globs, list files and BIDS datasets.

What can't be searched is a place too: volumes may lie there, and none may vanish without a word.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.cohort.bids import find_sources, is_bids
from i2igalip_cli.errors import VolumeError, os_reason
from i2igalip_cli.volumes import is_second_of_pair, volume_suffix

_HERE = PurePosixPath()
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path whose volumes are to be listed.

    Attributes:
        path: A file, or a folder for the DICOM series below it.
        folder: Below the output folder, as it lies below what the user named.
        named: Whether the user named it, rather than a folder above it.
        bids: Its path in a BIDS dataset; "" elsewhere.
        refusal: Why it isn't looked into; "" where it is.
        expected: Whether users expect that.
    """

    path: Path
    folder: PurePosixPath = _HERE
    named: bool = True
    bids: str = ""
    refusal: str = ""
    expected: bool = False


def find_places(
    inputs: Sequence[str], list_file: Path | None = None, bids_source: str | None = None
) -> list[Place]:
    """Find paths, each once; one found twice keeps its first folder, unless that left it out.

    Args:
        inputs: Files, folders (searched through all levels; BIDS datasets by their own rule) and
            globs (`**` for any number of folders).
        list_file: A file or folder a line, relative to the list's folder; `#` begins a comment.
        bids_source: Suffix of the sources in a BIDS dataset.

    Raises:
        VolumeError: An input isn't there, a glob fits nothing, or a BIDS dataset can't be searched.
    """
    kept: dict[Path, Place] = {}
    try:
        for place in _places(inputs, list_file, bids_source):
            path = _absolute(place.path)
            if path not in kept or kept[path].expected:  # an archive that is named, too
                kept[path] = place
    except OSError as error:
        raise VolumeError(f"{error.filename}: {os_reason(error)}") from error
    return list(kept.values())


def _places(
    inputs: Sequence[str], list_file: Path | None, bids_source: str | None
) -> Iterator[Place]:
    for text in inputs:
        path = Path(text)
        if path.is_dir() and is_bids(path):
            yield from _bids_places(path, bids_source, alone=len(inputs) == 1 and not list_file)
        elif path.is_dir():
            yield from _walk(path)
        elif path.exists():
            yield Place(path=path)
        elif glob.has_magic(text):
            yield from _glob(text)
        else:
            raise VolumeError(f"{path}: no such file")
    if list_file is not None:
        yield from _read_list(list_file)


def _bids_places(dataset: Path, suffix: str | None, *, alone: bool) -> Iterator[Place]:
    if not alone:
        raise VolumeError(f"{dataset}: a BIDS dataset; translate it by itself, or give its files")
    if suffix is None:
        raise VolumeError(f"{dataset}: a BIDS dataset; say with --from which images to translate")
    found, unreadable = find_sources(dataset, suffix)
    if not found and not unreadable:
        raise VolumeError(f"{dataset}: no sub-*/[ses-*/]anat/*_{suffix}.nii[.gz] in it")
    for path in found:
        inside = path.relative_to(dataset).as_posix()
        yield Place(path=path, folder=PurePosixPath(inside).parent, named=False, bids=inside)
    for error in unreadable:
        yield _unsearchable(error, dataset, _HERE)


def _walk(folder: Path, mirrored: PurePosixPath = _HERE) -> Iterator[Place]:
    """Files with a known suffix, at all levels, and the folder itself for its DICOM."""
    seen: set[str] = set()
    faults: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=faults.append, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = mirrored / PurePosixPath(Path(where).relative_to(folder).as_posix())
        for path in [Path(where, name) for name in sorted(names) if not name.startswith(".")]:
            if _is_volume(path):
                yield Place(path=path, folder=below, named=False)
            elif path.name.lower().endswith(_ARCHIVES):
                yield _left_out(path, below)
    for fault in faults:
        yield _unsearchable(fault, folder, mirrored)
    if seen:
        yield Place(path=folder, folder=mirrored, named=False)


def _left_out(archive: Path, below: PurePosixPath) -> Place:
    """An archive among other files: a copy of these, as often as not."""
    return Place(
        path=archive,
        folder=below,
        named=False,
        refusal="an archive in a folder: name it as an input to translate what it holds",
        expected=True,
    )


def _unsearchable(error: OSError, top: Path, mirrored: PurePosixPath) -> Place:
    """A folder that can't be listed; its row lies where the outputs of its volumes would."""
    path = Path(error.filename)
    below = PurePosixPath(path.relative_to(top).as_posix())
    return Place(
        path=path,
        folder=(mirrored / below).parent,
        named=False,
        refusal=f"this folder can't be searched: {os_reason(error)}",
    )


def _is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name; of a pair the header stands for both."""
    return volume_suffix(path) is not None and not is_second_of_pair(path)


def _glob(pattern: str) -> Iterator[Place]:
    """What a pattern fits, mirrored below its part without wildcards."""
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path's finds hidden ones)
    if not found:
        raise VolumeError(f"{pattern}: no file fits")
    fixed = Path(*_take_plain(Path(pattern).parts))
    folders = {Path(text) for text in found if Path(text).is_dir()}
    for path in map(Path, found):
        below = PurePosixPath(path.relative_to(fixed).as_posix())
        if path not in folders:
            yield Place(path=path, folder=below.parent, named=False)
        elif folders.isdisjoint(path.parents):  # ** finds what lies in a folder that it found, too
            yield from _walk(path, below)


def _take_plain(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if glob.has_magic(part):
            return
        yield part


def _read_list(list_file: Path) -> Iterator[Place]:
    """What a list names: below its folder mirrored from there, elsewhere from a common folder.

    Raises:
        VolumeError: The list can't be read.
    """
    try:
        text = list_file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise VolumeError(f"{list_file}: {os_reason(error)}") from error
    lines = [line.strip() for line in text.splitlines()]
    paths = [list_file.parent / line for line in lines if line and not line.startswith("#")]
    top = _absolute(list_file).parent
    folders = {path: _absolute(path).parent for path in paths}
    others = [folder for folder in folders.values() if not folder.is_relative_to(top)]
    common = Path(os.path.commonpath(others)) if others else top
    for path, folder in folders.items():
        below = folder.relative_to(top if folder.is_relative_to(top) else common)
        mirrored = PurePosixPath(below.as_posix())
        if path.is_dir():
            yield from _walk(path, mirrored / path.name)
        else:
            yield Place(path=path, folder=mirrored)


def _absolute(path: Path) -> Path:
    """A path from the root, without "..", links left as they are."""
    return Path(os.path.normpath(path.absolute()))
