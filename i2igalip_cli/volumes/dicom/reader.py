"""Read DICOM volumes: which there are, and one of them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import VolumeError, first_line, one_line
from i2igalip_cli.volumes.dicom.frames import (
    EMPTY,
    IMAGE_CLASSES,
    Frame,
    read_dataset,
    read_headers,
)
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.multiframe import flatten
from i2igalip_cli.volumes.dicom.pixels import Plane, decode_frame
from i2igalip_cli.volumes.dicom.places import list_members, open_members
from i2igalip_cli.volumes.dicom.regular import make_regular
from i2igalip_cli.volumes.dicom.series import Part, check_volume, split_series
from i2igalip_cli.volumes.dicom.stack import Matrix, stack_frames
from i2igalip_cli.volumes.entry import SYNTHETIC, Irregular, VolumeEntry
from i2igalip_cli.volumes.formats import volume_suffix
from i2igalip_cli.volumes.volume import Array, Volume, freeze

_PIXELS = tuple(Tag(name) for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes of a folder, file, DICOMDIR, zip or tar, by headers alone.

    Series that are no volume are listed with the rule that they break; where there is no DICOM,
    nothing is.

    Raises:
        VolumeError: The place can't be read, or all of its DICOM is damaged.
    """
    members, unreadable = list_members(path)
    headers = read_headers(path, members)
    # A file that is a volume by its name is another format's, readable or not.
    damaged = [
        (member, why)
        for member, why in (*unreadable, *headers.damaged)
        if not member or volume_suffix(Path(member)) is None
    ]
    parts = split_series(headers.frames)
    entries = tuple(_entry(path, part, damaged, headers.empty) for part in parts)
    return (*entries, *_entries_of_damage(path, damaged, headers.frames))


def _entry(
    path: Path, part: Part, damaged: Sequence[tuple[str, str]], empty: Sequence[str]
) -> VolumeEntry:
    """What is known of a volume; damaged files beside it may be slices of it."""
    first = part.frames[0]
    files = tuple(dict.fromkeys(frame.file for frame in part.frames))
    places = {(_folder(file), PurePosixPath(file).suffix) for file in files}
    beside = [(m, why) for m, why in damaged if _folder(m) in {place for place, _ in places}]
    beside += [(m, EMPTY) for m in empty if (_folder(m), PurePosixPath(m).suffix) in places]
    refusal, expected = part.refusal, part.expected
    if beside and not refusal:
        member, why = beside[0]
        refusal, expected = f"{member} beside it: {why}; mend or remove it", False
    return VolumeEntry(
        path=path,
        series=part.series,
        number=first.series_number,
        description=" ".join(filter(None, (first.description, part.label))),
        files=files,
        frames=tuple((frame.file, frame.number) for frame in part.frames),
        notes=(*part.notes, *([SYNTHETIC] if first.synthetic else [])),
        synthetic=first.synthetic,
        refusal=refusal,
        expected=expected,
    )


def _entries_of_damage(
    path: Path, damaged: Sequence[tuple[str, str]], frames: Sequence[Frame]
) -> list[VolumeEntry]:
    """An entry for each folder in which nothing but damage was found: it mustn't vanish."""
    seen = {_folder(frame.file) for frame in frames}
    found: dict[str, list[tuple[str, str]]] = {}
    for member, why in damaged:
        if _folder(member) not in seen:
            found.setdefault(_folder(member), []).append((member, why))
    return [
        VolumeEntry(
            path=path,
            files=tuple(member for member, _ in faults),
            refusal=": ".join(filter(None, faults[0]))
            + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""),
        )
        for faults in found.values()
    ]


def _folder(member: str) -> str:
    return str(PurePosixPath(member).parent)


def read(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume that `list_volumes` found.

    Args:
        entry: Its path, series and files.
        irregular: For slices that make no regular grid: "fail" refuses them, "resample" makes a
            regular grid by linear interpolation, "nearest" by the nearest slice.

    Returns:
        Volume whose third axis runs along the slices' normal, with a `DicomHeader`.

    Raises:
        VolumeError: Against a rule that the message names, damaged, or no longer there.
    """
    try:
        return _read(entry, irregular)
    except VolumeError as error:
        name = f"{entry.path}: "
        raise VolumeError(f"{name}{str(error).removeprefix(name)}") from error


def _read(entry: VolumeEntry, irregular: Irregular) -> Volume:
    stack = stack_frames(_find_frames(entry))
    if stack.fault and irregular == "fail":
        raise VolumeError(f"{stack.fault}; --irregular resample or nearest makes a regular grid")
    datasets, planes = _load(entry.path, stack.frames)
    _check_alike(datasets)
    arrays, background = _fill_padding(planes)
    notes = (*entry.notes, *_notes(datasets[0]))
    if not stack.fault:
        return _volume(
            freeze(np.stack(arrays)).transpose(2, 1, 0),  # (N, rows, columns) -> (I, J, K)
            stack.affine,
            DicomHeader(datasets=tuple(datasets), frames=tuple(f.number for f in stack.frames)),
            notes,
        )
    grid = make_regular(stack, arrays, background, order=1 if irregular == "resample" else 0)
    header = DicomHeader(
        datasets=tuple(datasets[k] for k in grid.nearest),
        frames=tuple(stack.frames[k].number for k in grid.nearest),
        regular=False,
    )
    notes = (*notes, f"{stack.fault}; put on a regular grid ({irregular})")
    unused = len(stack.frames) - len(set(grid.nearest))
    if unused:
        notes = (*notes, f"{unused} slices lie nearest to none of the regular grid's")
    return _volume(grid.array, grid.affine, header, notes)


def _find_frames(entry: VolumeEntry) -> tuple[Frame, ...]:
    """The entry's frames, as its files say now."""
    headers = read_headers(entry.path, entry.files)
    if headers.damaged:
        raise VolumeError(": ".join(filter(None, headers.damaged[0])))
    wanted = set(entry.frames)
    frames = tuple(frame for frame in headers.frames if (frame.file, frame.number) in wanted)
    if len(frames) != len(wanted):
        raise VolumeError("its files have changed since they were listed")
    check_volume(frames)
    return frames


def _load(path: Path, frames: Sequence[Frame]) -> tuple[list[Dataset], list[Plane]]:
    """Headers without pixels and intensities of frames, in their order."""
    found: dict[tuple[str, int | None], tuple[Dataset, Plane]] = {}
    wanted = {(frame.file, frame.number) for frame in frames}
    for member, opened in open_members(path, list(dict.fromkeys(f.file for f in frames))):
        try:
            dataset = read_dataset(opened, header_only=False)
            for number, frame in flatten(dataset):
                if (member, number) in wanted:
                    plane = decode_frame(dataset, frame, number)
                    found[member, number] = (_without_pixels(frame), plane)
        except VolumeError as error:
            raise VolumeError(f"{member + ': ' if member else ''}{error}") from error
        except Exception as error:  # pydicom meets damaged bytes with any error at all
            raise VolumeError(f"{member}: a damaged DICOM file ({first_line(error)})") from error
    pairs = [found[frame.file, frame.number] for frame in frames]
    return [dataset for dataset, _ in pairs], [plane for _, plane in pairs]


def _without_pixels(dataset: Dataset) -> Dataset:
    """A header's elements as they stand in the file: what isn't used needn't be readable."""
    return Dataset({tag: element for tag, element in dataset.items() if tag not in _PIXELS})


def _fill_padding(planes: Sequence[Plane]) -> tuple[list[Array], float]:
    """Planes whose padding has become background, the lowest true intensity; and that."""
    lowest = [
        float((plane.array if plane.padding is None else plane.array[~plane.padding]).min())
        for plane in planes
        if plane.padding is None or not plane.padding.all()
    ]
    if not lowest:
        raise VolumeError("nothing but padding")
    background = min(lowest)
    arrays = [
        plane.array
        if plane.padding is None
        else np.where(plane.padding, np.float32(background), plane.array)
        for plane in planes
    ]
    return arrays, background


def _check_alike(datasets: Sequence[Dataset]) -> None:
    """Refuse slices whose intensities don't mean the same.

    Raises:
        VolumeError: Some are MONOCHROME1 or have a rescale, and others not.
    """
    for keyword in ("PhotometricInterpretation", "RescaleSlope"):
        found = {
            str(dataset.get(keyword)) if keyword.startswith("P") else keyword in dataset
            for dataset in datasets
        }
        if len(found) > 1:
            raise VolumeError(f"{keyword} isn't alike in all slices: their intensities don't match")


def _notes(dataset: Dataset) -> tuple[str, ...]:
    """What reading had to choose."""
    notes = []
    if "RealWorldValueMappingSequence" in dataset or "RealWorldValueSlope" in dataset:
        used = "its RescaleSlope counts, a RealWorldValueMapping is left aside"
        mapped = "it has no RescaleSlope: its RealWorldValueMapping counts"
        notes.append(used if "RescaleSlope" in dataset else mapped)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        inverted = "" if dataset.get("Modality") == "CT" else "; inverted"
        notes.append(f"MONOCHROME1, white is low{inverted}")
    return tuple(notes)


def _volume(
    array: Array,
    affine: Matrix,
    header: DicomHeader,
    notes: tuple[str, ...],
) -> Volume:
    first = header.datasets[0]
    modality = IMAGE_CLASSES[UID(one_line(str(first.SOPClassUID)))]
    return Volume(
        array=array,
        affine=affine,
        header=header,
        modality=modality,
        stored_dtype=_stored_dtype(first, modality),
        warnings=notes,
    )


def _stored_dtype(dataset: Dataset, modality: Modality) -> "np.dtype[np.integer]":
    """The integer type for the intensities; HU are signed, however they are stored."""
    wide = int(dataset.get("BitsAllocated", 16)) > 16
    if modality == "CT" or int(dataset.get("PixelRepresentation", 0)) == 1:
        return np.dtype(np.int32 if wide else np.int16)
    return np.dtype(np.uint32 if wide else np.uint16)
