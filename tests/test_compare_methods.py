"""The comparison of methods: the paper's tables, what is trained, and what comes of it."""

import json
import multiprocessing
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from conftest import LEVELS, write_head

from i2igalip_cli import evaluate
from i2igalip_cli.config import IntensityPolicy, PrepareConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.dataset import read_index
from i2igalip_cli.engine.memory import peak_bytes
from i2igalip_cli.engine.prepare import prepare
from i2igalip_cli.engine.rehearsal import Forecast
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.methods import METHODS

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"
BOTH = (("T1", "T2"), ("T2", "T1"))
AIR, WATER, BONE = -1000.0, 0.0, 700.0  # HU


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import compare_methods
        import method_outcomes
        import method_runs
        import method_tables
        import method_translations
        import paper_tables

        yield SimpleNamespace(
            compare=compare_methods,
            outcomes=method_outcomes,
            runs=method_runs,
            tables=method_tables,
            translations=method_translations,
            paper=paper_tables,
        )


@pytest.fixture(scope="module")
def brains(tmp_path_factory) -> Path:
    """Volumes of six subjects in raw/, two of which are for testing, and what prepare makes."""
    folder = tmp_path_factory.mktemp("brains")
    for subject in range(6):
        for contrast in LEVELS:
            path = folder / "raw" / f"sub-{subject}_{contrast}.nii.gz"
            write_head(path, contrast, seed=subject, shape=(40, 44, 5))
    prepare(folder / "raw", folder / "dataset", PrepareConfig(split=(3, 1, 2)))
    return folder


def write_pelvis(folder: Path, seed: int) -> None:
    """A body of muscle with two bones: MR in arbitrary units, CT in HU."""
    x, y, _ = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in (44, 40, 5)), indexing="ij")
    body = x**2 + (1.3 * y) ** 2 < 1
    bone = np.minimum(np.hypot(x - 0.5, y), np.hypot(x + 0.5, y)) < 0.2
    noise = np.random.default_rng(seed).standard_normal((2, *x.shape))
    images = {
        "MR": np.where(body, np.where(bone, 100, 600) + 10 * noise[0], 0),
        "CT": np.where(body, np.where(bone, BONE, WATER), AIR) + 10 * noise[1],
    }
    for name, image in images.items():
        path = folder / f"case-{seed}" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(image.astype(np.float32), np.diag([2.0, 2.0, 3.0, 1.0])), path)


@pytest.fixture(scope="module")
def pelvis(tmp_path_factory) -> Path:
    """As `brains`, of a pelvis: the files of all subjects have the same names."""
    folder = tmp_path_factory.mktemp("pelvis")
    for subject in range(5):
        write_pelvis(folder / "raw", subject)
    patterns = {"pelvic-MR": "*MR*", "pelvic-CT": "*CT*"}
    prepare(folder / "raw", folder / "dataset", PrepareConfig(split=(2, 1, 2), patterns=patterns))
    return folder


def test_the_papers_totals_are_those_of_its_parts(modules) -> None:
    """Table 3 with four domains: how often G and D are needed, within what cut digits hide."""
    domains, ways = 4, 12
    often = {"galip": (1, domains), "egsde": (domains, 0)}
    for method, printed in modules.paper.TABLE_3.items():
        kinds = zip(
            often.get(method, (ways, ways)), (printed.generator, printed.discriminator), strict=True
        )
        parts = [(times, millions) for times, kind in kinds for millions in kind]
        hidden = sum(times * (1.0 if millions.is_integer() else 0.1) for times, millions in parts)
        total = sum(times * millions for times, millions in parts)
        assert total == pytest.approx(printed.total, abs=hidden), method


@pytest.mark.parametrize("variant", ["galip-S", "galip-M"])
def test_the_papers_ablation_starts_from_the_mean_of_its_first_table(modules, variant) -> None:
    rows = modules.paper.TABLE_1[variant].values()
    proposed = modules.paper.TABLE_5[variant][""]
    assert len(rows) == 6
    assert np.mean([row.psnr for row in rows]) == pytest.approx(proposed.psnr, abs=0.005)
    assert np.mean([row.ssim for row in rows]) == pytest.approx(proposed.ssim, abs=0.03)


def test_the_paper_says_how_far_cyclegan_is_behind(modules) -> None:
    """2.17 dB less than I2I-Galip-M, and over 2 % of SSIM, in its section 4."""
    ours, theirs = (
        np.mean(list(modules.paper.TABLE_1[name].values()), axis=0)
        for name in ("galip-M", "cyclegan")
    )
    assert ours[0] - theirs[0] == pytest.approx(2.17, abs=0.01)
    assert ours[1] - theirs[1] > 2


def test_figures_of_the_paper_are_found_by_direction(modules) -> None:
    find = modules.paper.find_quality
    assert find("syndiff", "PD", "T2") == [(29.81, 96.99)]
    assert find("unit", "pelvic-MR", "pelvic-CT") == [(26.02, 79.22), (25.15, 75.30)]
    assert find("unit", "pelvic-CT", "pelvic-MR") == find("cut", "T1", "T2") == []
    assert find("galip-M", "pelvic-MR", "pelvic-CT") == []


def settings_of(size: str) -> dict:
    return tomllib.loads((BENCHMARKS / f"compare_{size}.toml").read_text())


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_every_method_of_the_registry_has_a_row_and_sizes(modules, size) -> None:
    assert set(modules.runs.NAMES) == {"galip-S", "galip-M", *METHODS} - {"galip"}
    assert settings_of(size).keys() == {"all", *METHODS}
    variants = modules.runs.make_variants(modules.runs.NAMES, settings_of(size), None)
    assert {variant.config.method for variant in variants} == set(METHODS)
    assert len({variant.config.batch for variant in variants}) == 1, "an unequal budget"


def test_settings_of_no_method_are_refused(modules) -> None:
    with pytest.raises(ConfigError, match="cyclegen"):
        modules.runs.make_variants(["cyclegan"], {"cyclegen": {}}, None)


def test_a_method_trains_once_for_all_that_it_learns(modules, tmp_path) -> None:
    ways = (*BOTH, ("T1", "PD"))
    variants = modules.runs.make_variants(
        ["galip-M", "galip-S", "cyclegan", "cut"], settings_of("tiny"), None
    )
    planned = {
        variant.name: [
            (run.config.domains, run.directions)
            for run in modules.runs.plan_runs(variant, ways, tmp_path)
        ]
        for variant in variants
    }
    pairs = [(("T1", "T2"), BOTH), (("T1", "PD"), (("T1", "PD"),))]
    assert planned == {
        "galip-M": [((), ways)],
        "galip-S": pairs,
        "cyclegan": pairs,
        "cut": [(way, (way,)) for way in ways],
    }
    folders = {run.folder for v in variants for run in modules.runs.plan_runs(v, ways, tmp_path)}
    assert len(folders) == 1 + 2 + 2 + 3


def test_ablations_leave_out_one_loss_each_or_change_the_encoder(modules) -> None:
    variant, other = modules.runs.make_variants(["galip-S", "cyclegan"], {}, None)
    assert modules.runs.ablate(other, "some-encoder") == []
    ablated = modules.runs.ablate(variant, "some-encoder")
    *weights, encoder = ablated
    for one in weights:
        assert getattr(one.config.weights, one.ablated) == 0
        kept = replace(one.config.weights, **{one.ablated: 10.0 if one.ablated == "cycle" else 1.0})
        assert replace(one.config, weights=kept) == variant.config
    assert {one.ablated for one in weights} == {"adversarial", "cycle", "identity", "clip", "cls"}
    assert encoder.config == replace(variant.config, encoder="some-encoder")
    assert {one.ablated for one in ablated} == set(modules.paper.TABLE_5["galip-S"]) - {""}


def test_the_time_of_a_stopped_run_is_that_of_all_its_steps(modules, tmp_path) -> None:
    """10 steps of 0.5 s, 5 of 2 s after which it was stopped, 10 of 0.1 s."""
    rows = [{"step": 10, "seconds_a_step": 0.5}, {"step": 10, "kind": "validation", "psnr": 1.0}]
    rows += [{"step": 15, "seconds_a_step": 2.0}, {"step": 25, "seconds_a_step": 0.1}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert modules.runs._seconds_of(tmp_path / "log.jsonl") == pytest.approx(5 + 10 + 1)


def test_the_peak_of_a_training_process_is_its_own(modules) -> None:
    held = np.ones(600_000_000, np.uint8)  # ours
    with multiprocessing.get_context(modules.runs.START).Pool(1) as alone:
        peak = alone.apply(peak_bytes)
    assert held.all()
    assert 5e6 < peak < 300e6


def test_held_out_volumes_are_test_subjects_by_their_raw_files(modules, brains, pelvis) -> None:
    find = modules.translations.find_held_out
    index = read_index(brains / "dataset")
    tested = {shard.subject for shard in index.shards if shard.split == "test"}
    found = find(index, brains / "raw", ("T1", "PD"))
    assert {one.subject for one in found} == tested
    assert len(tested) == 2
    for one in found:
        assert one.source == brains / "raw" / f"{one.subject}_T1.nii.gz"
        assert one.reference == brains / "raw" / f"{one.subject}_PD.nii.gz"
    for one in find(read_index(pelvis / "dataset"), pelvis / "raw", ("pelvic-MR", "pelvic-CT")):
        assert one.source == pelvis / "raw" / one.subject / "MR.nii.gz"
        assert one.reference == pelvis / "raw" / one.subject / "CT.nii.gz"


def test_another_raw_folder_and_unregistered_volumes_are_refused(modules, brains) -> None:
    find = modules.translations.find_held_out
    index = read_index(brains / "dataset")
    with pytest.raises(DatasetError, match="--raw"):
        find(index, brains / "dataset", ("T1", "PD"))
    apart = replace(
        index, shards=tuple(replace(s, grid=f"{s.grid}{s.domain}") for s in index.shards)
    )
    with pytest.raises(DatasetError, match="registered"):
        find(apart, brains / "raw", ("T1", "PD"))


def test_ct_is_scored_in_its_own_range(modules, pelvis, tmp_path) -> None:
    """40 HU too much everywhere, of 4,024 in the range: 20 log10(4024 / 40) dB."""
    index = read_index(pelvis / "dataset")
    way = ("pelvic-MR", "pelvic-CT")
    made = []
    for volume in modules.translations.find_held_out(index, pelvis / "raw", way):
        image = nib.load(volume.reference)
        path = tmp_path / f"{volume.subject}.nii.gz"
        nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32) + 40, image.affine), path)
        made.append((volume, path))
    results = modules.translations.evaluate_variant(
        "shifted", made, DOMAINS, IntensityPolicy(), tmp_path / "lists"
    )
    assert results.keys() == {"CT"}
    outcome = modules.outcomes.Outcome(name="unit", results=results)
    found = outcome.quality(way, "psnr")
    assert found.count == 2
    assert found.mean == pytest.approx(20 * np.log10(4024 / 40), abs=0.01)
    table = modules.tables.quality_table([outcome], [way], {}, "galip-S")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["the paper's PSNR"] == "26.02 / 25.15"  # of T1 and of T2
    assert row["the paper's SSIM"] == "79.22 / 75.30"


def test_times_are_told_relative_to_ours_beside_the_papers(modules) -> None:
    """Table 4: SynDiff takes 0.1792 s and I2I-Galip 0.04883 s."""
    trained = modules.runs.Trained(
        steps=2, pairs=4, seconds=7200.0, memory_bytes=3 * 2**20, parameters={"g": 5}, device="cpu"
    )
    ours, theirs = (
        modules.outcomes.Outcome(name=name, runs=(trained,), slice_seconds={BOTH[0]: seconds})
        for name, seconds in (("galip-S", 0.5), ("syndiff", 2.0))
    )
    table = modules.tables.cost_table([ours, theirs], "galip-S")
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["/ galip-S's"] == pytest.approx(4)
    assert row["the paper's ratio to I2I-Galip"] == pytest.approx(0.1792 / 0.04883)
    assert (row["memory, MiB"], row["training, h"]) == (3, "2.0000")
    assert (row["the paper's memory"], row["the paper's training"]) == (9638, 35.0)


def test_parameters_stand_beside_the_papers(modules) -> None:
    table = modules.tables.parameter_table(["galip-S", "galip-M", "cut"])
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["galip", "cut"]
    assert rows["galip"]["in all"] == pytest.approx(109.001217)  # as in test_main.py
    assert rows["galip"]["the paper's in all"] == 108.8
    assert rows["cut"]["the paper's in all"] == "-"


def words(folder: Path, out: Path, *more: object) -> list[str]:
    given = [folder / "dataset", "--raw", folder / "raw", "--out", out, "--size", "tiny", *more]
    return [str(word) for word in given]


@pytest.fixture(scope="module")
def compared(modules, brains, tmp_path_factory):
    """Two methods, two steps: the folder, the exit code and the figures."""
    folder = tmp_path_factory.mktemp("compared")
    options = ["--method", "galip-M", "cyclegan", "--direction", "T1:T2", "T2:T1"]
    options += ["--json", folder / "out.json"]
    code = modules.compare.main(words(brains, folder / "out", *options, "--steps", "2"))
    report = json.loads((folder / "out.json").read_text())
    return SimpleNamespace(out=folder / "out", code=code, report=report, options=options)


def test_one_command_trains_translates_and_evaluates(modules, compared, brains) -> None:
    assert compared.code == 0
    methods = compared.report["methods"]
    assert list(methods) == ["copy", "galip-M", "cyclegan"]
    for name in ("galip-M", "cyclegan"):
        (run,) = methods[name]["runs"]
        assert run["steps"] == 2
        assert run["seconds"] > 0
        assert run["memory_bytes"] > 50e6
        assert methods[name]["slice_seconds"].keys() == {"T1:T2", "T2:T1"}
        assert len(list((compared.out / name / "T1_to_T2").iterdir())) == 2
    assert compared.report["comparisons"].keys() == {"copy", "cyclegan"}


def test_a_figure_is_the_mean_of_the_subjects_scores(compared, brains) -> None:
    scores = []
    for path in (compared.out / "cyclegan" / "T1_to_T2").iterdir():
        subject = path.name.split("_")[0]
        scores.append(evaluate(path, brains / "raw" / f"{subject}_T2.nii.gz")["paper"]["psnr"])
    table = compared.report["tables"][1]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    (row,) = [r for r in rows if (r["direction"], r["method"]) == ("T1 to T2", "cyclegan")]
    assert len(scores) == 2
    assert row["PSNR, dB"] == pytest.approx(np.mean(scores))
    assert row["the paper's PSNR"] == "26.10"


def test_the_reports_hold_every_table(compared) -> None:
    markdown = (compared.out / "report.md").read_text()
    page = (compared.out / "report.html").read_text()
    for text in ("All methods", "Tables 1 and 2", "Table 3", "Table 4"):
        assert text in markdown
        assert text in page
    assert "Failed" not in page
    rows = [line for line in markdown.splitlines() if line.startswith("| T1 to T2 |")]
    assert [row.split(" | ")[1] for row in rows] == ["copy", "galip-M", "cyclegan"]


def test_what_is_done_is_not_done_again_and_another_run_is_refused(
    modules, compared, brains, monkeypatch
) -> None:
    def refuse(*given):
        raise AssertionError("trained again")

    made = {path: path.stat().st_mtime_ns for path in compared.out.rglob("*_to_*/*.nii.gz")}
    assert made
    monkeypatch.setattr(modules.runs, "multiprocessing", SimpleNamespace(get_context=refuse))
    again = words(brains, compared.out, *compared.options)
    assert modules.compare.main([*again, "--steps", "2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert modules.compare.main([*again, "--steps", "3"]) == 1
    page = (compared.out / "report.html").read_text()
    assert "cyclegan: " in page
    assert "holds another run" in (compared.out / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"domains": ("T1", "T9")}, "T9"), ({"encoder": "no-encoder"}, "no-encoder")],
)
def test_a_run_that_cannot_be_trained_says_why(modules, brains, tmp_path, changes, reason) -> None:
    (variant,) = modules.runs.make_variants(["cyclegan"], settings_of("tiny"), None)
    config = replace(variant.config, **{"domains": BOTH[0], **changes})
    run = modules.runs.Run(config=config, directions=BOTH, folder=tmp_path / "run")
    told = modules.runs._train(brains / "dataset", run, modules.runs.Budget(steps=1), "cpu")
    assert reason in told


def test_a_budget_of_time_is_as_many_steps_as_fit_into_it(
    modules, brains, tmp_path, monkeypatch
) -> None:
    """Of steps of 0.4 s each, two fit into a second; what that took is known afterwards."""
    forecast = Forecast(seconds_a_step=0.4, memory_bytes=7)
    monkeypatch.setattr(Trainer, "rehearse", lambda trainer: forecast)
    (variant,) = modules.runs.make_variants(["cyclegan"], settings_of("tiny"), None)
    config = replace(variant.config, domains=BOTH[0])
    run = modules.runs.Run(config=config, directions=BOTH, folder=tmp_path / "run")
    budget = modules.runs.Budget(seconds=1.0)
    trained = modules.runs._train(brains / "dataset", run, budget, "cpu")
    assert (trained.steps, trained.memory_bytes) == (2, 7)
    monkeypatch.setattr(modules.runs, "multiprocessing", None)  # no process is started
    assert modules.runs.train_apart(brains / "dataset", run, budget, "cpu") == trained


@pytest.mark.parametrize(
    "wrong", [["--steps", "2", "--seconds", "3"], ["--steps", "0"], ["--method", "cyclegen"]]
)
def test_what_the_command_line_gets_wrong_is_told(modules, tmp_path, wrong) -> None:
    with pytest.raises(SystemExit) as stop:
        modules.compare.main(words(tmp_path, tmp_path / "out", *wrong))
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("wrong", "reason"), [("T1", "unknown domain"), ("T1:T1", "two different"), ("T1:T9", "T9")]
)
def test_a_direction_that_cannot_be_is_told_before_anything_is_trained(
    modules, brains, tmp_path, wrong, reason
) -> None:
    with pytest.raises(SystemExit, match=reason):
        modules.compare.main(words(brains, tmp_path / "out", "--direction", wrong))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_method_and_every_ablation(modules, pelvis, tmp_path, encoder_folder) -> None:
    out = tmp_path / "out"
    options = ["--steps", "2", "--ablations", "--other-encoder", encoder_folder]
    assert modules.compare.main(words(pelvis, out, *options, "--json", tmp_path / "o.json")) == 0
    report = json.loads((tmp_path / "o.json").read_text())
    whole = {"copy", "galip-S", *METHODS} - {"galip"}
    assert whole < report["methods"].keys()
    assert len(report["methods"]) == len(whole) + 6
    assert not any(method["fault"] for method in report["methods"].values())
    ablations = report["tables"][-1]
    assert len(ablations["rows"]) == 7
    assert all(row[2] != "-" for row in ablations["rows"])
