"""Statistics are over subjects, numbers that don't belong together don't mix, files come back."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from made_results import MAE, PSNR, by_values, made_case, made_hash, made_results

from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.engine.evaluator.saving import load_results, save_results, to_dict
from i2igalip_cli.errors import EvaluationError, VolumeError
from i2igalip_cli.evaluation.measures import Measure, Score


def test_a_subjects_cases_are_one_observation() -> None:
    """Hand-worked: subject a has 10 and 20, b has 30: means 15 and 30, overall 22.5."""
    results = made_results(
        [
            made_case("a1", {"psnr": 10.0}, subject="a"),
            made_case("a2", {"psnr": 20.0}, subject="a"),
            made_case("b1", {"psnr": 30.0}, subject="b"),
        ]
    )
    assert results.by_subject("fixed", "psnr") == {"a": 15.0, "b": 30.0}
    summary = results.summary("fixed", "psnr")
    assert (summary.count, summary.mean, summary.median) == (2, 22.5, 22.5)
    assert summary.deviation == pytest.approx(15 / math.sqrt(2))


def test_targets_are_told_apart() -> None:
    results = made_results(
        [
            made_case("a-T2", {"psnr": 10.0}, subject="a"),
            made_case("a-PD", {"psnr": 40.0}, subject="a", target="PD"),
        ]
    )
    assert results.targets == ("PD", "T2")
    assert results.by_subject("fixed", "psnr", "PD") == {"a": 40.0}
    means = {row["target"]: row["mean"] for row in to_dict(results)["summary"]}
    assert means == {"PD": 40.0, "T2": 10.0}


def test_undefined_and_failed_cases_dont_count() -> None:
    failed = replace(made_case("c", {}), scores={}, error="damaged")
    results = made_results(
        [made_case("a", {"psnr": 10.0, "mae": None}), made_case("b", {"psnr": 20.0}), failed]
    )
    assert results.by_subject("fixed", "psnr") == {"a": 10.0, "b": 20.0}
    assert results.summary("fixed", "mae") is None
    assert results.failures == (failed,)
    assert not results.complete
    assert results.keys("fixed") == ("psnr", "mae")


@pytest.mark.parametrize(
    "change",
    [{"missing": ("gt/x.nii",)}, {"extra": ("pred/x.nii",)}],
)
def test_partial_results_are_never_complete(change) -> None:
    assert by_values("ours", [1.0]).complete
    assert not by_values("ours", [1.0], **change).complete


def test_other_hashes_dont_enter_results() -> None:
    cases = [made_case("a", {"psnr": 1.0}), made_case("b", {"psnr": 1.0}, hash="ffffffffffff")]
    with pytest.raises(EvaluationError, match=r"a: .*of ffffffffffff"):
        made_results(cases)
    with pytest.raises(EvaluationError, match="don't mix"):
        made_results(cases[:1], protocols={"paper": {"hash": made_hash("paper")}})


def test_other_meanings_of_a_name_arent_averaged() -> None:
    one = made_case("a", {"psnr": 1.0})
    scores = one.scores["fixed"]
    other = Score(measure=replace(PSNR, data_range=(0.0, 1.0)), value=2.0)
    two = replace(one, case="b", subject="b", scores={"fixed": replace(scores, scores=(other,))})
    results = made_results([one, two])
    with pytest.raises(EvaluationError, match=r"data_range: \(0.0, 900.0\) and \(0.0, 1.0\)"):
        results.summary("fixed", "psnr")
    with pytest.raises(EvaluationError, match="no case has mae"):
        results.by_subject("fixed", "mae")


def full_results():
    kid = Measure(
        name="kid", unit="", better="lower", definition="KID", dimensions=2, region="axial"
    )
    failed = CaseResult(
        case="c, with\na break",
        subject="c",
        target="",
        prediction=Path("p/c.nii"),
        reference=Path("g/c.nii"),
        error='it says "no"',
    )
    return made_results(
        [
            made_case("a", {"psnr": math.inf, "mae": None, "mae[bone]": 12.345678901234567}),
            made_case(
                "b",
                {"psnr": 1 / 3, "mae": 2.0},
                target="",
                mask=Path("m/b.nii"),
                grounds="00ff00ff00ff",
                source=Path("s/b.nii"),
                resampled=True,
                warnings=("one", "two, really"),
            ),
            failed,
        ],
        sets={"demo": (Score(measure=kid, value=-1e-5, spread=0.25),)},
        missing=("gt/x.nii.gz",),
        extra=("pred/y.nii.gz", "pred/z.nii.gz"),
        warnings=("note",),
    )


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_files_come_back_whole(tmp_path, suffix) -> None:
    results = full_results()
    save_results(results, tmp_path / f"r{suffix}")
    assert load_results(tmp_path / f"r{suffix}") == results
    assert [p.name for p in tmp_path.iterdir()] == [f"r{suffix}"]


def test_every_number_says_what_it_is(tmp_path) -> None:
    save_results(full_results(), tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "score"]
    assert len(rows) == 5
    (bone,) = [row for row in rows if row["key"] == "mae[bone]"]
    assert bone["value"] == "12.345678901234567"
    assert (bone["protocol"], bone["hash"]) == ("fixed", made_hash())
    assert (bone["unit"], bone["better"], bone["dimensions"]) == ("HU", "lower", "3")
    assert (bone["region"], bone["definition"]) == ("bone", "MAE")
    psnr = [row for row in rows if row["measure"] == "psnr"]
    assert [row["value"] for row in psnr] == ["inf", str(1 / 3)]
    assert (psnr[0]["range_low"], psnr[0]["range_high"]) == ("0.0", "900.0")
    assert [row["resampled"] for row in psnr] == ["False", "True"]


def test_pandas_groups_the_table_by_measure(tmp_path) -> None:
    pandas = pytest.importorskip("pandas")
    cases = [made_case(f"s{n}", {"psnr": float(n), "mae": 2.0 * n}) for n in range(4)]
    save_results(made_results(cases, missing=("x",)), tmp_path / "r.csv")
    table = pandas.read_csv(tmp_path / "r.csv")
    means = table.groupby(["protocol", "measure"])["value"].mean()
    assert means["fixed", "psnr"] == 1.5
    assert means["fixed", "mae"] == 3.0


def test_json_has_no_infinity_of_its_own(tmp_path) -> None:
    save_results(full_results(), tmp_path / "r.json")

    def refuse(name):
        raise AssertionError(name)

    content = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert content["cases"][0]["scores"]["fixed"]["psnr"] == "Infinity"
    means = {(row["target"], row["key"]): row["mean"] for row in content["summary"]}
    assert means["T2", "psnr"] == "Infinity"
    assert content["complete"] is False


def test_files_in_the_way_and_other_suffixes(tmp_path) -> None:
    results = by_values("ours", [1.0])
    (tmp_path / "r.csv").write_text("mine")
    with pytest.raises(EvaluationError, match="--overwrite"):
        save_results(results, tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "mine"
    save_results(results, tmp_path / "r.csv", overwrite=True)
    assert load_results(tmp_path / "r.csv") == results
    with pytest.raises(EvaluationError, match=r"ends in \.csv, \.json, \.parquet"):
        save_results(results, tmp_path / "r.xlsx")
    with pytest.raises(EvaluationError, match="no folder"):
        save_results(results, tmp_path / "no" / "r.csv")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EvaluationError, match=r"pip install 'i2igalip\[parquet\]'"):
        save_results(by_values("ours", [1.0]), tmp_path / "r.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "x,y\n1,2\n"),
        ("a.csv", ""),
        ("a.json", "{}"),
        ("a.json", "no json"),
        ("a.parquet", "no parquet"),
        ("a.txt", ""),
    ],
)
def test_what_is_no_results_is_refused_with_its_name(tmp_path, name, content) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(EvaluationError, match=name):
        load_results(tmp_path / name)


def test_absent_results(tmp_path) -> None:
    with pytest.raises((EvaluationError, VolumeError), match=r"b\.csv: No such file"):
        load_results(tmp_path / "b.csv")


def test_rows_of_other_hashes_in_one_case_are_refused(tmp_path) -> None:
    save_results(made_results([made_case("a", {"psnr": 1.0, "mae": 2.0})]), tmp_path / "r.csv")
    text = (tmp_path / "r.csv").read_text()
    lines = [
        line.replace(made_hash(), "ffffffffffff") if ",mae," in line else line
        for line in text.splitlines()
    ]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    with pytest.raises(EvaluationError, match=r"r\.csv: .*2 hashes"):
        load_results(tmp_path / "r.csv")
    assert MAE.key == "mae"


def saved_lines(tmp_path) -> list[str]:
    """Lines of a table of two cases."""
    cases = [made_case(n, {"psnr": 1.0, "mae": 2.0}, resampled=True) for n in "ab"]
    save_results(made_results(cases), tmp_path / "r.csv")
    return (tmp_path / "r.csv").read_text().splitlines()


def test_a_spreadsheets_booleans_are_read(tmp_path) -> None:
    lines = saved_lines(tmp_path)
    before = load_results(tmp_path / "r.csv")
    assert any(",True," in line for line in lines)
    (tmp_path / "r.csv").write_text("\n".join(lines).replace(",True,", ",TRUE,"))
    assert load_results(tmp_path / "r.csv") == before
    (tmp_path / "r.csv").write_text("\n".join(lines).replace(",True,", ",maybe,"))
    with pytest.raises(EvaluationError, match="maybe"):
        load_results(tmp_path / "r.csv")


@pytest.mark.parametrize("kind", ["score", "case", "protocol"])
def test_rows_that_stand_twice_are_refused(tmp_path, kind) -> None:
    lines = saved_lines(tmp_path)
    again = [line for line in lines if line.startswith(f"{kind},")][:1]
    (tmp_path / "r.csv").write_text("\n".join(lines + again))
    with pytest.raises(EvaluationError, match=r"r\.csv: .*stands in it 2 times"):
        load_results(tmp_path / "r.csv")


def test_a_table_whose_hash_or_key_was_replaced_is_refused(tmp_path) -> None:
    text = "\n".join(saved_lines(tmp_path))
    (tmp_path / "r.csv").write_text(text.replace(made_hash(), "ffffffffffff"))
    with pytest.raises(EvaluationError, match=r"hash of fixed isn't that of its settings"):
        load_results(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text(text.replace(",psnr,1.0,", ",ssim,1.0,"))
    with pytest.raises(EvaluationError, match="ssim is said to be psnr"):
        load_results(tmp_path / "r.csv")
