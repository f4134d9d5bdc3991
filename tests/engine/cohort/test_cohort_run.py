"""Cohorts: every volume gets its row, and no output is taken for finished that isn't."""

import csv
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import stand_in
from conftest import make_checkpoint
from world import World, outputs

from i2igalip_cli.engine.cohort import products, work
from i2igalip_cli.engine.cohort.claims import Claim, Claims
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.rows import Row, files_of
from i2igalip_cli.engine.cohort.run import run_cohort
from i2igalip_cli.errors import ConfigError, GalipError, StoppedError, VolumeError
from i2igalip_cli.volumes import load_volume, save_volume


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch, here=True)


def test_outputs_mirror_the_inputs_and_the_table_tells_of_each(world) -> None:
    sources = {
        name: world.volume(f"{name}.nii.gz", seed, shape=shape)
        for seed, (name, shape) in enumerate(
            {"b/t1": (7, 9, 2), "a/deep/t1": (5, 6, 3), "t1": (8, 8, 1)}.items()
        )
    }
    seen = []
    report = world.run(on_progress=lambda done, total: seen.append((done, total)))
    assert (report.count("done"), report.count("failed"), report.count("skipped")) == (3, 0, 0)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert set(outputs(world.out)) == {f"{name}_T2.nii.gz" for name in sources}
    with (world.out / "summary.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["output"] for row in table] == [
        "a/deep/t1_T2.nii.gz",
        "b/t1_T2.nii.gz",
        "t1_T2.nii.gz",
    ]
    assert [row["shape"] for row in table] == ["5x6x3", "7x9x2", "8x8x1"]
    assert {row["spacing_mm"] for row in table} == {"1.9x1.9x3"}
    assert table[2]["input"] == str(sources["t1"])
    assert {row["status"] for row in table} == {"done"}
    for name, path in sources.items():
        source, result = load_volume(path), load_volume(world.out / f"{name}_T2.nii.gz")
        np.testing.assert_array_equal(result.affine, source.affine)
        high = float(next(r for r in table if r["input"] == str(path))["source_window"].split()[1])
        expected = high - np.minimum(source.array, high)  # 1 - x in the window's unit
        np.testing.assert_allclose(result.array, expected, atol=high * 1e-5)
    assert world.leftovers() == []


def test_a_volumes_fault_ends_its_own_row_only(world) -> None:
    for word in ("bug", "memory", "damaged", "unlistable"):
        world.fragile(word, word)
    world.volume("fine.nii")
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), 3, np.float32), np.eye(4)), world.inputs / "c.nii")
    (world.inputs / "cut.nii.gz").write_bytes(world.volume("whole.nii.gz").read_bytes()[:200])
    report = world.run()
    rows = world.rows()
    assert {name.partition("_")[0]: row.status for name, row in rows.items()} == {
        "fine": "done",
        "whole": "done",
        "c": "skipped",
        **dict.fromkeys(("bug", "memory", "damaged", "unlistable", "cut"), "failed"),
    }
    source = world.inputs / "bug.fragile"
    assert rows["bug_T2.fragile"].error == f"{source}: ZeroDivisionError: first line"
    assert rows["memory_T2.fragile"].error.endswith("memory.fragile: MemoryError")
    assert rows["unlistable_T2.fragile"].error.endswith("ZeroDivisionError: never seen before")
    assert "constant: every voxel is 3" in rows["c_T2.nii"].error
    assert all("\n" not in failure for failure in report.failures)
    assert len(report.failures) == 5
    (log,) = world.leftovers()
    assert "in read\n    raise ZeroDivisionError" in (world.out / ".i2igalip" / log).read_text()


def test_a_fault_of_all_ends_the_run_in_one_line(world) -> None:
    world.volume("a.nii")
    with pytest.raises(GalipError, match="tiny can't run on nosuch"):
        world.run(options={"device": "nosuch"})
    assert world.rows() == {}
    with pytest.raises(GalipError, match="no encoder '/no/such/encoder'"):
        world.run(settings={"caption": "This is another", "encoder": "/no/such/encoder"})


def test_a_full_disk_stops_the_run_and_resume_goes_on(world, monkeypatch) -> None:
    for number in range(4):
        world.volume(f"{number}.nii", number)
    world.volume("2big.nii")
    save = products.save_volume

    def full(volume, path, **kwargs) -> None:
        if "big" in path.name:
            (path.parent / "half").write_bytes(b"half")
            raise VolumeError("can't write") from OSError(errno.ENOSPC, "")
        save(volume, path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(products, "save_volume", full)
        with pytest.raises(GalipError, match="No space left on device; make room") as fault:
            world.run()
        assert "\n" not in str(fault.value)
    before = world.rows()
    assert set(before) == {"0_T2.nii", "1_T2.nii", "2_T2.nii"}, "in order, and no further"
    assert set(outputs(world.out)) == set(before)
    assert world.leftovers() == []
    assert (world.out / "summary.csv").read_text().count("\n") == 4
    assert world.run(resume=True).count("done") == 5
    after = world.rows()
    assert all(after[name] == row for name, row in before.items()), "not done twice"


def test_an_output_folder_that_is_taken_away_stops_the_run(world, monkeypatch) -> None:
    world.volume("a.nii")

    def take_away(volume, path, **kwargs) -> None:
        shutil.rmtree(world.out)
        raise VolumeError("can't write")

    monkeypatch.setattr(products, "save_volume", take_away)
    with pytest.raises(GalipError, match="was taken away while it was written to"):
        world.run()


def test_a_file_where_a_folder_should_be_costs_the_volumes_below_it(world) -> None:
    world.volume("s/a.nii")
    world.volume("b.nii")
    world.out.mkdir()
    (world.out / "s").write_text("in the way")
    (failure,) = world.run().failures
    assert failure == f"{world.inputs}/s/a.nii: can't write s/a_T2.nii: File exists"
    assert world.leftovers() == [], "no news: no log"


@pytest.mark.parametrize("suffix", [".hdr", ".nhdr", ".mhd", ".mgz", ".nrrd", ".mha"])
def test_every_format_goes_through_and_is_resumed(world, suffix) -> None:
    source = load_volume(world.volume("a.nii"))
    (world.inputs / "a.nii").unlink()
    save_volume(source, world.inputs / f"a{suffix}")
    assert world.run().count("done") == 1
    output = world.out / f"a_T2{suffix}"
    np.testing.assert_array_equal(load_volume(output).affine, source.affine)
    world.journal.unlink()
    world.run(resume=True)
    assert world.lines("translate") == []
    for path in files_of(output):
        path.write_bytes(path.read_bytes()[:-1])
        world.run(resume=True)
    assert len(world.lines("translate")) == len(files_of(output))


def test_without_resume_or_overwrite_nothing_is_touched(world) -> None:
    world.volume("a.nii")
    world.fragile("b", "damaged")
    world.run()
    before = {path: path.stat().st_mtime_ns for path in world.out.rglob("*") if path.is_file()}
    with pytest.raises(
        VolumeError, match=r"1 outputs of these 2 volumes \(1 done, 1 failed\); --resume"
    ):
        world.run()
    after = {path: path.stat().st_mtime_ns for path in world.out.rglob("*") if path.is_file()}
    assert after == before


def test_rows_of_other_settings_are_refused_by_name(world) -> None:
    world.volume("a.nii")
    world.run()
    for settings, words in (
        ({"caption": "other"}, "caption: 'This MRI is T2-weighted' there, 'other' now"),
        ({"dtype": "int16"}, "dtype: 'auto' there, 'int16' now"),
        ({"source": "T1"}, "source: '' there, 'T1' now"),
    ):
        with pytest.raises(ConfigError, match=words):
            world.run(resume=True, settings=settings)
    report = world.run(overwrite=True, settings={"dtype": "int16"})
    assert report.count("done") == 1
    assert nib.load(world.out / "a_T2.nii").get_data_dtype() == np.int16


def test_a_run_with_other_settings_at_the_same_time_is_refused(world, monkeypatch) -> None:
    """Two that begin at once see no rows of each other at the start."""
    world.volume("a.nii")
    world.volume("b.nii")
    save = products.save_volume

    def saving(volume, path, **kwargs) -> None:
        monkeypatch.setattr(products, "save_volume", save)
        if path.name == "a_T2.nii":
            time.sleep(0.02)  # file systems' clocks tick every few milliseconds
            other = stand_in.make_request(
                world.journal, **world.values(overwrite=True, settings={"dtype": "int16"})
            )
            run_cohort(dataclasses.replace(other, inputs=[str(world.inputs / "b.nii")]))
        save(volume, path, **kwargs)

    monkeypatch.setattr(products, "save_volume", saving)
    monkeypatch.setattr(work, "OVERLAP", 1)  # b isn't begun before a is written
    with pytest.raises(GalipError, match="dtype: 'int16' there, 'auto' now"):
        world.run()
    assert nib.load(world.out / "b_T2.nii").get_data_dtype() == np.int16


def test_a_file_that_is_not_ours_is_never_replaced_unasked(world) -> None:
    world.volume("a.nii")
    world.out.mkdir()
    (world.out / "a_T2.nii").write_bytes(b"precious")
    for resume in (False, True):
        with pytest.raises(VolumeError, match="--overwrite"):
            world.run(resume=resume)
        assert (world.out / "a_T2.nii").read_bytes() == b"precious"
    assert world.run(overwrite=True).count("done") == 1


def damage(world: World, kind: str) -> None:
    """One thing that can happen to b between two runs."""
    output = world.out / "b_T2.nii"
    (row,) = [
        path
        for path in (world.out / ".i2igalip" / "rows").iterdir()
        if json.loads(path.read_text())["output"] == "b_T2.nii"
    ]
    if kind == "half output":
        output.write_bytes(output.read_bytes()[:100])
    elif kind == "one bit":
        content = bytearray(output.read_bytes())
        content[-1] ^= 1
        output.write_bytes(content)
    elif kind == "no output":
        output.unlink()
    elif kind == "half row":
        row.write_text(row.read_text()[:50])
        (world.out / ".i2igalip" / "claims" / f"{row.stem}.1").write_text("")
        os.utime(world.out / ".i2igalip" / "claims" / f"{row.stem}.1", (0, 0))
    elif kind == "other input":
        world.volume("b.nii", seed=99)
    elif kind == "touched input":
        os.utime(world.inputs / "b.nii", (1, 1))


@pytest.mark.parametrize(
    "kind", ["half output", "one bit", "no output", "half row", "other input", "touched input"]
)
def test_resume_does_again_what_is_not_finished_and_nothing_else(world, kind) -> None:
    for name in "abc":
        world.volume(f"{name}.nii", ord(name))
    world.run()
    whole, rows = outputs(world.out), world.rows()
    world.journal.unlink()
    damage(world, kind)
    assert world.run(resume=True).count("done") == 3
    assert len(world.lines("translate")) == 1
    again = world.rows()
    assert [again[n] for n in ("a_T2.nii", "c_T2.nii")] == [
        rows[n] for n in ("a_T2.nii", "c_T2.nii")
    ]
    assert (outputs(world.out) == whole) == (kind != "other input")
    world.journal.unlink()
    world.run(resume=True)
    assert world.lines("translate") == []


def test_resume_tries_failures_again(world) -> None:
    path = world.fragile("a", "damaged")
    assert world.run().count("failed") == 1
    assert world.run(resume=True).count("failed") == 1
    path.write_text("whole")
    assert world.run(resume=True).count("done") == 1
    assert world.rows()["a_T2.fragile"].attempt == 3


def test_a_failure_says_when_an_older_output_still_lies_there(world) -> None:
    path = world.fragile("a", "whole")
    world.run()
    path.write_text("damaged")
    (failure,) = world.run(overwrite=True).failures
    assert "the a_T2.fragile there is of an earlier run" in failure


def test_overwrite_does_everything_once_more(world) -> None:
    for name in "abc":
        world.volume(f"{name}.nii", ord(name))
    world.run()
    rows = world.rows()
    assert world.run(overwrite=True).count("done") == 3
    again = world.rows()
    assert {row.attempt for row in again.values()} == {2}
    strip = [dataclasses.replace(row, attempt=1, seconds=0) for row in again.values()]
    assert strip == [dataclasses.replace(row, seconds=0) for row in rows.values()]


def test_what_a_process_of_another_machine_holds_is_waited_for_and_then_taken(world) -> None:
    world.volume("a.nii")
    world.volume("b.nii")
    world.run()
    claims = world.out / ".i2igalip" / "claims"
    (key,) = [
        path.stem
        for path in (world.out / ".i2igalip" / "rows").iterdir()
        if json.loads(path.read_text())["output"] == "b_T2.nii"
    ]
    (world.out / "b_T2.nii").unlink()
    identity = {"host": "elsewhere", "boot": "?", "pid": 1, "started": "1", "token": "x"}
    (claims / f"{key}.4").write_text(json.dumps(identity))
    began = time.monotonic()
    assert world.run(resume=True, lease=2.0).count("done") == 2
    assert 1.5 < time.monotonic() - began < 8
    assert world.rows()["b_T2.nii"].attempt == 6, "1 before, and generation 5 after 4"
    assert list(claims.iterdir()) == []


def test_who_slept_through_a_lease_discards_its_work(world, monkeypatch) -> None:
    """Another follows while a volume is written: nothing of the first appears."""
    world.volume("a.nii")
    claims = world.out / ".i2igalip" / "claims"
    save = products.save_volume

    def saving(volume, path, **kwargs) -> None:
        monkeypatch.setattr(products, "save_volume", save)
        save(volume.with_array(volume.array + 1), path, **kwargs)  # to tell it from the second's
        key, _, generation = next(claims.iterdir()).name.partition(".")
        identity = {"host": "elsewhere", "boot": "?", "pid": 1, "started": "1", "token": "x"}
        (claims / f"{key}.{int(generation) + 1}").write_text(json.dumps(identity))

    monkeypatch.setattr(products, "save_volume", saving)
    assert world.run(lease=1.0).count("done") == 1
    assert len(world.lines("translate")) == 2
    (row,) = world.rows().values()
    assert row.attempt == 3
    first = outputs(world.out)
    world.run(overwrite=True)
    assert outputs(world.out) == first, "the output is the second's"


def test_another_volume_of_a_fourth_axis_is_no_resumption(world) -> None:
    array = np.random.default_rng(0).uniform(1, 9, (6, 6, 3, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.diag([1.9, 1.9, 3, 1])), world.inputs / "a.nii")
    assert world.run(choice={"volume": 0}).count("done") == 1
    with pytest.raises(ConfigError, match=r"another volume of .*a\.nii: 0"):
        world.run(choice={"volume": 1}, resume=True)
    assert world.run(choice={"volume": 1}, overwrite=True).count("done") == 1
    assert world.rows()["a_T2.nii"].volume == 1


def test_a_checkpoint_that_changes_under_the_run_stops_it(world, monkeypatch) -> None:
    world.volume("a.nii")
    load = work.load_checkpoint
    monkeypatch.setattr(work, "load_checkpoint", lambda weights: make_checkpoint(domains=()))
    with pytest.raises(GalipError, match="unknown domain 'T2'"):
        world.run()
    other = dataclasses.replace(load(world.weights), captions=np.ones((3, 16), np.float32))
    monkeypatch.setattr(work, "load_checkpoint", lambda weights: other)
    with pytest.raises(GalipError, match="the checkpoint was changed while the run began"):
        world.run()
    assert outputs(world.out) == {}


def test_the_supervisor_loads_no_torch() -> None:
    code = "import sys, i2igalip_cli.engine.cohort.run; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def full_disk(self: Ledger, row: Row, claim: Claim) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_was_published_before_a_full_disk_is_resumed_as_told(world, monkeypatch) -> None:
    """Between an output's coming and its row the run is cut off: the output isn't foreign."""
    world.volume("a.nii")
    world.volume("b.nii")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write_row", full_disk)
        with pytest.raises(GalipError, match="run the same command with --resume"):
            world.run()
    assert set(outputs(world.out)) == {"a_T2.nii"}
    assert world.rows() == {}
    assert world.run(resume=True).count("done") == 2
    names = {path.suffix for path in (world.out / ".i2igalip" / "rows").iterdir()}
    assert names == {".json"}, "what marked it is gone"
    world.journal.unlink()
    world.run(resume=True)
    assert world.lines("translate") == []


def test_a_failed_row_of_a_damaged_source_is_no_other_volume(world) -> None:
    """What was damaged has no series; mended, it has: --resume goes on with it."""
    world.volume("a.nii")
    world.run()
    (path,) = (world.out / ".i2igalip" / "rows").iterdir()
    row = Row.from_json(path.read_text())
    path.write_text(dataclasses.replace(row, status="failed", series="1.2").to_json())
    assert world.run(resume=True).count("done") == 1
    path.write_text(dataclasses.replace(row, series="1.2").to_json())
    with pytest.raises(ConfigError, match="another volume"):
        world.run(resume=True)


def test_any_error_of_setting_up_is_a_fault_of_the_run(world, monkeypatch) -> None:
    def broken(self, checkpoint, *args) -> None:
        raise RuntimeError("CUDA error: out of memory\nwith a second line")

    monkeypatch.setattr(stand_in.Negative, "__init__", broken)
    world.volume("a.nii")
    world.volume("b.nii")
    with pytest.raises(GalipError, match=r"can't be set up \(RuntimeError: CUDA error") as fault:
        world.run()
    assert "\n" not in str(fault.value)
    assert world.rows() == {}, "no volume is to blame"
    (log,) = world.leftovers()
    assert f".i2igalip/{log}" in str(fault.value)
    assert "in broken\n    raise RuntimeError" in (world.out / ".i2igalip" / log).read_text()


def test_who_sleeps_while_a_row_is_written_drops_it_to_who_took_over(world, monkeypatch) -> None:
    for number in range(3):
        world.volume(f"{number}.nii", number)
    sync, slept = os.fsync, []

    def sleeping(descriptor: int) -> None:
        """As if stopped for longer than a lease: another takes over, clears, and is done."""
        row = Path(f"/proc/self/fd/{descriptor}").readlink()
        if row.name == "row.json" and not slept:
            slept.append(row)
            other = Ledger(world.out, "other")
            claim = other.claims.folder / row.parent.name
            os.utime(claim, (5, 5))
            taken = other.claims.take(claim.stem)
            assert taken is not None
            other.clear_staging(taken)
            other.claims.release(taken)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sleeping)
    assert world.run().count("done") == 3
    assert len(slept) == 1
    assert len(world.lines("translate")) == 4, "the dropped one is looked at again"


def test_a_row_that_a_network_file_system_hides_for_a_while_is_seen(world, monkeypatch) -> None:
    """Its client remembers "no such file" until the folder is opened again."""
    for number in range(3):
        world.volume(f"{number}.nii", number)
    look, scan, take = Ledger.row, os.scandir, Claims.take
    absent: set[str] = set()

    def remembering(self: Ledger, key: str) -> Row | None:
        if key in absent:
            return None
        row = look(self, key)
        if row is None:
            absent.add(key)
        return row

    def opening(path="."):
        if str(path).endswith("rows"):
            absent.clear()
        return scan(path)

    def late(self: Claims, key: str) -> Claim | None:
        """Just before the claim another run finishes everything."""
        monkeypatch.setattr(Claims, "take", take)
        remembered = set(absent)
        absent.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "row", look)
            world.run(resume=True)
        absent.update(remembered)
        return take(self, key)

    monkeypatch.setattr(Ledger, "row", remembering)
    monkeypatch.setattr(os, "scandir", opening)
    monkeypatch.setattr(Claims, "take", late)
    assert world.run().count("done") == 3
    keys = [key for key, *_ in world.lines("translate")]
    assert len(keys) == len(set(keys)) == 3, "done twice"


def test_a_long_wait_for_others_is_told_once(world, monkeypatch) -> None:
    monkeypatch.setattr(work, "_SAY_SECONDS", 0.2)
    monkeypatch.setattr(work, "_LOOK_AGAIN_SECONDS", 0.1)
    world.volume("a.nii")
    world.run()
    (row,) = (world.out / ".i2igalip" / "rows").iterdir()
    (world.out / "a_T2.nii").unlink()
    identity = {"host": "node3", "boot": "?", "pid": 17, "started": "1", "token": "x"}
    (world.out / ".i2igalip" / "claims" / f"{row.stem}.1").write_text(json.dumps(identity))
    told: list[str] = []
    request = stand_in.make_request(world.journal, **world.values(resume=True, lease=1.5))
    assert run_cohort(request, on_notice=told.append).count("done") == 1
    assert told == ["waits for 1 volume that other runs hold: process 17 of node3"]


def test_a_signal_after_the_last_volume_changes_nothing(world, monkeypatch) -> None:
    world.volume("a.nii")
    world.fragile("b", "damaged")

    def interrupt(done: int, total: int) -> None:
        if done == total:
            os.kill(os.getpid(), signal.SIGTERM)

    report = world.run(on_progress=interrupt)
    assert (report.count("done"), report.count("failed")) == (1, 1)


def test_a_signal_before_a_retried_failure_stops_the_run(world, monkeypatch) -> None:
    """All have a row of an earlier run, which isn't final for this one."""
    world.fragile("b", "damaged")
    world.run()
    with pytest.raises(StoppedError, match="stopped by SIGTERM: 0 of 1 volumes are finished"):
        world.run(resume=True, on_progress=lambda *_: os.kill(os.getpid(), signal.SIGTERM))
