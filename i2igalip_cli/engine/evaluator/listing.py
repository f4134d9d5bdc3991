"""The images of one side of an evaluation, by their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.cohort.inputs import FoundVolume, find_volumes, is_dicom, stem_of
from i2igalip_cli.engine.evaluator.naming import ImageName, NamePattern, read_name
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.volumes import volume_suffix

ANY_BIDS_SUFFIX = "*"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of a side.

    Attributes:
        path: Its file; of DICOM in folders the folder that its files lie in.
        name: What its name says.
        detail: What tells it from others of the same path; "" mostly.
    """

    path: Path
    name: ImageName
    detail: str = ""

    @property
    def label(self) -> str:
        """It, for messages."""
        return f"{self.path} {self.detail}".strip()


@dataclass(frozen=True, kw_only=True)
class Side:
    """The images of a side.

    Attributes:
        path: What the user named.
        images: In the order of their names.
        single: Whether the path is a volume itself: a file, or the folder of one series.
        unfit: Names that the pattern doesn't fit.
    """

    path: Path
    images: tuple[Image, ...]
    single: bool
    unfit: tuple[str, ...] = ()


def list_side(path: Path, pattern: NamePattern | None = None) -> Side:
    """List the images of a file, a folder (all levels), or a BIDS dataset.

    Args:
        path: Which.
        pattern: How names are built; by BIDS and endings without one.

    Raises:
        EvaluationError: Nothing there, or several DICOM series in that one folder.
        VolumeError: No volume in the folder.
    """
    if not path.exists():
        raise EvaluationError(f"{path}: no such file or folder")
    if not path.is_dir():
        name = _read(PurePosixPath(stem_of(path)), volume_suffix(path) or "", pattern)
        alone = name or read_name(PurePosixPath(stem_of(path)))
        return Side(path=path, images=(Image(path=path, name=alone),), single=True)
    found = [
        one
        for one in find_volumes([str(path)], bids_source=ANY_BIDS_SUFFIX)
        if not one.entry.expected
    ]
    if found and all(is_dicom(one.entry) and _place(one) == path for one in found):
        return _series_folder(path, found)
    images, unfit = [], []
    for one in found:
        suffix = "" if is_dicom(one.entry) else volume_suffix(one.entry.path) or ""
        where = one.folder / one.stem
        name = _read(where, suffix, pattern)
        if name is None:
            unfit.append(where.as_posix() + suffix)
            continue
        detail = one.entry.describe() if is_dicom(one.entry) else ""
        images.append(Image(path=_place(one), name=name, detail=detail))
    if not images:
        asked = f"of {len(unfit)} volumes none fits '{pattern.text}'" if pattern else "no volumes"
        first = f", such as {unfit[0]}" if unfit else ""
        raise EvaluationError(f"{path}: {asked}{first}")
    images.sort(key=lambda image: image.name.path)
    return Side(path=path, images=tuple(images), single=False, unfit=tuple(sorted(unfit)))


def _series_folder(path: Path, found: Sequence[FoundVolume]) -> Side:
    if len(found) > 1:
        listed = "; ".join(one.entry.describe() for one in found)
        raise EvaluationError(
            f"{path}: {len(found)} DICOM series in one folder; give each a folder of its own: "
            f"{listed}"
        )
    name = read_name(PurePosixPath(found[0].stem))
    return Side(path=path, images=(Image(path=path, name=name),), single=True)


def _place(found: FoundVolume) -> Path:
    entry = found.entry
    if entry.files and entry.path.is_dir():
        return entry.path / PurePosixPath(entry.files[0]).parent
    return entry.path


def _read(path: PurePosixPath, suffix: str, pattern: NamePattern | None) -> ImageName | None:
    return read_name(path) if pattern is None else pattern.read(path, suffix)
