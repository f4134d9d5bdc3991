"""`translate` of many volumes, and `merge`, as a user types them."""

import contextlib
import csv
import json
import os
import re
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from cohort_here import work_here
from conftest import IdentityBackend, head, make_checkpoint
from typer.testing import CliRunner

from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.cli.panels import PanelCommand
from i2igalip_cli.cli.translate import translate
from i2igalip_cli.config import PLANES
from i2igalip_cli.engine.backends import BACKENDS, PRECISIONS
from i2igalip_cli.engine.cohort.settings import DTYPES
from i2igalip_cli.volumes import FORMATS, Volume, VolumeEntry, save_volume

AFFINE = np.diag([1.9, 1.9, 3.0, 1.0])


@pytest.fixture
def run(program, monkeypatch, tmp_path):
    """Run the program in tmp_path with the tiny checkpoint."""
    save_checkpoint(make_checkpoint(), tmp_path / "tiny.safetensors")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, command: str = "translate"):
        more = ["--weights", "tiny.safetensors"] if command == "translate" else []
        return program(command, *arguments, *more)

    return call


@pytest.fixture
def here(monkeypatch) -> None:
    """The worker in this process: its own are tested in tests/engine/cohort."""
    work_here(monkeypatch)


def save(path: Path, array=None, affine=AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(head() if array is None else array, affine), path)
    return path


def names(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".i2igalip" not in path.parts
    }


def test_a_cohort_from_end_to_end(run, tmp_path) -> None:
    """With a worker's process and the true backend."""
    for name in ("a/t1.nii.gz", "b/t1.nii"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"xx")
    save(tmp_path / "in" / "c.nii", np.zeros((4, 4, 4), np.float32))
    result = run("in", "-o", "out", "--to", "T2", "--preview")
    assert result.code == 3
    assert re.fullmatch(r"out: 2 done, 1 failed, 1 skipped in \d+ s; summary\.csv\n", result.out)
    said = result.err.splitlines()  # and perhaps that a graph had to be made
    (failure,) = [line for line in said if "warnings; they are in" not in line]
    assert failure.startswith("failed: in/bad.nii.gz: ")
    expected = {"a/t1_T2.nii.gz", "b/t1_T2.nii", "a/t1_T2_preview.png", "b/t1_T2_preview.png"}
    assert names(tmp_path / "out") == {*expected, "summary.csv"}
    single = run("in/a/t1.nii.gz", "-o", "one.nii.gz", "--to", "T2")
    assert single.code == 0
    assert (tmp_path / "one.nii.gz").read_bytes() == (
        tmp_path / "out" / "a" / "t1_T2.nii.gz"
    ).read_bytes(), "the same volume, the same bytes"


def test_one_volume_into_a_folder_is_a_cohort_of_one(run, here, tmp_path) -> None:
    save(tmp_path / "t1.nii.gz")
    result = run("t1.nii.gz", "-o", "new/folder", "--to", "T2", "--json")
    assert result.code == 0
    report = json.loads(result.out)
    assert (report["done"], report["failed"], report["skipped"]) == (1, 0, 0)
    assert report["table"] == "new/folder/summary.csv"
    (volume,) = report["volumes"]
    row = json.loads(Path(volume.pop("row")).read_text())
    assert (row["status"], row["output"]) == ("done", "t1_T2.nii.gz")
    assert [volume] == [
        {
            "input": "t1.nii.gz",
            "target": "T2",
            "output": "new/folder/t1_T2.nii.gz",
            "status": "done",
            "error": "",
        }
    ]


def test_a_page_goes_with_one_volume_and_with_a_cohort(run, here, tmp_path) -> None:
    save(tmp_path / "in" / "t1.nii.gz")
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"xx")
    assert run("in/t1.nii.gz", "--to", "T2", "-o", "t2.nii", "--report", "one.html").code == 0
    page = (tmp_path / "one.html").read_text()
    assert "<figcaption>in/t1.nii.gz to T2</figcaption>" in page
    assert run("in", "--to", "T2", "-o", "out", "--report", "all.html").code == 3
    page = (tmp_path / "all.html").read_text()
    assert "<figcaption>in/t1.nii.gz to T2</figcaption>" in page
    assert "in/bad.nii.gz" in page


def test_a_page_in_the_way_is_told_before_anything_is_translated(run, tmp_path) -> None:
    save(tmp_path / "t1.nii.gz")
    (tmp_path / "r.html").write_text("mine")
    result = run("t1.nii.gz", "--to", "T2", "--report", "r.html")
    assert result.code == 1
    assert "r.html exists" in result.err
    assert not (tmp_path / "t1_T2.nii.gz").exists()
    assert run("t1.nii.gz", "--to", "T2", "--report", "no/r.html").code == 1
    submitted = ("t1.nii.gz", "--to", "T2", "-o", "o", "--submit", "slurm", "--report", "s.html")
    assert run(*submitted).code == 2


def test_one_volume_goes_to_each_target_from_one_read(run, tmp_path, monkeypatch) -> None:
    """What is written is what each target alone gives."""
    from i2igalip_cli.engine import single

    load, read = single.load_entry, []
    monkeypatch.setattr(
        single, "load_entry", lambda entry, rule: read.append(entry) or load(entry, rule)
    )
    save(tmp_path / "t1.nii.gz")
    arguments = ("t1.nii.gz", "--to", "pd", "--to", "This MRI is T2-weighted", "--backend", "torch")
    result = run(*arguments, "--preview")
    assert (result.code, len(read)) == (0, 1), result.err
    lines = [line.partition(":")[0] for line in result.out.splitlines()]
    assert lines == ["t1_PD.nii.gz", "t1_T2.nii.gz"]
    written = {*lines, "t1_PD_preview.png", "t1_T2_preview.png"}
    assert names(tmp_path) == {"t1.nii.gz", "tiny.safetensors", *written}
    for target in ("PD", "T2"):
        assert run("t1.nii.gz", "--to", target, "-o", "one.nii.gz", "--backend", "torch").code == 0
        alone = tmp_path / "one.nii.gz"
        assert (tmp_path / f"t1_{target}.nii.gz").read_bytes() == alone.read_bytes()
        alone.unlink()


def test_an_output_that_is_there_stops_all_targets_before_the_first(run, tmp_path) -> None:
    save(tmp_path / "t1.nii")
    (tmp_path / "t1_PD.nii").write_bytes(b"precious")
    before = names(tmp_path)
    result = run("t1.nii", "--to", "T2", "--to", "PD")
    assert result.code == 1
    assert "t1_PD.nii" in result.err
    assert "--overwrite" in result.err
    assert names(tmp_path) == before


def test_progress_goes_over_all_targets(run, tmp_path, monkeypatch) -> None:
    seen = []

    @contextlib.contextmanager
    def progress(label):
        yield lambda done, total: seen.append((label, done, total))

    monkeypatch.setattr(import_module("i2igalip_cli.cli.translate"), "progress", progress)
    save(tmp_path / "t1.nii")
    arguments = ("--to", "T2", "--to", "PD", "--backend", "torch", "--batch-size", 1)
    assert run("t1.nii", *arguments).code == 0
    labels, done, totals = zip(*seen, strict=True)
    assert set(labels) == {"to T2, PD"}
    (total,) = set(totals)
    assert list(done) == sorted(set(done)), "nothing is told twice or taken back"
    assert total // 2 in done, "the first target is half of it"
    assert done[-1] == total


def test_json_is_an_object_for_one_target_and_a_list_for_several(
    run, here, identity, tmp_path
) -> None:
    save(tmp_path / "t1.nii")
    options = ("--backend", "identity", "--json", "--overwrite")
    one = json.loads(run("t1.nii", "--to", "T2", *options).out)
    result = run("t1.nii", "--to", "T2", "--to", "PD", *options)
    several = json.loads(result.out)
    assert [found["target"] for found in several] == ["T2", "PD"]
    assert [found["output"] for found in several] == ["t1_T2.nii", "t1_PD.nii"]
    assert {**several[0], "seconds": 0} == {**one, "seconds": 0}
    assert (one["planes"], one["backend"], one["precision"]) == ("axial", "identity", "float32")
    assert one["precision_loss_db"] is None
    assert 0 < one["through_plane_jump"] < 1
    cohort = json.loads(run("t1.nii", "--to", "T2", "--to", "PD", "-o", "out", *options).out)
    assert [found["target"] for found in cohort["volumes"]] == ["PD", "T2"]
    for found in cohort["volumes"]:
        row = json.loads(Path(found["row"]).read_text())
        (alone,) = [single for single in several if single["target"] == row["target"]]
        for figure in ("planes", "backend", "precision", "precision_loss_db", "through_plane_jump"):
            assert row[figure] == alone[figure]


def test_what_is_said_of_the_source_is_said_once(run, tmp_path) -> None:
    array = head()
    array[3, 3, 3] = np.nan
    save(tmp_path / "t1.nii", array)
    result = run("t1.nii", "--to", "T2", "--to", "PD", "--backend", "torch", "--json")
    assert result.err.count("1 voxels were NaN") + result.err.count("1 voxel was NaN") == 1
    assert all(found["warnings"] for found in json.loads(result.out))


def test_three_planes_are_told_of_with_their_jump(run, identity, tmp_path) -> None:
    planes = dict.fromkeys(PLANES, (1.9, 1.9))
    save_checkpoint(make_checkpoint(planes=planes), tmp_path / "tiny.safetensors")
    save(tmp_path / "t1.nii")
    options = ("--to", "T2", "--backend", "identity", "--overwrite")
    jump = r"through-plane jump 0\.\d{4}"
    assert re.search(rf" s; axial, {jump}\n$", run("t1.nii", *options).out)
    assert re.search(
        rf" s; three planes, {jump}\n$", run("t1.nii", *options, "--planes", "all").out
    )
    sagittal = json.loads(run("t1.nii", *options, "--planes", "sagittal", "--json").out)
    assert (sagittal["planes"], sagittal["slices"]) == ("sagittal", head().shape[0])


def test_each_option_of_speed_reaches_the_backend(run, tmp_path, monkeypatch) -> None:
    asked = []

    class Asked(IdentityBackend):
        def __init__(self, checkpoint, *options) -> None:
            super().__init__()
            asked.append(options)

    monkeypatch.setitem(BACKENDS, "asked", Asked)
    save(tmp_path / "t1.nii")
    options = ("--backend", "asked", "--device", "cpu", "--threads", 3, "--compile")
    result = run("t1.nii", "--to", "T2", *options, "--precision", "bfloat16", "--json")
    assert result.code == 0, result.err
    assert ("cpu", 3, "bfloat16", True) in asked
    assert json.loads(result.out)["precision_loss_db"] == 0, "an identity loses nothing"


def help_at(columns: int, monkeypatch) -> str:
    """The help of translate on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=PanelCommand)(translate)
    return CliRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_in_sections_that_a_reader_can_look_through(columns, monkeypatch) -> None:
    lines = help_at(columns, monkeypatch).splitlines()
    assert max(map(len, lines)) <= columns
    heads = [number for number, line in enumerate(lines) if re.fullmatch(r"\S.*:", line)]
    assert [lines[number][:-1] for number in heads] == [
        "What to translate",
        "Output",
        "How good it is",
        "Model",
        "Speed",
        "Many volumes on a cluster",
        "Options",
    ]
    options = [match[0] for line in lines if (match := re.match(r"  (-\w, )?--[\w-]+|  IN", line))]
    assert len(options) == len(set(options)) == 31, "each in one section"
    for first, last in zip(heads, [*heads[1:], len(lines)], strict=True):
        assert sum(line.startswith(("  -", "  IN")) for line in lines[first:last]) <= 8


def test_help_names_all_that_an_option_takes(monkeypatch) -> None:
    words = set(re.findall(r"[\w-]+", help_at(80, monkeypatch)))
    assert {*BACKENDS, *PRECISIONS, *PLANES, *DTYPES, "all"} <= words


def test_many_failures_are_counted_not_all_listed(run, here, tmp_path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02d}.nii").write_text("x")
    result = run(*(f"{n:02d}.nii" for n in range(25)), "-o", "out", "--to", "T2")
    assert result.code == 3
    lines = result.err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 5 more; all are in out/summary.csv"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.nii", "b.nii"), "several inputs: say with -o DIR"),
        (("a.nii", "b.nii", "-o", "x.nii"), "-o DIR where to write, and x.nii names one volume"),
        (("*.nii",), "a glob: say with -o DIR"),
        (("--list", "list.txt"), "--list: say with -o DIR"),
        (("a.nii", "--volume", "all"), "--volume all: say with -o DIR"),
        (("a.nii", "--series", "all"), "--series all: say with -o DIR"),
        (("a.nii", "--shard", "0/2"), "--shard: say with -o DIR"),
        (("a.nii", "--resume"), "--resume: say with -o DIR"),
        ((), "give a volume"),
        (("a.nii", "-o", "out", "--resume", "--overwrite"), "choose one"),
        (("a.nii", "-o", "out", "--shard", "2/2"), "shards of 2 are 0 to 1"),
        (("a.nii", "-o", "out", "--shard", "slurm"), "no task of a job array"),
        (("a.nii", "--volume", "first"), "give a number from 0, or all"),
        (("a.nii", "--format", "jpeg"), "unknown format 'jpeg'"),
        (("a.nii", "--format", "dicom", "-o", "x.nii"), "--format dicom writes a folder, but -o"),
        (("a.nii", "--dtype", "int3"), "unknown type 'int3'"),
        (("a.nii", "--irregular", "guess"), "unknown rule 'guess'"),
        (("a.nii", "--to", "t2"), "--to 't2' and --to 'T2' are one target: name it once"),
        (("a.nii", "--to", "PD", "-o", "x.nii"), "x.nii names one volume, but --to 2 targets: say"),
        (("a.nii", "--to", "PD", "--caption", "This is it"), "--caption says one target in your"),
        (("a.nii", "--backend", "abacus"), "--backend abacus: one of"),
        (("a.nii", "--precision", "int3"), "--precision int3: one of"),
    ],
)
def test_a_command_that_makes_no_sense_is_exit_code_two(
    run, tmp_path, monkeypatch, arguments, words
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    save(tmp_path / "a.nii")
    save(tmp_path / "b.nii")
    before = names(tmp_path)
    result = run(*arguments, "--to", "T2")
    assert result.code == 2
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", result.err).split())
    assert words in said
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "-o", "out"), "no such file"),
        (("empty", "-o", "out"), "no volume found"),
        (("two",), "say with -o DIR where to write all"),
        (("t1.nii", "-o", "out", "--from", "T9"), "unknown domain 'T9'"),
        (("t1.nii", "-o", "out", "--to", "This MRI is T2-weighted"), "are one target"),
        (("t1.nii", "-o", "out", "--planes", "all"), "wasn't trained for coronal and sagittal"),
        (("s1/t1.nii", "s2/t1.nii", "-o", "out"), "would both be written to t1_T2.nii"),
        (("out", "-o", "out"), "lies in the output folder"),
        (("t1.nii", "-o", "t1.nii/out"), "can't write t1.nii/out"),
    ],
)
def test_what_cant_start_is_one_line_and_leaves_nothing(run, tmp_path, arguments, words) -> None:
    for name in ("t1.nii", "s1/t1.nii", "s2/t1.nii", "two/a.nii", "two/b.nii"):
        save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    result = run(*arguments, "--to", "T2")
    assert result.code == 1
    assert words in result.err
    assert result.err.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_where_there_is_no_terminal_a_line_now_and_then_tells_how_far_it_is(
    run, here, tmp_path, monkeypatch
) -> None:
    from i2igalip_cli.cli import cohort

    save(tmp_path / "a.nii")
    save(tmp_path / "b.nii")
    arguments = ("a.nii", "b.nii", "-o", "out", "--to", "T2")
    assert run(*arguments).err == "", "not yet a minute"
    monkeypatch.setattr(cohort, "_SECONDS", -1.0)
    result = run(*arguments, "--resume")
    assert result.err.splitlines() == [f"to T2: {n} of 2 volumes" for n in range(3)]


def test_resume_and_overwrite(run, here, tmp_path) -> None:
    save(tmp_path / "a.nii")
    save(tmp_path / "b.nii")
    arguments = ("a.nii", "b.nii", "-o", "out", "--to", "T2")
    assert run(*arguments).code == 0
    refused = run(*arguments)
    assert refused.code == 1
    assert "out holds 2 outputs of these 2 volumes (2 done); --resume goes on" in refused.err
    assert run(*arguments, "--resume").out.startswith("out: 2 done")
    other = run(*arguments, "--resume", "--dtype", "int16")
    assert other.code == 1
    assert "dtype: 'auto' there, 'int16' now" in other.err
    assert run(*arguments, "--overwrite", "--dtype", "int16").code == 0
    assert nib.load(tmp_path / "out" / "a_T2.nii").get_data_dtype() == np.int16


def test_shards_and_merge(run, here, tmp_path, monkeypatch) -> None:
    for number in range(3):
        save(tmp_path / "in" / f"{number}.nii")
    (tmp_path / "in" / "3.nii").write_text("x")
    assert run("in", "-o", "out", "--to", "T2", "--shard", "0/5").code == 0
    missing = run("out", command="merge")
    assert missing.code == 1
    assert "4 of 5 shards have no table yet: 1/5, 2/5, 3/5, 4/5" in missing.err
    for name, value in {"MIN": 10, "MAX": 14, "COUNT": 5, "STEP": 1}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    codes = []
    for number in range(11, 15):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(number))
        result = run("in", "-o", "out", "--to", "T2", "--shard", "slurm")
        codes.append(result.code)
    assert codes == [0, 0, 3, 0]
    assert "shard 4/5 is empty" in result.err
    merged = run("out", command="merge")
    assert merged.code == 3
    assert merged.out.startswith("out: 3 done, 1 failed, 0 skipped")
    assert json.loads(run("out", "--json", command="merge").out)["done"] == 3
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        assert [row["shard"] for row in csv.DictReader(file)] == ["0/5", "1/5", "2/5", "3/5"]


def test_an_arrays_variables_change_nothing_unasked(run, here, tmp_path, monkeypatch) -> None:
    save(tmp_path / "a.nii")
    save(tmp_path / "b.nii")
    for name, value in {"ID": 1, "MIN": 0, "MAX": 1, "COUNT": 2}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert run("a.nii", "b.nii", "-o", "out", "--to", "T2").out.startswith("out: 2 done")


def test_lists_globs_and_a_fourth_axis(run, here, tmp_path) -> None:
    save(tmp_path / "s1" / "t1.nii")
    save(tmp_path / "s2" / "t1.nii")
    (tmp_path / "list.txt").write_text("s1/t1.nii\n")
    assert run("--list", "list.txt", "-o", "listed", "--to", "T2").code == 0
    assert names(tmp_path / "listed") == {"s1/t1_T2.nii", "summary.csv"}
    assert run("s*/*.nii", "-o", "globbed", "--to", "T2").code == 0
    assert names(tmp_path / "globbed") == {"s1/t1_T2.nii", "s2/t1_T2.nii", "summary.csv"}
    save(tmp_path / "4d.nii", np.stack([head(seed=0), head(seed=1)], axis=3))
    assert run("4d.nii", "--volume", "all", "-o", "both", "--to", "T2").code == 0
    assert names(tmp_path / "both") == {"4d_vol-000_T2.nii", "4d_vol-001_T2.nii", "summary.csv"}
    assert run("4d.nii", "--volume", 1, "--to", "T2").code == 0
    np.testing.assert_array_equal(
        nib.load(tmp_path / "4d_T2.nii").get_fdata(),
        nib.load(tmp_path / "both" / "4d_vol-001_T2.nii").get_fdata(),
    )


def test_a_bids_dataset_has_a_place_of_its_own(run, here, tmp_path) -> None:
    save(tmp_path / "raw" / "sub-1" / "anat" / "sub-1_T1w.nii.gz")
    (tmp_path / "raw" / "dataset_description.json").write_text('{"Name": "x"}')
    refused = run("raw", "--to", "T2")
    assert refused.code == 1
    assert "--from" in refused.err
    result = run("raw", "--to", "T2", "--from", "T1")
    assert result.code == 0
    assert result.out.startswith("raw/derivatives/i2igalip: 1 done")
    assert "sub-1/anat/sub-1_desc-synth_T2w.nii.gz" in names(tmp_path / "raw/derivatives/i2igalip")


def test_a_folder_with_one_volume_is_that_volume(run, tmp_path) -> None:
    save(tmp_path / "in" / "t1.nii")
    (tmp_path / "in" / "notes.txt").write_text("x")
    assert run("in", "--to", "T2").code == 0
    assert (tmp_path / "in" / "t1_T2.nii").is_file()


def test_a_dicom_series_goes_to_a_folder_beside_it(run, tmp_path, monkeypatch) -> None:
    """How series are read and written is tested with the format."""

    class Series:
        suffixes = ()

        def load(self):
            return self

        def list_volumes(self, path):
            if not path.is_dir():
                return ()
            usable = VolumeEntry(path=path, series="1.2", number=3, description="t1", files=("x",))
            refused = VolumeEntry(path=path, series="1.3", number=1, refusal="a localizer")
            return (refused, usable)

        def read(self, entry, irregular):
            assert irregular == "nearest"
            return Volume(array=head(), affine=AFFINE, warnings=("mended",))

        def write(self, volume, path, *, dtype, overwrite=False) -> None:
            path.mkdir()
            (path / "1.dcm").write_bytes(volume.array.tobytes())

    monkeypatch.setitem(FORMATS, "dicom", Series())
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "x").write_bytes(b"DICM")
    result = run("study", "--to", "T2", "--irregular", "nearest", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["output"], found["series"]) == ("study_T2", "1.2")
    assert "study: mended" in result.err
    assert names(tmp_path / "study_T2") == {"1.dcm"}
    crossed = run("study", "--to", "T2", "--irregular", "nearest", "--format", "nifti")
    assert crossed.code == 0
    assert (tmp_path / "study_T2.nii.gz").is_file()
    refused = run("study", "--series", "1", "--to", "T2", "--irregular", "nearest")
    assert refused.code == 1
    assert "a localizer" in refused.err


@pytest.mark.parametrize("name", ["t1.nii.gz", "t1.nrrd", "pair.hdr"])
def test_an_output_never_replaces_its_source(run, tmp_path, name) -> None:
    save_volume(Volume(array=head(), affine=AFFINE), tmp_path / name)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (name, f"link/{name}", name.replace(".hdr", ".img")):
        result = run(name, "--to", "T2", "-o", out, "--overwrite")
        assert result.code == 1
        assert "is the source, or holds it" in result.err
    for file, content in before.items():
        assert file.read_bytes() == content


def test_synthetic_images_are_no_sources_unless_they_are_named(run, here, tmp_path) -> None:
    save(tmp_path / "in" / "t1.nii.gz")
    assert run("in/t1.nii.gz", "--to", "T2").code == 0  # beside its source
    result = run("in", "--to", "PD", "-o", "out")
    assert "1 done, 0 failed, 1 skipped" in result.out
    assert "t1_T2_PD.nii.gz" not in names(tmp_path / "out")
    named = run("in/t1_T2.nii.gz", "--to", "PD", "-o", "made.nii.gz")
    assert named.code == 0
    assert "it is a synthetic image itself" in named.err
