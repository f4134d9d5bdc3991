"""Two processes over one folder, one of them killed at random moments and started again."""

import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from world import World, outputs, start, wait_for

from i2igalip_cli.volumes import load_volume

DEPTH = 3  # volumes at work in a process: what a kill can cost


def kill_and_start_again(world: World, process: subprocess.Popen, values: dict, pause: float):
    """Wait until a process has worked, and for a moment more; kill its group; start another."""

    def has_worked() -> bool:
        return any(parent == str(process.pid) for _, parent, _ in world.lines("translate"))

    wait_for(lambda: has_worked() or process.poll() is not None, 60)
    assert process.poll() is None, "it ended before it could be killed: too few volumes"
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return start(world, **values)


def storm(world: World, volumes: int, kills: int, pace: float, **values) -> None:
    shapes = [(8, 8, 4), (7, 9, 3), (12, 5, 2)]
    for number in range(volumes):
        name = f"{number % 7}/v{number:04d}.nii{'.gz' if number % 2 else ''}"
        world.volume(name, number, shape=shapes[number % 3])
    rng = random.Random(0)
    values = {"resume": True, "lease": 60.0, **values}
    world.journal.with_suffix(".pace").write_text(str(pace))
    steady, killed = start(world, **values), start(world, **values)
    for _ in range(kills):
        killed = kill_and_start_again(world, killed, values, rng.uniform(0, 0.3))
    world.journal.with_suffix(".pace").write_text("0")
    codes = [process.wait() for process in (steady, killed)]
    messages = [process.stderr.read().decode() for process in (steady, killed)]
    assert codes == [0, 0], messages
    for process in (steady, killed):
        process.stderr.close()


def check_nothing_is_lost_or_done_twice(world: World, volumes: int, kills: int) -> None:
    rows = world.rows()
    assert len(rows) == volumes
    assert {row.status for row in rows.values()} == {"done"}
    written = Counter(key for key, *_ in world.lines("row"))
    assert set(written.values()) == {1}, "a volume was finished twice"
    assert len(written) >= volumes - kills, "a kill may fall between a row and its line"
    begun = Counter(key for key, *_ in world.lines("translate"))
    lost = sum(begun.values()) - volumes
    assert 0 <= lost <= kills * DEPTH, "only what was at work when a process died is done again"
    assert all(name.startswith("runs/") for name in world.leftovers())
    table = (world.out / "summary.csv").read_text().splitlines()
    assert len(table) == volumes + 1


def check_outputs_are_those_of_an_undisturbed_run(world: World, **values) -> None:
    disturbed, world.out = world.out, world.folder / "undisturbed"
    world.run(**values)
    expected = outputs(world.out)
    found = outputs(disturbed)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    for name in list(found)[::50]:
        assert load_volume(disturbed / name).array.max() > 0


def test_a_small_storm(tmp_path, monkeypatch) -> None:
    world = World(tmp_path, monkeypatch)
    storm(world, volumes=40, kills=3, pace=0.25)
    check_nothing_is_lost_or_done_twice(world, volumes=40, kills=3)
    check_outputs_are_those_of_an_undisturbed_run(world)


@pytest.mark.slow
def test_two_thousand_volumes_ten_kills_and_flat_memory(tmp_path, monkeypatch) -> None:
    """On the true backend, with the network of the tiny checkpoint."""
    world = World(tmp_path, monkeypatch)
    torch = {"options": {"backend": "torch", "device": "cpu", "threads": 1}}
    storm(world, volumes=2000, kills=10, pace=0.01, **torch)
    check_nothing_is_lost_or_done_twice(world, volumes=2000, kills=10)
    world.journal.unlink()
    check_outputs_are_those_of_an_undisturbed_run(world, **torch)
    peaks = [int(peak) for *_, peak in world.lines("row")]
    assert len(peaks) == 2000
    assert peaks[-1] < 1.05 * peaks[99], "bytes"
