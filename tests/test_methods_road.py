"""Every method on the same road: trained, resumed, and used by volume, by cohort and with --qc."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cohort_here import work_here
from conftest import TINY_SIZES, WIDE, flatten, tiny_config, write_head

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.config import CONFIGS, to_dict
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.methods import METHODS

TWO = [name for name in METHODS if CONFIGS[name].two_domains]


@pytest.fixture(scope="module")
def runs(wide_dataset, encoder_folder, tmp_path_factory):
    """A short run of each method, made when it is asked for."""
    folder = tmp_path_factory.mktemp("runs")

    def find(name: str) -> Path:
        run = folder / name
        if not run.exists():
            config = CONFIGS[name](
                **TINY_SIZES[name], encoder=str(encoder_folder), domains=("T1", "T2"), steps=1
            )
            Trainer(wide_dataset, run, config, "cpu").run()
        return run

    return find


def settings(name: str) -> list[str]:
    """The tiny sizes of a method as `--set` takes them, nested ones by dotted names."""
    tiny = to_dict(tiny_config(method=name))
    leaves = flatten({key: tiny[key] for key in TINY_SIZES[name]})
    return [
        word
        for key, value in leaves
        for word in ("--set", f"{key.removeprefix('.')}={json.dumps(value)}")
    ]


@pytest.mark.parametrize("name", TWO)
def test_a_run_is_trained_and_resumed_from_the_command_line(
    program, wide_dataset, encoder_folder, tmp_path, name
) -> None:
    words = ("train", wide_dataset, "--out", tmp_path / "run", "--method", name, *settings(name))
    words += ("--encoder", encoder_folder, "--from", "T2", "--to", "PD", "--steps", "1")
    first = program(*words)
    assert first.code == 0, first.err
    assert f"{name} on cpu" in first.err
    checkpoint = load_checkpoint(tmp_path / "run")
    assert [domain.name for domain in checkpoint.domains] == ["T2", "PD"]
    assert checkpoint.config.method == name
    again = program(*words)
    assert again.code == 0
    assert "step 1 of 1" in again.err


@pytest.mark.parametrize("name", METHODS)
def test_a_volume_needs_no_option_of_the_method(program, runs, tmp_path, name) -> None:
    source = write_head(tmp_path / "in.nii.gz", shape=WIDE)
    result = program("translate", source, "--to", "T2", "--weights", runs(name), "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    made, given = nib.load(report["output"]), nib.load(source)
    assert made.shape == given.shape
    np.testing.assert_array_equal(made.affine, given.affine)
    assert np.isfinite(made.get_fdata()).all()
    assert report["source"] == ("T1" if CONFIGS[name].two_domains else None)


@pytest.mark.parametrize("name", METHODS)
def test_a_cohort_with_quality(program, runs, tmp_path, monkeypatch, name) -> None:
    work_here(monkeypatch)
    for subject in range(2):
        write_head(tmp_path / "in" / f"s{subject}.nii.gz", seed=subject, shape=WIDE)
    words = ("--to", "T2", "--from", "T1", "--weights", runs(name), "--qc")
    result = program("translate", tmp_path / "in", "-o", tmp_path / "out", *words)
    assert result.code == 0, result.err
    with (tmp_path / "out" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    way_back = not getattr(CONFIGS[name], "one_way", False)
    for row in rows:
        assert bool(row["qc_cycle"]) == way_back
        assert float(row["qc_flips"]) >= 0
        assert (tmp_path / "out" / row["output"]).exists()


@pytest.mark.parametrize("name", TWO)
def test_other_domains_are_refused_by_name(program, runs, tmp_path, name) -> None:
    source = write_head(tmp_path / "in.nii.gz", shape=WIDE)
    words = ("translate", source, "--weights", runs(name))
    unknown = program(*words, "--to", "PD")
    assert unknown.code == 1
    assert "PD" in unknown.err
    assert "T1" in unknown.err
    assert "T2" in unknown.err
    same = program(*words, "--to", "T2", "--from", "T2")
    assert same.code == 1
    assert "doesn't translate T2 to T2, only T1 to T2" in " ".join(same.err.split())
    if CONFIGS[name].one_way:
        back = program(*words, "--to", "T1")
        assert back.code == 1
        assert "doesn't translate T1, only T1 to T2" in " ".join(back.err.split())
    both = program(*words, "--to", "T1", "--to", "T2")
    assert both.code == 1
    assert "name one --to" in " ".join(both.err.split())
    caption = program(*words, "--to", "T2", "--caption", "a T2 image")
    assert caption.code == 1
    assert f"{name}, which reads no captions" in " ".join(caption.err.split())
    assert not list(tmp_path.glob("*T2*"))


@pytest.mark.parametrize("name", TWO)
def test_three_domains_are_too_many_for_two(
    program, wide_dataset, encoder_folder, tmp_path, name
) -> None:
    words = ("train", wide_dataset, "--out", tmp_path / "run", "--method", name, "--encoder")
    result = program(*words, encoder_folder)
    assert result.code == 1
    assert "name two with --from and --to" in " ".join(result.err.split())
    alone = program(*words, encoder_folder, "--from", "T1")
    assert alone.code == 2
    assert "together" in alone.err


@pytest.mark.parametrize("name", TWO)
def test_a_weight_on_pairs_is_galips(program, wide_dataset, tmp_path, name) -> None:
    words = ("train", wide_dataset, "--out", tmp_path / "run", "--method", name, "--paired", "1")
    result = program(*words, "--from", "T1", "--to", "T2")
    assert result.code == 2
    assert "--paired is galip's" in " ".join(result.err.replace("│", " ").split())


def test_slices_too_small_for_a_discriminator_are_refused(
    program, dataset, encoder_folder, tmp_path
) -> None:
    words = ("train", dataset, "--out", tmp_path / "run", "--method", "unit")
    result = program(*words, "--encoder", encoder_folder, "--from", "T1", "--to", "T2")
    assert result.code == 1
    assert "the networks of unit need 128" in " ".join(result.err.split())


def test_onnxruntime_is_refused_where_a_method_has_no_graph(program, runs, tmp_path) -> None:
    source = write_head(tmp_path / "in.nii.gz", shape=WIDE)
    words = ("translate", source, "--to", "T2", "--weights", runs("cyclegan"))
    result = program(*words, "--backend", "onnxruntime")
    assert result.code == 1
    assert "--backend torch" in result.err
