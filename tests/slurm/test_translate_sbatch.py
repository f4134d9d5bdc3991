"""translate.sbatch: nothing is lost or done twice, whatever happens to the tasks of an array."""

import csv
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from conftest import write_head

from i2igalip_cli import translate
from slurm.jobs import SCRIPTS, Job, slurm, task, wait_until

TASKS = 4
SCRIPT = SCRIPTS / "translate.sbatch"
MERGE = "--wrap=i2igalip merge out"


def write_volumes(folder: Path, count: int, slow: tuple[int, ...] = ()) -> list[Path]:
    """Small volumes; those of the slow tasks take longer."""
    volumes = []
    for number in range(count):
        shape = (48, 56, 60) if number % TASKS in slow else (24, 24, 6)
        volumes.append(write_head(folder / f"{number:02d}.nii.gz", seed=number, shape=shape))
    return volumes


def read_table(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def written(out: Path, index: int = 0, step: int = 1) -> list[Path]:
    """The outputs that are there, of one task if its index and the number of tasks are given."""
    return sorted(path for path in out.glob("*.nii.gz") if int(path.name[:2]) % step == index)


def interrupt(array: Job, index: int, out: Path, *command: str) -> None:
    """Do something to a task that has done some of its volumes."""
    wait_until(lambda: written(out, index, TASKS) != [], f"work of {index}: {array.said()}")
    slurm(*command)
    assert len(written(out, index, TASKS)) < 10


def test_forty_volumes_with_two_tasks_queued_again(submit, checkpoint_file, tmp_path) -> None:
    """One from outside, one by itself; this is the array's last, whose number is the array's."""
    out = tmp_path / "out"
    volumes = write_volumes(tmp_path / "in", 10 * TASKS, slow=(0, 3))
    options = ("in", "out", "T2", "--weights", checkpoint_file)
    array = submit(f"--array=0-{TASKS - 1}", "--cpus-per-task=1", SCRIPT, *options)
    merge = submit(f"--dependency=afterany:{array.number}", MERGE)
    tasks = [task(array, index) for index in range(TASKS)]
    interrupt(array, 0, out, "scontrol", "requeue", tasks[0].number)
    interrupt(array, 3, out, "scancel", "--batch", "--signal=USR1", tasks[3].number)
    assert [one.wait() for one in tasks] == ["COMPLETED"] * TASKS, [one.said() for one in tasks]
    assert [one.restarts for one in tasks] == [1, 0, 0, 1]
    assert merge.wait() == "COMPLETED", merge.said()

    rows = read_table(out)
    assert sorted(Path(row["input"]).name for row in rows) == [path.name for path in volumes]
    assert {row["status"] for row in rows} == {"done"}
    assert [out / row["output"] for row in rows] == written(out)
    for index in range(TASKS):
        attempts = [int(row["attempt"]) for row in rows if int(row["output"][:2]) % TASKS == index]
        assert attempts.count(1) >= (1 if index in (0, 3) else 10)  # the finished ones stayed
    for source, result in zip(volumes[:TASKS], written(out)[:TASKS], strict=True):
        expected = translate(source, to="T2", weights=checkpoint_file)
        made = nib.load(result)
        np.testing.assert_array_equal(made.affine, nib.load(source).affine)
        np.testing.assert_allclose(made.get_fdata(), expected.array, rtol=1e-5, atol=1e-3)


def test_a_damaged_volume_fails_its_task_but_not_the_cohort(
    submit, checkpoint_file, tmp_path
) -> None:
    damaged = write_volumes(tmp_path / "in", 4)[1]
    damaged.write_bytes(damaged.read_bytes()[:500])
    options = ("in", "out", "T2", "--weights", checkpoint_file)
    array = submit("--array=5-6", "--cpus-per-task=1", SCRIPT, *options)
    merge = submit(f"--dependency=afterany:{array.number}", MERGE)
    assert task(array, 5).wait() == "COMPLETED"
    failed = task(array, 6)
    assert (failed.wait(), failed.field("ExitCode"), failed.restarts) == ("FAILED", "3:0", 0)
    assert "some of its volumes failed" in failed.said()
    assert "Traceback" not in failed.said()
    assert (merge.wait(), merge.field("ExitCode")) == ("FAILED", "3:0")
    rows = read_table(tmp_path / "out")
    assert [row["status"] for row in rows] == ["done", "failed", "done", "done"]
    assert "01.nii.gz" in rows[1]["error"]
    assert [path.name[:2] for path in written(tmp_path / "out")] == ["00", "02", "03"]


def test_without_a_shard_the_variables_of_an_array_change_nothing(
    submit, checkpoint_file, tmp_path
) -> None:
    write_volumes(tmp_path / "in", 3)
    command = f"i2igalip translate in -o out --to T2 --weights {checkpoint_file}"
    array = submit("--array=1-2%1", f"--wrap={command} --resume")
    for index in (1, 2):  # one after the other: the first does it all
        assert task(array, index).wait() == "COMPLETED", task(array, index).said()
        assert len(read_table(tmp_path / "out")) == 3
        assert len(written(tmp_path / "out")) == 3


def test_a_job_without_an_array_translates_all(submit, checkpoint_file, tmp_path) -> None:
    write_volumes(tmp_path / "in", 3)
    job = submit("--cpus-per-task=1", SCRIPT, "in", "out", "T2", "--weights", checkpoint_file)
    assert job.wait() == "COMPLETED", job.said()
    assert len(read_table(tmp_path / "out")) == len(written(tmp_path / "out")) == 3


def test_a_cancelled_task_stays_cancelled(submit, checkpoint_file, tmp_path) -> None:
    write_volumes(tmp_path / "in", 20, slow=(0, 1, 2, 3))
    options = ("in", "out", "T2", "--weights", checkpoint_file)
    array = submit("--array=0-0", "--cpus-per-task=1", SCRIPT, *options)
    wait_until(lambda: written(tmp_path / "out") != [], f"a first volume: {array.said()}")
    slurm("scancel", array.number)
    wait_until(lambda: slurm("squeue", "--noheader") == "", "an empty queue")
    time.sleep(1)
    assert (task(array, 0).state, task(array, 0).restarts) == ("CANCELLED", 0)
    assert len(written(tmp_path / "out")) < 20


def test_a_task_is_queued_again_only_so_often(
    submit, checkpoint_file, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("I2IGALIP_RESTARTS", "0")
    write_volumes(tmp_path / "in", 20, slow=(0, 1, 2, 3))
    options = ("in", "out", "T2", "--weights", checkpoint_file)
    job = submit("--cpus-per-task=1", SCRIPT, *options)
    wait_until(lambda: written(tmp_path / "out") != [], f"a first volume: {job.said()}")
    slurm("scancel", "--batch", "--signal=USR1", job.number)
    assert (job.wait(), job.field("ExitCode"), job.restarts) == ("FAILED", "143:0", 0)
    assert "Not queued again: that was done 0 times" in job.said()


def test_a_wrong_command_line_says_what_is_right(submit) -> None:
    job = submit("--cpus-per-task=1", SCRIPT, "in", "out")
    assert (job.wait(), job.field("ExitCode")) == ("FAILED", "2:0")
    assert job.said().startswith("Usage: sbatch")
