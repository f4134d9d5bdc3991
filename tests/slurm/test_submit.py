"""`translate --submit slurm`: the array and the merge that a user never sees begin or end."""

import json
import subprocess
from pathlib import Path

import pytest

from slurm.jobs import Job, slurm, task, wait_until
from slurm.test_translate_sbatch import TASKS, read_table, write_volumes, written


@pytest.fixture
def submit(tmp_path, checkpoint_file, monkeypatch):
    """Submit `in` to `my out`; the array and the merge. Jobs left over are cancelled."""
    monkeypatch.chdir(tmp_path)
    numbers = []

    def submit(*options: str) -> tuple[Job, Job]:
        command = ["i2igalip", "translate", "in", "-o", "my out", "--to", "T2", "--json"]
        command += ["--weights", checkpoint_file.name, "--submit", "slurm", "--threads", "1"]
        done = json.loads(slurm(*command, "--slurm", "mem=1G", *options))
        numbers.extend([done["array_job"], done["merge_job"]])
        logs = Path(done["logs"])
        array, merge = numbers[-2:]
        return Job(array, logs / array), Job(merge, logs / f"{merge}_0_log.out")

    yield submit
    if numbers:
        subprocess.run(["scancel", *numbers], check=True)


def task_of(array: Job, index: int) -> Job:
    return Job(task(array, index).number, Path(f"{array.log}_{index}_0_log.out"))


def test_an_array_with_two_tasks_queued_again_ends_in_one_table(submit, tmp_path) -> None:
    """One from outside, one that was warned of its end."""
    out = tmp_path / "my out"
    volumes = write_volumes(tmp_path / "in", 10 * TASKS, slow=(0, 3))
    array, merge = submit("--jobs", str(TASKS), "--slurm", "time=30")
    tasks = [task_of(array, index) for index in range(TASKS)]
    for index, command in ((0, ("scontrol", "requeue")), (3, ("scancel", "--signal=USR2"))):
        wait_until(lambda i=index: written(out, i, TASKS) != [], f"work of {index}")
        slurm(*command, tasks[index].number)
        assert len(written(out, index, TASKS)) < 10
    assert [one.wait() for one in tasks] == ["COMPLETED"] * TASKS, [one.said() for one in tasks]
    assert [one.restarts for one in tasks] == [1, 0, 0, 1]
    assert merge.wait() == "COMPLETED", merge.said()
    assert "40 done, 0 failed" in merge.said()
    assert not any("Traceback" in one.said() for one in (*tasks, merge))

    rows = read_table(out)
    assert sorted(Path(row["input"]).name for row in rows) == [path.name for path in volumes]
    assert {row["status"] for row in rows} == {"done"}
    assert [out / row["output"] for row in rows] == written(out)


def test_a_failed_volume_neither_crashes_its_task_nor_keeps_the_merge_waiting(
    submit, tmp_path
) -> None:
    damaged = write_volumes(tmp_path / "in", 4)[1]
    damaged.write_bytes(damaged.read_bytes()[:500])
    array, merge = submit("--jobs", "2")
    assert task_of(array, 0).wait() == "COMPLETED", task_of(array, 0).said()
    failed = task_of(array, 1)
    assert (failed.wait(), failed.field("ExitCode"), failed.restarts) == ("FAILED", "3:0", 0)
    assert (merge.wait(), merge.field("ExitCode")) == ("FAILED", "3:0")
    assert "Traceback" not in failed.said() + merge.said()
    assert [row["status"] for row in read_table(tmp_path / "my out")].count("done") == 3


def test_a_task_that_gives_way_to_another_job_goes_on_after_it(submit, tmp_path) -> None:
    volumes = write_volumes(tmp_path / "in", 12, slow=(0, 1, 2, 3))
    array, merge = submit("--jobs", "1")
    one = Job(array.number, Path(f"{array.log}_0_log.out"))
    wait_until(lambda: written(tmp_path / "my out") != [], f"a first volume: {one.said()}")
    urgent = ("--partition=urgent", "--exclusive", "--mem=1G", "--output=/dev/null")
    slurm("sbatch", *urgent, "--wrap=sleep 1")
    assert one.wait() == "COMPLETED", one.said()
    assert one.restarts == 1
    assert merge.wait() == "COMPLETED", merge.said()
    rows = read_table(tmp_path / "my out")
    assert len(rows) == len(written(tmp_path / "my out")) == len(volumes)
    assert "1" in {row["attempt"] for row in rows}  # the finished ones stayed


def test_slurms_refusal_is_one_line(tmp_path, checkpoint_file, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_volumes(tmp_path / "in", 2)
    command = ["i2igalip", "translate", "in", "-o", "out", "--to", "T2", "--jobs", "2"]
    command += ["--weights", checkpoint_file.name, "--submit", "slurm", "--slurm", "partition=no"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "invalid partition" in line
    assert slurm("squeue", "--noheader") == ""
