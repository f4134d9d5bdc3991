"""Frames -> volumes: which of them belong together, and which of these can't be used, and why.

A series is taken apart only where it must be: by size, orientation and pixel spacing always; by
what `DIVIDERS` names (echo, time ...) where slices lie at the same places, or where each echo, time
or b-value is a stack of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
from pydicom.uid import UID

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.frames import DIVIDERS, IMAGE_CLASSES, Frame
from i2igalip_cli.volumes.dicom.stack import MINIMUM_SLICES, place_along_normal, stack_frames

COSINE_TOLERANCE = 2e-3  # between orientations of one volume (0.1 degrees)
SPACING_TOLERANCE = 1e-3  # share of the pixel spacing
ECHO_TOLERANCE = 0.05  # share of the echo time: scanners vary it a little within a volume
CONTRASTS = ("EchoTime", "EchoNumbers", "TemporalPositionIdentifier", "DiffusionBValue")
_NO_VOLUME = {  # value of ImageType: why such images are no volume of the patient
    "LOCALIZER": "a localizer",
    "MOSAIC": "a Siemens mosaic: export it as single slices or as enhanced multi-frame",
    "MIP": "a projection (MIP)",
    "PROJECTION IMAGE": "a projection",
    "MPR": "a reformatted image (MPR): give the series it was made from",
    "CSA MPR": "a reformatted image (MPR): give the series it was made from",
}
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The frames of one volume of a series.

    Attributes:
        frames: In no order.
        series: SeriesInstanceUID, with "/1", "/2" ... where the series holds several volumes.
        label: What tells it from the other parts: "EchoTime 30" ...
        refusal: Why it is no volume; "" where it is one.
        expected: Whether users expect it to be left out.
        notes: What the user should know.
    """

    frames: tuple[Frame, ...]
    series: str = ""
    label: str = ""
    refusal: str = ""
    expected: bool = False
    notes: tuple[str, ...] = ()


def split_series(frames: Sequence[Frame]) -> tuple[Part, ...]:
    """Find the volumes among the frames of any number of series.

    Args:
        frames: Of one place.

    Returns:
        In order of series number and UID; every frame is in one part, but true duplicates.
    """
    series: dict[str, dict[object, list[Frame]]] = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        series[frame.series][frame.owner].append(frame)
    parts: list[Part] = []
    for uid in sorted(series, key=lambda uid: (_first_number(series[uid].values()), uid)):
        parts.extend(_number(uid, [p for own in series[uid].values() for p in _split_one(own)]))
    return tuple(parts)


def check_volume(frames: Sequence[Frame]) -> None:
    """Judge again the frames of a volume that was found before.

    Raises:
        VolumeError: They are no volume (any more).
    """
    parts = _split_one(frames)
    if parts[0].refusal:
        raise VolumeError(parts[0].refusal)
    if len(parts) > 1:
        raise VolumeError("its files have changed since they were listed")


def _first_number(owners: Iterable[Sequence[Frame]]) -> int:
    return min((frame.series_number or 0) for frames in owners for frame in frames)


def _number(uid: str, parts: Sequence[Part]) -> list[Part]:
    """Name the parts of a series, the largest first."""
    if len(parts) == 1:
        return [replace(parts[0], series=uid)]
    ordered = sorted(parts, key=lambda part: -len(part.frames))
    return [replace(part, series=f"{uid}/{place}") for place, part in enumerate(ordered, start=1)]


def _split_one(frames: Sequence[Frame]) -> list[Part]:
    """The volumes of one series of one patient, study and frame of reference."""
    groups = _group(frames)
    orientations = len({tuple(np.round(g[0].orientation or (), 2)) for g in groups})
    parts = list(chain.from_iterable(_split_group(group, orientations) for group in groups))
    return _judge_leftovers(parts)


def _group(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one class, size, special kind and, within tolerances, orientation and spacing."""
    groups: list[list[Frame]] = []
    by_kind: dict[object, list[list[Frame]]] = defaultdict(list)
    for frame in frames:
        special = tuple(value for value in frame.image_type if value in _NO_VOLUME)
        alike = by_kind[frame.sop_class, frame.size, special]
        home = next((group for group in alike if _is_alike(group[0], frame)), None)
        if home is None:
            alike.append([frame])
            groups.append(alike[-1])
        else:
            home.append(frame)
    return groups


def _is_alike(first: Frame, other: Frame) -> bool:
    return _is_near(first.orientation, other.orientation, COSINE_TOLERANCE) and _is_near(
        first.spacing, other.spacing, SPACING_TOLERANCE * max(first.spacing or (0,))
    )


def _is_near(
    first: tuple[float, ...] | None, other: tuple[float, ...] | None, tolerance: float
) -> bool:
    if first is None or other is None:
        return first is other
    return all(abs(a - b) <= tolerance for a, b in zip(first, other, strict=True))


def _judge_leftovers(parts: Sequence[Part]) -> list[Part]:
    """Refuse a volume that a few images of its series and direction may belong to.

    They differ in what all slices of a volume share; without them it might end too early. Of
    others that are left out, the user is told.
    """
    found = []
    for part in parts:
        others = [other for other in parts if other is not part and other.refusal]
        stray = next((other for other in others if _continues(part, other)), None)
        if part.refusal or not others:
            found.append(part)
        elif stray is not None:
            number, total = len(stray.frames), len(stray.frames) + len(part.frames)
            what = _difference(part.frames[0], stray.frames[0])
            refusal = f"{number} of {total} images of this series and direction differ in {what}"
            found.append(replace(part, refusal=refusal))
        else:
            number = sum(len(other.frames) for other in others)
            note = f"{number} other images of its series are left out ({others[0].refusal})"
            found.append(replace(part, notes=(*part.notes, note)))
    return found


def _continues(part: Part, stray: Part) -> bool:
    """Whether too few images for a volume lie as slices of another one do."""
    first, other = part.frames[0], stray.frames[0]
    return (
        len(stray.frames) < MINIMUM_SLICES
        and other.sop_class == first.sop_class
        and not any(value in _NO_VOLUME for value in other.image_type)
        and other.orientation is not None
        and _is_near(first.orientation, other.orientation, 10 * COSINE_TOLERANCE)
    )


def _difference(first: Frame, other: Frame) -> str:
    if first.size != other.size:
        return f"Rows and Columns ({first.size} and {other.size})"
    if not _is_near(first.spacing, other.spacing, SPACING_TOLERANCE * max(first.spacing or (0,))):
        return f"PixelSpacing ({first.spacing} and {other.spacing})"
    return f"ImageOrientationPatient ({first.orientation} and {other.orientation})"


def _refuse(frames: Sequence[Frame], orientations: int) -> tuple[str, bool]:
    """The first rule of a volume that a group of like frames breaks, and whether users expect it.

    ("", False) where it breaks none.
    """
    first = frames[0]
    if not first.sop_class:
        return "no SOPClassUID: what kind of image it is, is unknown", False
    if UID(first.sop_class) not in IMAGE_CLASSES:
        return f"holds {UID(first.sop_class).name}, not MR or CT images", True
    special = [_NO_VOLUME[value] for value in first.image_type if value in _NO_VOLUME]
    if special:
        return f"{special[0]} (ImageType {chr(92).join(first.image_type)})", True
    if any(frame.position is None or frame.orientation is None for frame in frames):
        return "no ImagePositionPatient or ImageOrientationPatient: its place is unknown", False
    if first.spacing is None or min(first.spacing) <= 0:
        return "no PixelSpacing: its size in millimetres is unknown", False
    if len(frames) < MINIMUM_SLICES:
        number = f"{len(frames)} slice{'s' if len(frames) > 1 else ''}"
        if orientations > 1:
            rule = f"slice orientation: {orientations} in one series, {number} in this one"
            return f"{rule}; a localizer, or no volume", True
        return f"slice count: {number}, a volume needs at least {MINIMUM_SLICES}", True
    return "", False


def _split_group(frames: Sequence[Frame], orientations: int) -> list[Part]:
    """Frames of one shape -> one volume, or several."""
    kept, notes = _drop_copies(frames)
    refusal, expected = _refuse(kept, orientations)
    part = Part(frames=tuple(kept), notes=notes, refusal=refusal, expected=expected)
    if part.refusal:
        return [part]
    try:
        places = place_along_normal(kept)
    except VolumeError as error:
        return [replace(part, refusal=str(error))]
    number = len(np.unique(places))
    if number == 1:
        return [replace(part, refusal=f"not a volume: all {len(kept)} slices lie at one place")]
    if number == len(kept):
        divided = _divide_by_contrast(kept)
        if not divided:
            return [part]
    else:
        divided = _divide(kept, places, number)
    if not divided:
        why = "neither echo, time, kind nor acquisition tells volumes apart"
        refusal = f"duplicate slices: {len(kept)} at {number} places, and {why}"
        return [replace(part, refusal=refusal)]
    return [_divided(part, label, group, orientations) for label, group in divided]


def _divided(part: Part, label: str, frames: Sequence[Frame], orientations: int) -> Part:
    refusal, expected = _refuse(frames, orientations)
    return replace(part, frames=tuple(frames), label=label, refusal=refusal, expected=expected)


def _drop_copies(frames: Sequence[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """Leave out images that are there twice: one SOPInstanceUID, one place, one acquisition."""
    seen: dict[object, Frame] = {}
    for frame in frames:
        own = (frame.uid, frame.number, frame.position, frame.dividers)
        seen.setdefault(own if frame.uid else (frame.file, frame.number), frame)
    dropped = len(frames) - len(seen)
    notes = (f"{dropped} images were there twice (one SOPInstanceUID); left out",)
    return list(seen.values()), notes if dropped else ()


def _divide_by_contrast(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """Volumes of several echoes, times or b-values that lie beside or between each other.

    Only where each of them is a regular stack by itself: what merely varies within a volume
    divides nothing.
    """
    for name in CONTRASTS:
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in frames:
            groups[frame.dividers[DIVIDERS.index(name)]].append(frame)
        large = all(len(group) >= MINIMUM_SLICES for group in groups.values())
        if len(groups) < 2 or not large or (name == "EchoTime" and not _differ(groups)):
            continue
        if not any(stack_frames(group).fault for group in groups.values()):
            return [(f"{name} {value}", group) for value, group in groups.items()]
    return []


def _differ(values: "dict[str, list[Frame]]") -> bool:
    """Whether numbers differ by more than a scanner varies them; what is no number does."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return True
    return max(numbers) - min(numbers) > ECHO_TOLERANCE * max(numbers)


def _divide(frames: Sequence[Frame], places: Places, number: int) -> list[tuple[str, list[Frame]]]:
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
