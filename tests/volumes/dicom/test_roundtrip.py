"""DICOM through the whole translation: a marker is where it was, read back by other programs."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its own short name)
from conftest import make_checkpoint
from volumes.dicom.enhanced_maker import make_enhanced
from volumes.dicom.series_maker import affine_of, make_series, oblique
from volumes.dicom.test_reader import AXES, FLIP, load

from i2igalip_cli import save_volume
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.volumes import Volume

SHAPE, MARKER = (12, 10, 5), (9, 2, 3)


def stored_head() -> np.ndarray:
    """A body with one voxel darker than all (a brighter one would be cut by the window)."""
    stored = np.full(SHAPE, 400, np.uint16)
    stored[:2] = 300
    stored[MARKER] = 20
    return stored


def translated(folder: Path, options: TranslationOptions) -> Volume:
    return translate_volume(load(folder), make_checkpoint(), "T2", options=options).volume


def darkest(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Patient position (RAS mm) of the darkest voxel."""
    index = np.unravel_index(np.argmin(array), array.shape)
    return affine[:3] @ (*index, 1)


@pytest.mark.parametrize("axes", AXES)
def test_the_marker_of_a_series_is_where_it_was(tmp_path, identity, axes) -> None:
    affine = oblique(axes, (1.1, 0.9, 3.0))
    make_series(tmp_path / "in", stored=stored_head(), affine=affine)
    expected = affine[:3] @ (*MARKER, 1)
    result = translated(tmp_path / "in", identity)

    save_volume(result, tmp_path / "out", format="dicom")
    datasets = [pydicom.dcmread(file) for file in sorted((tmp_path / "out").iterdir())]
    theirs = highdicom.get_volume_from_series(datasets)
    found = darkest(np.squeeze(theirs.array), FLIP @ theirs.affine)
    np.testing.assert_allclose(found, expected, atol=1e-3)

    save_volume(result, tmp_path / "out.nii.gz")
    image = nib.load(tmp_path / "out.nii.gz")
    found = darkest(np.asarray(image.dataobj), image.affine)
    np.testing.assert_allclose(found, expected, atol=1e-3)

    image = sitk.ReadImage(str(tmp_path / "out.nii.gz"))
    array = sitk.GetArrayFromImage(image)
    index = np.unravel_index(np.argmin(array), array.shape)
    place = image.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]])
    np.testing.assert_allclose(np.array(place) * (-1, -1, 1), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["single", "enhanced"])
def test_dcm2niix_agrees_on_source_and_result(tmp_path, identity, kind) -> None:
    affine = oblique("PSL", (1.1, 0.9, 3.0))
    slices = make_series(
        None if kind == "enhanced" else tmp_path / "in", stored=stored_head(), affine=affine
    )
    if kind == "enhanced":
        (tmp_path / "in").mkdir()
        whole = make_enhanced(slices)  # shuffled ones are in test_series: it needs more indices
        whole.save_as(tmp_path / "in" / "whole.dcm", enforce_file_format=True)
    expected = affine[:3] @ (*MARKER, 1)
    save_volume(translated(tmp_path / "in", identity), tmp_path / "out", format="dicom")
    program = shutil.which("dcm2niix") or str(Path(sys.executable).parent / "dcm2niix")
    for folder in ("in", "out"):
        (tmp_path / f"{folder}_nii").mkdir()
        command = [program, "-f", "x", "-o", tmp_path / f"{folder}_nii", tmp_path / folder]
        subprocess.run(command, check=True, capture_output=True)
        image = nib.load(tmp_path / f"{folder}_nii" / "x.nii")
        found = darkest(np.asarray(image.dataobj), image.affine)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_nifti_volume_crosses_over_and_back(tmp_path, identity) -> None:
    affine = affine_of("LIA", (1.0, 1.2, 0.7))
    volume = Volume(array=stored_head().astype(np.float32), affine=affine)
    result = translate_volume(volume, make_checkpoint(), "PD", options=identity).volume
    save_volume(result, tmp_path / "out", format="dicom")
    back = load(tmp_path / "out")
    expected = affine[:3] @ (*MARKER, 1)
    np.testing.assert_allclose(darkest(back.array, back.affine), expected, atol=1e-3)
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert header.PatientID == ""
    assert header.SyntheticData == "YES"


def test_every_source_slice_is_named_by_its_derived_one(tmp_path, identity) -> None:
    slices = make_series(tmp_path / "in", stored=stored_head(), affine=affine_of("PSR"))
    save_volume(translated(tmp_path / "in", identity), tmp_path / "out", format="dicom")
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in slices}
    for file in (tmp_path / "out").iterdir():
        derived = pydicom.dcmread(file)
        source = by_uid.pop(derived.SourceImageSequence[0].ReferencedSOPInstanceUID)
        assert derived.ImagePositionPatient == source.ImagePositionPatient
        assert derived.ImageOrientationPatient == source.ImageOrientationPatient
        assert derived.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert derived.SOPInstanceUID != source.SOPInstanceUID
    assert not by_uid


def test_a_resampled_series_is_written_on_its_regular_grid(tmp_path, identity) -> None:
    make_series(tmp_path / "in", stored=stored_head(), affine=affine_of("LPS"), modality="MR")
    (tmp_path / "in" / "IM0002").unlink()
    volume = load(tmp_path / "in", irregular="resample")
    result = translate_volume(volume, make_checkpoint(), "T2", options=identity).volume
    save_volume(replace(result), tmp_path / "out", format="dicom")
    back = load(tmp_path / "out")
    assert back.shape == SHAPE
    np.testing.assert_allclose(back.affine, affine_of("LPS"), atol=1e-3)
