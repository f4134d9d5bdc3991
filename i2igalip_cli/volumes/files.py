"""Files and folders that appear whole or not at all.

What is written aside is made as any file is, so that umask and inherited rights are the system's
business, and under a short name: that of its place may be as long as names can be.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from i2igalip_cli.errors import VolumeError, os_reason

_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextlib.contextmanager
def whole_file(path: Path, suffix: str = "", *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    Args:
        path: Where the file shall be; its folder exists.
        suffix: Ending of the temporary file, for libraries that go by names.
        overwrite: Replace an existing file; without it nothing is, even if it came meanwhile.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    with _as_volume_error(path):
        if path.is_dir():
            raise VolumeError(f"{path} is a folder, and a file is to be written; give another -o")
        if os.path.lexists(path) and not overwrite:
            raise _exists(path)
        temporary = _beside(path, suffix)
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            _sync(temporary)
            if overwrite:
                temporary.replace(path)
            else:
                _place_new_file(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    Args:
        path: Where the folder shall be; its parent exists.
        overwrite: Replace an existing folder; without it nothing is, even if it came meanwhile.

    Raises:
        VolumeError: The folder exists, something else does, or its parent is absent, read-only or
            full.
    """
    with _as_volume_error(path):
        _check_free(path, overwrite=overwrite)
        temporary = _beside(path)
        temporary.mkdir()
        try:
            yield temporary
            for written in temporary.iterdir():
                _sync(written)
            _sync_folder(temporary)
            if overwrite and path.exists():
                exchange(temporary, path, _beside(path))
            else:
                _place_new_folder(temporary, path)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def exchange(folder: Path, place: Path, aside: Path) -> None:
    """Let a folder take the place of an older one, which stays where that fails.

    Args:
        folder: The new one.
        place: Of the older one; only an empty folder could be replaced by renaming.
        aside: A free name on the same file system, for the older one meanwhile.

    Raises:
        OSError: It can't; the older one is back in its place.
    """
    place.rename(aside)
    try:
        folder.rename(place)
    except BaseException:
        aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)  # the new one is in its place, whatever stays


def _beside(path: Path, suffix: str = "") -> Path:
    return path.with_name(f".tmp-{secrets.token_hex(8)}{suffix}")


def _check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a folder that is taken.

    Raises:
        VolumeError: By a folder that is to stay, or by something else.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise _exists(path)
    if path.is_symlink() or not path.is_dir():
        kind = "a link" if path.is_symlink() else "a file"
        raise VolumeError(
            f"{path} is {kind}, and a folder is to be written; remove it or give another -o"
        )


def _place_new_file(temporary: Path, path: Path) -> None:
    """Give a file its name, unless that is taken by now.

    Raises:
        VolumeError: It is.
        OSError: The file system can't.
    """
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            path.touch(exist_ok=False)  # reserves the name
            try:
                temporary.replace(path)
            except BaseException:
                path.unlink()
                raise
    except FileExistsError as error:
        raise _exists(path) from error


def _place_new_folder(temporary: Path, path: Path) -> None:
    """Give a folder its name, unless that is taken by now; an empty folder gives way.

    Raises:
        VolumeError: It is.
        OSError: The file system can't.
    """
    try:
        temporary.rename(path)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise _exists(path) from error
        raise


def _sync(written: Path) -> None:
    with written.open("rb") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system does that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exists(path: Path) -> VolumeError:
    return VolumeError(f"{path} exists; give another -o or --overwrite")


@contextlib.contextmanager
def _as_volume_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os_reason(error)
        raise VolumeError(f"can't write {path}: {reason}; choose another -o") from error
