"""How a DICOM volume was acquired, by the header of its first image or frame."""

import math
from collections.abc import Sequence
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from i2igalip_cli.errors import VolumeError, first_line, one_line
from i2igalip_cli.volumes.acquired import Acquisition, agent_of, one_value
from i2igalip_cli.volumes.content import named
from i2igalip_cli.volumes.dicom.frames import read_dataset
from i2igalip_cli.volumes.dicom.multiframe import flatten
from i2igalip_cli.volumes.dicom.places import open_members
from i2igalip_cli.volumes.entry import VolumeEntry

_NUMBERS = (
    *("RepetitionTime", "EchoTime", "InversionTime", "InversionTimes", "FlipAngle"),
    *("MagneticFieldStrength", "DiffusionBValue"),
)
# Enhanced images say in attributes of their own (PS3.3 C.8.13.4) what ScanningSequence and
# SequenceVariant said in words (C.8.3.1): keyword, its value, the words.
_ENHANCED = (
    ("EchoPulseSequence", "SPIN", ("SE",)),
    ("EchoPulseSequence", "GRADIENT", ("GR",)),
    ("EchoPulseSequence", "BOTH", ("SE", "GR")),
    ("EchoPlanarPulseSequence", "YES", ("EP",)),
    ("InversionRecovery", "YES", ("IR",)),
    ("SteadyStatePulseSequence", "FREE_PRECESSION", ("SS",)),
    ("SteadyStatePulseSequence", "TRANSVERSE", ("SS",)),
    ("SteadyStatePulseSequence", "TIME_REVERSED", ("SS",)),
    ("Spoiling", "RF", ("SP",)),
    ("Spoiling", "RF_AND_GRADIENT", ("SP",)),
)
_SEQUENCES = ("ScanningSequence", "SequenceVariant", "SequenceName", "PulseSequenceName")
_TEXTS = (
    *("PatientID", "Modality", "SeriesDescription", "ProtocolName", "PatientPosition"),
    *("AcquisitionContrast", "ContrastBolusAgent", "ImageType"),
)
_KEYWORDS = (
    *_NUMBERS,
    *_SEQUENCES,
    *_TEXTS,
    *(keyword for keyword, _, _ in _ENHANCED),
    *("SpecificCharacterSet", "SOPClassUID", "NumberOfFrames", "ContrastBolusAgentSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_TAGS = tuple(Tag(keyword) for keyword in dict.fromkeys(_KEYWORDS))


def read_acquisition(entry: VolumeEntry) -> Acquisition:
    """How a volume was acquired.

    Args:
        entry: From `list_volumes`; one that is refused as a volume still has a header.

    Raises:
        VolumeError: Its first file is damaged, or no longer there.
    """
    if not entry.frames:  # nothing but damage
        raise VolumeError(f"{entry.path}: {entry.refusal}")
    member, number = entry.frames[0]
    with named(entry.path / member if member else entry.path):
        try:
            return _describe(_read_header(entry, member, number))
        except VolumeError:
            raise
        except Exception as error:  # pydicom meets damaged values with any error at all
            raise VolumeError(f"a damaged DICOM header ({first_line(error)})") from error


def _read_header(entry: VolumeEntry, member: str, number: int | None) -> Dataset:
    for _, opened in open_members(entry.path, [member]):
        dataset = read_dataset(opened, header_only=True, tags=_TAGS)
        for place, frame in flatten(dataset):
            if place == number:
                return frame
    raise VolumeError("it has changed since it was listed")


def _describe(dataset: Dataset) -> Acquisition:
    numbers = {name: one_value(name, _numbers(dataset, name)) for name in _NUMBERS}
    return Acquisition(
        subject=_text(dataset, "PatientID"),
        modality=_text(dataset, "Modality").upper(),
        repetition_ms=numbers["RepetitionTime"][0],
        echo_ms=numbers["EchoTime"][0],
        inversion_ms=numbers["InversionTime"][0] or numbers["InversionTimes"][0],
        flip_degrees=numbers["FlipAngle"][0],
        sequence=_sequence(dataset),
        image_type=_words(dataset, "ImageType"),
        description=_text(dataset, "SeriesDescription") or _text(dataset, "ProtocolName"),
        stated_contrast=_text(dataset, "AcquisitionContrast").upper(),
        contrast_agent=_agent(dataset),
        b_value=numbers["DiffusionBValue"][0],
        position=_text(dataset, "PatientPosition").upper(),
        field_tesla=numbers["MagneticFieldStrength"][0],
        notes=tuple(note for _, notes in numbers.values() for note in notes),
    )


def _sequence(dataset: Dataset) -> tuple[str, ...]:
    classic = [word for name in _SEQUENCES for word in _words(dataset, name)]
    enhanced = [
        word
        for keyword, value, words in _ENHANCED
        if _text(dataset, keyword).upper() == value
        for word in words
    ]
    return tuple(dict.fromkeys((*classic, *enhanced)))


def _agent(dataset: Dataset) -> str:
    """The agent by its name, or of an enhanced image by its code's meaning."""
    coded = [_text(item, "CodeMeaning") for item in dataset.get("ContrastBolusAgentSequence") or ()]
    names = (_text(dataset, "ContrastBolusAgent"), *coded)
    return next((name for name in map(agent_of, names) if name), "")


def _values(dataset: Dataset, keyword: str) -> Sequence[Any]:
    found = dataset.get(keyword)
    if found is None or found == "":
        return ()
    return found if isinstance(found, MultiValue | list) else (found,)


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    values = [float(value) for value in _values(dataset, keyword)]
    if not all(math.isfinite(value) for value in values):
        raise VolumeError(f"a damaged DICOM header ({keyword} is {values})")
    return values


def _text(dataset: Dataset, keyword: str) -> str:
    return one_line(" ".join(str(value) for value in _values(dataset, keyword)))


def _words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    words = (one_line(str(value)).upper() for value in _values(dataset, keyword))
    return tuple(word for word in words if word)
