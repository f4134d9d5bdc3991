"""Shards: together they do everything once, and their tables are one table in the end."""

import csv
import json
import os
import time

import pytest
from world import World, outputs

from i2igalip_cli.engine.cohort.shards import Shard
from i2igalip_cli.engine.cohort.table import COLUMNS, QUALITY_MARK, merge_tables
from i2igalip_cli.errors import ConfigError, VolumeError


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch, here=True)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
@pytest.mark.parametrize("items", [0, 1, 5, 12, 13])
def test_shards_cover_everything_once(items, count) -> None:
    shares = [Shard(index, count).of(range(items)) for index in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "1/0", "a/b", "1/4/2", "", "SLURM", "1.0/2"])
def test_a_share_that_is_none_is_refused(text) -> None:
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text, {})


def slurm(number: object, first: object, last: object, count: object, **more: str) -> dict:
    names = {"ID": number, "MIN": first, "MAX": last, "COUNT": count, **more}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (slurm(0, 0, 3, 4), Shard(0, 4)),
        (slurm(7, 4, 8, 5), Shard(3, 5)),
        (slurm(2, 2, 2, 1, STEP="1"), Shard(0, 1)),
    ],
)
def test_a_slurm_array_is_read_off_its_variables(environment, expected) -> None:
    assert Shard.parse("slurm", environment) == expected


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "no task of a job array"),
        ({"SLURM_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_MIN"),
        (slurm(2, 0, 6, 4, STEP="2"), "step or gaps"),
        (slurm(2, 0, 6, 4), "step or gaps"),
        (slurm(4, 1, 4, 3), "step or gaps"),
    ],
)
def test_other_slurm_arrays_are_refused(environment, words) -> None:
    with pytest.raises(ConfigError, match=words):
        Shard.parse("slurm", environment)


def test_names_sort_as_the_shards_do() -> None:
    assert Shard(3, 12).table == "summary-03-of-12.csv"
    assert Shard(0, 4).table == "summary-0-of-4.csv"
    names = [Shard(index, 100).table for index in range(100)]
    assert sorted(names) == names


def read(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_shards_do_their_share_and_are_merged(world) -> None:
    for seed in range(7):
        world.volume(f"{seed}.nii", seed)
    world.fragile("4x", "damaged")
    for index in (2, 0, 1):
        report = world.run(shard=Shard(index, 3))
        assert len(report.rows) == (3, 3, 2)[index]
        assert report.table.name == f"summary-{index}-of-3.csv"
        assert len(read(report.table)) == len(report.rows)
        assert {row.shard for row in report.rows} == {f"{index}/3"}
    assert len(world.lines("translate")) == 7
    assert not (world.out / "summary.csv").exists()
    merged = merge_tables(world.out)
    assert (merged.count("done"), merged.count("failed")) == (7, 1)
    table = read(world.out / "summary.csv")
    judged_nothing = [name for name in COLUMNS if not name.startswith(QUALITY_MARK)]
    assert list(table[0]) == judged_nothing
    parts = [row for index in range(3) for row in read(world.out / f"summary-{index}-of-3.csv")]
    assert table == sorted(parts, key=lambda row: row["output"])
    assert merged.describe().startswith(f"{world.out}: 7 done, 1 failed, 0 skipped in ")


def test_a_merge_before_the_end_is_refused_by_what_is_missing(world) -> None:
    with pytest.raises(VolumeError, match="not an output folder of translate"):
        merge_tables(world.out)
    for seed in range(5):
        world.volume(f"{seed}.nii", seed)
    world.run(shard=Shard(1, 4))
    with pytest.raises(VolumeError, match=r"3 of 4 shards have no table yet: 0/4, 2/4, 3/4"):
        merge_tables(world.out)
    for index in (0, 2, 3):
        world.run(shard=Shard(index, 4))
    row = next(
        path
        for path in (world.out / ".i2igalip" / "rows").iterdir()
        if json.loads(path.read_text())["output"] == "2_T2.nii"
    )
    row.unlink()
    with pytest.raises(VolumeError, match=r"1 of 5 volumes have no row.*--resume: --shard 2/4$"):
        merge_tables(world.out)
    (world.out / "2_T2.nii").unlink()
    world.run(shard=Shard(2, 4), resume=True)
    (world.out / "summary-3-of-4.csv").unlink()
    with pytest.raises(VolumeError, match=r"1 of 4 shards have no table yet: 3/4"):
        merge_tables(world.out)
    assert not (world.out / "summary.csv").exists()


def test_a_run_without_shards_needs_no_merge(world) -> None:
    world.volume("a.nii")
    world.run()
    with pytest.raises(VolumeError, match=r"no shards here; .* writes summary\.csv by itself"):
        merge_tables(world.out)


def test_shards_that_saw_other_volumes_are_not_merged(world) -> None:
    world.volume("a.nii")
    world.volume("c.nii")
    world.run(shard=Shard(0, 2))
    world.volume("b.nii")
    world.run(shard=Shard(1, 2), resume=True)
    with pytest.raises(VolumeError, match=r"different volumes or targets \(2, 3 in all\)"):
        merge_tables(world.out)


def test_of_two_arrays_the_later_is_merged(world) -> None:
    for seed in range(4):
        world.volume(f"{seed}.nii", seed)
    for index in range(3):
        world.run(shard=Shard(index, 3))
    for path in (world.out / ".i2igalip" / "shards").iterdir():
        os.utime(path, (time.time() - 100,) * 2)
    for index in range(2):
        world.run(shard=Shard(index, 2), resume=True)
    assert merge_tables(world.out).count("done") == 4
    assert len(world.lines("translate")) == 4


def test_an_empty_shard_ends_well_and_is_merged(world) -> None:
    world.volume("a.nii")
    reports = [world.run(shard=Shard(index, 3)) for index in range(3)]
    assert [len(report.rows) for report in reports] == [1, 0, 0]
    assert merge_tables(world.out).count("done") == 1
    assert set(outputs(world.out)) == {"a_T2.nii"}


def test_a_damaged_list_of_a_shard_is_named(world) -> None:
    world.volume("a.nii")
    world.run(shard=Shard(0, 1))
    (world.out / ".i2igalip" / "shards" / "0-of-1.json").write_text("{")
    with pytest.raises(VolumeError, match=r"0-of-1\.json: damaged"):
        merge_tables(world.out)
