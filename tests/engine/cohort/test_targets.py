"""Several targets of one volume: read once, each with a row, an output and a fate of its own."""

import csv
import itertools
import json
import os
import threading
import weakref
from pathlib import Path, PurePosixPath

import pytest
from conftest import make_checkpoint
from world import World, outputs, start, write_volume

from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.cohort import reading, work
from i2igalip_cli.engine.cohort.claims import Claims
from i2igalip_cli.engine.cohort.inputs import FoundVolume, find_volumes
from i2igalip_cli.engine.cohort.items import by_source, plan_items
from i2igalip_cli.engine.cohort.settings import TranslationSettings, find_targets, take_fingerprints
from i2igalip_cli.engine.cohort.shards import Shard
from i2igalip_cli.engine.cohort.table import merge_tables
from i2igalip_cli.engine.cohort.work import Worker
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import VolumeEntry

BOTH = {"targets": ["T2", "PD"]}
ALL = {"targets": ["T1", "T2", "PD"]}


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch, here=True)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Names of the sources that are read, in order."""
    names: list[str] = []
    load = reading.load_entry

    def loading(entry, irregular):
        names.append(entry.path.name)
        return load(entry, irregular)

    monkeypatch.setattr(reading, "load_entry", loading)
    return names


def named(world: World) -> dict[str, str]:
    """The status of each output."""
    return {name: row.status for name, row in world.rows().items()}


@pytest.mark.parametrize("names", [*itertools.permutations(["T2", "PD", "T1"])])
def test_the_items_of_a_source_are_neighbours_whatever_the_order_of_targets(names) -> None:
    """By output alone, those of "a" and of "a_Q" would be mixed."""
    found = [
        FoundVolume(
            entry=VolumeEntry(path=Path(f"{stem}.nii")),
            folder=PurePosixPath(),
            stem=stem,
            named=False,
        )
        for stem in ("b", "a_Q", "a")
    ]
    items = plan_items(found, [DOMAINS[name] for name in names])
    assert [str(item.output) for item in items] == [
        *("a_PD.nii", "a_T1.nii", "a_T2.nii"),
        *("a_Q_PD.nii", "a_Q_T1.nii", "a_Q_T2.nii"),
        *("b_PD.nii", "b_T1.nii", "b_T2.nii"),
    ]
    assert [item.target for item in items] == ["PD", "T1", "T2"] * 3
    assert [len(source) for source in by_source(items)] == [3, 3, 3]
    assert len({item.key for item in items}) == 9


def test_two_targets_of_one_name_are_refused_by_both(tmp_path) -> None:
    """As BIDS names them, two domains may be called the same."""
    write_volume(tmp_path / "raw" / "sub-1" / "anat" / "sub-1_T1w.nii")
    (tmp_path / "raw" / "dataset_description.json").write_text("{}")
    found = find_volumes([str(tmp_path / "raw")], bids_source="T1w")
    targets = [Domain(name="a-b", caption="one"), Domain(name="ab", caption="another")]
    with pytest.raises(VolumeError, match=r"sub-1_T1w\.nii to a-b and to ab would both be written"):
        plan_items(found, targets)


def test_outputs_are_those_of_one_target_after_the_other(world, read) -> None:
    for number, name in enumerate(("b/t1.nii.gz", "a/t1.nii", "t1.nii", "t1_Q.nii")):
        world.volume(name, number, shape=(6 + number, 9, 1 + number))
    seen: list[tuple[int, int]] = []
    report = world.run(settings=ALL, on_progress=lambda *counts: seen.append(counts))
    assert report.count("done") == 12
    assert seen == [(number, 12) for number in range(13)]
    assert sorted(read) == ["t1.nii", "t1.nii", "t1.nii.gz", "t1_Q.nii"], "each once"
    together = outputs(world.out)
    with (world.out / "summary.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["output"] for row in table] == sorted(together)
    assert [row.output for row in report.rows] == sorted(together)
    for row in table:
        assert Path(row["output"]).name.removesuffix(".gz").endswith(f"_{row['target']}.nii")
        assert row["caption"] == DOMAINS[row["target"]].caption
        assert (row["planes"], row["precision"], row["backend"]) == ("axial", "float32", "negative")
        assert row["precision_loss_db"] == ""
    assert world.leftovers() == []
    world.out = world.folder / "apart"
    for target in ALL["targets"]:
        world.run(settings={"targets": [target]})
    assert outputs(world.out) == together


def test_a_bids_dataset_gets_a_derivative_for_each_target(world) -> None:
    dataset = world.folder / "raw"
    write_volume(dataset / "sub-1" / "anat" / "sub-1_T1w.nii")
    (dataset / "dataset_description.json").write_text("{}")
    world.run(inputs=[str(dataset)], out=None, settings={**BOTH, "source": "T1"})
    anat = dataset / "derivatives" / "i2igalip" / "sub-1" / "anat"
    stems = {f"sub-1_desc-synth_{suffix}": suffix[:2] for suffix in ("PDw", "T2w")}
    assert {path.name for path in anat.iterdir()} == {
        f"{stem}{end}" for stem in stems for end in (".json", ".nii")
    }
    for stem, target in stems.items():
        beside = json.loads((anat / f"{stem}.json").read_text())
        assert (beside["TargetDomain"], beside["Caption"]) == (target, DOMAINS[target].caption)


def test_what_cant_be_read_is_a_row_of_each_target_and_of_no_other_volume(world) -> None:
    world.fragile("b", "damaged")
    world.volume("a.nii")
    world.volume("c.nii")
    report = world.run(settings=BOTH)
    assert named(world) == {
        **dict.fromkeys(("a_PD.nii", "a_T2.nii", "c_PD.nii", "c_T2.nii"), "done"),
        **dict.fromkeys(("b_PD.fragile", "b_T2.fragile"), "failed"),
    }
    assert report.failures == (f"{world.inputs}/b.fragile: damaged",) * 2


def test_a_target_is_added_by_resuming(world, read) -> None:
    world.volume("a.nii")
    world.volume("b.nii", 1)
    world.run()
    before, rows = outputs(world.out), world.rows()
    with pytest.raises(VolumeError, match=r"holds 2 outputs of these 2 volumes \(2 done\); --res"):
        world.run(settings=BOTH)
    world.journal.unlink()
    read.clear()
    assert world.run(settings=BOTH, resume=True).count("done") == 4
    assert read == ["a.nii", "b.nii"]
    assert len(world.lines("translate")) == 2, "what is there isn't done again"
    after = outputs(world.out)
    assert {name: after[name] for name in before} == before
    assert {name: world.rows()[name] for name in rows} == rows
    read.clear()
    world.run(settings=BOTH, resume=True)
    assert read == [], "nor is it read"


def test_overwrite_does_each_target_once_more(world, read) -> None:
    world.volume("a.nii")
    world.run(settings=BOTH)
    read.clear()
    world.run(settings=BOTH, overwrite=True)
    assert read == ["a.nii"]
    assert {name: row.attempt for name, row in world.rows().items()} == {
        "a_PD.nii": 2,
        "a_T2.nii": 2,
    }


def test_a_source_that_changes_between_two_targets_is_read_again(world, read, monkeypatch) -> None:
    """A row's identity of the input is that of what was translated."""
    path = world.volume("a.nii")
    begin = Worker._begin_row

    def beginning(self, item, claim):
        if item.target == "T2":  # the second, after PD
            world.volume("a.nii", seed=1)
            os.utime(path, (5, 5))
        return begin(self, item, claim)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "_begin_row", beginning)
        world.run(settings=BOTH)
    assert read == ["a.nii", "a.nii"]
    first = outputs(world.out)
    world.out = world.folder / "again"
    world.run(settings=BOTH)
    again = outputs(world.out)
    assert first["a_T2.nii"] == again["a_T2.nii"]
    assert first["a_PD.nii"] != again["a_PD.nii"]


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_sources_are_in_memory_than_the_pipeline_has_slots(
    world, monkeypatch, slots
) -> None:
    """With several targets as with one."""
    alive: weakref.WeakSet = weakref.WeakSet()
    most = 0
    load, translate = reading.load_entry, Worker._translate

    def loading(entry, irregular):
        nonlocal most
        volume = load(entry, irregular)
        alive.add(volume)
        most = max(most, len(alive))
        return volume

    def translating(self, job):
        threading.Event().wait(0.01)  # until the reader is as far ahead as it may be
        return translate(self, job)

    monkeypatch.setattr(reading, "load_entry", loading)
    monkeypatch.setattr(Worker, "_translate", translating)
    monkeypatch.setattr(work, "OVERLAP", slots)
    for number in range(8):
        world.volume(f"{number}.nii", number)
    for settings in (ALL, {"targets": ["T2"]}):
        most = 0
        world.run(settings=settings, overwrite=True)
        assert min(slots, 2) <= most <= slots
        assert len(alive) == 0, "none is kept after the last"


def test_what_another_run_holds_of_a_source_is_left_to_it(world, read, monkeypatch) -> None:
    """The other target is done meanwhile, the held one when it is free: the source is read anew."""
    world.volume("a.nii")
    world.volume("b.nii", 1)
    take = Claims.take
    refused: list[str] = []
    key = next(
        item.key
        for item in plan_items(find_volumes([str(world.inputs)]), [DOMAINS["PD"]])
        if item.entry.path.name == "a.nii"
    )

    def taking(self: Claims, wanted: str):
        if wanted == key and not refused:
            refused.append(wanted)
            return None
        return take(self, wanted)

    monkeypatch.setattr(Claims, "take", taking)
    assert world.run(settings=BOTH).count("done") == 4
    assert refused
    assert read == ["a.nii", "b.nii", "a.nii"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_volumes_targets_are_one_shards(world, read, count) -> None:
    for seed in range(4):
        world.volume(f"{seed}.nii", seed)
    world.fragile("2x", "damaged")
    for index in range(count):
        # The order of the targets is no other task.
        settings = ALL if index % 2 else {"targets": [*reversed(ALL["targets"])]}
        report = world.run(settings=settings, shard=Shard(index, count))
        sources = {row.input for row in report.rows}
        assert len(report.rows) == 3 * len(sources)
        assert len(sources) == len(range(index, 5, count))
    whole = sorted(name for name in read if name.endswith(".nii"))
    assert whole == [f"{seed}.nii" for seed in range(4)]
    merged = merge_tables(world.out)
    assert (merged.count("done"), merged.count("failed")) == (12, 3)
    with (world.out / "summary.csv").open(newline="") as file:
        assert len({row["output"] for row in csv.DictReader(file)}) == 15


def test_shards_of_other_targets_are_not_merged(world) -> None:
    world.volume("a.nii")
    world.volume("b.nii")
    world.run(shard=Shard(0, 2), settings=BOTH)
    world.run(shard=Shard(1, 2))
    with pytest.raises(VolumeError, match=r"different volumes or targets \(2, 4 in all\)"):
        merge_tables(world.out)


def test_a_target_twice_is_refused(world) -> None:
    for texts in (("T2", "t2"), ("T2", "PD", " T2")):
        with pytest.raises(ConfigError, match=r"--to 'T2' and --to ' ?[tT]2' are one target"):
            TranslationSettings(targets=texts)
    settings = TranslationSettings(targets=("PD", "t2", "this mri is T2-weighted"))
    with pytest.raises(ConfigError, match="--to 't2' and --to 'this mri is T2-weighted' are one"):
        find_targets(settings, make_checkpoint())
    with pytest.raises(ConfigError, match="no target"):
        TranslationSettings(targets=())
    with pytest.raises(ConfigError, match="--caption says one target in your words, but --to nam"):
        TranslationSettings(targets=("T2", "PD"), caption="This MRI is another")


def test_what_changes_a_result_is_in_the_fingerprint_and_nothing_else() -> None:
    planes = dict.fromkeys(("coronal", "axial", "sagittal"), (1.9, 1.9))
    checkpoint = make_checkpoint(planes=planes)

    def fingerprint(**options):
        settings = TranslationSettings(targets=("pd",), options=TranslationOptions(**options))
        return take_fingerprints(settings, checkpoint)["PD"]

    plain = fingerprint()
    assert (plain.target, plain.planes, plain.precision) == ("PD", "coronal", "float32")
    assert fingerprint(planes="coronal") == plain
    for same in ({"backend": "torch"}, {"device": "cpu"}, {"threads": 1}, {"compile": True}):
        assert fingerprint(**same) == plain
    assert fingerprint(planes="all").planes == "all"
    for other in ({"planes": "all"}, {"planes": "sagittal"}, {"precision": "bfloat16"}):
        (name,) = other
        assert plain.differences(fingerprint(**other)).startswith(f"{name}: '")


def test_rows_of_other_planes_or_arithmetic_are_refused_by_name(world) -> None:
    planes = dict.fromkeys(("axial", "coronal", "sagittal"), (1.9, 1.9))
    save_checkpoint(make_checkpoint(planes=planes), world.weights)
    world.volume("a.nii", shape=(9, 8, 7))
    world.run()
    for options, words in (
        ({"planes": "all"}, "planes: 'axial' there, 'all' now"),
        ({"precision": "bfloat16"}, "precision: 'float32' there, 'bfloat16' now"),
    ):
        with pytest.raises(ConfigError, match=f"1 outputs of other settings .{words}"):
            world.run(resume=True, options=options)
    (row,) = world.run(overwrite=True, options={"planes": "all"}).rows
    assert row.planes == "all"
    assert 0 < row.through_plane_jump < 1


def test_planes_that_the_checkpoint_lacks_are_refused_at_once(world) -> None:
    world.volume("a.nii")
    with pytest.raises(ConfigError, match="wasn't trained for coronal and sagittal"):
        world.run(options={"planes": "all"})
    assert not world.out.exists()


def test_rows_of_an_older_version_stop_nothing_but_the_mixing_with_them(world) -> None:
    """They lack what rows have now, so they are none: their outputs are never replaced unasked."""
    world.volume("a.nii")
    world.volume("b.nii", 1)
    world.run()
    new = ("planes", "precision", "backend", "precision_loss_db", "through_plane_jump")
    for path in (world.out / ".i2igalip" / "rows").iterdir():
        row = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in row.items() if k not in new}))
    before = outputs(world.out)
    with pytest.raises(VolumeError, match=r"holds 2 outputs of these 2 volumes \(no rows\)"):
        world.run()
    with pytest.raises(VolumeError, match=r"2 files are not of this version .*, or --overwrite$"):
        world.run(resume=True)
    assert outputs(world.out) == before
    assert world.run(overwrite=True).count("done") == 2
    assert len(world.rows()) == 2


def test_a_volume_that_ends_its_process_costs_its_own_targets_only(tmp_path, monkeypatch) -> None:
    """However many targets it has, it is one volume of those that may end a process in a row."""
    world = World(tmp_path, monkeypatch)
    world.volume("a.nii")
    world.fragile("b", "segv")
    world.fragile("c", "exit")
    world.volume("d.nii")
    report = world.run(settings=ALL)
    assert (report.count("done"), report.count("failed")) == (6, 6)
    for failure in report.failures:
        assert "2 times with this volume alone" in failure
    for name in "bc":
        source = str(world.inputs / f"{name}.fragile")
        attempts = sorted(row.attempt for row in report.rows if row.input == source)
        assert attempts[:2] == [1, 1], "no process is lost on the other targets"
    assert [name for name in world.leftovers() if not name.startswith("log-")] == []


def test_two_runs_share_volumes_of_several_targets(tmp_path, monkeypatch) -> None:
    world = World(tmp_path, monkeypatch)
    for seed in range(6):
        world.volume(f"{seed}.nii", seed)
    world.journal.with_suffix(".pace").write_text("0.1")
    values = {"resume": True, "settings": BOTH}
    with start(world, **values) as first, start(world, **values) as second:
        assert (first.wait(), second.wait()) == (0, 0)
    keys = [key for key, *_ in world.lines("translate")]
    assert len(keys) == len(set(keys)) == 12
    assert len({parent for _, parent, _ in world.lines("row")}) == 2, "both worked"
    assert len(outputs(world.out)) == 12
