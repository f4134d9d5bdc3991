"""train.sbatch: stopped by the end of its time or by a job that matters more, it goes on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from slurm.jobs import SCRIPTS, Job, slurm, wait_until

FILE_NAME = "checkpoint.safetensors"
STEPS = 40
SETTINGS = f"""
encoder = "demo"
steps = {STEPS}
batch = 2
save_every = 1000
preview_every = 1000

[generator]
context = 16
width = 8
multipliers = [1, 2]
residual_blocks = 1
attention_reductions = [2]
head_width = 8
embedding = 8
norm_groups = 4

[heads]
blocks = [1, 4]
kernel = 3
projection = 8
"""


@pytest.fixture
def train(submit, dataset, tmp_path, monkeypatch):
    """Start a run of 40 steps in the folder "run" with some processes; wait for its step 10."""
    (tmp_path / "run.toml").write_text(SETTINGS)

    def train(processes: int) -> Job:
        monkeypatch.setenv("I2IGALIP_PROCESSES", str(processes))
        options = ("--config", "run.toml", "--device", "cpu")
        job = submit(
            f"--cpus-per-task={processes}", SCRIPTS / "train.sbatch", dataset, "run", *options
        )
        wait_until(lambda: logged(tmp_path / "run") != [], f"step 10: {job.said()}")
        return job

    return train


def logged(run: Path) -> list[int]:
    """The steps in the log of a run."""
    log = run / "log.jsonl"
    return [json.loads(row)["step"] for row in log.read_text().splitlines()] if log.exists() else []


def assert_went_on(job: Job, run: Path) -> None:
    """It was stopped once after step 10, went on from there, and came to its end."""
    assert job.wait() == "COMPLETED", job.said()
    assert job.restarts == 1
    said = job.said()
    assert "Traceback" not in said
    stopped = int(said.partition("stopped and saved after step ")[2].split()[0])
    assert 10 <= stopped < STEPS
    assert f"step {stopped} of {STEPS}" in said.partition("the same command goes on")[2]
    assert logged(run) == sorted({10, 20, 30, 40, stopped})


def test_it_goes_on_to_the_same_weights_when_its_time_is_up(
    train, dataset, tmp_path, monkeypatch
) -> None:
    job = train(processes=1)
    slurm("scancel", "--batch", "--signal=USR1", job.number)  # as Slurm does before the limit
    assert_went_on(job, tmp_path / "run")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in the job: sums in another order differ
    command = [sys.executable, "-m", "i2igalip_cli", "train", str(dataset), "--out", "unbroken"]
    options = ["--config", "run.toml", "--device", "cpu"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    made, expected = (
        load_file(tmp_path / run / "checkpoint.safetensors") for run in ("run", "unbroken")
    )
    assert made.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(made[name], tensor, err_msg=name)


def test_two_processes_give_way_to_a_job_that_matters_more(train, submit, tmp_path) -> None:
    job = train(processes=2)
    urgent = submit("--partition=urgent", "--cpus-per-task=2", "--wrap=true")
    assert urgent.wait() == "COMPLETED"
    assert_went_on(job, tmp_path / "run")


def test_a_cancelled_run_saves_and_stays_cancelled(train, tmp_path) -> None:
    job = train(processes=1)
    slurm("scancel", job.number)
    assert job.wait() == "CANCELLED"
    wait_until(lambda: "the same command goes on" in job.said(), "the order to stop")
    wait_until(lambda: slurm("squeue", "--noheader") == "", "an empty queue")
    assert job.state == "CANCELLED"
    assert job.restarts == 0
    assert (tmp_path / "run" / "state.pt").exists()


def test_a_run_that_fails_is_not_queued_again(submit, tmp_path) -> None:
    job = submit("--cpus-per-task=1", SCRIPTS / "train.sbatch", "nowhere", "run")
    assert job.wait() == "FAILED"
    assert job.field("ExitCode") == "1:0"
    assert job.restarts == 0
    assert "Error: nowhere: not a prepared dataset" in job.said()
    assert "Traceback" not in job.said()
