"""What makes an image an MR Image (PS3.3 A.4) or a CT Image (A.3): elements of types 1 and 2."""

from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage, MRImageStorage

from i2igalip_cli.domains import Modality
from i2igalip_cli.volumes.dicom.kept import keep, text

SOP_CLASSES: dict[Modality, UID] = {"MR": MRImageStorage, "CT": CTImageStorage}
_MODULES: dict[Modality, dict[str, Any]] = {
    "MR": {  # C.8.3.1: no pulse sequence made this contrast
        "ImageType": ["DERIVED", "SECONDARY", "OTHER"],
        "ScanningSequence": "RM",  # "research mode": type 1, and the others name real sequences
        "SequenceVariant": "NONE",
        "ScanOptions": None,
        "MRAcquisitionType": None,
        "RepetitionTime": None,
        "EchoTime": None,
        "EchoTrainLength": None,
    },
    "CT": {  # C.8.2.1: no X-ray tube made this image
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "KVP": None,
        "AcquisitionNumber": None,
    },
}
_CONTRAST: dict[Modality, tuple[str, ...]] = {
    "MR": (
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"),
        *("RepetitionTime", "EchoTime", "EchoTrainLength", "InversionTime", "TriggerTime"),
        *("FlipAngle", "SequenceName", "MagneticFieldStrength", "ImagedNucleus"),
        "ContrastBolusAgent",
    ),
    "CT": (
        *("KVP", "ConvolutionKernel", "XRayTubeCurrent", "ExposureTime", "Exposure"),
        "ContrastBolusAgent",
    ),
}
_TYPE_2 = (  # of the modules that MR and CT share; empty where nothing is known
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("SeriesNumber", "PatientPosition", "PositionReferenceIndicator"),
)
_UNPAIRED = (  # body parts of PS3.16 Annex L that nobody has two of
    *("HEAD", "BRAIN", "SKULL", "FACE", "JAW", "NECK", "HEADNECK", "NECKCHEST"),
    *("CSPINE", "TSPINE", "LSPINE", "SSPINE", "SPINE", "COCCYX", "STERNUM", "CHEST", "HEART"),
    *("ABDOMEN", "ABDOMENPELVIS", "CHESTABDOMEN", "CHESTABDPELVIS", "LIVER", "PANCREAS", "SPLEEN"),
    *("PELVIS", "PROSTATE", "BLADDER", "UTERUS", "RECTUM", "WHOLEBODY"),
)


def modality_elements(modality: Modality, acquired: Dataset | None = None) -> Dataset:
    """SOP class, modality and the elements of the image module of an IOD.

    Args:
        modality: Which.
        acquired: Header of the acquisition whose contrast the image still shows; None for a
            synthetic image, whose acquisition parameters are unknown.
    """
    elements = Dataset()
    elements.SOPClassUID = SOP_CLASSES[modality]
    elements.Modality = modality
    for keyword, value in _MODULES[modality].items():
        setattr(elements, keyword, value)
    if acquired is not None:
        known = [keyword for keyword in _CONTRAST[modality] if text(acquired, keyword)]
        elements.update(keep(acquired, known))
    return elements


def add_empty(dataset: Dataset) -> None:
    """Add the elements of type 2 that are absent, without a value.

    Laterality (2C) is needed where the body part is one of a pair, as an unknown one may be.
    """
    unpaired = text(dataset, "BodyPartExamined") in _UNPAIRED
    if not unpaired and "ImageLaterality" not in dataset:
        dataset.setdefault("Laterality", None)
    for keyword in _TYPE_2:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
