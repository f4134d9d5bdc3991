"""Every element of types 1 and 2 that MR Image and CT Image ask for, by highdicom's tables."""

from pathlib import Path

import pytest
from highdicom._standard_utils import construct_module_tree, get_iod_module_map
from pydicom import Dataset
from volumes.dicom.series_maker import ABSENT, make_series
from volumes.dicom.written_series import KINDS, MORE, bare_volume, source_volume, written

from i2igalip_cli.errors import VolumeError

IODS = {"MR": "mr-image", "CT": "ct-image"}
SOP_CLASSES = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
PRESENT_TOO = ("general-reference", "voi-lut", "common-instance-reference")  # optional modules
# Type 1C and 2C whose condition holds for an image of this kind, or may hold.
CONDITIONAL = {
    "MR": ("PatientPosition", "RepetitionTime", "PixelData", "WindowCenter", "WindowWidth"),
    "CT": ("PatientPosition", "RescaleType", "PixelData", "WindowCenter", "WindowWidth"),
}


def faults(dataset: Dataset, tree: dict, where: str = "") -> list[str]:
    """Elements that a module asks for and that are absent, or empty where they must not be."""
    found = []
    for keyword, node in tree.get("attributes", {}).items():
        kind, element = node["type"].value, dataset.get_item(keyword)
        if kind in ("1", "2") and element is None:
            found.append(f"{where}{keyword} absent")
        elif element is not None and kind in ("1", "1C") and dataset[keyword].is_empty:
            found.append(f"{where}{keyword} empty")
        elif element is not None and dataset[keyword].VR == "SQ":
            for item in dataset[keyword].value:
                found += faults(item, node, f"{where}{keyword}/")
    return found


def faults_of_image(dataset: Dataset, modality: str) -> list[str]:
    found = [f"{k} absent" for k in CONDITIONAL[modality] if k not in dataset]
    for module in get_iod_module_map()[IODS[modality]]:
        if module["usage"] == "M" or module["key"] in PRESENT_TOO:
            found += faults(dataset, construct_module_tree(module["key"]))
    return found


@pytest.mark.parametrize("make", [*KINDS.values(), *MORE.values()], ids=[*KINDS, *MORE])
def test_no_element_of_type_1_or_2_is_missing(tmp_path: Path, make) -> None:
    volume = make()
    modality = volume.derivation.modality if volume.derivation else volume.modality
    for dataset in written(volume, tmp_path / "out"):
        assert dataset.SOPClassUID == SOP_CLASSES[modality]
        assert dataset.Modality == modality
        assert faults_of_image(dataset, modality) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_would_notice_each_element_that_went_missing(tmp_path: Path, kind) -> None:
    dataset = written(KINDS[kind](), tmp_path / "out")[0]
    modality = dataset.Modality
    asked = {
        keyword
        for module in get_iod_module_map()[IODS[modality]]
        if module["usage"] == "M"
        for keyword, node in construct_module_tree(module["key"])["attributes"].items()
        if node["type"].value in ("1", "2")
    }
    assert len(asked) > 35
    for keyword in asked:
        kept = dataset[keyword]
        del dataset[keyword]
        assert any(keyword in fault for fault in faults_of_image(dataset, modality)), keyword
        dataset[keyword] = kept
    assert faults_of_image(dataset, modality) == []


def test_a_synthetic_contrast_has_no_pulse_sequence(tmp_path: Path) -> None:
    for dataset in written(KINDS["MR from MR"](), tmp_path / "out"):
        assert dataset.ScanningSequence == "RM"
        assert dataset.SequenceVariant == "NONE"
        for keyword in ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime"):
            assert dataset[keyword].is_empty, keyword
        assert dataset["EchoTrainLength"].is_empty
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]


def test_a_synthetic_ct_had_no_tube(tmp_path: Path) -> None:
    for dataset in written(KINDS["CT from MR"](), tmp_path / "out"):
        assert dataset["KVP"].is_empty
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        for keyword in ("ScanningSequence", "EchoTime", "MRAcquisitionType", "XRayTubeCurrent"):
            assert keyword not in dataset


def test_a_volume_that_nothing_translated_keeps_its_contrast(tmp_path: Path) -> None:
    for dataset in written(MORE["MR as read"](), tmp_path / "mr"):
        assert (dataset.ScanningSequence, dataset.SequenceVariant) == ("SE", "SK")
        assert (dataset.RepetitionTime, dataset.EchoTime, dataset.FlipAngle) == (550, 9.4, 150)
    for dataset in written(MORE["CT as read"](), tmp_path / "ct"):
        assert (dataset.KVP, dataset.ConvolutionKernel) == (120, "B30f")
    volume = source_volume(make_series(), derivation=None, modality="CT")  # said to be CT
    for dataset in written(volume, tmp_path / "other"):
        assert dataset["KVP"].is_empty
        assert "EchoTime" not in dataset


@pytest.mark.parametrize(
    ("body_part", "extra", "expected"),
    [
        ("HEAD", {}, None),
        ("KNEE", {}, ""),
        (ABSENT, {}, ""),
        ("KNEE", {"Laterality": "L"}, "L"),
        ("KNEE", {"ImageLaterality": "R"}, None),
    ],
)
def test_laterality_is_there_where_the_body_part_may_be_one_of_two(
    tmp_path: Path, body_part, extra, expected
) -> None:
    series = make_series(extra={"BodyPartExamined": body_part, **extra})
    for dataset in written(source_volume(series), tmp_path / "out"):
        assert dataset.get("Laterality") == expected


def test_a_volume_of_no_known_modality_is_refused(tmp_path: Path) -> None:
    volume = bare_volume(derivation=None)
    with pytest.raises(VolumeError, match=r"whether it is MR or CT.*set the volume's modality"):
        written(volume, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
