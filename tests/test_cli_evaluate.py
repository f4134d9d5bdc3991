"""`i2igalip evaluate` on the command line: tables, files, exit codes, comparisons."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, write_head

from i2igalip_cli.evaluation.protocols import PROTOCOLS


@pytest.fixture
def folders(tmp_path):
    for n in range(2):
        write_head(tmp_path / "gt" / f"s{n}.nii", seed=n)
        write_head(tmp_path / "pred" / f"s{n}.nii", seed=n + 5)
        write_head(tmp_path / "other" / f"s{n}.nii", "PD", seed=n + 7)
    return tmp_path


def sides(folder, pred: str = "pred"):
    return ("evaluate", "--pred", folder / pred, "--gt", folder / "gt")


def test_people_and_machines_get_the_same_numbers(program, folders) -> None:
    found = json.loads(program(*sides(folders), "--json").out)
    shown = program(*sides(folders))
    assert (shown.code, shown.err) == (0, "")
    means = {(row["protocol"], row["key"]): row for row in found["summary"]}
    for protocol in ("paper", "fixed"):
        for key in ("psnr", "ssim"):
            values = [case["scores"][protocol][key] for case in found["cases"]]
            row = means[protocol, key]
            assert row["mean"] == pytest.approx(np.mean(values))
            assert f"{row['mean']:.2f} ± {row['deviation']:.2f}" in shown.out
            assert row["hash"] in shown.out
    assert [case["case"] for case in found["cases"]] == ["s0", "s1"]
    assert found["complete"] is True


def test_ranges_masks_and_protocols_reach_the_numbers(program, folders) -> None:
    ranged = json.loads(program(*sides(folders), "--range", -100, 900, "--json").out)
    (mae,) = [row for row in ranged["summary"] if row["key"] == "mae"]
    assert mae["mean"] > 1
    assert mae["range"] == [-100, 900]
    masked = json.loads(program(*sides(folders), "--mask", folders / "gt", "--json").out)
    assert masked["protocols"]["fixed"]["hash"] != ranged["protocols"]["fixed"]["hash"]
    one = program(*sides(folders), "--protocol", "paper", "--json")
    assert set(json.loads(one.out)["protocols"]) == {"paper"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give --pred and --gt"),
        (("--pred", "a"), "give --pred and --gt"),
        (("--pairs", "a.csv", "--mask", "m"), "--pairs lists volumes"),
        (("--pred", "a", "--gt", "b", "--labels-gt", "c"), "both --labels-pred"),
        (("--pred", "a", "--gt", "b", "--protocol", "psnr"), "known are paper"),
        (("--pred", "a", "--gt", "b", "--range", 3, 3), "second must be the larger"),
        (("--pred", "a", "--gt", "b", "--modality", "PET"), "MR or CT"),
        (("--compare", "a.csv", "b.csv", "--gt", "c"), "--compare takes two results"),
        (
            ("--compare", "a.csv", "b.csv", "--range", 0, 1, "--jobs", 2),
            "leave out --range, --jobs",
        ),
        (
            ("--compare", "a.csv", "b.csv", "--resample", "--method", "x"),
            "out --resample, --method",
        ),
        (
            ("--compare", "a", "b", "--features", "demo", "--modality", "CT"),
            "--modality, --features",
        ),
        (("--compare", "a", "b", "--pattern", "{subject}", "--labels-gt", "g"), "-gt, --pattern"),
        (("--pred", "a", "--gt", "b", "--jobs", 0), "greater than or equal to 1"),
    ],
)
def test_wrong_command_lines(program, options, message) -> None:
    result = program("evaluate", *options)
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_partial_evaluations_never_look_complete(program, folders) -> None:
    write_head(folders / "gt" / "s7.nii")
    write_head(folders / "pred" / "s9.nii")
    (folders / "pred" / "s1.nii").write_bytes(b"no volume")
    result = program(*sides(folders), "-o", folders / "r.json")
    assert result.code == 3
    assert f"no prediction for: {folders / 'gt' / 's7.nii'}" in result.err
    assert f"no reference for: {folders / 'pred' / 's9.nii'}" in result.err
    assert "failed: s1: " in result.err
    assert "1 of 2 cases" in result.out
    content = json.loads((folders / "r.json").read_text())
    assert content["complete"] is False
    assert len(content["missing"]) == len(content["extra"]) == 1


def test_nothing_scored_is_a_failure(program, folders) -> None:
    for n in range(2):
        (folders / "pred" / f"s{n}.nii").write_bytes(b"no volume")
    result = program(*sides(folders))
    assert result.code == 1
    assert "no case could be evaluated" in result.err


def test_other_grids_are_named_and_resampled_on_demand(program, tmp_path) -> None:
    one = write_head(tmp_path / "a.nii")
    moved = OBLIQUE.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(head(), moved), tmp_path / "b.nii")
    result = program("evaluate", "--pred", one, "--gt", tmp_path / "b.nii")
    assert result.code == 1
    assert "b.nii" in result.err
    assert "first voxels 1 mm apart" in result.err
    result = program("evaluate", "--pred", one, "--gt", tmp_path / "b.nii", "--resample")
    assert result.code == 0
    assert "(1 resampled)" in result.out
    assert "was resampled" in result.err


def test_tables_are_written_and_never_over_others(program, folders) -> None:
    out = folders / "r.csv"
    assert program(*sides(folders), "-o", out).code == 0
    before = out.read_text()
    result = program(*sides(folders, "other"), "-o", out)
    assert result.code == 1
    assert "--overwrite" in result.err
    assert out.read_text() == before
    assert program(*sides(folders, "other"), "-o", out, "--overwrite").code == 0
    assert out.read_text() != before
    assert program(*sides(folders), "-o", folders / "r.xls").code == 1
    assert program(*sides(folders), "-o", folders / "no" / "r.csv").code == 1


def test_two_methods_are_compared(program, folders) -> None:
    for name in ("pred", "other"):
        assert program(*sides(folders, name), "-o", folders / f"{name}.parquet").code == 0
    arguments = ("evaluate", "--compare", folders / "pred.parquet", folders / "other.parquet")
    shown = program(*arguments)
    assert shown.code == 0
    assert "A = pred, B = other: 2 subjects" in shown.out
    assert "2 subjects are too few" in shown.err
    found = json.loads(program(*arguments, "--json", "-o", folders / "c.csv").out)
    psnr = next(one for one in found["measures"] if one["key"] == "psnr")
    assert psnr["mean_a"] > psnr["mean_b"]
    assert f"{psnr['mean_a']:.2f}" in shown.out
    assert (folders / "c.csv").is_file()
    fewer = program(*arguments, "--protocol", "paper", "--json")
    assert set(json.loads(fewer.out)["protocols"]) == {"paper"}


def test_results_of_other_settings_arent_compared(program, folders) -> None:
    program(*sides(folders), "-o", folders / "a.csv")
    program(*sides(folders, "other"), "-o", folders / "b.csv", "--range", 0, 1000)
    result = program("evaluate", "--compare", folders / "a.csv", folders / "b.csv")
    assert result.code == 1
    assert "the protocol fixed isn't the same in pred" in result.err
    assert result.err.count("\n") == 1


def test_of_many_cases_the_worst_are_shown(program, tmp_path) -> None:
    for n in range(21):
        write_head(tmp_path / "gt" / f"s{n:02}.nii", seed=n, shape=(12, 13, 3))
        contrast = "PD" if n in (4, 17) else "T1"
        write_head(tmp_path / "pred" / f"s{n:02}.nii", contrast, seed=n + 30, shape=(12, 13, 3))
    out = program(*sides(tmp_path), "--jobs", 1).out
    assert "the 5 worst cases by paper psnr" in out
    rows = [line for line in out.split("worst cases")[1].splitlines() if " s" in line]
    assert len([row for row in rows if "│ s" in row]) == 5
    assert any("s04" in row for row in rows[:4])
    assert any("s17" in row for row in rows[:4])


def test_a_list_of_pairs_with_an_absent_file(program, folders) -> None:
    (folders / "pairs.csv").write_text(
        "prediction,reference,subject\npred/s0.nii,gt/s0.nii,anna\npred/nothing.nii,gt/s1.nii,ben\n"
    )
    result = program("evaluate", "--pairs", folders / "pairs.csv", "--json", "--method", "mine")
    assert result.code == 3
    found = json.loads(result.out)
    assert found["method"] == "mine"
    assert [case["subject"] for case in found["cases"]] == ["ben", "anna"]
    assert "no such file" in found["cases"][0]["error"]


def test_help_has_sections(program) -> None:
    out = program("evaluate", "--help").out
    for section in ("What to compare:", "How:", "Output:"):
        assert section in out
    (protocols,) = re.findall(r"--protocol\s.*?(?=\s--range\s)", out, flags=re.DOTALL)
    for name in PROTOCOLS:
        assert name in protocols
