"""A header and its voxel file that appear together or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.files import whole_file


@contextlib.contextmanager
def whole_pair(header: Path, voxels: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder for two files of these names, which take their places at the end.

    The header's file is the last to come and, of an old pair, the first to go: whoever looks in
    between finds no header, never one that belongs to other voxels. What fails puts an old pair
    back.

    Args:
        header: Where the header's file shall be.
        voxels: Where the voxels' file shall be, in the same folder.
        overwrite: Replace existing files.

    Raises:
        VolumeError: A file exists, or the folder is absent, read-only or full.
    """
    if voxels.exists() and not overwrite:
        raise VolumeError(f"{voxels} exists; give another -o or --overwrite")
    with whole_file(header, overwrite=overwrite) as temporary:
        folder = Path(tempfile.mkdtemp(prefix=f".{header.name}.", dir=header.parent))
        try:
            yield folder
            shutil.copyfile(folder / header.name, temporary)
            with _old_header_aside(header, folder):
                _put(folder / voxels.name, voxels)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _old_header_aside(header: Path, folder: Path) -> Iterator[None]:
    aside = folder / "old"
    if header.exists():
        header.replace(aside)
    try:
        yield
    except BaseException:
        if aside.exists():
            aside.replace(header)
        raise


def _put(written: Path, place: Path) -> None:
    with whole_file(place, overwrite=True) as temporary:
        written.replace(temporary)
