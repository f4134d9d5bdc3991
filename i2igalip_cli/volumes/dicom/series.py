"""Frames -> volumes: which of them belong together, and which of these can't be used, and why.

A series is taken apart only where it must be: by orientation, size, pixel spacing and kind of image
always, by what `DIVIDERS` names (echo, time ...) only where slices lie at the same places.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
from pydicom.uid import UID

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.frames import DIVIDERS, IMAGE_CLASSES, Frame
from i2igalip_cli.volumes.dicom.stack import (
    MINIMUM_SLICES,
    SAME_PLACE_MM,
    distance_along_normal,
)

_NO_VOLUME = {  # value of ImageType: why such images are no volume of the patient
    "LOCALIZER": "a localizer",
    "MOSAIC": "a Siemens mosaic: export it as single slices or as enhanced multi-frame",
    "MIP": "a projection (MIP)",
    "PROJECTION IMAGE": "a projection",
    "MPR": "a reformatted image (MPR): give the series it was made from",
    "CSA MPR": "a reformatted image (MPR): give the series it was made from",
}
_KINDS = ("ORIGINAL", "DERIVED", "M", "P", "R", "I", "PHASE", "REAL", "IMAGINARY", "MAGNITUDE")


@dataclass(frozen=True, kw_only=True)
class Part:
    """The frames of one volume of a series.

    Attributes:
        frames: In no order.
        series: SeriesInstanceUID, with "/1", "/2" ... where the series holds several volumes.
        label: What tells it from the other parts: "EchoTime 30" ...
        refusal: Why it is no volume; "" where it is one.
        notes: What the user should know.
    """

    frames: tuple[Frame, ...]
    series: str = ""
    label: str = ""
    refusal: str = ""
    notes: tuple[str, ...] = ()


def split_series(frames: Sequence[Frame]) -> tuple[Part, ...]:
    """Find the volumes among the frames of any number of series.

    Args:
        frames: Of one place.

    Returns:
        In order of series number and UID; every frame is in one part, but true duplicates.
    """
    by_series: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_series[frame.series].append(frame)
    parts: list[Part] = []
    for uid in sorted(by_series, key=lambda uid: (by_series[uid][0].series_number or 0, uid)):
        parts.extend(_number(uid, _split_one(by_series[uid])))
    return tuple(parts)


def _number(uid: str, parts: Sequence[Part]) -> list[Part]:
    if len(parts) == 1:
        return [replace(parts[0], series=uid)]
    return [replace(part, series=f"{uid}/{place}") for place, part in enumerate(parts, start=1)]


def _split_one(frames: Sequence[Frame]) -> list[Part]:
    """The volumes of one series."""
    refusal = _refuse_kind(frames[0])
    if refusal:
        return [Part(frames=tuple(frames), refusal=refusal)]
    groups: dict[object, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[_shape_of(frame)].append(frame)
    orientations = {key[0] for key in groups if isinstance(key, tuple)}
    parts: list[Part] = []
    for group in groups.values():
        parts.extend(_split_group(group, len(orientations)))
    return sorted(parts, key=lambda part: -len(part.frames))


def _shape_of(frame: Frame) -> tuple[object, ...]:
    """What all slices of a volume share."""
    orientation = None if frame.orientation is None else tuple(np.round(frame.orientation, 3) + 0.0)
    spacing = None if frame.spacing is None else tuple(np.round(frame.spacing, 4))
    kind = tuple(value for value in frame.image_type if value in _KINDS)
    special = tuple(value for value in frame.image_type if value in _NO_VOLUME)
    return orientation, frame.size, spacing, kind, special, frame.sop_class


def _refuse_kind(frame: Frame) -> str:
    if frame.sop_class and UID(frame.sop_class) not in IMAGE_CLASSES:
        name = UID(frame.sop_class).name
        return f"holds {name}, not MR or CT images"
    return ""


def _refuse_group(frames: Sequence[Frame], orientations: int) -> str:
    """The first rule of a volume that a group of like frames breaks."""
    first = frames[0]
    special = [_NO_VOLUME[value] for value in first.image_type if value in _NO_VOLUME]
    if special:
        return f"{special[0]} (ImageType {chr(92).join(first.image_type)})"
    if any(frame.position is None or frame.orientation is None for frame in frames):
        return "no ImagePositionPatient or ImageOrientationPatient: its place is unknown"
    if first.spacing is None or min(first.spacing) <= 0:
        return "no PixelSpacing: its size in millimetres is unknown"
    if min(first.size) < 1:
        return "no pixels (Rows or Columns is 0 or absent)"
    if len(frames) < MINIMUM_SLICES:
        number = f"{len(frames)} slice{'s' if len(frames) > 1 else ''}"
        if orientations > 1:
            return (
                f"slice orientation: {orientations} in one series, {number} in this one; "
                "a localizer, or no volume"
            )
        return f"slice count: {number}, a volume needs at least {MINIMUM_SLICES}"
    return ""


def _split_group(frames: Sequence[Frame], orientations: int) -> list[Part]:
    """Frames of one shape -> one volume, or several at the same places."""
    kept, notes = _drop_copies(frames)
    part = Part(frames=tuple(kept), notes=notes, refusal=_refuse_group(kept, orientations))
    if part.refusal:
        return [part]
    try:
        places = _places(kept)
    except VolumeError as error:
        return [replace(part, refusal=str(error))]
    number = len(np.unique(places))
    if number == len(kept):
        return [part]
    if number == 1:
        return [replace(part, refusal=f"not a volume: all {len(kept)} slices lie at one place")]
    divided = _divide(kept, places, number)
    if not divided:
        why = "neither echo, time nor acquisition tells volumes apart"
        refusal = f"duplicate slices: {len(kept)} at {number} places, and {why}"
        return [replace(part, refusal=refusal)]
    return [
        replace(part, frames=tuple(group), label=label, refusal=_refuse_group(group, orientations))
        for label, group in divided
    ]


def _drop_copies(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """Leave out images that are there twice under one SOPInstanceUID and place."""
    seen: dict[object, Frame] = {}
    for frame in frames:
        identity = (frame.uid, frame.number, frame.position) if frame.uid else (frame.file,)
        seen.setdefault(identity, frame)
    dropped = len(frames) - len(seen)
    notes = (f"{dropped} images were there twice (one SOPInstanceUID); left out",)
    return list(seen.values()), notes if dropped else ()


def _places(frames: Sequence[Frame]) -> npt.NDArray[np.int64]:
    """Number of each frame's place along the normal, from 0 (N)."""
    distances = np.array([distance_along_normal(frame) for frame in frames])
    order = np.argsort(distances, kind="stable")
    places = np.empty(len(frames), dtype=np.int64)
    places[order] = np.concatenate([[0], np.cumsum(np.diff(distances[order]) > SAME_PLACE_MM)])
    return places


def _divide(
    frames: Sequence[Frame], places: npt.NDArray[np.int64], number: int
) -> list[tuple[str, list[Frame]]]:
    """Volumes told apart by as few of the dividers as do it: each covers every place once.

    Args:
        frames: At the same places.
        places: Number of each frame's place (N).
        number: Of places.

    Returns:
        (what tells it apart, its frames) of each, by InstanceNumber; none if nothing does.
    """
    varying = [
        column
        for column in range(len(DIVIDERS))
        if 1 < len({frame.dividers[column] for frame in frames}) <= len(frames) // number
    ]
    for columns in chain.from_iterable(combinations(varying, size) for size in (1, 2, 3)):
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, frame in enumerate(frames):
            groups[tuple(frame.dividers[column] for column in columns)].append(index)
        members = sorted(groups, key=lambda key: min(frames[k].instance for k in groups[key]))
        if all(
            len(groups[key]) == number == len(np.unique(places[groups[key]])) for key in members
        ):
            names = [DIVIDERS[column] for column in columns]
            return [
                (
                    ", ".join(f"{n} {v}" for n, v in zip(names, key, strict=True)),
                    [frames[index] for index in groups[key]],
                )
                for key in members
            ]
    return []
