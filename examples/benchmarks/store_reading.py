"""How fast the store gives batches, from the disk and from memory, and what training asks of it."""

import gc
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import train_step
from paper_tables import TABLE_4

from i2igalip_cli.config import GalipConfig
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.memory import keep_freed_memory
from i2igalip_cli.engine.sampler import BatchSampler

# The paper trains on 25 subjects of IXI for 100 epochs in batches of 4 (sections 3 and 4, table 4),
# and doesn't tell how many slices they have. We take 100 each: fewer make a step longer.
PAPER_SLICES, PAPER_EPOCHS = 25 * 100, 100


def _read(data: SliceDataset, sampler: BatchSampler, step: int) -> object:
    """As many slices as a step takes, in chance's order, from the store alone."""
    count = 2 * sampler.config.batch
    return data.read([sampler.slice_at(0, step * count + place) for place in range(count)])


def _draw(data: SliceDataset, sampler: BatchSampler, step: int) -> object:
    """A training's batch."""
    return sampler.draw(step)


READERS = {"read": _read, "draw": _draw}


def measure_reading(dataset: Path, batches: int) -> dict[str, object]:
    """Slices a second of the paper's batches, by what reads them and from where.

    Args:
        dataset: A prepared one.
        batches: How many of the first steps' are read; no more than the training slices make.
    """
    data, sampler = _open(dataset)
    batch, files = sampler.config.batch, [dataset / shard.file for shard in data.shards]
    batches = min(batches, max(1, len(data) // (2 * batch)))
    report: dict[str, object] = {
        "slices": len(data),
        "side": list(data.side),
        "stored_bytes": sum(file.stat().st_size for file in files),
        "batch": batch,
        "batches": batches,
    }
    del data, sampler  # what is mapped stays in memory
    return report | {name: _read_twice(dataset, files, name, batches) for name in READERS}


def _read_twice(
    dataset: Path, files: Sequence[Path], name: str, batches: int
) -> dict[str, dict[str, float | None]]:
    """By one reader from the disk, and then from memory."""
    gc.collect()  # the sampler knows itself, and would keep the maps of the time before
    drop_from_memory(files)
    data, sampler = _open(dataset)
    read = partial(READERS[name], data, sampler)
    cold = _time(read, batches, 2 * sampler.config.batch)
    for file in files:
        file.read_bytes()
    return {"cold": cold, "warm": _time(read, batches, 2 * sampler.config.batch)}


def _open(dataset: Path) -> tuple[SliceDataset, BatchSampler]:
    config = GalipConfig()
    data = SliceDataset(dataset, "train", config.side_multiple)
    return data, BatchSampler(data, config)


def _time(reader: Callable[[int], object], batches: int, slices: int) -> dict[str, float | None]:
    """Seconds a batch, slices a second, and bytes that came from the disk meanwhile."""
    before, began = _read_from_disk(), time.perf_counter()
    for step in range(batches):
        reader(step)
    seconds, after = time.perf_counter() - began, _read_from_disk()
    return {
        "batch_seconds": seconds / batches,
        "slices_a_second": batches * slices / seconds,
        "disk_bytes": None if before is None or after is None else after - before,
    }


def drop_from_memory(files: Sequence[Path]) -> None:
    """Let the system forget what it holds of files, so that they are read from the disk again.

    Where it has no such call (macOS, Windows) they stay: what is called cold there is warm.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)  # what isn't written yet wouldn't go
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _read_from_disk() -> int | None:
    """Bytes that this process has had read from storage; None where the system doesn't tell."""
    counts = Path("/proc/self/io")
    if not counts.exists():
        return None
    return int(counts.read_text().partition("\nread_bytes:")[2].split()[0])


def measure_step(sizes: train_step.Sizes, repeats: int) -> float:
    """Seconds of a training step of I2I-Galip here: the fastest of a few after a first one."""
    keep_freed_memory()  # as `i2igalip train` does
    with tempfile.TemporaryDirectory() as folder:
        method, batch = train_step.build(sizes, Path(folder), {})
        taken = []
        for _ in range(1 + repeats):
            began = time.perf_counter()
            method.step(batch)
            taken.append(time.perf_counter() - began)
    return min(taken[1:])


def find_need() -> dict[str, float]:
    """What the paper's training asks of the store, by its time on an RTX A5000 (table 4)."""
    batch, hours = GalipConfig().batch, TABLE_4["galip"].training_hours
    step = 3600 * hours / (PAPER_EPOCHS * PAPER_SLICES / batch)
    return {"step_seconds": step, "slices_a_second": 2 * batch / step}
