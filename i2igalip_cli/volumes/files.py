"""Files and folders that appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from i2igalip_cli.errors import VolumeError, first_line


@contextlib.contextmanager
def whole_file(path: Path, suffix: str = "", *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    Args:
        path: Where the file shall be; its folder exists.
        suffix: Ending of the temporary file, for libraries that go by names.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")
    with _as_volume_error(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            _settle(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    Args:
        path: Where the folder shall be; its parent exists.
        overwrite: Replace an existing folder.

    Raises:
        VolumeError: The folder exists, or its parent is absent, read-only or full.
    """
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")
    with _as_volume_error(path):
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            for written in temporary.iterdir():
                _settle(written)
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
                path.replace(old)  # an empty folder gives way
                temporary.replace(path)
                shutil.rmtree(old)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _settle(temporary: Path) -> None:
    """Bring a file's bytes to the disk and give it ordinary permissions (mkstemp's are private)."""
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.chmod(0o666 & ~_umask())


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextlib.contextmanager
def _as_volume_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise VolumeError(f"can't write {path}: {reason}; choose another -o") from error
