"""What a derived series says of itself: whose it is, which one, when and in which characters.

A synthetic image must never pass for an acquired one: the series' description, the image type, the
derivation, SyntheticData and the contributing equipment each say so.
"""

import re
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.uid import UID, generate_uid

from i2igalip_cli import __version__
from i2igalip_cli.domains import DOMAINS, Modality
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.iod import add_empty, modality_elements
from i2igalip_cli.volumes.dicom.kept import (
    COMPRESSION,
    IMAGE,
    PATIENT,
    SERIES,
    STUDY,
    keep,
    text,
)
from i2igalip_cli.volumes.dicom.provenance import (
    PROGRAM,
    as_value,
    contributing_equipment,
    derivation_elements,
)
from i2igalip_cli.volumes.volume import Derivation, Volume

_LO = 64  # characters of a long string
_DEFAULT_REPERTOIRE = ("", "ISO_IR 6", "ISO 2022 IR 6")  # ASCII
_MAXIMUM_NUMBER = 2**31 - 1


def new_uid() -> UID:
    """A random UID under 2.25 (PS3.5 B.2): nobody gives it out twice."""
    return generate_uid(prefix=None)


def derived_series(volume: Volume, modality: Modality) -> Dataset:
    """The elements that all images of the derived series share, but for the pixels' description.

    Args:
        volume: With the header of its source, or another format's or none: then this is the first
            series of a new study of an unknown patient.
        modality: Of the derived images.
    """
    sources = volume.header.datasets if isinstance(volume.header, DicomHeader) else ()
    source = sources[0] if sources else Dataset()
    moment = _now(source)
    series = keep(source, (*PATIENT, *STUDY, *SERIES, *IMAGE))
    if not text(series, "FrameOfReferenceUID"):
        series.FrameOfReferenceUID = new_uid()
    if not text(series, "StudyInstanceUID"):
        series.update(_new_study(moment))
    age = text(series, "PatientAge")
    if re.fullmatch(r"\d{1,2}[DWMY]", age):  # an age string has three digits
        series.PatientAge = age.zfill(4)
    series.update(modality_elements(modality, _same_contrast(volume, modality, source)))
    series.update(_new_series(volume, source, moment))
    series.update(_lossy(sources))
    series.ContributingEquipmentSequence = contributing_equipment(volume.derivation, source, moment)
    series.update(derivation_elements(volume))
    series.ContentQualification = "RESEARCH"
    if text(series, "BurnedInAnnotation") != "YES":  # what was burned in may show in the copy
        series.BurnedInAnnotation = "NO"
    add_empty(series)
    _choose_character_set(series)
    return series


def _same_contrast(volume: Volume, modality: Modality, source: Dataset) -> Dataset | None:
    unchanged = volume.derivation is None and text(source, "Modality") == modality
    return source if unchanged else None


def _new_study(moment: datetime) -> Dataset:
    dataset = Dataset()
    dataset.StudyInstanceUID = new_uid()
    dataset.StudyDate, dataset.StudyTime = _day_and_time(moment)
    return dataset


def _new_series(volume: Volume, source: Dataset, moment: datetime) -> Dataset:
    dataset = Dataset()
    dataset.SeriesInstanceUID = new_uid()
    dataset.SeriesNumber = series_number(text(source, "SeriesNumber"), volume.derivation)
    dataset.SeriesDescription = as_value(
        _series_description(volume.derivation, text(source, "SeriesDescription")), _LO
    )
    day, time = _day_and_time(moment)
    dataset.InstanceCreationDate = dataset.SeriesDate = dataset.ContentDate = day
    dataset.InstanceCreationTime = dataset.SeriesTime = dataset.ContentTime = time
    dataset.Manufacturer = dataset.ManufacturerModelName = PROGRAM
    dataset.SoftwareVersions = volume.derivation.version if volume.derivation else __version__
    return dataset


def series_number(source: str, derivation: Derivation | None) -> int:
    """The source's number x 100 + a number that the target has in all studies, 1 to 99.

    Args:
        source: SeriesNumber of the source; "" counts as 0.
        derivation: Names the target domain; without one, 0 is added.
    """
    number = int(source) if re.fullmatch(r"\d{1,10}", source) else 0
    known = list(DOMAINS)
    if derivation is None:
        place = 0
    elif derivation.target in known:
        place = known.index(derivation.target) + 1
    else:
        place = len(known) + 1 + zlib.crc32(derivation.target.encode()) % (99 - len(known))
    candidates = (number * 100 + place, number + place, place)
    return next(candidate for candidate in candidates if candidate <= _MAXIMUM_NUMBER)


def _series_description(derivation: Derivation | None, source: str) -> str:
    if derivation is None:
        ending = f" {PROGRAM} {__version__}"
        return (source[: _LO - len(ending)] + ending).strip()
    origin = f"{derivation.source}->" if derivation.source else ""
    return f"[SYNTH] {origin}{derivation.target} {PROGRAM} {derivation.version}"


def _lossy(sources: Sequence[Dataset]) -> Dataset:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5): for the series if for one of its slices."""
    lossy = [source for source in sources if text(source, "LossyImageCompression") == "01"]
    return keep(lossy[0], COMPRESSION) if lossy else Dataset()


def _choose_character_set(series: Dataset) -> None:
    """Keep the source's character set, but for UTF-8 where a caption or a name doesn't fit it."""
    first = text(series, "SpecificCharacterSet").split("\\")[0]
    encoding = "ascii" if first in _DEFAULT_REPERTOIRE else convert_encodings(first)[0]
    try:
        f"{series.SeriesDescription}{series.DerivationDescription}".encode(encoding)
    except UnicodeEncodeError:
        series.SpecificCharacterSet = "ISO_IR 192"


def _now(source: Dataset) -> datetime:
    """The time, in the zone that the source's times are in where it says so."""
    offset = re.fullmatch(r"([+-])([01]\d|2[0-3])([0-5]\d)", text(source, "TimezoneOffsetFromUTC"))
    if offset is None:
        return datetime.now()
    sign = -1 if offset[1] == "-" else 1
    shift = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return datetime.now(timezone(sign * shift))


def _day_and_time(moment: datetime) -> tuple[str, str]:
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
