"""A cohort of DICOM series: folders in, folders out, read back by an independent reader."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from volumes.dicom.series_maker import affine_of, make_series
from world import World

SHAPE = (12, 10, 4)


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """Two series in one folder, one in another, and one with a hole."""
    world = World(tmp_path, monkeypatch, here=True)
    for place, number, description in (
        ("two/a", 3, "t1 sag"),
        ("two/b", 4, "t1/cor"),
        ("one", 5, "x"),
        ("hole", 6, "y"),
    ):
        make_series(
            world.inputs / "study" / place,
            stored=np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint16) + number,
            affine=affine_of("LPS", (1.9, 1.9, 3.0)),
            extra={"SeriesNumber": str(number), "SeriesDescription": description},
        )
    for path in (world.inputs / "study" / "two" / "a").iterdir():
        path.rename(path.parents[1] / f"a{path.name}")
    for path in (world.inputs / "study" / "two" / "b").iterdir():
        path.rename(path.parents[1] / f"b{path.name}")
    sorted((world.inputs / "study" / "hole").iterdir())[1].unlink()
    return world


FOLDERS = ["study/one_T2", "study/two_3_t1-sag_T2", "study/two_4_t1-cor_T2"]


def test_series_become_series(world) -> None:
    report = world.run()
    assert [row.output for row in report.rows if row.status == "done"] == FOLDERS
    (failure,) = report.failures
    assert failure.startswith(f"{world.inputs}/study/hole series 6: ")
    assert "--irregular resample or nearest makes a regular grid" in failure
    for folder, number in zip(FOLDERS, (5, 3, 4), strict=True):
        files = sorted((world.out / folder).iterdir())
        datasets = [pydicom.dcmread(path) for path in files]
        assert len(datasets) == SHAPE[2]
        places = sorted(float(one.ImagePositionPatient[2]) for one in datasets)
        assert np.allclose(np.diff(places), 3.0)
        assert {one.pixel_array.shape for one in datasets} == {(SHAPE[1], SHAPE[0])}
        assert len({one.SeriesInstanceUID for one in datasets}) == 1
        row = next(row for row in report.rows if row.output == folder)
        assert (row.shape, row.slices) == (SHAPE, SHAPE[2])
        assert row.input == str(world.inputs / "study" / folder.split("/")[1].split("_")[0])
        assert int(datasets[0].SeriesNumber) // 100 == number
    assert world.leftovers() == []


def test_resume_sees_a_changed_file_in_a_written_series(world) -> None:
    world.run()
    world.journal.unlink()
    world.run(resume=True)
    assert world.lines("translate") == []
    damaged = next((world.out / FOLDERS[1]).iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-1])
    next((world.out / FOLDERS[2]).iterdir()).unlink()
    assert world.run(resume=True).count("done") == 3
    assert len(world.lines("translate")) == 2
    for folder in FOLDERS:
        assert len(list((world.out / folder).iterdir())) == SHAPE[2]


def test_a_rule_for_irregular_slices_and_another_format(world) -> None:
    settings = {"format": "nifti", "irregular": "resample"}
    report = world.run(settings=settings)
    assert report.count("done") == 4
    image = nib.load(world.out / "study" / "hole_T2.nii.gz")
    assert image.shape[:2] == SHAPE[:2]
    hole = next(row for row in report.rows if row.output.startswith("study/hole"))
    assert hole.warnings


def test_some_series_alone(world) -> None:
    report = world.run(choice={"series": "*t1*"}, settings={"format": "nifti"})
    assert [row.output for row in report.rows] == [
        "study/two_3_t1-sag_T2.nii.gz",
        "study/two_4_t1-cor_T2.nii.gz",
    ]
