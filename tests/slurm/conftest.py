"""Submits jobs to the Slurm that run.sh starts; without it these tests are skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slurm.jobs import Job, slurm


@pytest.fixture(autouse=True)
def cluster() -> None:
    if "I2IGALIP_TEST_SLURM" not in os.environ:
        pytest.skip("needs the Slurm that tests/slurm/run.sh starts")


@pytest.fixture
def submit(tmp_path: Path, monkeypatch):
    """Submit by `sbatch ARGUMENTS` in the test's own folder; jobs left over are cancelled."""
    monkeypatch.setenv("I2IGALIP_ENV", sys.prefix)
    monkeypatch.chdir(tmp_path)
    numbers = []

    def submit(*arguments: str | Path) -> Job:
        log = tmp_path / f"job{len(numbers)}"
        options = ("--parsable", "--mem=1G", f"--output={log}.%a")
        number = slurm("sbatch", *options, *map(str, arguments))
        numbers.append(number)
        return Job(number, log.with_suffix(".4294967294"))  # %a outside of an array

    yield submit
    if numbers:
        subprocess.run(["scancel", *numbers], check=True)
