"""Whose a derived series is, and what it says of itself, its sources and its makers."""

import re
from pathlib import Path

import pytest
from pydicom import Dataset
from volumes.dicom.series_maker import make_series
from volumes.dicom.written_series import (
    KINDS,
    MORE,
    bare_volume,
    derivation,
    source_volume,
    written,
)

from i2igalip_cli import __version__
from i2igalip_cli.volumes.dicom.derived import series_number


def coded(item: Dataset) -> tuple[str, str]:
    code = item.PurposeOfReferenceCodeSequence[0]
    return code.CodeValue, code.CodingSchemeDesignator


def test_uids_are_new_and_everyones_own(tmp_path: Path) -> None:
    series = make_series()
    volume = source_volume(series)
    both = written(volume, tmp_path / "one") + written(volume, tmp_path / "two")
    instances = {dataset.SOPInstanceUID for dataset in both}
    assert len(instances) == 8
    assert len({dataset.SeriesInstanceUID for dataset in both}) == 2
    new = instances | {dataset.SeriesInstanceUID for dataset in both}
    assert not new & {d.SOPInstanceUID for d in series} | {series[0].SeriesInstanceUID} & new
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{20,38}", uid) for uid in new)
    assert len({dataset.StudyInstanceUID for dataset in both}) == 1


def test_without_dicom_source_a_new_study_of_an_unknown_patient_begins(tmp_path: Path) -> None:
    result = written(bare_volume(), tmp_path / "out")
    for dataset in result:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID"):
            assert dataset[keyword].is_empty
        assert dataset.SeriesNumber == 2
        assert "SourceImageSequence" not in dataset
        assert "ReferencedSeriesSequence" not in dataset
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[keyword].value for dataset in result}) == 1
    uids = [result[0].StudyInstanceUID, result[0].SeriesInstanceUID, result[0].FrameOfReferenceUID]
    other = written(bare_volume(), tmp_path / "other")[0]
    uids += [other.StudyInstanceUID, other.SeriesInstanceUID, other.FrameOfReferenceUID]
    assert len(set(uids)) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_the_series_says_that_it_is_synthetic(tmp_path: Path, kind) -> None:
    volume = KINDS[kind]()
    for dataset in written(volume, tmp_path / "out"):
        assert dataset.SyntheticData == "YES"
        assert dataset.ContentQualification == "RESEARCH"
        assert dataset.BurnedInAnnotation == "NO"
        assert list(dataset.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert dataset.DerivationDescription == volume.derivation.describe()
        assert "0123456789abcdef" * 4 in dataset.DerivationDescription
        (code,) = dataset.DerivationCodeSequence
        assert (code.CodeValue, code.CodingSchemeDesignator) == ("123110", "DCM")
        program = dataset.ContributingEquipmentSequence[-1]
        assert coded(program) == ("109100", "DCM")
        meaning = program.PurposeOfReferenceCodeSequence[0].CodeMeaning
        assert meaning == "Synthesizing Equipment"
        assert program.ManufacturerModelName == dataset.ManufacturerModelName == "i2igalip"
        assert program.SoftwareVersions == dataset.SoftwareVersions == "1.2.3"


def test_the_scanner_is_remembered_as_the_acquisition_equipment(tmp_path: Path) -> None:
    first = written(source_volume(make_series()), tmp_path / "T2")
    scanner, _ = first[0].ContributingEquipmentSequence
    assert coded(scanner) == ("109101", "DCM")
    assert (scanner.Manufacturer, scanner.DeviceSerialNumber) == ("SCANNERS INC", "123456")
    again = source_volume(first, derivation=derivation("PD"))
    purposes = [
        coded(item)[0] for item in written(again, tmp_path / "PD")[0].ContributingEquipmentSequence
    ]
    assert purposes == ["109101", "109100", "109100"]  # one scanner, two translations


def test_a_volume_that_nothing_translated_is_not_called_synthetic(tmp_path: Path) -> None:
    volume = source_volume(make_series(), derivation=None, modality="MR")
    for dataset in written(volume, tmp_path / "out"):
        assert "SyntheticData" not in dataset
        assert "SYNTH" not in dataset.SeriesDescription
        assert dataset.SeriesDescription == f"t1_se_tra i2igalip {__version__}"
        assert dataset.SeriesNumber == 700
        assert coded(dataset.ContributingEquipmentSequence[-1])[0] == "109102"  # processing


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("T1", "T2", "[SYNTH] T1->T2 i2igalip 1.2.3"),
        ("", "T2", "[SYNTH] T2 i2igalip 1.2.3"),
        ("T1", "a\\b\nc", "[SYNTH] T1->a b c i2igalip 1.2.3"),
        ("T1", "x" * 70, "[SYNTH] T1->" + "x" * 52),
    ],
)
def test_the_description_fits_a_long_string(tmp_path: Path, source, target, expected) -> None:
    volume = source_volume(make_series(), derivation=derivation(target, source=source))
    assert written(volume, tmp_path / "out")[0].SeriesDescription == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("7", "T1", 701),
        ("7", "T2", 702),
        ("7", "pelvic-CT", 705),
        ("", "T2", 2),
        ("-3", "T2", 2),
        ("30000022", "T2", 30000024),  # x 100 would be beyond an integer string
        ("2147483647", "T2", 2),
    ],
)
def test_series_numbers(source, target, expected) -> None:
    assert series_number(source, derivation(target)) == expected


def test_a_users_own_domains_have_numbers_of_their_own() -> None:
    numbers = {series_number("1", derivation(name)) for name in ("FLAIR", "SWI", "DWI")}
    assert all(106 <= number <= 199 for number in numbers)
    assert len(numbers) == 3


def test_each_slice_names_its_source_image(tmp_path: Path) -> None:
    series = make_series()
    result = written(source_volume(series), tmp_path / "out")
    for before, after in zip(series, result, strict=True):
        (image,) = after.SourceImageSequence
        assert image.ReferencedSOPClassUID == before.SOPClassUID
        assert image.ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert image.SpatialLocationsPreserved == "YES"
        assert coded(image) == ("121322", "DCM")  # source image for image processing operation
        assert "ReferencedFrameNumber" not in image
        (referenced,) = after.ReferencedSeriesSequence
        assert referenced.SeriesInstanceUID == before.SeriesInstanceUID
        (instance,) = referenced.ReferencedInstanceSequence
        assert instance.ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert "ReferencedFrameNumber" not in instance


def test_frames_of_a_multi_frame_source_are_named(tmp_path: Path) -> None:
    result = written(MORE["MR from frames"](), tmp_path / "out")
    assert [d.SourceImageSequence[0].ReferencedFrameNumber for d in result] == [2, 4, 1, 3]
    assert {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in result} == {"1.2.3.4"}
    assert {d.SOPClassUID for d in result} == {"1.2.840.10008.5.1.4.1.1.4"}  # MR Image
    assert len({d.SOPInstanceUID for d in result}) == 4


def test_a_source_without_its_uids_is_not_referred_to(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    for dataset in volume.header.datasets:
        del dataset.SOPInstanceUID
    for dataset in written(volume, tmp_path / "out"):
        assert "SourceImageSequence" not in dataset
        assert "ReferencedSeriesSequence" not in dataset


def test_times_are_in_the_sources_zone(tmp_path: Path) -> None:
    series = make_series(extra={"TimezoneOffsetFromUTC": "+0530"})
    dataset = written(source_volume(series), tmp_path / "out")[0]
    assert dataset.TimezoneOffsetFromUTC == "+0530"
    contributed = dataset.ContributingEquipmentSequence[-1].ContributionDateTime
    assert contributed == f"{dataset.SeriesDate}{dataset.SeriesTime}+0530"


def test_a_long_caption_gives_way_to_the_models_identity(tmp_path: Path) -> None:
    volume = bare_volume(derivation=derivation(caption="word " * 400))
    description = written(volume, tmp_path / "out")[0].DerivationDescription
    assert len(description) <= 1024
    assert "word word" in description
    assert "0123456789abcdef" * 4 in description
