"""`prepare` and its audit on the command line: what a user reads, and the exit code."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def spoiled(raw, tmp_path):
    """The raw folder with a file that can't be read, and a scan without its scale twice."""
    folder = tmp_path / "spoiled"
    shutil.copytree(raw, folder)
    broken = folder / "sub-1_T2.nii.gz"
    broken.write_bytes(broken.read_bytes()[:300])
    image = nib.load(folder / "sub-2_T1.nii.gz")
    copy = nib.Nifti1Image(3 * np.asarray(image.dataobj), image.affine)
    nib.save(copy, folder / "sub-3_T1.nii.gz")
    return folder


def test_a_sound_folder_is_prepared_and_called_so(program, raw, tmp_path) -> None:
    out = tmp_path / "d"
    made = program("prepare", raw, "--out", out, "--split", 3, 1, 1)
    assert made.code == 0, made.err
    assert "can't be compared" not in made.err, (
        "its axes are sheared, which registration can't have"
    )
    verdict = json.loads((out / "audit.json").read_text())
    assert f"audit: {verdict['verdict']} (0 faults" in made.out
    assert verdict["counts"]["T1"] == {"train": 3, "val": 1, "test": 1}
    page = (out / "audit.html").read_text()
    assert "Every volume" in page
    assert "data:image/png" in page


def test_a_raw_folder_is_judged_and_nothing_is_left(program, spoiled, tmp_path) -> None:
    page = tmp_path / "page.html"
    before = sorted(tmp_path.rglob("*"))
    result = program("prepare", spoiled, "--check", "--split", 3, 1, 1, "--report", page)
    assert result.code == 3
    assert "audit: faulty" in result.out
    assert "Fault: files: sub-1_T2.nii.gz: left out: damaged or truncated" in result.err
    assert "Fault: copies: sub-2_T1.nii.gz, sub-3_T1.nii.gz: the same scan twice" in result.err
    assert "Not judged: contrast by caption: no encoder" in result.err
    assert sorted(tmp_path.rglob("*")) == sorted([*before, page])
    again = program("prepare", spoiled, "--check", "--split", 3, 1, 1, "--report", page)
    assert again.code == 1
    assert "exists" in again.err


def test_a_dataset_is_judged_like_its_raw_folder(program, spoiled, tmp_path) -> None:
    out = tmp_path / "d"
    made = program(
        *("prepare", spoiled, "--out", out, "--split", 3, 1, 1, "--skip-faulty", "--json")
    )
    assert made.code == 3
    told = json.loads(made.out)["audit"]
    assert told == json.loads((out / "audit.json").read_text())
    checked = program("prepare", out, "--check", "--json")
    assert (checked.code, json.loads(checked.out)) == (3, told)


def test_a_named_encoder_must_be_there_and_the_page_needs_check(program, raw, tmp_path) -> None:
    result = program("prepare", raw, "--check", "--encoder", tmp_path / "none")
    assert result.code == 1
    assert "none" in result.err
    result = program("prepare", raw, "--out", tmp_path / "d", "--report", tmp_path / "p.html")
    assert result.code == 2
    assert "--check" in result.err


def test_check_leaves_the_split_file_as_it_is(program, raw, tmp_path) -> None:
    lock = tmp_path / "split.json"
    lock.write_text(json.dumps({"subjects": {"sub-0": "test"}}))
    result = program("prepare", raw, "--check", "--split-file", lock, "--json")
    assert json.loads(result.out)["counts"]["T1"]["test"] >= 1
    assert json.loads(lock.read_text()) == {"subjects": {"sub-0": "test"}}
