"""The benchmarks run, and ours agrees with the literal step."""

import json
import subprocess
import sys
from pathlib import Path

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
