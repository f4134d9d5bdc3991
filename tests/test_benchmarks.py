"""The benchmarks run, and ours agrees with the literal step and the literal loop."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


def test_our_training_step_is_the_literal_one() -> None:
    command = [sys.executable, BENCHMARKS / "train_step.py", "--tiny", "--repeats", "1", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["multiply_gflops"] > 0
    for name in ("ours", "ours, recompute"):
        row = report["rows"][name]
        assert row["loss_difference"] <= 1e-5
        assert row["gradient_difference"] <= 1e-4
        assert row["seconds"] > 0
        assert row["peak_bytes"] > 0
    literal = report["rows"]["literal"]["losses"]
    terms = {"adversarial", "cycle", "identity", "clip", "cls", "discriminator"}
    assert set(literal) == terms
    assert all(abs(value) > 1e-3 for value in literal.values()), "a loss of 0 compares nothing"


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import machine

    return machine


def test_a_commands_peak_is_its_own_and_not_that_of_who_starts_it(machine) -> None:
    held = np.ones(400_000_000, np.uint8)  # ours
    cost = machine.run_watched([sys.executable, "-c", "a = b'x' * 150_000_000"])
    assert held.all()
    assert 150e6 < cost.peak_bytes < 200e6
    assert cost.processor_seconds > 0


def test_a_failed_command_is_told_with_what_it_said(machine) -> None:
    with pytest.raises(machine.CommandError, match="no good"):
        machine.run_watched([sys.executable, "-c", "import sys; sys.exit('no good')"])
    with pytest.raises(machine.CommandError, match=f"signal {int(signal.SIGFPE)}"):
        machine.run_watched([sys.executable, "-c", "import os; os.kill(os.getpid(), 8)"])


def test_the_work_of_the_generator_is_that_of_its_layers(machine) -> None:
    """2 FLOP a multiply-add of convolutions, linear layers and attention's two products."""
    import torch
    from conftest import TINY_GENERATOR

    from i2igalip_cli.networks.layers import Attention
    from i2igalip_cli.networks.unet import Generator

    found = 0

    def add(layer, given, out) -> None:
        nonlocal found
        if isinstance(layer, torch.nn.Conv2d):
            found += 2 * out.numel() * layer.weight[0].numel()
        elif isinstance(layer, torch.nn.Linear):
            found += 2 * out.numel() * layer.in_features
        else:
            queries, keys = given if len(given) == 2 else (given[0], given[0])
            found += (
                4 * queries.numel() // queries.shape[-1] * keys.shape[1] * layer.to_q.out_features
            )

    generator = Generator(TINY_GENERATOR)
    for layer in generator.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear | Attention):
            layer.register_forward_hook(add)
    tokens, domain = torch.zeros(1, 1, TINY_GENERATOR.context), torch.zeros(1, dtype=torch.int64)
    with torch.inference_mode():
        generator(torch.zeros(1, 1, 24, 40), tokens, domain)
    assert machine.count_flop(TINY_GENERATOR, 24, 40) == found


def measure_translation(folder: Path, *parts: str) -> dict:
    out, environment = folder / "report.json", {**os.environ, "HF_HOME": str(folder / "cache")}
    command = [sys.executable, BENCHMARKS / "translate.py", "--size", "small", "--repeats", "1"]
    subprocess.run(
        [*command, "--json", out, "--part", *parts],
        check=True,
        capture_output=True,
        env=environment,
    )
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def translation(tmp_path_factory) -> dict:
    return measure_translation(tmp_path_factory.mktemp("translation"), "speed", "linear")


@pytest.mark.slow
def test_ours_is_the_literal_loop(translation) -> None:
    found = translation["speed"]
    assert found["literal_difference"] <= 1e-4
    assert found["literal"]["timed_slices"] == found["shape"][2]


@pytest.mark.slow
def test_figures_of_translation_fit_together(translation) -> None:
    found = translation["speed"]
    steps = {row["step"]: row for row in found["steps"]}
    assert list(steps)[:3] == ["literal loop", "caption once", "empty slices skipped"]
    once, skipped = steps["caption once"], steps["empty slices skipped"]
    assert once["slice_seconds"] == skipped["slice_seconds"]
    assert once["slices"] == found["shape"][2]
    assert skipped["slices"] == found["filled_slices"] < once["slices"]
    for row in found["timings"]:
        flop = found["flop"][row["field"]]
        assert row["share"] == pytest.approx(flop / row["slice_seconds"] / row["rate"])
        assert (row["loss_db"] is None) == (row["precision"] == "float32")
    default = found["program"][0]
    assert default["times_faster"] == pytest.approx(
        found["literal"]["seconds"] / default["seconds"]
    )
    assert default["bound_seconds"] < default["seconds"]


@pytest.mark.slow
def test_time_a_slice_is_told_for_each_length(translation) -> None:
    found = translation["linear"]
    times = found["slice_seconds"].values()
    assert len(times) == len(translation["sizes"]["linear_slices"])
    assert found["spread"] == pytest.approx(max(times) / min(times) - 1)


@pytest.mark.slow
def test_the_command_is_taken_apart(tmp_path) -> None:
    report = measure_translation(tmp_path, "start", "memory")
    demo, memory = report["start"]["demo"], report["memory"]
    parts = demo["reading"] + demo["computing"] + demo["writing"] + demo["rest"]
    assert parts == pytest.approx(demo["seconds"])
    assert not demo["torch_loaded"]
    assert report["start"]["few_slices"]["onnxruntime"]["seconds"] > 0
    short, long = memory["ct"]
    assert long["float32_bytes"] == 4 * memory["side"] ** 2 * long["slices"]
    assert min(short["peak_bytes"], memory["demo_peak_bytes"]) > 30e6
    assert math.isfinite(memory["copies"])


def test_evaluation_is_held_against_reading(tmp_path) -> None:
    out = tmp_path / "report.json"
    command = [sys.executable, BENCHMARKS / "evaluate.py", "--pairs", "3", "--side", "24"]
    done = subprocess.run(
        [*command, "--jobs", "1", "--repeats", "1", "--json", out],
        check=True,
        capture_output=True,
        text=True,
    )
    report = json.loads(out.read_text())
    assert report["ratio"] == pytest.approx(report["seconds"] / report["reading_seconds"])
    assert list(report["stages"]) == ["read both", *report["protocols"]]
    assert min(report["stages"].values()) > 0
    assert "times that" in done.stdout
