"""Where DICOM bytes lie: a folder, a file, a DICOMDIR, a zip or a tar."""

import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom.uid import MediaStorageDirectoryStorage

from i2igalip_cli.errors import VolumeError, first_line

MAXIMUM_BYTES = 2**30  # of one unpacked file; more is not an image but a trap
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_PREAMBLE = 128
_LARGE = 2**20
_ARCHIVE_FAULTS = (
    *(OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
    *(RuntimeError, NotImplementedError, ValueError, LookupError),  # passwords, unknown methods
)


class BoundedFile(io.BufferedReader):
    """A file that never makes room for more bytes than it holds, whatever a header asks for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._end = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes."""
        if size is not None and size > _LARGE:
            size = max(0, min(size, self._end - self.tell()))
        return super().read(size)


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file may be DICOM by its first 132 bytes.

    The preamble is missing in files of some old or anonymising programs: these begin with an
    element of group 0002 or 0008, in either byte order.
    """
    if start[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return True
    return len(start) > 8 and start[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, or a tar, plain or with gzip, by its content."""
    try:
        if zipfile.is_zipfile(path):
            return True
        with _open_tar(path):
            return True
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError):
        return False


def _open_tar(path: Path) -> tarfile.TarFile:
    """Open a tar; the methods that ask for the memory that a header claims aren't tried."""
    with path.open("rb") as opened:
        packed = opened.read(2) == b"\x1f\x8b"
    return tarfile.open(path, "r:gz") if packed else tarfile.open(path, "r:")


def list_members(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The files at a place that may be DICOM images, in a stable order, and what can't be read.

    Args:
        path: A folder (searched through all levels, links too, hidden files left out), a zip or
            tar, a DICOMDIR (the images it refers to), or one file.

    Returns:
        Names within the folder or archive, or beside the DICOMDIR ("" where `path` itself is the
        file); and folders that can't be listed, with why.

    Raises:
        VolumeError: The archive or the DICOMDIR is damaged, or refers to files that aren't there.
    """
    if path.is_dir():
        return _walk(path)
    if is_archive(path):
        try:
            names = [name for name in _names(path) if not Path(name).name.startswith((".", "__"))]
        except _ARCHIVE_FAULTS as error:
            raise VolumeError(f"{path}: a damaged archive ({first_line(error)})") from error
        return names, []
    if path.name.lower().endswith(ARCHIVES):
        raise VolumeError(f"{path}: a damaged or truncated archive")
    return _referenced(path), []


def _walk(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    members: list[str] = []
    unreadable: list[tuple[str, str]] = []

    def note(error: OSError) -> None:
        place = Path(error.filename).relative_to(folder).as_posix()
        unreadable.append((place, error.strerror or "can't be read"))

    seen: set[str] = set()
    for where, folders, names in os.walk(folder, onerror=note, followlinks=True):
        if (real := os.path.realpath(where)) in seen:  # a link back to where it came from
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(where).relative_to(folder)
        members += [
            (below / name).as_posix()
            for name in sorted(names)
            if not name.startswith(".") and name.upper() != "DICOMDIR"
        ]
    return members, unreadable


def _names(path: Path) -> list[str]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sorted(item.filename for item in archive.infolist() if not item.is_dir())
    with _open_tar(path) as archive_of_tape:
        return sorted(item.name for item in archive_of_tape if item.isfile())


def _referenced(path: Path) -> list[str]:
    """The one file, or what it refers to if it is a DICOMDIR."""
    with BoundedFile(path) as opened:
        start = opened.read(1024)
    if not looks_like_dicom(start) or MediaStorageDirectoryStorage.encode() not in start:
        return [""]
    try:
        with BoundedFile(path) as opened:
            directory = pydicom.dcmread(opened, force=True)
        named = [record.get("ReferencedFileID") for record in directory.DirectoryRecordSequence]
    except Exception as error:  # pydicom meets damaged bytes with any error at all
        raise VolumeError(f"{path}: damaged DICOM ({first_line(error)})") from error
    members = ["/".join([name] if isinstance(name, str) else name) for name in named if name]
    found = {member: _find_in_any_case(path.parent, member) for member in members}
    absent = [member for member, name in found.items() if name is None]
    if absent:
        raise VolumeError(
            f"{path}: refers to {len(absent)} files that aren't there, {absent[0]} the first"
        )
    return [name for name in found.values() if name is not None]


def _find_in_any_case(folder: Path, member: str) -> str | None:
    """A file by its name; a copy of a disc may have its names in lower case."""
    if (folder / member).is_file():
        return member
    place = folder
    for part in member.split("/"):
        try:
            names = {file.name.upper(): file.name for file in place.iterdir()}
        except OSError:
            return None
        if part.upper() not in names:
            return None
        place = place / names[part.upper()]
    return place.relative_to(folder).as_posix() if place.is_file() else None


def open_members(path: Path, members: Iterable[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Open files of a place one after the other, in the order in which an archive holds them.

    Args:
        path: As for `list_members`.
        members: Names from `list_members`.

    Yields:
        (name, opened file); it is closed when the next one is asked for.

    Raises:
        VolumeError: A file is absent, unreadable, or larger than 1 GiB when unpacked.
    """
    if path.is_file() and is_archive(path):
        try:
            yield from _open_in_archive(path, set(members))
        except _ARCHIVE_FAULTS as error:
            raise VolumeError(f"{path}: unreadable ({first_line(error)})") from error
        return
    for member in members:
        with open_member(path, member) as opened:
            yield member, opened


def open_member(path: Path, member: str) -> BoundedFile:
    """Open one file of a place that is no archive.

    Args:
        path: A folder, a DICOMDIR or a file.
        member: A name from `list_members`.

    Raises:
        VolumeError: It is absent or unreadable.
    """
    folder = path if path.is_dir() else path.parent
    try:
        return BoundedFile(folder / member if member else path)
    except (OSError, ValueError) as error:
        raise VolumeError(f"{path}: unreadable ({first_line(error)})") from error


def _open_in_archive(path: Path, members: set[str]) -> Iterator[tuple[str, BinaryIO]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if item.filename in members:
                    _check_size(path, item.filename, item.file_size)
                    with archive.open(item) as opened:
                        yield item.filename, _whole(path, item.filename, opened)
        return
    with _open_tar(path) as archive_of_tape:
        for entry in archive_of_tape:
            if entry.name in members and entry.isfile():
                _check_size(path, entry.name, entry.size)
                inside = archive_of_tape.extractfile(entry)
                if inside is not None:
                    yield entry.name, _whole(path, entry.name, inside)


def _whole(path: Path, name: str, opened: object) -> BinaryIO:
    """A file of an archive in memory: compressed streams can't be searched back and forth."""
    content = cast(BinaryIO, opened).read(MAXIMUM_BYTES + 1)
    _check_size(path, name, len(content))
    return io.BytesIO(content)


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAXIMUM_BYTES:
        raise VolumeError(f"{path}: {name} is larger than 1 GiB when unpacked; unpack it first")
