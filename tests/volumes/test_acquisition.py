"""How a volume was acquired: DICOM headers, sidecars and `descrip` fields."""

import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset
from volumes.dicom.enhanced_maker import make_enhanced
from volumes.dicom.series_maker import ABSENT, make_series

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import list_volumes
from i2igalip_cli.volumes.acquired import Acquisition
from i2igalip_cli.volumes.acquisition import parse_descrip, read_acquisition
from i2igalip_cli.volumes.contrast import classify

# What series_maker writes of every MR image.
MADE = {
    "modality": "MR",
    "repetition_ms": 550.0,
    "echo_ms": 9.4,
    "inversion_ms": None,
    "flip_degrees": 150.0,
    "sequence": ("SE", "SK", "*SE2D1"),
    "image_type": ("ORIGINAL", "PRIMARY", "M", "ND"),
    "field_tesla": 3.0,
    "notes": (),
}


def acquired(path: Path) -> Acquisition:
    (entry,) = list_volumes(path)
    return read_acquisition(entry)


def write_nifti(path: Path, descrip: str = "", sidecar: object = None, frames: int = 1) -> Path:
    shape = (3, 4, 5) if frames == 1 else (3, 4, 5, frames)
    image = nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4))
    image.header["descrip"] = descrip.encode()
    nib.save(image, path)
    if sidecar is not None:
        text = sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
        beside = path.with_name(path.name.split(".")[0] + ".json")
        beside.write_text(text, encoding="utf-8")
    return path


def assert_has(acquisition: Acquisition, expected: dict) -> None:
    assert {name: getattr(acquisition, name) for name in expected} == expected


def test_a_series_in_a_folder(tmp_path: Path) -> None:
    extra = {
        "PatientID": "Müller^7",
        "SpecificCharacterSet": "ISO_IR 192",
        "SeriesDescription": "t1_se_sag",
        "ProtocolName": "head",
        "ContrastBolusAgent": "Gadovist",
        "PatientPosition": "HFDL",
        "InversionTime": "0",
    }
    make_series(tmp_path / "mr", extra=extra)
    found = acquired(tmp_path / "mr")
    assert_has(found, {**MADE, "subject": "Müller^7", "description": "t1_se_sag"})
    assert_has(found, {"contrast_agent": "Gadovist", "position": "HFDL"})


def test_a_file_and_an_archive_say_the_same_as_the_folder(tmp_path: Path) -> None:
    make_series(tmp_path / "mr", extra={"PatientID": "p7"})
    with zipfile.ZipFile(tmp_path / "mr.zip", "w") as archive:
        for file in sorted((tmp_path / "mr").iterdir()):
            archive.write(file, f"a/{file.name}")
    whole = acquired(tmp_path / "mr")
    assert whole.subject == "p7"
    assert acquired(tmp_path / "mr.zip") == whole
    entries = list_volumes(tmp_path / "mr" / "IM0001")  # one slice: refused as a volume
    assert read_acquisition(entries[0]) == whole


def test_protocol_name_stands_in_for_the_description(tmp_path: Path) -> None:
    make_series(tmp_path / "mr", extra={"SeriesDescription": ABSENT, "ProtocolName": "T1 sag"})
    assert acquired(tmp_path / "mr").description == "T1 sag"


def test_ct_has_no_times(tmp_path: Path) -> None:
    make_series(tmp_path / "ct", modality="CT")
    found = acquired(tmp_path / "ct")
    assert_has(found, {"modality": "CT", "repetition_ms": None, "echo_ms": None, "sequence": ()})
    assert classify(found).contrast == "CT"


def enhanced(folder: Path, inversions: list[float]) -> Path:
    """An enhanced FLAIR, its times in functional groups as PS3.3 C.8.13 has them."""
    whole = make_enhanced(make_series())
    for keyword in ("ScanningSequence", "SequenceVariant", "SequenceName", "RepetitionTime"):
        del whole[keyword]
    del whole["FlipAngle"]
    whole.EchoPulseSequence, whole.PulseSequenceName = "SPIN", "tir2d"
    timing, echo, modifier, kind = Dataset(), Dataset(), Dataset(), Dataset()
    timing.RepetitionTime, timing.FlipAngle = 9000.0, 150.0
    echo.EffectiveEchoTime = 120.0
    modifier.InversionRecovery, modifier.InversionTimes = "YES", inversions
    kind.FrameType, kind.AcquisitionContrast = ["ORIGINAL", "PRIMARY", "M"], "FLUID_ATTENUATED"
    (shared,) = whole.SharedFunctionalGroupsSequence
    shared.MRTimingAndRelatedParametersSequence = [timing]
    shared.MRModifierSequence = [modifier]
    for groups in whole.PerFrameFunctionalGroupsSequence:
        groups.MREchoSequence = [echo]
        groups.MRImageFrameTypeSequence = [kind]
    folder.mkdir()
    whole.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder / "enhanced.dcm"


def test_an_enhanced_image_says_it_in_functional_groups(tmp_path: Path) -> None:
    found = acquired(enhanced(tmp_path / "mr", [2500.0]))
    assert_has(
        found,
        {
            "repetition_ms": 9000.0,
            "echo_ms": 120.0,
            "inversion_ms": 2500.0,
            "flip_degrees": 150.0,
            "sequence": ("TIR2D", "SE", "IR"),
            "image_type": ("ORIGINAL", "PRIMARY", "M"),
            "stated_contrast": "FLUID_ATTENUATED",
        },
    )
    assert classify(found).contrast == "FLAIR"


def test_two_inversions_of_one_image_are_no_inversion_time(tmp_path: Path) -> None:
    found = acquired(enhanced(tmp_path / "mr", [450.0, 3000.0]))
    assert found.inversion_ms is None
    assert found.notes == ("InversionTimes has 2 values for one volume (450, 3000)",)


@pytest.mark.parametrize("agent", ["NONE", "no", "No contrast", "n/a", "N", "0"])
def test_an_agent_that_is_none_is_none(tmp_path: Path, agent: str) -> None:
    make_series(tmp_path / "mr", extra={"ContrastBolusAgent": agent})
    assert acquired(tmp_path / "mr").contrast_agent == ""


@pytest.mark.parametrize("agent", ["Novotrast", "Gd-DTPA", "0.1 mmol/kg Dotarem"])
def test_agents_whose_names_begin_alike_are_agents(tmp_path: Path, agent: str) -> None:
    make_series(tmp_path / "mr", extra={"ContrastBolusAgent": agent})
    assert acquired(tmp_path / "mr").contrast_agent == agent


@pytest.mark.parametrize(
    ("value", "said"), [(b"5x0 ", ".*5x0.*"), (b"inf ", r"RepetitionTime is \[inf\]")]
)
def test_a_damaged_number_names_the_file(tmp_path: Path, value: bytes, said: str) -> None:
    make_series(tmp_path / "mr")
    (entry,) = list_volumes(tmp_path / "mr")
    first = tmp_path / "mr" / "IM0001"
    content = first.read_bytes()
    assert content.count(b"550 ") == 1
    first.write_bytes(content.replace(b"550 ", value))
    with pytest.raises(VolumeError, match=rf"IM0001: a damaged DICOM header \({said}\)$"):
        read_acquisition(entry)


def test_files_that_went_away_are_named(tmp_path: Path) -> None:
    make_series(tmp_path / "mr")
    (entry,) = list_volumes(tmp_path / "mr")
    (tmp_path / "mr" / "IM0001").unlink()
    with pytest.raises(VolumeError, match="IM0001"):
        read_acquisition(entry)


SIDECAR = {
    "Modality": "MR",
    "MagneticFieldStrength": 3,
    "SeriesDescription": "t1_mprage_sag",
    "ProtocolName": "head",
    "ScanningSequence": "GR\\IR",
    "SequenceVariant": "SK_SP_MP",
    "SequenceName": "*tfl3d1_16ns",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "EchoTime": 0.00298,
    "RepetitionTime": 2.3,
    "InversionTime": 0.9,
    "FlipAngle": 9,
    "PatientPosition": "HFS",
    "ContrastBolusIngredient": "GADOLINIUM",
}


@pytest.mark.parametrize("name", ["sub-01_T1w.nii.gz", "sub-01_T1w.nii", "sub-01_T1w.hdr"])
def test_a_sidecar_gives_seconds(tmp_path: Path, name: str) -> None:
    found = acquired(write_nifti(tmp_path / name, "TE=99", SIDECAR))
    assert found == Acquisition(
        modality="MR",
        repetition_ms=2300.0,
        echo_ms=2.98,
        inversion_ms=900.0,
        flip_degrees=9.0,
        sequence=("GR", "IR", "SK", "SP", "MP", "*TFL3D1_16NS"),
        image_type=("ORIGINAL", "PRIMARY", "M", "ND"),
        description="t1_mprage_sag",
        contrast_agent="GADOLINIUM",
        position="HFS",
        field_tesla=3.0,
    )
    assert classify(found).contrast == "T1"


def test_a_sidecar_may_have_a_byte_order_mark_and_umlauts(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", sidecar='\ufeff{"SeriesDescription": "T1 Schädel"}')
    assert acquired(path).description == "T1 Schädel"


def test_zero_stands_for_unknown(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", sidecar={"EchoTime": 0, "FlipAngle": 0.0})
    assert acquired(path) == Acquisition()


def test_a_sidecar_is_read_beside_any_format(tmp_path: Path) -> None:
    image = nib.MGHImage(np.ones((3, 4, 5), np.float32), np.eye(4))
    nib.save(image, tmp_path / "a.mgz")
    assert acquired(tmp_path / "a.mgz") == Acquisition()
    (tmp_path / "a.json").write_text('{"EchoTime": 0.1}')
    assert_has(acquired(tmp_path / "a.mgz"), {"echo_ms": 100.0, "modality": "MR"})


def test_an_array_has_a_value_for_each_volume(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", sidecar={"EchoTime": [0.035, 0.12]}, frames=2)
    assert [read_acquisition(entry).echo_ms for entry in list_volumes(path)] == [35.0, 120.0]


def test_several_echoes_of_one_volume_are_no_echo_time(tmp_path: Path) -> None:
    found = acquired(write_nifti(tmp_path / "a.nii", sidecar={"EchoTime": [0.035, 0.12]}))
    assert found.echo_ms is None
    assert found.notes == ("EchoTime has 2 values for one volume (35, 120)",)
    assert "EchoTime has 2 values" in classify(found).evidence


def test_sidecars_are_inherited_in_a_bids_dataset_alone(tmp_path: Path) -> None:
    folder = tmp_path / "sub-1" / "ses-2" / "anat"
    folder.mkdir(parents=True)
    path = write_nifti(folder / "sub-1_ses-2_T1w.nii", sidecar={"EchoTime": 0.003})
    for place, name, value in (
        (tmp_path, "T1w.json", {"EchoTime": 0.9, "RepetitionTime": 2.0, "FlipAngle": 5}),
        (tmp_path / "sub-1", "sub-1_T1w.json", {"FlipAngle": 8}),
        (tmp_path, "T2w.json", {"InversionTime": 1.0}),
        (tmp_path, "sub-2_T1w.json", {"InversionTime": 2.0}),
        (tmp_path.parent, f"{tmp_path.name}.json", {"InversionTime": 3.0}),
    ):
        (place / name).write_text(json.dumps(value))
    assert acquired(path).repetition_ms is None, "no dataset, no inheritance"
    (tmp_path / "dataset_description.json").write_text("{}")
    expected = {"echo_ms": 3.0, "repetition_ms": 2000.0, "flip_degrees": 8.0, "inversion_ms": None}
    assert_has(acquired(path), expected)


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ('{"EchoTime": 0.1', "damaged sidecar"),
        ("[1, 2]", "JSON object"),
        ("[" * 100_000, "damaged sidecar"),
        ('{"EchoTime": "fast"}', "EchoTime is"),
        ('{"EchoTime": true}', "EchoTime is"),
        ('{"RepetitionTime": NaN}', "RepetitionTime is"),
        ('{"FlipAngle": {"a": 1}}', "FlipAngle is"),
        ('{"EchoTime": 98}', "write 0.098 if"),
        ('{"RepetitionTime": 2300}', "write 2.3 if"),
    ],
)
def test_a_damaged_sidecar_is_a_fault_that_names_the_file(tmp_path, sidecar, said) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", sidecar=sidecar)
    with pytest.raises(VolumeError) as caught:
        acquired(path)
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.hdr"])
def test_the_descrip_field_where_there_is_no_sidecar(tmp_path: Path, name: str) -> None:
    path = write_nifti(tmp_path / name, "TE=92;Time=151000.320")
    assert acquired(path) == Acquisition(modality="MR", echo_ms=92.0)


def test_descrip_of_dcm2niix_and_spm() -> None:
    assert parse_descrip("TE=1.1e+02;Time=224246.728") == Acquisition(modality="MR", echo_ms=110.0)
    assert parse_descrip("3T 3D GR\\IR TR=2300ms/TE=2.98ms/FA=9deg 01-Jan-2010") == Acquisition(
        modality="MR",
        repetition_ms=2300.0,
        echo_ms=2.98,
        flip_degrees=9.0,
        sequence=("GR", "IR"),
        field_tesla=3.0,
    )


@pytest.mark.parametrize("descrip", ["", "FSL5.0", "i2igalip", "TRACE=5"])
def test_a_descrip_that_says_nothing_leaves_all_unknown(tmp_path: Path, descrip: str) -> None:
    assert acquired(write_nifti(tmp_path / "a.nii", descrip)) == Acquisition()
