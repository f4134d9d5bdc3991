"""Two methods are compared on the same subjects by the same measure, or not at all."""

import math
from pathlib import Path

import numpy as np
import pytest
from made_results import by_values, made_case, made_hash, made_results
from scipy import stats

from i2igalip_cli.engine.evaluator.comparison import compare_results
from i2igalip_cli.engine.evaluator.comparison_table import (
    COLUMNS,
    comparison_to_dict,
    save_comparison,
)
from i2igalip_cli.engine.evaluator.table_files import read_table
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure, Score

N = 30


def draws(seed: int, shift: float = 0.0) -> list[float]:
    return list(25 + shift + np.random.default_rng(seed).standard_normal(N))


def test_a_known_difference_is_found_with_its_sign() -> None:
    base = np.array(draws(0))
    a, b = by_values("ours", list(base + 1.0)), by_values("theirs", draws(1))
    (found,) = compare_results(a, b).measures
    assert found.verdict == "ours is better"
    assert found.p_holm < 0.05
    differences = base + 1.0 - np.array(draws(1))
    assert found.paired.median_difference == pytest.approx(np.median(differences))
    assert found.mean_a - found.mean_b == pytest.approx(differences.mean())
    assert found.paired.p == pytest.approx(stats.wilcoxon(differences).pvalue)
    (turned,) = compare_results(b, a).measures
    assert turned.verdict == "ours is better"
    assert turned.paired.p == found.paired.p


def test_lower_is_better_where_it_is() -> None:
    cases = [[made_case(f"s{n}", {"mae": 10.0 + n + k}) for n in range(9)] for k in (0, 1)]
    low, high = made_results(cases[0], "low"), made_results(cases[1], "high")
    (found,) = compare_results(high, low).measures
    assert found.verdict == "low is better"
    assert found.paired.effect == 1.0


def test_equal_sets_show_nothing() -> None:
    same = by_values("ours", draws(0)), by_values("theirs", draws(0))
    (found,) = compare_results(*same).measures
    assert (found.paired.p, found.verdict) == (1.0, "no difference shown")


def test_p_values_are_corrected_over_all_measures() -> None:
    """Holm by hand: of two p-values the smaller is doubled, the other follows at least as large."""
    rng = np.random.default_rng(3)
    sides = [
        made_results(
            [
                made_case(f"s{n}", {"psnr": 20 + k + rng.standard_normal(), "mae": rng.random()})
                for n in range(20)
            ],
            name,
        )
        for k, name in enumerate("ab")
    ]
    psnr, mae = compare_results(*sides).measures
    assert psnr.p_holm == pytest.approx(min(1, 2 * psnr.paired.p))
    assert mae.p_holm == pytest.approx(max(psnr.p_holm, mae.paired.p))


def test_subjects_of_one_alone_are_listed_and_left_out() -> None:
    a = made_results([made_case(n, {"psnr": v}) for n, v in (("x", 1.0), ("y", 2.0), ("z", 9.0))])
    b = made_results([made_case(n, {"psnr": v}) for n, v in (("y", 1.0), ("x", 3.0), ("w", 9.0))])
    found = compare_results(a, b)
    assert (found.a, found.b) == ("ours (A)", "ours (B)")
    assert (found.subjects, found.only_a, found.only_b) == (2, ("z",), ("w",))
    assert found.measures[0].mean_a == 1.5
    assert found.measures[0].mean_b == 2.0


def test_infinite_values_are_compared_by_rank() -> None:
    a = by_values("a", [math.inf, 30, 31, 32, 33, 34, 35])
    b = by_values("b", [math.inf, 20, 20, 20, 20, 20, 20])
    (found,) = compare_results(a, b).measures
    assert found.verdict == "a is better"
    assert comparison_to_dict(compare_results(a, b))["measures"][0]["mean_a"] == "Infinity"


def test_other_settings_are_refused_and_named() -> None:
    a = by_values("ours", [1.0, 2.0])
    cases = [made_case(f"s{n}", {"psnr": 1.0}, hash="ffffffffffff") for n in range(2)]
    settings = {"version": 1, "protocol": "fixed", "range": [0, 1], "hash": "ffffffffffff"}
    b = made_results(cases, "theirs", protocols={"fixed": settings})
    with pytest.raises(EvaluationError, match=r"ffffffffffff.*range: nothing and \[0, 1\]"):
        compare_results(a, b)


def test_protocols_of_one_alone_are_told() -> None:
    a = made_results([made_case("s", {"psnr": 1.0})], "a")
    b = made_results([made_case("s", {"psnr": 1.0}, protocol="paper")], "b")
    with pytest.raises(EvaluationError, match="no protocol in common"):
        compare_results(a, b)
    both = {**a.cases[0].scores, **b.cases[0].scores}
    c = made_results([made_case("s", {}, scores=both)], "c")
    assert "only c was scored by paper" in compare_results(a, c).warnings
    with pytest.raises(EvaluationError, match="no paper in common"):
        compare_results(a, c, ["paper"])


def test_no_common_subject_is_an_error() -> None:
    a, b = (made_results([made_case(n, {"psnr": 1.0})], n) for n in "ab")
    with pytest.raises(EvaluationError, match="no subject in common: a against b"):
        compare_results(a, b)


def test_targets_of_one_alone_are_told() -> None:
    a = made_results([made_case(f"s-{t}", {"psnr": 1.0}, subject="s", target=t) for t in "xy"], "a")
    b = made_results([made_case("s", {"psnr": 1.0}, target="y")], "b")
    assert "only a has predictions of x" in compare_results(a, b).warnings
    assert {one.target for one in compare_results(a, b).measures} == {"y"}
    c = made_results([made_case("s", {"psnr": 1.0}, target="z")], "c")
    with pytest.raises(EvaluationError, match="no target domain in common: x, y against z"):
        compare_results(a, c)


def test_what_makes_a_comparison_doubtful_is_told() -> None:
    a = made_results([made_case("s", {"psnr": 1.0}, resampled=True)], "a", missing=("x",))
    b = made_results([made_case("s", {"psnr": 1.0}, reference=Path("gt/other.nii"))], "b")
    warnings = " | ".join(compare_results(a, b).warnings)
    assert "a is incomplete: 1 volumes" in warnings
    assert "1 predictions of a were resampled" in warnings
    assert "1 subjects were compared with other references" in warnings


def test_measures_of_one_alone_are_told() -> None:
    kid = Measure(
        name="kid", unit="", better="lower", definition="KID", dimensions=2, region="axial"
    )
    sets = {"demo": (Score(measure=kid, value=0.5),)}
    a = made_results([made_case("s", {"psnr": 1.0, "mae": 2.0})], "a", sets=sets)
    b = made_results([made_case("s", {"psnr": 1.0})], "b")
    warnings = compare_results(a, b).warnings
    assert "only a has mae (fixed)" in warnings
    assert "only a has kid (demo)" in warnings
    assert not any(line.startswith("only b") for line in warnings)
    both = compare_results(a, made_results(b.cases, "b", sets=sets)).warnings
    assert "distances of whole sets (demo) aren't compared: no subjects to pair by" in both


def test_other_masks_of_the_same_name_are_told() -> None:
    a, b, c = (
        made_results([made_case("s", {"psnr": 1.0}, grounds=digits)], name)
        for name, digits in (("a", "0" * 12), ("b", "f" * 12), ("c", "0" * 12))
    )
    told = "1 subjects were compared with other references, masks or label maps in b than in a: s"
    assert told in compare_results(a, b).warnings
    assert not any("compared with" in line for line in compare_results(a, c).warnings)


def region_results(name: str, offsets: list[float]):
    cases = [
        made_case(f"s{n}", {"mae": 1.0, "mean": 100.0 + offset, "reference_mean": 100.0})
        for n, offset in enumerate(offsets)
    ]
    return made_results(cases, name)


def test_region_means_agree_within_limits() -> None:
    """Hand-worked: differences 1, 2, 3: bias 2, deviation 1, limits 0.04 and 3.96."""
    a, b = region_results("a", [1, 2, 3]), region_results("b", [0, 0, 0])
    found = compare_results(a, b)
    ours, theirs = found.regions
    assert (ours.method, ours.agreement.bias, ours.agreement.deviation) == ("a", 2.0, 1.0)
    limits = (ours.agreement.lower_limit, ours.agreement.upper_limit)
    assert limits == pytest.approx((2 - 1.96, 2 + 1.96))
    assert theirs.agreement.bias == 0
    assert [one.key for one in found.measures] == ["mae"], "region means are no quality"


def test_comparisons_are_written_as_tables(tmp_path) -> None:
    found = compare_results(region_results("a", [1, 2, 3]), region_results("b", [0, 0, 0]))
    for suffix in (".csv", ".json", ".parquet"):
        save_comparison(found, tmp_path / f"c{suffix}")
        rows = read_table(tmp_path / f"c{suffix}", COLUMNS)
        assert [row["kind"] for row in rows] == ["measure", "region", "region"]
        assert rows[1]["bias"] == 2.0
        assert rows[0]["p_holm"] == found.measures[0].p_holm
        assert {row["hash"] for row in rows} == {made_hash()}


def test_equal_methods_have_uniform_p_values(monkeypatch) -> None:
    """500 pairs of methods that differ by chance alone."""
    interval = "i2igalip_cli.evaluation.statistics._interval"
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels' Holm calls it each time
    monkeypatch.setattr(interval, lambda values, confidence: (None, None))  # slow, and no part of p
    rng = np.random.default_rng(11)
    found = []
    for _ in range(500):
        truth = rng.standard_normal(40)
        a, b = (by_values(n, list(truth + rng.standard_normal(40))) for n in "ab")
        found.append(compare_results(a, b).measures[0].p_holm)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09
