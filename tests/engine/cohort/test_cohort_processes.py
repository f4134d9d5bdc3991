"""Cohorts in processes of their own: crashes, signals, and two runs at once."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import stand_in
from world import World, outputs, start, wait_for, write_volume

from i2igalip_cli.engine.cohort import supervisor
from i2igalip_cli.errors import GalipError, StoppedError
from i2igalip_cli.volumes import load_volume


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_crash_costs_one_volume(world) -> None:
    for number in range(7):
        world.volume(f"{number}.nii", number)
    world.fragile("3x", "segv")
    world.fragile("4x", "exit")
    world.fragile("5x", "once segv")
    report = world.run()
    assert report.count("done") == 8
    rows = world.rows()
    for name, how in (("3x", "SIGSEGV"), ("4x", "exit code 9")):
        expected = f"{name}.fragile: the process died ({how}), 2 times with this volume alone"
        assert expected in rows[f"{name}_T2.fragile"].error
        assert rows[f"{name}_T2.fragile"].status == "failed"
    assert rows["5x_T2.fragile"].attempt > 1
    written = [key for key, *_ in world.lines("row")]
    assert len(written) == len(set(written)) >= 7, "what was done isn't done again"
    assert all(name.startswith("log-") for name in world.leftovers())


def test_a_lost_device_is_left_with_its_process(world) -> None:
    """After such an error every call on the device fails: the others need a new process."""
    for number in range(5):
        world.volume(f"{number}.nii", number)
    world.volume("2x.nii", shape=stand_in.POISON)
    report = world.run()
    assert report.count("done") == 5
    (failure,) = report.failures
    assert "2x.nii: the process died (CUDA error: an illegal memory access)" in failure
    assert world.leftovers() == []


def test_a_worker_that_never_starts_is_a_fault_of_the_run(world, monkeypatch) -> None:
    world.volume("a.nii")
    monkeypatch.setattr(
        stand_in, "command", lambda journal: (sys.executable, "-c", "raise OSError")
    )
    with pytest.raises(GalipError, match=r"ended before its work \(exit code 1\); see .*log-"):
        world.run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order(world, number) -> None:
    for seed in range(6):
        world.volume(f"{seed}.nii", seed)
    world.journal.with_suffix(".pace").write_text("0.2")
    with start(world) as process:
        wait_for(lambda: len(world.lines("row")) > 1)
        os.killpg(process.pid, number)  # as a terminal and Slurm do: to all processes
        message = process.stderr.read().decode()
        assert process.wait() == 128 + number
    assert f"stopped by {number.name}: " in message
    assert message.count("\n") == 1
    assert "--resume" in message
    rows = world.rows()
    assert 2 <= len(rows) < 6
    assert set(outputs(world.out)) == set(rows)
    assert world.leftovers() == []
    assert (world.out / "summary.csv").read_text().count("\n") == 1 + len(rows)


def test_a_worker_dies_with_its_supervisor_and_the_rest_is_taken_over(world) -> None:
    for seed in range(5):
        world.volume(f"{seed}.nii", seed)
    pace = world.journal.with_suffix(".pace")
    pace.write_text("0.3")
    with start(world) as process:
        wait_for(lambda: world.lines("row"))
        process.kill()  # the supervisor alone
    pace.write_text("0")
    count = len(world.lines("row"))
    time.sleep(0.5)
    assert len(world.lines("row")) <= count + 1, "an orphan went on"
    began = time.monotonic()
    assert world.run(resume=True).count("done") == 5
    # A claim that the worker was just writing lasts a beat of 10 s, every other none at all.
    assert time.monotonic() - began < 30, "a dead process's claims need no lease to pass"
    assert [name for name in world.leftovers() if not name.startswith("runs/")] == []
    assert len({key for key, *_ in world.lines("row")}) == len(world.lines("row")) >= 4


def test_two_runs_share_one_folder_and_do_nothing_twice(world) -> None:
    for seed in range(12):
        world.volume(f"{seed}.nii", seed)
    world.journal.with_suffix(".pace").write_text("0.1")
    with start(world, resume=True) as first, start(world, resume=True) as second:
        assert (first.wait(), second.wait()) == (0, 0)
    keys = [key for key, *_ in world.lines("translate")]
    assert len(keys) == len(set(keys)) == 12
    assert len({parent for _, parent, _ in world.lines("row")}) == 2, "both worked"
    assert len(outputs(world.out)) == 12


def test_the_real_worker_is_found_from_any_folder(world, monkeypatch, tmp_path) -> None:
    """With the true backend; a module in the working folder must not shadow ours."""
    path = write_volume(tmp_path / "in" / "a.nii", shape=(12, 12, 2))
    (tmp_path / "nibabel.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stand_in, "command", lambda journal: supervisor.COMMAND)
    options = {"backend": "torch", "device": "cpu", "threads": 1}
    world.run(options=options)
    from i2igalip_cli import translate
    from i2igalip_cli.engine.translation import TranslationOptions

    expected = translate(
        path, to="T2", weights=world.weights, options=TranslationOptions(**options)
    )
    np.testing.assert_array_equal(load_volume(world.out / "a_T2.nii").array, expected.array)


def test_stopping_outlives_a_worker_that_does_not_listen(world, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "_STOP_SECONDS", 0.3)
    world.fragile("a", "slow 60")

    def stop(done: int, total: int) -> None:
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    began = time.monotonic()
    with pytest.raises(StoppedError, match="0 of 1 volumes") as stopped:
        world.run(on_progress=stop)
    assert stopped.value.exit_code == 143
    assert time.monotonic() - began < 10
    assert world.leftovers() == []


def test_where_every_volume_ends_its_process_the_run_ends(world) -> None:
    for number in range(20):
        world.fragile(f"{number:02d}", "exit")
    with pytest.raises(GalipError, match=r"3 volumes in a row .* \(exit code 9\), and none") as end:
        world.run()
    assert "\n" not in str(end.value)
    rows = world.rows()
    assert {row.status for row in rows.values()} == {"failed"}
    assert len(rows) == 3, "the others are left for --resume"
    assert len((world.out / "summary.csv").read_text().splitlines()) == 4


def test_three_bad_neighbours_cost_no_other_volume(world) -> None:
    """They are at work together, and alone after it: nothing can be translated in between."""
    for name in ("0", "1", "2"):
        world.fragile(name, "exit")
    for number in range(3, 8):
        world.volume(f"{number}.nii", number)
    world.fragile("9", "exit")
    report = world.run()
    assert (report.count("done"), report.count("failed")) == (5, 4)
