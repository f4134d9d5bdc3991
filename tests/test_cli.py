"""The command line: what a user types, sees, and is left with."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, make_checkpoint, write_head
from typer.testing import CliRunner

from i2igalip_cli import cli
from i2igalip_cli.checkpoints import load_checkpoint, save_checkpoint


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def save(path: Path, array, affine=OBLIQUE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def test_translate_writes_beside_the_input_and_keeps_everything(
    program, t1, checkpoint_file
) -> None:
    result = program("translate", t1, "--to", "t2", "--weights", checkpoint_file)
    assert result.code == 0, result.err
    out = t1.parent / "in_T2.nii.gz"
    assert re.search(r"in_T2\.nii\.gz: T2, 9 slices \(\d+ empty\) in [\d.]+ s", result.out)
    assert result.out.count("\n") == 1
    before, after = nib.load(t1), nib.load(out)
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.shape == after.shape
    assert not np.allclose(before.get_fdata(), after.get_fdata())


def test_json_tells_machines_everything(program, t1, checkpoint_file, tmp_path) -> None:
    out = tmp_path / "o.nii"
    result = program(
        *("translate", t1, "--to", "PD", "--from", "t1", "-o", out, "--preview", "--json"),
        *("--weights", checkpoint_file, "--threads", 1, "--batch-size", 3, "--device", "cpu"),
    )
    found = json.loads(result.out)
    assert found["target"] == "PD"
    assert found["source"] == "T1"
    assert found["caption"] == "This MRI is PD-weighted"
    assert found["output"] == str(out)
    assert found["shape"] == [20, 24, 9]
    assert found["weights_sha256"] == load_checkpoint(checkpoint_file).sha256
    assert Path(found["preview"]).read_bytes()[:4] == b"\x89PNG"


def test_an_output_is_never_replaced_unasked(program, t1, checkpoint_file) -> None:
    arguments = ("translate", t1, "--to", "T2", "--weights", checkpoint_file)
    assert program(*arguments).code == 0
    out = t1.parent / "in_T2.nii.gz"
    before = out.read_bytes()
    refused = program(*arguments)
    assert refused.code == 1
    assert "--overwrite" in refused.err
    assert out.read_bytes() == before
    assert program(*arguments, "--overwrite").code == 0


def broken(folder: Path) -> dict[str, Path]:
    """One file of every kind that can't be translated."""
    whole = gzip.compress(bytes(nib.Nifti1Image(head(), OBLIQUE).to_bytes()))
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "text.nii").write_text("not a volume")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    rgb = np.zeros((4, 4, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    return {
        "absent": folder / "absent.nii.gz",
        "text": folder / "text.nii",
        "picture": folder / "picture.png",
        "cut": folder / "cut.nii.gz",
        "series": save(folder / "series.nii", np.ones((4, 4, 4, 2), np.float32)),
        "rgb": save(folder / "rgb.nii", rgb),
        "complex": save(folder / "complex.nii", np.ones((4, 4, 4), np.complex64)),
        "empty": save(folder / "empty.nii", np.zeros((4, 4, 4), np.float32)),
        "constant": save(folder / "constant.nii", np.full((4, 4, 4), 3, np.float32)),
        "nothing": save(folder / "nothing.nii", np.full((4, 4, 4), np.nan, np.float32)),
    }


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("absent", "no such file"),
        ("text", "not a readable NIfTI"),
        ("picture", "not a volume file"),
        ("cut", "damaged or truncated"),
        ("series", "--volume N"),
        ("rgb", "RGB"),
        ("complex", "complex"),
        ("empty", "constant"),
        ("constant", "constant"),
        ("nothing", "finite"),
    ],
)
def test_bad_volumes_get_one_line_and_leave_nothing(
    program, tmp_path, checkpoint_file, kind, words
) -> None:
    path = broken(tmp_path)[kind]
    before = files(tmp_path)
    out = tmp_path / "out.nii.gz"
    result = program("translate", path, "--to", "T2", "-o", out, "--weights", checkpoint_file)
    assert result.code == 1
    assert path.name in result.err
    assert words in result.err
    assert result.err.count("\n") == 1, "one line"
    assert result.out == ""
    assert files(tmp_path) == before


def test_some_voxels_that_are_not_finite_are_replaced_counted_and_warned_of(
    program, tmp_path, checkpoint_file
) -> None:
    array = head()
    array[3, 3, 3], array[4, 4, 4] = np.nan, -np.inf
    path = save(tmp_path / "some.nii", array)
    result = program("translate", path, "--to", "T2", "--weights", checkpoint_file)
    assert result.code == 0
    assert "2 voxels were NaN or infinite" in result.err
    assert np.isfinite(nib.load(tmp_path / "some_T2.nii").get_fdata()).all()


def test_an_unknown_domain_lists_the_known(program, t1, checkpoint_file) -> None:
    for option in (("--to", "T9"), ("--to", "T2", "--from", "T9")):
        result = program("translate", t1, *option, "--weights", checkpoint_file)
        assert result.code == 1
        assert all(name in result.err for name in ("T9", "T1", "T2", "PD"))


def test_a_checkpoint_that_cant_be_used_is_named(program, t1, tmp_path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"12345678901234567890")
    for weights in (bad, tmp_path / "absent.safetensors", "nosuch"):
        result = program("translate", t1, "--to", "T2", "--weights", weights)
        assert result.code == 1
        assert Path(weights).name in result.err
        assert result.err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_is_named(program, t1, checkpoint_file, tmp_path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    result = program(
        "translate", t1, "--to", "T2", "-o", closed / "o.nii", "--weights", checkpoint_file
    )
    assert result.code == 1
    assert "read-only" in result.err


def test_an_output_folder_that_is_not_there_is_named(
    program, t1, checkpoint_file, tmp_path
) -> None:
    out = tmp_path / "no" / "o.nii"
    result = program("translate", t1, "--to", "T2", "-o", out, "--weights", checkpoint_file)
    assert result.code == 1
    assert "no folder" in result.err


def test_a_full_disk_leaves_no_half_file(program, t1, checkpoint_file, monkeypatch) -> None:
    import errno

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # where many file systems find out
    before = files(t1.parent)
    result = program("translate", t1, "--to", "T2", "--weights", checkpoint_file)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert files(t1.parent) == before


def test_a_newer_checkpoint_says_update(program, t1, checkpoint_file) -> None:
    from test_checkpoints import rewrite

    rewrite(checkpoint_file, lambda record, tensors: record.update(format=99))
    result = program("translate", t1, "--to", "T2", "--weights", checkpoint_file)
    assert result.code == 1
    assert "update" in result.err


def test_the_whole_road(program, raw, encoder_folder, tmp_path) -> None:
    dataset, out = tmp_path / "dataset", tmp_path / "run"
    prepared = program("prepare", raw, "--out", dataset, "--split", 0.6, 0.2, 0.2)
    assert prepared.code == 0, prepared.err
    assert re.search(r"T1: slices \d+ of train, \d+ of val, \d+ of test", prepared.out)
    settings = tmp_path / "tiny.toml"
    settings.write_text(
        "steps = 9\nbatch = 1\npreview_every = 9\nsave_every = 2\n"
        "[generator]\nwidth = 8\nmultipliers = [1, 2]\nresidual_blocks = 1\n"
        "attention_reductions = [2]\nhead_width = 8\nembedding = 8\nnorm_groups = 4\n"
        "[heads]\nblocks = [0, 4]\nkernel = 3\nprojection = 8\n"
    )
    arguments = ("train", dataset, "--out", out, "--config", settings, "--encoder", encoder_folder)
    trained = program(*arguments, "--steps", 2, "--seed", 3, "--device", "cpu")
    assert trained.code == 0, trained.err
    assert "step 0 of 2" in trained.err
    assert "encoder" in trained.err.splitlines()[0]
    again = program(*arguments, "--steps", 2, "--seed", 3, "--device", "cpu")
    assert "step 2 of 2" in again.err
    volume = raw / "sub-0_T1.nii.gz"
    translated = program(
        *("translate", volume, "--to", "T2", "-o", tmp_path / "sub-0_T2.nii.gz"),
        *("--weights", out / "checkpoint.safetensors"),
    )
    assert translated.code == 0, translated.err
    evaluated = program(
        "evaluate", "--pred", tmp_path / "sub-0_T2.nii.gz", "--gt", raw / "sub-0_T2.nii.gz"
    )
    assert evaluated.code == 0, evaluated.err
    assert "sub-0_T2" in evaluated.out


def test_training_says_what_it_is_what_it_takes_and_how_it_does(
    program, raw, encoder_folder, tmp_path
) -> None:
    assert program("prepare", raw, "--out", tmp_path / "dataset", "--split", 3, 1, 1).code == 0
    sizes = (
        "generator={width=8, multipliers=[1,2], residual_blocks=1, attention_reductions=[2], "
        "head_width=8, embedding=8, norm_groups=4}"
    )
    result = program(
        *("train", tmp_path / "dataset", "--out", tmp_path / "run", "--encoder", encoder_folder),
        *("--set", sizes, "--set", "heads.blocks=[1,4]", "--set", "heads.kernel=3"),
        *("--set", "weights.cls=0", "--set", "ema_decay=0.9", "--set", "caption_context=tokens"),
        *("--set", "save_every=1", "--steps", 2, "--caption", "T2=a T2 picture"),
    )
    assert result.code == 0, result.err
    said = result.err.splitlines()
    assert str(encoder_folder) in said[0]
    assert re.search(r"\([0-9a-f]{12}\), parameters: generator [\d,]+, discriminator", said[0])
    assert re.search(r"a step takes [\d.]+ s and [\d.]+ GiB .*; 2 steps take about 0:00:", said[1])
    assert said[2].startswith("step 1: ")
    assert re.search(r"step 2: validation PSNR [\d.]+ dB, SSIM .* %", said[-1])
    trained = load_checkpoint(tmp_path / "run")
    assert trained.config.weights.cls == 0
    assert trained.config.ema_decay == 0.9
    assert trained.tokens.shape == (3, 16, 16)
    assert trained.domains[1].caption == "a T2 picture"
    assert trained.provenance["encoder"] == str(encoder_folder)
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_a_free_caption_on_the_command_line(program, raw, encoder_folder, tmp_path, t1) -> None:
    from conftest import tiny_config

    from i2igalip_cli.engine.prepare import prepare
    from i2igalip_cli.engine.trainer import Trainer

    prepare(raw, tmp_path / "dataset")
    config = tiny_config(encoder_folder, steps=1)
    Trainer(tmp_path / "dataset", tmp_path / "run", config, "cpu").run()
    arguments = ("translate", t1, "--to", "T2", "--weights", tmp_path / "run", "--json")
    before = program(*arguments, "-o", tmp_path / "before.nii")
    said = program(*arguments, "-o", tmp_path / "said.nii", "--caption", "This MRI is PD-weighted")
    after = program(*arguments, "-o", tmp_path / "after.nii")
    assert json.loads(said.out)["caption"] == "This MRI is PD-weighted"
    assert "lies nearer to PD" in said.err
    hashes = {json.loads(r.out)["weights_sha256"] for r in (before, said, after)}
    assert len(hashes) == 1, "a caption makes no other model"
    assert (tmp_path / "before.nii").read_bytes() == (tmp_path / "after.nii").read_bytes()
    assert b"to T2 by the caption 'This MRI is PD-weighted'" in (tmp_path / "said.nii").read_bytes()


def test_the_papers_encoder_is_never_replaced(program, dataset, tmp_path) -> None:
    result = program("train", dataset, "--out", tmp_path / "run")
    assert result.code == 1
    assert re.search(r"biomedclip \(784 MB, MIT\) isn't on this machine", result.err)
    assert "i2igalip download-weights biomedclip" in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_prepare_takes_patterns_and_json(program, raw, tmp_path) -> None:
    out = tmp_path / "d"
    result = program("prepare", raw, "--out", out, "--domain", "T1=*t1*", "--json")
    assert set(json.loads(result.out)["slices"]) == {"T1"}
    assert program("prepare", raw, "--out", tmp_path / "e", "--domain", "T1").code == 1


def test_download_weights_lists_and_checks_what_ships(program) -> None:
    listed = program("download-weights", "--list")
    assert listed.code == 0
    entries = json.loads(program("download-weights", "--list", "--json").out)
    for entry in entries:
        assert entry["name"] in listed.out
    for name in [entry["name"] for entry in entries if entry["where"] == "ships"]:
        checked = program("download-weights", name)
        assert checked.code == 0
        assert "SHA-256 right" in checked.out
    assert program("download-weights", "nosuch").code == 1
    assert program("download-weights").code == 2


def test_a_wrong_command_line_is_exit_code_two(program) -> None:
    assert program("translate").code == 2
    assert program("fly").code == 2


def test_an_interrupt_is_quiet(program, monkeypatch, t1) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("i2igalip_cli.engine.single.load_checkpoint", interrupt)
    result = program("translate", t1, "--to", "T2")
    assert result.code == 130
    assert "Traceback" not in result.err


def test_version_and_help() -> None:
    import i2igalip_cli

    runner = CliRunner()
    assert runner.invoke(cli.app, ["--version"]).output.strip() == i2igalip_cli.__version__
    text = runner.invoke(cli.app, ["--help"]).output
    for command in ("prepare", "train", "translate", "evaluate", "download-weights"):
        assert command in text
        assert runner.invoke(cli.app, [command, "--help"]).exit_code == 0


def test_help_loads_nothing_heavy() -> None:
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "i2igalip_cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in out.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"torch", "open_clip", "SimpleITK", "numpy", "nibabel"}


def test_the_default_weights_translate_without_an_encoder(program, tmp_path) -> None:
    """The shipped checkpoint knows its captions: nothing of open_clip's text side is needed."""
    path = write_head(tmp_path / "x.nii.gz", shape=(40, 48, 5))
    result = program("translate", path, "--to", "T2", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["weights"] == "checkpoint.safetensors"


def test_two_checkpoints_give_two_results(program, t1, tmp_path) -> None:
    outs = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed).standard_normal((3, 16)).astype(np.float32)
        weights = tmp_path / f"{seed}.safetensors"
        save_checkpoint(make_checkpoint(captions=rng), weights)
        out = tmp_path / f"{seed}.nii"
        assert program("translate", t1, "--to", "T2", "-o", out, "--weights", weights).code == 0
        outs.append(nib.load(out).get_fdata())
    assert not np.array_equal(*outs)


def test_a_full_stdout_is_one_line(t1, checkpoint_file) -> None:
    command = [sys.executable, "-m", "i2igalip_cli", "translate", str(t1), "--to", "T2", "--json"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*command, "--weights", str(checkpoint_file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert "No space left on device; outputs that it made are whole" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (t1.parent / "in_T2.nii.gz").is_file()


def test_a_fault_of_our_own_is_one_line_and_its_traceback_on_request(
    program, t1, checkpoint_file, monkeypatch
) -> None:
    def fail(path):
        raise ZeroDivisionError("never\nseen")

    monkeypatch.setattr("i2igalip_cli.engine.single.list_volumes", fail)
    command = ("translate", t1, "--to", "T2", "--weights", checkpoint_file)
    result = program(*command)
    assert result.code == 1
    assert "a fault of i2igalip itself (ZeroDivisionError: never); please report" in result.err
    assert result.err.count("\n") == 1
    monkeypatch.setenv("I2IGALIP_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        program(*command)


def test_a_mistyped_name_is_no_folder(program, t1, checkpoint_file) -> None:
    out = t1.parent / "out.nii.g"
    result = program("translate", t1, "--to", "T2", "-o", out, "--weights", checkpoint_file)
    assert result.code == 2
    assert not out.exists()


def test_the_shipped_checkpoint_tells_what_it_cannot_do(program, t1) -> None:
    result = program("translate", t1, "--to", "T2", "--json")
    assert "whole heads come out wrong" in result.err
    assert any("whole heads" in warning for warning in json.loads(result.out)["warnings"])
