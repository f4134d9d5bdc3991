"""Where a derived series comes from: its derivation, its equipment, and the images behind it."""

import re
from dataclasses import replace
from datetime import datetime

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from i2igalip_cli import __version__
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.kept import ACQUISITION, keep, text
from i2igalip_cli.volumes.dicom.placement import lies_on_source
from i2igalip_cli.volumes.volume import Derivation, Volume

PROGRAM = "i2igalip"
_ST = 1024  # characters of a short text


def derivation_elements(volume: Volume) -> Dataset:
    """How the series was made, in words and in codes, and that it is synthetic if it is."""
    dataset = Dataset()
    made = volume.derivation
    reasons: list[Code] = []
    if made is None:
        dataset.DerivationDescription = f"Written by {PROGRAM} {__version__}"
    else:
        excess = len(made.describe()) - _ST
        if excess > 0:  # a long caption gives way, the model's identity doesn't
            made = replace(made, caption=f"{made.caption[: -excess - 3]}...")
        dataset.DerivationDescription = as_value(made.describe(), _ST)
        dataset.SyntheticData = "YES"
        reasons.append(codes.DCM.ArtificialIntelligence)
    if isinstance(volume.header, DicomHeader) and not lies_on_source(volume, volume.header):
        reasons.append(codes.DCM.SpatialResampling)
    if reasons:
        dataset.DerivationCodeSequence = [_coded(reason) for reason in reasons]
    return dataset


def contributing_equipment(
    derivation: Derivation | None, source: Dataset, moment: datetime
) -> list[Dataset]:
    """Contributing Equipment (PS3.3 C.12.1): the source's own, its scanner, and this program."""
    before = keep(source, ["ContributingEquipmentSequence"])
    items = list(before.get("ContributingEquipmentSequence") or ())
    if text(source, "Manufacturer") and not text(source, "ImageType").startswith("DERIVED"):
        scanner = keep(
            source,
            (
                *("Manufacturer", "ManufacturerModelName", "StationName", "InstitutionName"),
                *("DeviceSerialNumber", "SoftwareVersions"),
            ),
        )
        scanner.PurposeOfReferenceCodeSequence = [_coded(codes.DCM.AcquisitionEquipment)]
        items.append(scanner)
    program = Dataset()
    program.Manufacturer = program.ManufacturerModelName = PROGRAM
    program.SoftwareVersions = derivation.version if derivation else __version__
    program.ContributionDateTime = moment.strftime("%Y%m%d%H%M%S.%f%z")
    purpose = codes.DCM.ProcessingEquipment
    if derivation is not None:
        purpose = codes.DCM.SynthesizingEquipment
        program.ContributionDescription = as_value(
            f"Model {derivation.model}, SHA-256 {derivation.model_sha256}", _ST
        )
    program.PurposeOfReferenceCodeSequence = [_coded(purpose)]
    return [*items, program]


def slice_references(volume: Volume) -> list[Dataset]:
    """For each slice: which image it was made from, and when that was acquired.

    Returns:
        Empty datasets where the source wasn't DICOM.
    """
    header = volume.header
    if not isinstance(header, DicomHeader):
        return [Dataset() for _ in range(volume.shape[2])]
    in_place = "YES" if lies_on_source(volume, header) else "NO"
    return [
        _reference(source, frame, in_place)
        for source, frame in zip(header.datasets, header.frames, strict=True)
    ]


def _reference(source: Dataset, frame: int | None, in_place: str) -> Dataset:
    dataset = keep(source, ACQUISITION)
    if not text(source, "SOPInstanceUID") or not text(source, "SOPClassUID"):
        return dataset
    image = Dataset()
    image.ReferencedSOPClassUID = text(source, "SOPClassUID")
    image.ReferencedSOPInstanceUID = text(source, "SOPInstanceUID")
    if text(source, "SeriesInstanceUID"):  # Common Instance Reference (PS3.3 C.12.2)
        series = Dataset()
        series.SeriesInstanceUID = text(source, "SeriesInstanceUID")
        series.ReferencedInstanceSequence = [image]
        dataset.ReferencedSeriesSequence = [series]
    origin = Dataset()
    origin.update(image)
    if frame is not None:
        origin.ReferencedFrameNumber = frame
    origin.SpatialLocationsPreserved = in_place
    origin.PurposeOfReferenceCodeSequence = [
        _coded(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    dataset.SourceImageSequence = [origin]
    return dataset


def as_value(line: str, length: int) -> str:
    """Text for a value representation that takes a backslash or a control character for a mark."""
    return re.sub(r"[\\\x00-\x1f\x7f]+", " ", line)[:length].strip()


def _coded(concept: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = concept.value
    item.CodingSchemeDesignator = concept.scheme_designator
    item.CodeMeaning = concept.meaning
    return item
