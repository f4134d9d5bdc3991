"""What the header of one image or frame says, checked, and read from thousands of files."""

import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import VolumeError, first_line, one_line
from i2igalip_cli.volumes.dicom.multiframe import flatten
from i2igalip_cli.volumes.dicom.places import (
    MAXIMUM_BYTES,
    is_archive,
    looks_like_dicom,
    open_member,
    open_members,
)

READERS = 4  # threads: they wait for network file systems, parsing itself takes turns
# What may tell volumes of one series apart that lie at the same places, in the order of trying.
DIVIDERS = (
    "ImageType",
    "ComplexImageComponent",
    "EchoTime",
    "EchoNumbers",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "InversionTime",
    "FlipAngle",
    "TriggerTime",
    "StackID",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionTime",
)
_KEYWORDS = (
    *DIVIDERS,
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"),
    *("SeriesDescription", "ProtocolName", "InstanceNumber", "SyntheticData"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("FrameOfReferenceUID", "PatientID", "Rows", "Columns", "NumberOfFrames"),
    "SpecificCharacterSet",
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_TAGS = tuple(Tag(keyword) for keyword in _KEYWORDS)
IMAGE_CLASSES: dict[str, Modality] = {
    "1.2.840.10008.5.1.4.1.1.4": "MR",  # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",  # Enhanced
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",  # Legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
}
Vector = tuple[float, ...]
_PIXEL_GROUP = (b"\xe0\x7f", b"\x7f\xe0")  # 7FE0, in either byte order
EMPTY = "an empty file, or one cut off at its beginning"
_GROUP_END = 144  # preamble, "DICM", and the element with the length of group 0002


class EmptyFileError(VolumeError):
    """A file without content."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image, or one frame of a multi-frame image, by its header.

    Attributes:
        file: Its file within the place.
        number: Of the frame in its file, from 1; None for a single-frame image.
        uid: SOPInstanceUID.
        series: SeriesInstanceUID.
        owner: PatientID, StudyInstanceUID, FrameOfReferenceUID: one volume has one of each.
        series_number: SeriesNumber; None where absent.
        description: SeriesDescription, or ProtocolName.
        sop_class: SOPClassUID.
        image_type: ImageType, upper case.
        size: Rows, columns.
        position: Of the first pixel's centre, LPS mm (3); None where absent.
        orientation: Directions of a row and of a column, LPS (6); None where absent.
        spacing: Millimetres between rows and between columns (2); None where absent.
        instance: InstanceNumber; 0 where absent.
        synthetic: Whether SyntheticData says YES.
        dividers: Values of `DIVIDERS`, as text.
    """

    file: str
    number: int | None
    uid: str
    series: str
    owner: tuple[str, str, str]
    series_number: int | None
    description: str
    sop_class: str
    image_type: tuple[str, ...]
    size: tuple[int, int]
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    instance: int
    synthetic: bool
    dividers: tuple[str, ...]


def describe_frame(dataset: Dataset, file: str, number: int | None) -> Frame:
    """Take from a (flattened) dataset what tells where it lies and to what it belongs.

    Raises:
        VolumeError: A value isn't what its element may hold.
    """
    try:
        return Frame(
            file=file,
            number=number,
            uid=str(dataset.get("SOPInstanceUID") or ""),
            series=_text(dataset.get("SeriesInstanceUID")),
            owner=(
                _text(dataset.get("PatientID")),
                _text(dataset.get("StudyInstanceUID")),
                _text(dataset.get("FrameOfReferenceUID")),
            ),
            series_number=_integer(dataset.get("SeriesNumber")),
            description=_text(dataset.get("SeriesDescription") or dataset.get("ProtocolName")),
            sop_class=_text(dataset.get("SOPClassUID")),
            image_type=tuple(_text(value).upper() for value in dataset.get("ImageType") or ()),
            size=(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)),
            position=_vector(dataset.get("ImagePositionPatient"), 3),
            orientation=_vector(dataset.get("ImageOrientationPatient"), 6),
            spacing=_vector(dataset.get("PixelSpacing"), 2),
            instance=_integer(dataset.get("InstanceNumber")) or 0,
            synthetic=_text(dataset.get("SyntheticData")).upper() == "YES",
            dividers=tuple(_text(dataset.get(name)) for name in DIVIDERS),
        )
    except VolumeError:
        raise
    except Exception as error:  # a value of another kind than its element's can raise anything
        raise VolumeError(f"a damaged DICOM header ({first_line(error)})") from error


def _integer(value: Any) -> int | None:  # noqa: ANN401 (whatever pydicom found)
    return None if value in (None, "") else int(value)


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(str("" if value is None else value))


def _vector(value: Any, length: int) -> Vector | None:  # noqa: ANN401
    if value is None or value == "":
        return None
    numbers = tuple(float(number) for number in value)
    if len(numbers) != length or not all(math.isfinite(number) for number in numbers):
        raise VolumeError(f"{list(numbers)} where {length} finite numbers belong")
    return numbers


def read_dataset(opened: BinaryIO, *, header_only: bool, tags: Sequence[int] = ()) -> Dataset:
    """Parse an opened file.

    Args:
        opened: At its beginning.
        header_only: Stop before the pixels.
        tags: The only elements that are wanted; none for all.

    Raises:
        VolumeError: It isn't DICOM after all, or is damaged.
    """
    try:
        _check_deflated(opened)
        dataset = pydicom.dcmread(
            opened,
            stop_before_pixels=header_only,
            force=True,
            specific_tags=list(tags) or None,
        )
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _plain_syntax(*dataset.original_encoding)
        if "SOPClassUID" not in dataset and "MediaStorageSOPClassUID" in dataset.file_meta:
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        return dataset
    except VolumeError:
        raise
    except Exception as error:  # pydicom meets damaged bytes with any error at all
        raise VolumeError(f"a damaged DICOM file ({first_line(error)})") from error


def _plain_syntax(implicit: bool | None, little_endian: bool | None) -> UID:
    """The transfer syntax of a file that doesn't name it, as its first elements look."""
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRBigEndian if little_endian is False else ExplicitVRLittleEndian


def _check_deflated(opened: BinaryIO) -> None:
    """Refuse a deflated file that unpacks to more than an image can hold."""
    start = opened.read(4096)
    opened.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in start:
        return
    # The first element, (0002,0000) UL, tells how many bytes of plain elements follow it.
    opened.seek(_GROUP_END + int.from_bytes(start[_GROUP_END - 4 : _GROUP_END], "little"))
    stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := stream.unconsumed_tail or opened.read(2**20):
        size += len(stream.decompress(chunk, 2**24))
        if size > MAXIMUM_BYTES:
            raise VolumeError("larger than 1 GiB when inflated")
    opened.seek(0)


def _read_frames(member: str, opened: BinaryIO) -> tuple[Frame, ...]:
    """The frames of a file; none where it is no DICOM.

    Raises:
        VolumeError: It is cut off or damaged.
    """
    start = opened.read(132)
    if len(start) < 132 and not start[:128].strip(b"\0"):
        raise EmptyFileError(EMPTY)
    if not looks_like_dicom(start):
        return ()
    opened.seek(0)
    dataset = read_dataset(opened, header_only=True, tags=_TAGS)
    if dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return ()
    _check_has(dataset, "SeriesInstanceUID")  # of every kind of object: without, it is cut off
    if UID(_text(dataset.get("SOPClassUID"))) in IMAGE_CLASSES or "SOPClassUID" not in dataset:
        _check_has(dataset, "Rows", "Columns")
        _check_pixels(dataset, opened)
        return tuple(describe_frame(frame, member, n) for n, frame in flatten(dataset))
    return (describe_frame(dataset, member, None),)


def _check_has(dataset: Dataset, *keywords: str) -> None:
    absent = [keyword for keyword in keywords if not dataset.get(keyword)]
    if absent:
        raise VolumeError(f"a damaged DICOM file ({absent[0]} is absent)")


def _check_pixels(dataset: Dataset, opened: BinaryIO) -> None:
    """Refuse an image whose header ends too early: its slice would be missing without a word."""
    deflated = dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    if not deflated and opened.read(2) not in _PIXEL_GROUP:
        raise VolumeError("a damaged DICOM file (it ends before its pixels)")


@dataclass(frozen=True, kw_only=True)
class Headers:
    """All frames of a place, and what can't be read.

    Attributes:
        frames: In order of the files.
        damaged: Files that look like DICOM, or can't be opened, and why.
        empty: Files without content: slices, or nothing to do with DICOM.
    """

    frames: tuple[Frame, ...]
    damaged: tuple[tuple[str, str], ...]
    empty: tuple[str, ...]


def read_headers(path: Path, members: Sequence[str]) -> Headers:
    """Read the headers of a place, without pixels; files that are no DICOM are passed over.

    Args:
        path: A folder, a file, a DICOMDIR or an archive.
        members: Names from `list_members`.

    Raises:
        VolumeError: The place can't be read.
    """
    frames: list[Frame] = []
    damaged: list[tuple[str, str]] = []
    empty: list[str] = []
    for member, found in _each(path, members):
        if isinstance(found, EmptyFileError):
            empty.append(member)
        elif isinstance(found, VolumeError):
            damaged.append((member, str(found)))
        else:
            frames.extend(found)
    return Headers(frames=tuple(frames), damaged=tuple(damaged), empty=tuple(empty))


def _each(
    path: Path, members: Sequence[str]
) -> Iterator[tuple[str, tuple[Frame, ...] | VolumeError]]:
    if path.is_file() and is_archive(path):
        for member, opened in open_members(path, members):
            yield member, _attempt(member, opened)
        return

    def read(chunk: Sequence[str]) -> list[tuple[str, tuple[Frame, ...] | VolumeError]]:
        return [(member, _open_and_attempt(path, member)) for member in chunk]

    chunks = [members[start : start + 64] for start in range(0, len(members), 64)]
    with ThreadPoolExecutor(READERS) as readers:
        for found in readers.map(read, chunks):
            yield from found


def _open_and_attempt(path: Path, member: str) -> tuple[Frame, ...] | VolumeError:
    try:
        opened = open_member(path, member)
    except VolumeError as error:
        return VolumeError(str(error).removeprefix(f"{path}: "))
    with opened:
        return _attempt(member, opened)


def _attempt(member: str, opened: BinaryIO) -> tuple[Frame, ...] | VolumeError:
    try:
        return _read_frames(member, opened)
    except VolumeError as error:
        return error
    except Exception as error:
        return VolumeError(f"a damaged DICOM file ({first_line(error)})")


def normal_of(orientation: Vector) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The direction in which slices are stacked: a row's direction cross a column's, unit length.

    Args:
        orientation: Six numbers of ImageOrientationPatient.

    Raises:
        VolumeError: The directions aren't two orthogonal unit vectors.
    """
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > 0.01 for length in lengths) or abs(row @ column) > 0.01:
        raise VolumeError(f"ImageOrientationPatient {list(orientation)} is no pair of unit vectors")
    normal: np.ndarray[Any, np.dtype[np.float64]] = np.cross(row, column)
    return normal / np.linalg.norm(normal)
