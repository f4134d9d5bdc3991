"""What a cohort translates and where to: each found volume gets an output for each target.

The items of one source lie next to each other, so that whoever works on them reads it once.
"""

import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.cohort import bids
from i2igalip_cli.engine.cohort.inputs import FoundVolume, is_dicom
from i2igalip_cli.engine.cohort.rows import files_of
from i2igalip_cli.engine.quality.maps import map_name
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import FORMATS, VolumeEntry, volume_suffix

_LONGEST_DESCRIPTION = 60  # of a series in a file name


@dataclass(frozen=True, kw_only=True)
class CohortItem:
    """One volume to translate to one target.

    Attributes:
        entry: Where it lies.
        target: Name of the target domain.
        output: Path below the output folder.
        format: Of the output, a name in `FORMATS`.
        refusal: Why it can't be used; "" where it can.
        skipped: Whether a refused one is skipped rather than failed.
        bids: Path of the source in its BIDS dataset; "" elsewhere.
    """

    entry: VolumeEntry
    target: str
    output: PurePosixPath
    format: str
    refusal: str = ""
    skipped: bool = False
    bids: str = ""

    @property
    def map_output(self) -> PurePosixPath:
        """Path below the output folder of the map of where the output is doubtful."""
        name = self.output.name
        return self.output.with_name(bids.map_name(name) if self.bids else map_name(name))

    @cached_property
    def key(self) -> str:
        """Its name in the ledger."""
        return key_of(str(self.output))

    @cached_property
    def origin(self) -> str:
        """What tells its source from all others: the same for the source's every target."""
        entry = self.entry
        names = "\n".join([str(entry.path), entry.series, str(entry.volume), *entry.files])
        return hashlib.sha256(os.fsencode(names)).hexdigest()[:24]

    @property
    def source(self) -> str:
        """Path of the source; of DICOM in a folder that of the folder its files lie in."""
        files = self.entry.files
        if self.entry.path.is_dir() and files:
            return str(self.entry.path / PurePosixPath(files[0]).parent)
        return str(self.entry.path)

    @property
    def name(self) -> str:
        """The source for people."""
        number = "" if self.entry.number is None else f" series {self.entry.number}"
        return self.source + number


def key_of(output: str) -> str:
    """The name in the ledger of what is written to a path below the output folder."""
    return hashlib.sha256(os.fsencode(output)).hexdigest()[:24]


def plan_items(
    found: Iterable[FoundVolume], targets: Sequence[Domain], format_name: str | None = None
) -> tuple[CohortItem, ...]:
    """Name the outputs of each found volume, in the order of these names, source by source.

    Nothing is written for a refused one: where its name is a usable one's, too, it gives way.

    Args:
        found: What was found.
        targets: Domains of the outputs.
        format_name: Of the outputs, a name in `FORMATS`; None keeps that of the source.

    Raises:
        VolumeError: Two results would be written to one path.
    """
    volumes = tuple(found)
    stems = _stems(volumes)
    items = [
        _item(one, stem, target, format_name)
        for one, stem in zip(volumes, stems, strict=True)
        for target in targets
    ]
    items = _in_order(_give_way(items))
    refuse_twins(items)
    return tuple(items)


def _in_order(items: Sequence[CohortItem]) -> list[CohortItem]:
    """Sources in the order of their first outputs, and the outputs of each in order.

    The order in which targets were asked for is none: shards and resumed runs may have another.
    """
    ordered = sorted(items, key=lambda item: str(item.output))
    places: dict[str, int] = {}
    for place, item in enumerate(ordered):
        places.setdefault(item.origin, place)
    return sorted(ordered, key=lambda item: places[item.origin])


def by_source(items: Iterable[CohortItem]) -> list[tuple[CohortItem, ...]]:
    """Planned items, those of one source together."""
    return [tuple(group) for _, group in itertools.groupby(items, lambda item: item.origin)]


def _give_way(items: Sequence[CohortItem]) -> list[CohortItem]:
    """Rename refused items whose name is another one's, too, in any case of letters."""
    taken = {name for item in items if not item.refusal for name in _folded(item)}
    kept = [item for item in items if not item.refusal]
    refused = [item for item in items if item.refusal]
    for item in sorted(refused, key=lambda item: (str(item.entry.path), item.origin)):
        name = f"{item.output.name}-{item.origin[:8]}"
        other = replace(item, output=item.output.with_name(name))
        kept.append(item if taken.isdisjoint(_folded(item)) else other)
        taken |= _folded(kept[-1])
    return kept


def _folded(item: CohortItem) -> set[str]:
    return {str(path).casefold() for path in files_of(Path(item.output))}


def refuse_twins(items: Sequence[CohortItem], *, case_blind: bool = False) -> None:
    """Refuse two items with one output.

    Args:
        items: Of one output folder.
        case_blind: Whether its file system takes A and a for one name.

    Raises:
        VolumeError: The message names both.
    """
    takers: dict[str, CohortItem] = {}
    for item in items:
        for path in files_of(Path(item.output)):
            name = str(path).casefold() if case_blind else str(path)
            other = takers.setdefault(name, item)
            if other is not item:
                raise VolumeError(
                    f"{_describe_twins(other, item)} would both be written to {path.as_posix()}; "
                    "give the folder above them, or translate them into two folders"
                )


def source_format(entry: VolumeEntry) -> str:
    """The format of a found volume, a name in `FORMATS`."""
    suffix = volume_suffix(entry.path)
    for name, known in FORMATS.items():
        if suffix is not None and suffix in known.suffixes and not is_dicom(entry):
            return name
    return "dicom"  # known by content, not by name


def output_suffix(entry: VolumeEntry, format_name: str | None) -> str:
    """The suffix of an output: the source's own where the format stays; "" for a folder."""
    own = source_format(entry)
    if format_name is None or format_name == own:
        return (volume_suffix(entry.path) or "") if own != "dicom" else ""
    return max(FORMATS[format_name].suffixes, key=len, default="")  # .nii.gz rather than .nii


def _item(one: FoundVolume, stem: str, target: Domain, format_name: str | None) -> CohortItem:
    suffix = output_suffix(one.entry, format_name)
    if one.bids:
        name = bids.derivative_name(stem, target, one.entry.volume) + suffix
    else:
        part = "" if one.entry.volume is None or not one.several else f"_vol-{one.entry.volume:03d}"
        name = f"{stem}{part}_{target.name}{suffix}"
    refusal, expected = one.fault or one.entry.refusal, one.entry.expected
    if one.entry.synthetic and not refusal and not one.named:
        refusal, expected = "it is a synthetic image; name it itself to translate it", True
    return CohortItem(
        entry=one.entry,
        target=target.name,
        output=one.folder / name,
        format=format_name or source_format(one.entry),
        refusal=refusal,
        skipped=expected and not one.named,
        bids=one.bids,
    )


def _stems(volumes: Sequence[FoundVolume]) -> list[str]:
    """Names without suffix; where a folder holds several series, with what tells them apart."""
    places = Counter(
        (one.entry.path, one.folder, one.stem) for one in volumes if is_dicom(one.entry)
    )
    stems = []
    for one in volumes:
        alone = places[one.entry.path, one.folder, one.stem] < 2
        named = one.stem if alone else "_".join(filter(None, (one.stem, _series_name(one.entry))))
        stems.append(named)
    again = Counter(
        (one.folder, stem) for one, stem in zip(volumes, stems, strict=True) if is_dicom(one.entry)
    )
    return [
        f"{stem}_{hashlib.sha256(_distinction(one.entry)).hexdigest()[:8]}"
        if again[one.folder, stem] > 1 and is_dicom(one.entry)
        else stem
        for one, stem in zip(volumes, stems, strict=True)
    ]


def _distinction(entry: VolumeEntry) -> bytes:
    """What no other entry of DICOM has: its series, or its files where they don't name one."""
    return os.fsencode(entry.series or "\n".join(entry.files))


def _series_name(entry: VolumeEntry) -> str:
    """Number, part and description of a series, safe in a file name."""
    part = entry.series.partition("/")[2]
    number = "" if entry.number is None else str(entry.number)
    words = re.sub(r"[^A-Za-z0-9.]+", "-", entry.description)[:_LONGEST_DESCRIPTION].strip("-.")
    return "_".join(word for word in ("-".join(filter(None, (number, part))), words) if word)


def _describe_twins(one: CohortItem, other: CohortItem) -> str:
    """Two items for people: by their sources, or where that is one by their targets."""
    if one.origin == other.origin:
        return f"{_describe(one)} to {one.target} and to {other.target}"
    return f"{_describe(one)} and {_describe(other)}"


def _describe(item: CohortItem) -> str:
    """A source with what tells it from others of its path."""
    if is_dicom(item.entry) or item.entry.volume is not None:
        return f"{item.source} {item.entry.describe()}"
    return item.source
