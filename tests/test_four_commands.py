"""From raw folders to a table: four commands, and the examples of the two archives."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from clinics import list_scans, make_gold_atlas, make_ixi
from conftest import LEVELS

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.dataset import read_index
from i2igalip_cli.engine.prepare import prepare

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAM = Path(sys.executable).with_name("i2igalip")
# A network that a processor trains in seconds; the second line for results of some worth.
TINY = {
    "generator": "{width=8, multipliers=[1,2], residual_blocks=1, attention_reductions=[2],"
    " head_width=8, embedding=8, norm_groups=4}",
    "heads": "{blocks=[1,3], kernel=3, projection=8}",
    "batch": "2",
    "preview_every": "1000",
}
SMALL = """
encoder = "demo"
batch = 2
distinct_domains = true
mirror = true
crop = [48, 40]
learning_rate = 1e-3
discriminator_rate = 4e-4
ema_decay = 0.95
preview_every = 1000
validate_every = 60

[generator]
width = 16
multipliers = [1, 2]
residual_blocks = 1
attention_reductions = []
norm_groups = 8
head_width = 32
embedding = 64

[heads]
blocks = [1, 3]

[weights]
paired = 30
adversarial = 0.2
clip = 0.2
cls = 0.2
cycle = 1
"""


def call(*command: object, code: int = 0, **environment: str) -> str:
    """Run a program as people do; returns what it printed to stdout."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def tiny_options() -> list[str]:
    settings = [f"--set={name}={value}" for name, value in TINY.items()]
    return ["--encoder", "demo", "--steps", "2", *settings]


def write_pairs(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def psnr(table: dict[str, object]) -> float:
    """Mean over subjects by the fixed protocol, in dB."""
    (row,) = [r for r in table["summary"] if (r["protocol"], r["key"]) == ("fixed", "psnr")]
    return row["mean"]


# The volumes of a dataset again.


def test_unpacked_volumes_are_the_raw_ones_in_their_places(raw, dataset, tmp_path) -> None:
    call(sys.executable, EXAMPLES / "unpack.py", dataset, tmp_path)
    index = read_index(dataset)
    shards = [shard for shard in index.shards if shard.split == "test"]
    assert {shard.domain for shard in shards} == set(LEVELS)
    for shard in shards:
        name = f"{shard.source.removesuffix('.nii.gz')}.nii.gz"
        made = nib.load(tmp_path / shard.domain / name)
        source = nib.load(raw / shard.source)
        indices = np.moveaxis(np.indices(made.shape), 0, -1)
        to_raw = np.linalg.inv(source.affine) @ made.affine
        exact = nib.affines.apply_affine(to_raw, indices)
        places = np.rint(exact).astype(int)
        np.testing.assert_allclose(exact, places, atol=1e-3)
        seen = source.get_fdata()[tuple(np.moveaxis(places, -1, 0))]
        low, high = shard.window
        within = slice(None) if made.shape == shard.shape else np.nonzero(made.get_fdata() > low)
        expected = np.clip(seen, low, high)
        np.testing.assert_allclose(
            made.get_fdata()[within], expected[within], atol=(high - low) / 1000
        )


def test_unpacked_pairs_are_all_directions_of_registered_volumes(dataset, tmp_path) -> None:
    call(sys.executable, EXAMPLES / "unpack.py", dataset, tmp_path, "--split", "train")
    with (tmp_path / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    subjects = {s.subject for s in read_index(dataset).shards if s.split == "train"}
    assert len(rows) == 6 * len(subjects)
    assert {row["target"] for row in rows} == {
        f"{a} to {b}" for a in LEVELS for b in LEVELS if a != b
    }
    for row in rows:
        source, reference = (nib.load(tmp_path / row[name]) for name in ("source", "reference"))
        assert source.shape == reference.shape
        np.testing.assert_array_equal(source.affine, reference.affine)
        assert row["prediction"] == (
            f"{row['target'].replace(' ', '_')}/{Path(row['source']).name.removesuffix('.nii.gz')}"
            f"_{row['target'].split()[-1]}.nii.gz"
        )


def test_unpacking_says_where_nothing_is_registered(tmp_path) -> None:
    make_gold_atlas(tmp_path / "raw", 3)
    settings = PrepareConfig(preset="gold-atlas", split=(1, 1, 1))
    prepare(tmp_path / "raw", tmp_path / "dataset", settings)
    unpack = (sys.executable, EXAMPLES / "unpack.py", tmp_path / "dataset", tmp_path / "out")
    call(*unpack, code=1)
    assert not (tmp_path / "out").exists()
    call(*unpack, "--any-grid", "--to", "pelvic-CT")
    assert len((tmp_path / "out" / "pairs.csv").read_text().splitlines()) == 2


# The archives.


@pytest.mark.slow
def test_ixi_from_the_download_to_the_table(tmp_path) -> None:
    make_ixi(tmp_path / "site", 5)
    for contrast in ("T1", "T2", "PD"):
        folder = tmp_path / "site" / f"IXI-{contrast}"
        call("tar", "-cf", f"{folder}.tar", "-C", folder, ".")
    out = tmp_path / "out"
    command = ("bash", EXAMPLES / "ixi.sh", tmp_path / "raw", out, *tiny_options())
    environment = {
        "IXI_ARCHIVES": f"file://{tmp_path / 'site'}",
        "PREPARE": "--split 3 1 1",
        "JOBS": "1",
    }
    call(*command, **environment)
    names = {path.relative_to(tmp_path / "raw") for path in list_scans(tmp_path / "raw")}
    assert names == {path.relative_to(tmp_path / "site") for path in list_scans(tmp_path / "site")}
    assert not list(tmp_path.glob("raw*/*.tar"))
    with (out / "results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "score"]
    contrasts = ("T1", "T2", "PD")
    wanted = {f"{a} to {b}" for a in contrasts for b in contrasts if a != b}
    assert {row["target"] for row in rows} == wanted
    assert (out / "report.html").is_file()
    # Run again, nothing is done again.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}
    call(*command, **environment)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")} == before


@pytest.mark.slow
def test_the_gold_atlas_from_the_archive_to_both_tables(tmp_path) -> None:
    make_gold_atlas(tmp_path / "raw", 5)
    command = ("bash", EXAMPLES / "gold_atlas.sh", tmp_path / "raw", tmp_path / "out")
    call(*command, *tiny_options(), PREPARE="--split 3 1 1", JOBS="1")
    for contrast in ("T1", "T2"):
        here = tmp_path / "out" / contrast
        sources = {s.source for s in read_index(here / "dataset").shards if s.domain == "pelvic-MR"}
        assert {Path(source).name for source in sources} == {f"{contrast}.nii.gz"}
        (made,) = (here / "test" / "pelvic-MR_to_pelvic-CT").glob("*.nii.gz")
        array = nib.load(made).get_fdata()
        assert array.min() >= -1024 and array.max() <= 3000
        with (here / "results.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == "score"]
        assert {row["target"] for row in rows} == {"pelvic-MR to pelvic-CT"}
        assert {row["unit"] for row in rows if row["key"] == "mae"} == {"HU"}


def test_the_gold_atlas_example_says_whom_to_ask(tmp_path) -> None:
    command = ["bash", EXAMPLES / "gold_atlas.sh", tmp_path / "raw"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "zenodo.org/records/583096" in done.stderr and "1_01_P" in done.stderr


# Four commands.


@pytest.mark.slow
def test_from_raw_folders_to_an_evaluated_model_in_four_commands(tmp_path) -> None:
    """A small network, trained for minutes, beats the source itself by more than 1 dB.

    References are the raw T2s, for which heads had moved by up to some mm and degrees: a perfect
    translation wouldn't match them either.
    """
    raw, dataset, run, made = (tmp_path / name for name in ("raw", "dataset", "run", "made"))
    make_ixi(raw, 8)
    (tmp_path / "small.toml").write_text(SMALL)

    prepare = ("--preset", "ixi", "--split", 5, 1, 2, "--register", "T1", "--json")
    report = json.loads(call(PROGRAM, "prepare", raw, "--out", dataset, *prepare))
    assert report["pairs"] == 5 * 3
    assert all(counts[s] > 0 for counts in report["slices"].values() for s in counts)

    train = ("--config", tmp_path / "small.toml", "--from", "T1", "--to", "T2", "--steps", 240)
    call(PROGRAM, "train", dataset, "--out", run, *train)
    assert (run / "best.safetensors").is_file()

    split = json.loads((dataset / "split.json").read_text())["subjects"]
    tested = sorted(name for name, part in split.items() if part == "test")
    scans = {
        contrast: [path for path in list_scans(raw, contrast) if path.name.split("-")[0] in tested]
        for contrast in ("T1", "T2")
    }
    assert len(tested) == len(scans["T1"]) == len(scans["T2"]) == 2
    translate = ("--from", "T1", "--to", "T2", "--weights", run, "-o", made)
    call(PROGRAM, "translate", *scans["T1"], *translate)
    synthetic = sorted(made.glob("*.nii.gz"))
    assert [path.name for path in synthetic] == [
        f"{path.name.removesuffix('.nii.gz')}_T2.nii.gz" for path in scans["T1"]
    ]

    table = evaluate(tmp_path, synthetic, scans["T2"])
    assert [case["subject"] for case in table["cases"]] == tested and table["complete"]
    keys = {(row["protocol"], row["key"]) for row in table["summary"]}
    assert {(p, k) for p in ("paper", "fixed") for k in ("psnr", "ssim")} <= keys

    assert psnr(table) > 1 + psnr(evaluate(tmp_path, scans["T1"], scans["T2"]))


def evaluate(folder: Path, predictions: list[Path], references: list[Path]) -> dict[str, object]:
    """The table of predictions against the raw references, on grids of their own."""
    rows = [
        (ours, theirs, theirs.name.split("-")[0], f"{theirs.name.split('-')[0]}_T2", "T2")
        for ours, theirs in zip(predictions, references, strict=True)
    ]
    columns = ("prediction", "reference", "subject", "case", "target")
    pairs = write_pairs(folder / "pairs.csv", columns, rows)
    return json.loads(call(PROGRAM, "evaluate", "--pairs", pairs, "--resample", "--json"))
