"""What a derived series keeps of its source, and what of it is forgotten."""

import copy
from pathlib import Path

import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian
from volumes.dicom.series_maker import ABSENT, make_series
from volumes.dicom.written_series import (
    derivation,
    source_volume,
    written,
)

KEPT = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription"),
    *("AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID", "ProtocolName"),
    *("BodyPartExamined", "PatientPosition", "SpecificCharacterSet", "InstitutionName"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionNumber"),
)
STALE = {
    "EchoTime": "9.41625",  # no time of day
    "RepetitionTime": "550",
    "FlipAngle": "150",
    "SequenceName": "*se2d1",
    "MagneticFieldStrength": "3",
    "ContrastBolusAgent": "Gadavist",
    "DeviceSerialNumber": "123456",
    "StationName": "MR1",
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 4095,
    "WindowCenterWidthExplanation": "Algo1",
    "PixelPaddingValue": 17,
    "PerformedProcedureStepID": "MR2022",
    "ImageComments": "scanner's",
    "RealWorldValueMappingSequence": [Dataset()],
    "IconImageSequence": [Dataset()],
    "ModalityLUTSequence": [Dataset()],
    "VOILUTSequence": [Dataset()],
}


@pytest.mark.parametrize("target", [("T2", "MR"), ("pelvic-CT", "CT")])
def test_the_series_joins_the_sources_patient_study_and_space(tmp_path: Path, target) -> None:
    series = make_series()
    volume = source_volume(series, derivation=derivation(*target))
    result = written(volume, tmp_path / "out")
    for before, after in zip(series, result, strict=True):
        for keyword in KEPT:
            assert after[keyword].value == before[keyword].value, keyword


@pytest.mark.parametrize("target", [("T2", "MR"), ("pelvic-CT", "CT")])
def test_nothing_of_the_acquisition_is_left(tmp_path: Path, target) -> None:
    series = make_series(extra=STALE)
    for dataset in series:
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", b"private")
        inside = Dataset()
        inside.CodeValue, inside.CodingSchemeDesignator, inside.CodeMeaning = (
            "T-D1100",
            "SRT",
            "Head",
        )
        inside.private_block(0x0051, "NESTED", create=True).add_new(1, "LO", "private")
        dataset.AnatomicRegionSequence = [inside]
        dataset.add_new(0x60000010, "US", 5)
        dataset.add_new(0x60003000, "OW", b"\xff" * 6)
    volume = source_volume(series, derivation=derivation(*target))
    for dataset in written(volume, tmp_path / "out"):
        for keyword in STALE:
            assert not dataset.get(keyword), keyword
        assert not [element for element in dataset.iterall() if element.tag.is_private]
        assert not [element for element in dataset if element.tag.group in (0x6000, 0x0029)]
        assert dataset.AnatomicRegionSequence[0].CodeMeaning == "Head"
        assert dataset.SeriesDate > "20240301"
        written_text = str(dataset)
        for value in ("9.41625", "*se2d1", "Gadavist", "Algo1", "MR2022", "scanner's"):
            assert value not in written_text


def test_the_source_header_is_left_as_it_is(tmp_path: Path) -> None:
    other = Dataset()
    other.PatientID, other.TypeOfPatientID = "x", "TEXT"
    other.private_block(0x0011, "NESTED", create=True).add_new(1, "LO", "private")
    volume = source_volume(make_series(extra={"OtherPatientIDsSequence": [other]}))
    before = copy.deepcopy(volume.header.datasets)
    written(volume, tmp_path / "out")
    assert all(a == b for a, b in zip(volume.header.datasets, before, strict=True))
    assert len(volume.header.datasets[0].OtherPatientIDsSequence[0]) == 4


@pytest.mark.parametrize("lossy_slices", [(0,), (2,), (0, 1, 2, 3)])
def test_what_was_lossy_stays_lossy(tmp_path: Path, lossy_slices) -> None:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "8.5"}
    lossy["LossyImageCompressionMethod"] = "ISO_10918_1"
    per_slice = [lossy if k in lossy_slices else {} for k in range(4)]
    result = written(source_volume(make_series(per_slice=per_slice)), tmp_path / "out")
    for dataset in result:
        assert dataset.LossyImageCompression == "01"
        assert dataset.LossyImageCompressionRatio == 8.5
        assert dataset.LossyImageCompressionMethod == "ISO_10918_1"


def test_what_is_burned_in_stays_flagged(tmp_path: Path) -> None:
    series = make_series(extra={"BurnedInAnnotation": "YES", "RecognizableVisualFeatures": "YES"})
    dataset = written(source_volume(series), tmp_path / "out")[0]
    assert dataset.BurnedInAnnotation == dataset.RecognizableVisualFeatures == "YES"


@pytest.mark.parametrize(
    ("character_set", "name", "caption", "expected"),
    [
        ("ISO_IR 100", "Müller^Jörg", "plain", "ISO_IR 100"),
        ("ISO_IR 100", "Müller^Jörg", "Für T2", "ISO_IR 100"),
        ("ISO_IR 100", "Müller^Jörg", "这是 T2", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "plain", None),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "Für T2", "ISO_IR 192"),
        ("ISO_IR 192", "Иванов^Иван", "Für T2", "ISO_IR 192"),
        (ABSENT, "Miller^Jo", "plain", ABSENT),
        (ABSENT, "Miller^Jo", "Für T2", "ISO_IR 192"),
    ],
)
@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_names_and_captions_are_written_in_a_character_set_that_holds_them(
    tmp_path: Path, character_set, name, caption, expected, syntax
) -> None:
    other = Dataset()
    other.PatientID, other.TypeOfPatientID, other.IssuerOfPatientID = "x", "TEXT", name[:4]
    extra = {"SpecificCharacterSet": character_set, "PatientName": name}
    extra |= {"OtherPatientIDsSequence": [other]}
    options = {"transfer_syntax": ImplicitVRLittleEndian} if syntax == "implicit" else {}
    make_series(tmp_path / "in", extra=extra, **options)
    series = [pydicom.dcmread(file) for file in sorted((tmp_path / "in").iterdir())]
    volume = source_volume(series, derivation=derivation(caption=caption))
    for dataset in written(volume, tmp_path / "out"):
        if expected is ABSENT:
            assert "SpecificCharacterSet" not in dataset
        elif expected is not None:
            assert dataset.SpecificCharacterSet == expected
        else:
            assert list(dataset.SpecificCharacterSet) == character_set
        assert str(dataset.PatientName) == name
        assert dataset.OtherPatientIDsSequence[0].IssuerOfPatientID == name[:4]
        assert f"'{caption}'" in dataset.DerivationDescription


def test_elements_that_cannot_be_decoded_are_left_out(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    for dataset in volume.header.datasets:
        pregnancy = RawDataElement(Tag(0x001021C0), "US", 3, b"abc", 0, False, True)
        dataset._dict[pregnancy.tag] = pregnancy
    with pytest.raises(Exception, match="bytes"):
        _ = volume.header.datasets[0].PregnancyStatus
    for dataset in written(volume, tmp_path / "out"):
        assert "PregnancyStatus" not in dataset
        assert dataset.PatientAge == "064Y"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("age", "expected"), [("0Y", "000Y"), ("9M", "009M"), ("064Y", "064Y")])
def test_an_age_has_three_digits(tmp_path: Path, age, expected) -> None:
    series = make_series(extra={"PatientAge": age})
    assert written(source_volume(series), tmp_path / "out")[0].PatientAge == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_that_break_their_own_rules_are_handed_on(tmp_path: Path) -> None:
    series = make_series()
    for dataset in series:
        for tag, vr, value in (
            (0x00100020, "LO", "x" * 80),
            (0x00100030, "DA", "1960/02/29"),
            (0x00101010, "AS", "64"),
            (0x00100040, "CS", "Male"),
        ):
            dataset[tag] = DataElement(tag, vr, value, validation_mode=IGNORE)
        weight = RawDataElement(Tag(0x00101030), "DS", 4, b"82,5", 0, False, True)
        dataset._dict[weight.tag] = weight  # as read: no number
    dataset = written(source_volume(series), tmp_path / "out")[0]
    assert (dataset.PatientID, dataset.PatientBirthDate) == ("x" * 80, "1960/02/29")
    assert (dataset.PatientAge, dataset.PatientSex) == ("64", "Male")
    assert dataset.PatientWeight == "82,5"
