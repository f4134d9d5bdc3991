"""What a derived series keeps of its source's header: a list to keep, never a list to drop.

Private elements, pixel descriptions, overlays, icons, windows and everything that an acquisition
fixed are not on it, so nothing of a contrast that no longer holds can slip through.
"""

import copy
from collections.abc import Iterable

from pydicom import DataElement, Dataset

PATIENT = (  # Patient (PS3.3 C.7.1.1) and Clinical Trial Subject (C.7.1.3)
    *("PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID"),
    *("IssuerOfPatientIDQualifiersSequence", "PatientBirthDate", "PatientBirthTime", "PatientSex"),
    *("OtherPatientNames", "OtherPatientIDsSequence", "EthnicGroup", "PatientComments"),
    *("QualityControlSubject", "PatientSpeciesDescription", "PatientSpeciesCodeSequence"),
    *("PatientBreedDescription", "PatientBreedCodeSequence", "BreedRegistrationSequence"),
    *("ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName"),
    *("ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID"),
    *("ClinicalTrialSubjectReadingID", "ClinicalTrialProtocolEthicsCommitteeName"),
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
)
STUDY = (  # General Study (C.7.2.1), Patient Study (C.7.2.2), Clinical Trial Study (C.7.2.3)
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName"),
    *("PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "ProcedureCodeSequence"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientSexNeutered", "PregnancyStatus"),
    *("MedicalAlerts", "Allergies", "AdmittingDiagnosesDescription", "AdditionalPatientHistory"),
    *("AdmissionID", "IssuerOfAdmissionIDSequence"),
    *("ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription"),
)
SERIES = (  # General Series (C.7.3.1), Frame of Reference (C.7.4.1), General Equipment (C.7.5.1)
    *("PatientPosition", "AnatomicalOrientationType", "Laterality", "BodyPartExamined"),
    *("ProtocolName", "FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
)
IMAGE = (  # General Image (C.7.6.1), SOP Common (C.12.1)
    *("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ImageLaterality"),
    *("BurnedInAnnotation", "RecognizableVisualFeatures", "TimezoneOffsetFromUTC"),
    *("LongitudinalTemporalInformationModified", "SpecificCharacterSet"),
)
ACQUISITION = (  # General Acquisition (C.7.10.1): when the slice's data were acquired
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionNumber"),
)
COMPRESSION = (
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)


def keep(source: Dataset, keywords: Iterable[str]) -> Dataset:
    """Copies of some elements of a source's header.

    An element whose bytes can't be decoded (two-byte numbers of three bytes) is left out: it says
    nothing that a reader of the copy could understand either.

    Args:
        source: Header of a slice.
        keywords: What to keep, where it is there.
    """
    kept = Dataset()
    for keyword in keywords:
        element = _copy(source, keyword)
        if element is not None:
            kept.add(element)
    return kept


def text(source: Dataset, keyword: str) -> str:
    """The value of an element as one line; "" where it is absent, empty or not decodable."""
    element = _decode(source, keyword)
    if element is None or element.is_empty:
        return ""
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(str(value) for value in values)


def _copy(source: Dataset, keyword: str) -> DataElement | None:
    element = _decode(source, keyword)
    if element is None:
        return None
    element = copy.deepcopy(element)
    try:
        for item in element.value if element.VR == "SQ" else ():
            item.remove_private_tags()  # decodes the item, too: its character set may change
    except Exception:  # pydicom meets damaged bytes with any error at all
        return None
    return element


def _decode(source: Dataset, keyword: str) -> DataElement | None:
    if keyword not in source:
        return None
    try:
        return source[keyword]
    except Exception:  # pydicom meets damaged bytes with any error at all
        return None
