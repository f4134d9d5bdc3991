"""`--qc` from file to file: maps, rows, resuming, refusals."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from cohort_here import work_here
from conftest import OBLIQUE, make_checkpoint, write_head
from volumes.dicom.series_maker import make_series, oblique

from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.engine import single
from i2igalip_cli.engine.cohort import settings as cohort_settings
from i2igalip_cli.engine.cohort.bids import map_name
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.encoders import open_encoder
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import list_volumes, load_volume

FIGURES = {"cycle", "flips", "planes", "edges", "caption_in", "caption_out", "distance"}
COLUMNS = {f"qc_{name}" for name in FIGURES | {"score", "calibrated", "looks_like"}}


@pytest.fixture(scope="module")
def weights(encoder_folder, tmp_path_factory):
    """A checkpoint that names its encoder."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    made = {
        "encoder": str(encoder_folder),
        "encoder_sha256": open_encoder(str(encoder_folder)).fingerprint(),
    }
    save_checkpoint(make_checkpoint(provenance=made), path)
    return path


@pytest.fixture
def run(program, weights, tmp_path, monkeypatch):
    work_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return lambda *words: program("translate", *words, "--weights", weights)


def rows(folder):
    ledger = Ledger(folder, "test")
    found = {row.output: row for row in ledger.rows()}
    ledger.close()
    return found


def test_one_volume_has_a_map_and_figures(run, t1) -> None:
    plain = run("in.nii.gz", "--to", "T2", "--from", "T1", "-o", "plain.nii.gz", "--json")
    assert not COLUMNS & set(json.loads(plain.out))
    result = run("in.nii.gz", "--to", "T2", "--to", "PD", "--from", "T1", "--qc", "--json")
    assert result.code == 0
    for report, target in zip(json.loads(result.out), ("T2", "PD"), strict=True):
        assert set(report) >= COLUMNS
        assert 0 < report["qc_cycle"] < 1
        assert 0 <= report["qc_caption_out"] <= 1
        assert report["qc_calibrated"] is False
        path = t1.with_name(f"in_{target}_qc.nii.gz")
        assert path.samefile(report["qc_map"])
        image = nib.load(path)
        np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
        assert image.get_data_dtype() == np.float32
        values = image.get_fdata()
        assert values.shape == (20, 24, 9)
        assert 0 < values.max() <= 1
        assert values.min() == 0
        (entry,) = list_volumes(path)
        assert entry.synthetic  # a folder's next run leaves it out
    same = load_volume(t1.with_name("plain.nii.gz")).array
    np.testing.assert_array_equal(load_volume(t1.with_name("in_T2.nii.gz")).array, same)


def test_the_summary_says_the_score(run, t1) -> None:
    result = run("in.nii.gz", "--to", "T2", "--from", "T1", "--qc")
    assert "of the range (not calibrated)" in result.out


def test_a_map_takes_nothings_place(run, t1) -> None:
    mine = t1.with_name("in_T2_qc.nii.gz")
    mine.write_text("mine")
    result = run("in.nii.gz", "--to", "T2", "--from", "T1", "--qc")
    assert result.code == 1
    assert "in_T2_qc.nii.gz exists" in result.err
    assert not t1.with_name("in_T2.nii.gz").exists()
    assert run("in.nii.gz", "--to", "T2", "--from", "T1").code == 0
    assert mine.read_text() == "mine"
    assert run("in.nii.gz", "--to", "T2", "--from", "T1", "--qc", "--overwrite").code == 0
    assert nib.load(mine).shape == (20, 24, 9)


def test_a_map_goes_with_the_output_that_it_was_of(run, t1) -> None:
    words = ("in.nii.gz", "--to", "T2", "--from", "T1", "--overwrite")
    assert run(*words, "--qc").code == 0
    map_file = t1.with_name("in_T2_qc.nii.gz")
    assert map_file.exists()
    out = ("-o", t1.with_name("in_T2.nii.gz"))
    assert run(map_file, "--to", "T2", *out, "--overwrite").code == 0
    assert map_file.exists()  # it was the source
    assert run(*words).code == 0
    assert not map_file.exists()
    shutil.copy(t1.with_name("in_T2.nii.gz"), map_file)  # a translation, whatever its name
    assert run(*words).code == 0
    assert map_file.exists()


@pytest.mark.parametrize("failing", ["save_volume", "save_map"])
def test_no_map_lies_beside_an_output_that_it_isnt_of(run, t1, monkeypatch, failing) -> None:
    words = ("in.nii.gz", "--to", "T2", "--from", "T1", "--qc")
    map_file, output = t1.with_name("in_T2_qc.nii.gz"), t1.with_name("in_T2.nii.gz")

    def fail(*args, **kwargs):
        raise VolumeError("the disk is full")

    def attempt(*more) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(single, failing, fail)
            assert run(*words, *more).code == 1

    attempt()
    assert not map_file.exists()
    assert run(*words, "--overwrite").code == 0
    before = output.read_bytes(), map_file.read_bytes()
    attempt("--overwrite")
    if failing == "save_volume":  # then nothing has changed
        assert (output.read_bytes(), map_file.read_bytes()) == before
    else:
        assert not map_file.exists()


def test_a_cohort_has_a_map_and_columns_for_each(run, tmp_path) -> None:
    for number in range(2):
        write_head(tmp_path / "in" / f"{number}.nii.gz", seed=number)
    assert run("in", "-o", "out", "--to", "T2", "--to", "PD", "--from", "T1", "--qc").code == 0
    names = {path.name for path in (tmp_path / "out").glob("*.nii.gz")}
    made = [f"{number}_{target}" for number in (0, 1) for target in ("T2", "PD")]
    assert names == {f"{name}{kind}.nii.gz" for name in made for kind in ("", "_qc")}
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert set(table[0]) >= COLUMNS
    for row in table:
        assert 0 < float(row["qc_score"]) < 1
        assert float(row["qc_edges"]) <= 1
        assert row["qc_planes"] == ""
        assert row["qc_calibrated"] == "False"
    assert run("in", "-o", "again", "--to", "T2", "--from", "T1", "--qc").code == 0
    maps = [(tmp_path / out / "1_T2_qc.nii.gz").read_bytes() for out in ("out", "again")]
    assert maps[0] == maps[1]


def test_resuming_judges_what_wasnt_and_nothing_twice(run, tmp_path) -> None:
    for number in range(2):
        write_head(tmp_path / "in" / f"{number}.nii.gz", seed=number)
    words = ("in", "-o", "out", "--to", "T2", "--from", "T1")
    out = tmp_path / "out"

    def attempts():
        return {name: row.attempt for name, row in rows(out).items()}

    assert run(*words).code == 0
    assert "qc_score" not in (out / "summary.csv").read_text()
    before = (out / "0_T2.nii.gz").read_bytes()
    assert run(*words, "--resume", "--qc").code == 0
    assert attempts() == {"0_T2.nii.gz": 2, "1_T2.nii.gz": 2}
    assert (out / "0_T2.nii.gz").read_bytes() == before
    assert all(row.qc_score is not None for row in rows(out).values())
    (out / "1_T2_qc.nii.gz").unlink()
    assert run(*words, "--resume", "--qc").code == 0
    assert attempts() == {"0_T2.nii.gz": 2, "1_T2.nii.gz": 3}
    assert (out / "1_T2_qc.nii.gz").exists()
    assert run(*words, "--resume").code == 0  # what was judged stays so
    assert attempts() == {"0_T2.nii.gz": 2, "1_T2.nii.gz": 3}


def test_a_cohorts_map_takes_no_foreign_files_place(run, tmp_path) -> None:
    write_head(tmp_path / "in" / "a.nii.gz")
    mine = tmp_path / "out" / "a_T2_qc.nii.gz"
    mine.parent.mkdir()
    mine.write_text("mine")
    result = run("in", "-o", "out", "--to", "T2", "--from", "T1", "--qc", "--resume")
    assert result.code == 1
    assert "a_T2_qc.nii.gz" in result.err
    assert run("in", "-o", "out", "--to", "T2", "--from", "T1", "--qc").code == 1
    assert run("in", "-o", "out", "--to", "T2", "--from", "T1").code == 0
    result = run("in", "-o", "out", "--to", "T2", "--from", "T1", "--qc", "--resume")
    assert result.code == 1
    assert "a_T2_qc.nii.gz" in result.err
    assert mine.read_text() == "mine"


def test_a_cohorts_map_goes_with_its_output(run, tmp_path) -> None:
    write_head(tmp_path / "in" / "a.nii.gz")
    words = ("in", "-o", "out", "--to", "T2", "--from", "T1")
    map_file = tmp_path / "out" / "a_T2_qc.nii.gz"
    assert run(*words, "--qc").code == 0
    assert map_file.exists()
    assert run(*words, "--overwrite").code == 0
    assert not map_file.exists()
    assert run(*words, "--resume", "--qc").code == 0
    assert map_file.exists()


def test_a_bids_derivative_has_a_map_of_a_bids_name(run, tmp_path) -> None:
    dataset = tmp_path / "raw"
    write_head(dataset / "sub-01" / "anat" / "sub-01_acq-3d_T1w.nii.gz")
    (dataset / "dataset_description.json").write_text('{"Name": "few", "BIDSVersion": "1.8.0"}')
    assert run("raw", "--to", "T2", "--from", "T1", "--qc").code == 0
    anat = dataset / "derivatives" / "i2igalip" / "sub-01" / "anat"
    stem = "sub-01_acq-3d_desc-synth"
    ends = ("_T2w.nii.gz", "_T2w.json", "qc_T2w.nii.gz", "qc_T2w.json")
    assert {path.name for path in anat.iterdir()} == {stem + end for end in ends}
    told = json.loads((anat / f"{stem}qc_T2w.json").read_text())
    assert told["Sources"] == ["bids:raw:sub-01/anat/sub-01_acq-3d_T1w.nii.gz"]
    assert run("raw", "--to", "T2", "--from", "T1", "--overwrite").code == 0
    assert {path.name for path in anat.iterdir()} == {stem + end for end in ends[:2]}
    assert map_name("sub-1_desc-synthvolume003_PDw") == "sub-1_desc-synthvolume003qc_PDw"


@pytest.mark.parametrize("out", [None, "many"])
def test_a_dicom_series_has_its_map_beside_it(run, tmp_path, out) -> None:
    affine = oblique("LPS")
    make_series(tmp_path / "series", affine=affine)
    where = () if out is None else ("-o", out)
    assert run("series", "--to", "T2", "--from", "T1", "--qc", *where).code == 0
    folder = tmp_path if out is None else tmp_path / out
    (found,) = folder.glob("*_qc.nii.gz")
    output = found.with_name(found.name.replace("_qc.nii.gz", ""))
    assert output.is_dir()
    made, source = load_volume(found), load_volume(tmp_path / "series")
    assert made.shape == source.shape == load_volume(output).shape
    np.testing.assert_allclose(made.affine, source.affine, atol=1e-4)
    assert made.array.max() > 0


def test_an_encoder_that_isnt_here_refuses_before_anything_is_written(
    program, run, t1, tmp_path, encoder_folder
) -> None:
    for provenance, words in (
        ({}, "doesn't say which encoder"),
        ({"encoder": "biomedclip", "encoder_sha256": "0" * 64}, "download-weights biomedclip"),
    ):
        path = tmp_path / "other.safetensors"
        save_checkpoint(make_checkpoint(provenance=provenance), path)
        result = program("translate", t1, "--to", "T2", "--qc", "--weights", path)
        assert result.code == 1
        assert words in result.err
    assert not t1.with_name("in_T2.nii.gz").exists()
    moved = tmp_path / "moved"
    shutil.copytree(encoder_folder, moved)
    assert run("in.nii.gz", "--to", "T2", "--from", "T1", "--qc", "--encoder", moved).code == 0
    result = run("in.nii.gz", "--to", "PD", "--encoder", moved)
    assert result.code == 2
    assert "--qc" in result.err


def test_the_encoder_is_loaded_once_for_a_cohort(run, tmp_path, monkeypatch) -> None:
    for number in range(3):
        write_head(tmp_path / "in" / f"{number}.nii.gz", seed=number)
    made = []
    make = cohort_settings._make_judge
    monkeypatch.setattr(
        cohort_settings, "_make_judge", lambda *given: made.append(make(*given)) or made[-1]
    )
    assert run("in", "-o", "out", "--to", "T2", "--from", "T1", "--qc").code == 0
    assert len(made) == 1
