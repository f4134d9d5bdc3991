"""The bytes of a file, plain or gzipped: read within bounds that its size sets, written whole.

A header is believed only as far as the file behind it goes: a damaged or hostile one may claim any
number of voxels, and a few kilobytes of gzip may unfold to gigabytes.
"""

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from i2igalip_cli.errors import VolumeError, first_line, os_reason
from i2igalip_cli.volumes.files import whole_file

MAX_DEFLATE = 1032  # the most that deflate unfolds a byte to (zlib's technical notes)
# No image compresses 200-fold, but a small mask may: the rule begins where memory is at stake.
PLAUSIBLE_DEFLATE, SMALL_BYTES = 200, 64 * 2**20
_CHUNK = 2**20
_GZIP = b"\x1f\x8b"
_TRAILING_BYTES = 16 * 2**20  # what may follow the voxels unread


class Inflater:
    """Decompressed pieces of a file from its current place on; lengths and checksums are checked.

    Attributes:
        trailing: Bytes after the compressed data that are neither zero nor compressed; known when
            all pieces were taken.
    """

    def __init__(self, file: IO[bytes], wbits: int = zlib.MAX_WBITS | 16) -> None:
        self._file = file
        self._wbits = wbits
        self.trailing = 0

    def __iter__(self) -> Iterator[bytes]:
        """Pieces of at most a mebibyte, member by member.

        Raises:
            EOFError: The file ends within the compressed data.
            zlib.error: A damaged byte, or a checksum that doesn't fit.
        """
        rest = self._file.read(_CHUNK)
        first = True
        while first or rest[:2] == _GZIP:
            member, first = zlib.decompressobj(self._wbits), False
            while not member.eof:
                rest = rest or self._file.read(_CHUNK)
                piece = member.decompress(rest, _CHUNK)
                if not rest and not piece and not member.eof:
                    raise EOFError("the compressed data end too early")
                yield piece
                rest = member.unconsumed_tail
            rest = member.unused_data or self._file.read(_CHUNK)
            if len(rest) == 1:
                rest += self._file.read(_CHUNK)
        self.trailing = len(rest.strip(b"\0"))


def is_gzipped(path: Path) -> bool:
    """Whether the content is gzip, whatever the name says.

    Raises:
        VolumeError: Absent, unreadable, or no regular file (a pipe would be waited for).
    """
    try:
        if not path.is_file():
            missing = "not a regular file" if path.exists() else "no such file"
            raise VolumeError(f"{path}: {missing}")
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError as error:
        raise VolumeError(f"{path}: can't be read ({os_reason(error)})") from error


def read_head(path: Path, count: int) -> bytes:
    """The first `count` bytes, or fewer where there are no more.

    Raises:
        VolumeError: Absent or damaged.
    """
    head = bytearray()
    for piece in _pieces(path, is_gzipped(path)):
        head += piece
        if len(head) >= count:
            break
    return bytes(head[:count])


def check_claim(path: Path, end: int) -> None:
    """Refuse a header that claims more bytes than the file can hold, before memory is taken.

    Args:
        path: The file of the voxels.
        end: Bytes up to the end of the voxels, decompressed.

    Raises:
        VolumeError: More than the file holds, or than its size lets hope.
    """
    gzipped = is_gzipped(path)
    with _as_damage(path):
        size = path.stat().st_size
    if not gzipped:
        if end > size:
            raise VolumeError(f"{path}: truncated: its header asks for {end} bytes, it has {size}")
        return
    if end > MAX_DEFLATE * size:
        raise VolumeError(
            f"{path}: truncated: its header asks for {end} bytes, {size} compressed ones can't "
            f"hold them"
        )
    check_plausible(path, end, size)


def check_plausible(path: Path, unfolded: int, size: int) -> None:
    """Refuse data that are compressed beyond what an image can be and would fill the memory.

    Raises:
        VolumeError: That is so.
    """
    if unfolded > SMALL_BYTES and unfolded > PLAUSIBLE_DEFLATE * size:
        raise VolumeError(
            f"{path}: {size} bytes that unfold to {unfolded}: no image compresses more than "
            f"{PLAUSIBLE_DEFLATE}-fold; if it is one, store it uncompressed"
        )


def read_block(path: Path, start: int, count: int, end: int) -> tuple[bytes | bytearray, int]:
    """`count` bytes from `start` on; a gzipped file is read to its end, so that its checksum holds.

    Args:
        path: The file; `check_claim` accepted `end`.
        start: First byte, decompressed.
        count: Bytes.
        end: Where the voxels end; not before the block does.

    Returns:
        The bytes, and how many follow after `end`.

    Raises:
        VolumeError: The file is truncated or damaged, or goes on far beyond `end`.
    """
    block: bytes | bytearray
    if not is_gzipped(path):
        with _as_damage(path), path.open("rb") as file:
            file.seek(start)
            block = file.read(count)
            following = path.stat().st_size - end
    else:
        block, following = _inflate_block(path, start, count, end)
    if len(block) < count or following < 0:
        raise VolumeError(f"{path}: truncated: {max(-following, 1)} bytes of its voxels are absent")
    return block, following


def _inflate_block(path: Path, start: int, count: int, end: int) -> tuple[bytearray, int]:
    block, place = bytearray(), 0
    with _as_damage(path), path.open("rb") as file:
        pieces = Inflater(file)
        for piece in pieces:
            lower, upper = max(start - place, 0), start + count - place
            if upper > 0:
                block += piece[lower:upper]
            place += len(piece)
            if place > end + _TRAILING_BYTES:
                raise VolumeError(f"{path}: damaged: it goes on far beyond its {end} bytes")
    return block, place - end + pieces.trailing


@contextlib.contextmanager
def write_whole(path: Path, gzipped: bool, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` when the block ends well.

    Args:
        path: In an existing folder.
        gzipped: Whether to compress; the same content gives the same bytes every time.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    with whole_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as plain:
        if not gzipped:
            yield plain
            return
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=plain, mtime=0) as packed:
            yield cast(IO[bytes], packed)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with its content.

    Raises:
        VolumeError: What the block raised, with the name.
    """
    try:
        yield
    except VolumeError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {error}") from error


def _pieces(path: Path, gzipped: bool) -> Iterator[bytes]:
    with _as_damage(path), path.open("rb") as file:
        if gzipped:
            yield from Inflater(file)
        else:
            yield from iter(lambda: file.read(_CHUNK), b"")


@contextlib.contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Turn what damaged bytes, a failing disk or a lack of memory raise into one line."""
    try:
        yield
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise VolumeError(f"{path}: damaged or truncated ({first_line(error)})") from error
