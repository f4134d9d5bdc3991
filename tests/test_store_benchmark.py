"""The benchmark of the store, at a size of seconds: its figures fit together, memory is flat."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.engine.dataset import read_index

BENCHMARKS = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import store
        import store_preparing
        import store_reading
        import store_volumes

        yield SimpleNamespace(
            store=store, preparing=store_preparing, reading=store_reading, volumes=store_volumes
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def report(modules, folder) -> dict:
    return modules.store.measure(modules.store.TINY, [1], None, folder)


def numbers(value: object) -> list[float]:
    """All numbers of a nested report."""
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers(inner)]
    if isinstance(value, list | tuple):
        return [number for inner in value for number in numbers(inner)]
    return [float(value)] if isinstance(value, int | float) else []


def test_all_figures_are_finite_and_are_told(modules, report, capsys) -> None:
    assert len(numbers(report)) > 40
    assert all(math.isfinite(number) for number in numbers(report))
    modules.store.show(json.loads(json.dumps(report)))
    told = capsys.readouterr().out
    assert "GFLOP/s" in told
    assert "8 volumes of 24 x 24 x 20, 1 jobs" in told
    assert "slices a second" in told


def test_stages_make_up_the_whole_and_memory_stays_flat(modules, report) -> None:
    (found,) = report["preparing"]
    assert found["volumes"] == modules.store.TINY.volumes
    assert sum(found["stages"].values()) == pytest.approx(found["seconds"])
    assert found["audit_share"] == pytest.approx(1 - found["stages"]["cut"] / found["seconds"])
    assert min(found["stages"].values()) > 0
    for name in ("cutting", "looking"):
        marks, peaks = zip(*found[f"{name}_bytes"].items(), strict=True)
        assert int(marks[-1]) == modules.store.TINY.volumes
        assert 30e6 < found["at_start_bytes"] <= peaks[0]
        assert [*peaks] == sorted(peaks)
        assert found["growth"][name]["share"] == pytest.approx(peaks[-1] / peaks[0] - 1)
        assert found["growth"][name]["share"] < 0.1


def test_the_store_keeps_up_with_training(report) -> None:
    reading, step, paper = (report[part] for part in ("reading", "step", "paper"))
    pairs = 2 * reading["batch"]
    for name in ("read", "draw"):
        for row in reading[name].values():
            assert row["slices_a_second"] == pytest.approx(pairs / row["batch_seconds"])
    warm = reading["draw"]["warm"]["batch_seconds"] / reading["batch"]
    assert report["reading_share_of_step"] == pytest.approx(warm / step["seconds"])
    # 27 hours for 100 epochs of 2500 slices in batches of 4.
    assert paper["step_seconds"] == pytest.approx(1.5552)
    assert paper["slices_a_second"] == pytest.approx(5.144, abs=1e-3)
    assert paper["times_as_fast"]["warm"] > 1


def test_a_dataset_of_ones_own_is_read(modules, report, folder) -> None:
    found = modules.reading.measure_reading(folder / "small-1", 2)
    shards = [shard for shard in read_index(folder / "small-1").shards if shard.split == "train"]
    assert found["slices"] == sum(shard.shape[0] for shard in shards)
    assert found["batches"] == 2
    assert found["stored_bytes"] > 2 * sum(math.prod(shard.shape) for shard in shards)


@pytest.mark.parametrize("calls", [[(1, 2), (2, 2), (1, 2), (2, 2), (1, 1), (1, 1)]])
def test_a_stage_begins_where_counting_begins_anew(modules, calls) -> None:
    watch = modules.preparing.Watch()
    for done, total in calls:
        watch(done, total)
    assert [len(stage) for stage in watch.stages] == [2, 2, 1, 1]
    assert list(watch.seconds()) == ["cut", "looked at", "registered", "registered 2"]


def test_made_heads_are_the_same_again_and_no_two_alike(modules, tmp_path) -> None:
    for name in ("one", "two"):
        modules.volumes.write_heads(tmp_path / name, 2, (17, 19, 9))
    arrays = {
        path.name: np.asarray(nib.load(path).dataobj)
        for path in sorted((tmp_path / "one").iterdir())
    }
    assert list(arrays) == [f"sub-000{n}_{c}.nii.gz" for n in (0, 1) for c in ("T1", "T2")]
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, nib.load(tmp_path / "two" / name).dataobj)
        assert array.shape == (17, 19, 9)
        assert array[0].max() == 0 < array.max()
    assert len({array.tobytes() for array in arrays.values()}) == 4
