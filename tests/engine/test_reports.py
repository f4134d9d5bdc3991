"""Pages say what results, runs and translations hold, and leave nothing out silently."""

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, write_head
from engine.evaluator.made_results import by_values, made_case, made_hash, made_results
from PIL import Image

from i2igalip_cli.engine.evaluator.comparison import compare_results
from i2igalip_cli.engine.reports import (
    write_comparison_report,
    write_evaluation_report,
    write_training_report,
    write_translation_report,
)
from i2igalip_cli.engine.reports.cases import look_at
from i2igalip_cli.engine.reports.translation import _read
from i2igalip_cli.errors import VolumeError


def on_disk(folder: Path, number: int, **values: float):
    """A case whose volumes lie in a folder."""
    prediction = write_head(folder / "pred" / f"s{number}.nii.gz", seed=number)
    reference = write_head(folder / "gt" / f"s{number}.nii.gz", seed=number + 10)
    return made_case(f"s{number}", values, prediction=prediction, reference=reference)


def test_an_evaluation_shows_the_worst_and_the_best_once_each(tmp_path: Path) -> None:
    cases = [on_disk(tmp_path, n, psnr=20.0 + n) for n in range(4)]
    write_evaluation_report(made_results(cases), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "s0: worst 1, fixed psnr 20" in text
    assert "s2: worst 3" in text
    assert "s3: best 1, fixed psnr 23" in text
    assert "best 2" not in text  # four cases: none is shown twice
    assert made_hash() in text  # the protocol's hash


def test_what_is_missing_stands_before_the_figures(tmp_path: Path) -> None:
    failed = made_case("s9", {}, scores={}, error="s9: truncated")
    results = made_results(
        [on_disk(tmp_path, 0, psnr=20.0), failed],
        missing=("gt/s4.nii.gz",),
        extra=("pred/<b>s5</b>.nii.gz",),
        warnings=("few slices",),
    )
    write_evaluation_report(results, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    for told in (
        "gt/s4.nii.gz",
        "pred/&lt;b&gt;s5&lt;/b&gt;.nii.gz",
        "s9: truncated",
        "few slices",
    ):
        assert 0 < text.index(told) < text.index("<caption>")


def test_perfect_cases_and_vanished_files_are_told(tmp_path: Path) -> None:
    cases = [made_case("gone", {"psnr": math.inf}), on_disk(tmp_path, 1, psnr=30.0)]
    write_evaluation_report(made_results(cases), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "gone: worst 2, fixed psnr inf: no picture" in text
    assert "no such file" in text


def test_a_page_replaces_nothing_unasked(tmp_path: Path) -> None:
    results = made_results([on_disk(tmp_path, 0, psnr=20.0)])
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(VolumeError, match="exists"):
        write_evaluation_report(results, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "mine"
    write_evaluation_report(results, tmp_path / "r.html", overwrite=True)
    assert "<h1>Evaluation of ours</h1>" in (tmp_path / "r.html").read_text()


def test_errors_of_mr_are_of_the_range_and_those_of_ct_in_hounsfield_units(tmp_path: Path) -> None:
    case = on_disk(tmp_path, 0, psnr=20.0)
    nib.save(nib.Nifti1Image(3 * head(), OBLIQUE), case.prediction)
    nib.save(nib.Nifti1Image(head(), OBLIQUE), case.reference)
    look = look_at(case, {})
    assert np.abs(look.error.array).max() < 1e-6  # each is scaled by its own percentile
    assert look.unit == "of the range"
    look = look_at(case, {"modality": "CT", "value_range": (-1024.0, 3000.0)})
    np.testing.assert_allclose(look.error.array, 2 * head(), rtol=1e-5)
    assert look.unit == "HU"


def test_a_source_is_shown_where_it_is_known(tmp_path: Path) -> None:
    case = on_disk(tmp_path, 0, psnr=20.0)
    source = write_head(tmp_path / "source.nii.gz", seed=5)
    known = made_case(
        "s0", {"psnr": 20.0}, prediction=case.prediction, reference=case.reference, source=source
    )
    assert list(look_at(case, {}).shown) == ["prediction", "truth"]
    assert list(look_at(known, {}).shown) == ["source", "prediction", "truth"]


def test_a_comparison_says_which_is_better_and_who_is_left_out(tmp_path: Path) -> None:
    a = by_values("sharp", [30.0 + n / 10 for n in range(12)])
    b = by_values("blurred", [25.0 + n / 7 for n in range(11)])
    comparison = compare_results(a, b)
    write_comparison_report(comparison, a, b, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert "<h1>sharp against blurred</h1>" in text
    assert "sharp is better" in text
    assert text.index("Only sharp has these subjects") < text.index("<li>s11</li>")


def test_means_of_regions_are_plotted_by_method(tmp_path: Path) -> None:
    def results(method: str, shift: float):
        values = [
            {"psnr": 20.0 + n, "mean": n + shift, "reference_mean": float(n)} for n in range(5)
        ]
        return made_results([made_case(f"s{n}", v) for n, v in enumerate(values)], method)

    a, b = results("one", 1.0), results("two", 3.0)
    write_comparison_report(compare_results(a, b), a, b, tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text()
    assert "one: body" in text
    assert "two: body" in text


def made_run(folder: Path) -> Path:
    rows = [{"step": step, "seconds_a_step": 1.0, "cycle": 1 / step} for step in (10, 20, 30)]
    rows.append({"step": 30, "kind": "validation", "psnr": 21.5, "psnr T1 to T2": 21.5})
    text = "\n".join(json.dumps(row) for row in rows) + '\n{"step": 40, "cyc'  # being written
    (folder / "log.jsonl").write_text(text)
    (folder / "config.json").write_text(json.dumps({"config": {"heads": {"blocks": [2, 5]}}}))
    for step in (0, 10, 20, 30, 40, 50):
        Image.new("L", (20, 10), step).save(folder / f"preview_{step:06d}.png")
    return folder


def test_a_training_shows_curves_previews_and_settings(tmp_path: Path) -> None:
    write_training_report(made_run(tmp_path))
    text = (tmp_path / "report.html").read_text()
    assert "As it stood after step 30." in text
    assert "After step 50" in text
    assert "After step 0<" in text
    assert text.count("data:image/png") == 4
    assert "<dt>config.heads.blocks</dt><dd>[2, 5]</dd>" in text
    assert "psnr T1 to T2" in text
    write_training_report(tmp_path)  # again and again while it goes on


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    write_training_report(tmp_path)
    assert "after step 0" in (tmp_path / "report.html").read_text()


def translated(folder: Path, name: str, **changes):
    """What `translate` reports of a volume whose files lie in a folder."""
    write_head(folder / f"{name}.nii.gz", seed=1)
    write_head(folder / f"{name}_T2.nii.gz", seed=2)
    record = {
        "input": str(folder / f"{name}.nii.gz"),
        "series": "",
        "volume": None,
        "output": f"{name}_T2.nii.gz",
        "target": "T2",
        "source_window": (0.0, 1000.0),
        "output_window": (0.0, 1000.0),
        "warnings": (),
        "seconds": 1.5,
        "qc_score": None,
        "status": "done",
        "error": "",
    }
    return {**record, **changes}


def test_a_translation_shows_failures_first_and_its_map(tmp_path: Path) -> None:
    failed = translated(tmp_path, "b", status="failed", error="b.nii.gz: truncated")
    plain = translated(tmp_path, "a")
    write_translation_report([plain, failed], tmp_path / "plain.html", root=tmp_path)
    text = (tmp_path / "plain.html").read_text()
    assert "<h1>Translation of 1 volume</h1>" in text
    assert text.index("b.nii.gz: truncated") < text.index("<caption>")
    assert '"title": "synthetic"' in text
    assert '"title": "doubt (QC)"' not in text
    write_head(tmp_path / "a_T2_qc.nii.gz", seed=3)
    judged = {**plain, "qc_score": 0.0312, "warnings": ("looks like T2, not T1",)}
    write_translation_report([judged], tmp_path / "judged.html", root=tmp_path)
    text = (tmp_path / "judged.html").read_text()
    assert '"title": "doubt (QC)"' in text
    assert "0.0312" in text
    assert "looks like T2, not T1" in text


def test_the_most_doubtful_of_many_are_drawn(tmp_path: Path) -> None:
    for scores, told, drawn in (
        ([n / 100 for n in range(6)], "The 4 most doubtful of 6.", [2, 3, 4, 5]),
        ([None] * 6, "The 4 first of 6.", [0, 1, 2, 3]),
    ):
        records = [
            translated(
                tmp_path, f"s{n}", qc_score=score, qc_calibrated=None if score is None else False
            )
            for n, score in enumerate(scores)
        ]
        write_translation_report(records, tmp_path / "t.html", root=tmp_path, overwrite=True)
        text = (tmp_path / "t.html").read_text()
        assert told in text
        assert [n for n in range(6) if f"s{n}.nii.gz to T2</figcaption>" in text] == drawn
        assert ("disagreement, not calibrated" in text) == (scores[1] is not None)


def test_warnings_that_many_have_stand_once_and_last(tmp_path: Path) -> None:
    records = [
        translated(tmp_path, f"s{n}", warnings=("brains only", *(("dark",) if n == 1 else ())))
        for n in range(3)
    ]
    write_translation_report(records, tmp_path / "t.html", root=tmp_path)
    text = (tmp_path / "t.html").read_text()
    assert text.count("brains only") == 1
    assert 0 < text.index("s1.nii.gz: dark") < text.index("3 translations: brains only")


def test_a_result_stored_another_way_is_shown_on_the_sources_grid(tmp_path: Path) -> None:
    array = np.random.default_rng(0).uniform(1, 9, (17, 19, 5)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, OBLIQUE), tmp_path / "a.nii.gz")
    turned = OBLIQUE @ np.diag([-1.0, -1, 1, 1])
    turned[:3, 3] += OBLIQUE[:3, :2] @ (16, 18)
    nib.save(nib.Nifti1Image(array[::-1, ::-1], turned), tmp_path / "a_T2.nii.gz")
    record = {**translated(tmp_path / "b", "a"), "input": str(tmp_path / "a.nii.gz")}
    image = _read(record, tmp_path, "fail")
    np.testing.assert_allclose(image.result.array, array, atol=1e-3)


def test_an_output_that_vanished_is_told(tmp_path: Path) -> None:
    record = translated(tmp_path, "a")
    (tmp_path / "a_T2.nii.gz").unlink()
    write_translation_report([record], tmp_path / "t.html", root=tmp_path)
    assert "a_T2.nii.gz: no such file" in (tmp_path / "t.html").read_text()
