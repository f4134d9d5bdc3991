"""The paths that the user means: files, folders, globs, list files and BIDS datasets."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.cohort.bids import find_sources, is_bids
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import is_second_of_pair, volume_suffix

_HERE = PurePosixPath()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A path whose volumes are to be listed.

    Attributes:
        path: A file, or a folder for the DICOM series below it.
        folder: Below the output folder, as it lies below what the user named.
        named: Whether the user named it, rather than a folder above it.
        bids: Its path in a BIDS dataset; "" elsewhere.
    """

    path: Path
    folder: PurePosixPath = _HERE
    named: bool = True
    bids: str = ""


def find_places(
    inputs: Sequence[str], list_file: Path | None = None, bids_source: str | None = None
) -> list[Place]:
    """Find paths, each once; one found twice keeps its first folder.

    Args:
        inputs: Files, folders (searched through all levels; BIDS datasets by their own rule) and
            globs (`**` for any number of folders).
        list_file: A file or folder a line, relative to the list's folder; `#` begins a comment.
        bids_source: Suffix of the sources in a BIDS dataset.

    Raises:
        VolumeError: An input isn't there, a glob fits nothing, or a BIDS dataset can't be searched.
    """
    kept: dict[Path, Place] = {}
    for place in _places(inputs, list_file, bids_source):
        kept.setdefault(_absolute(place.path), place)
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
    found = find_sources(dataset, suffix)
    if not found:
        raise VolumeError(f"{dataset}: no sub-*/[ses-*/]anat/*_{suffix}.nii[.gz] in it")
    for path in found:
        inside = path.relative_to(dataset).as_posix()
        yield Place(path=path, folder=PurePosixPath(inside).parent, named=False, bids=inside)


def _walk(folder: Path, mirrored: PurePosixPath = _HERE) -> Iterator[Place]:
    """Files with a known suffix, at all levels, and the folder itself for its DICOM."""
    seen: set[str] = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if _is_volume(path):
                below = PurePosixPath(path.relative_to(folder).parent.as_posix())
                yield Place(path=path, folder=mirrored / below, named=False)
    yield Place(path=folder, folder=mirrored, named=False)


def _is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name; of a pair the header stands for both."""
    named = not path.name.startswith(".") and volume_suffix(path) is not None
    return named and not is_second_of_pair(path)


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
        raise VolumeError(f"{list_file}: {error.strerror}") from error
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
