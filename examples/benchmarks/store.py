"""The store: memory and time of preparing many volumes, and whether reading keeps up with training.

    python examples/benchmarks/store.py [DATASET] [--volumes 500] [--jobs 1 2] [--tiny] [--json]

Smooth heads of two contrasts are made and prepared, once for each number of jobs: the peak of the
largest process when a tenth, a fifth, half and all of the volumes are done, and how long each stage
takes, of which all but the first is the audit. Then the slices of DATASET, or of a made one of
frames of 256 x 256, are read in the paper's batches: from the disk, which the system is asked to
forget before, and from memory. Beside it stands a training step at full size on this machine, of
one pair: it is held against reading a pair; and what the paper's training asks for, by table 4.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import train_step
from machine import matrix_rate
from store_preparing import measure_preparing
from store_reading import PAPER_SLICES, find_need, measure_reading, measure_step
from store_volumes import CONTRASTS, write_heads

from i2igalip_cli.engine.prepare import prepare


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured.

    Attributes:
        volumes: That are prepared; two a subject.
        shape: Of one.
        subjects: Of the dataset that is read.
        read_shape: Of a volume of it.
        batches: That are read.
        step: Of the training step.
        repeats: Timed steps.
    """

    volumes: int = 500
    shape: tuple[int, int, int] = (64, 64, 40)
    subjects: int = 12
    read_shape: tuple[int, int, int] = (256, 256, 80)
    batches: int = 100
    step: train_step.Sizes = field(default_factory=lambda: train_step.Sizes(batch=1))
    repeats: int = 2


TINY = Sizes(
    volumes=8,
    shape=(24, 24, 20),
    subjects=4,
    read_shape=(40, 40, 12),
    batches=3,
    step=replace(train_step.TINY, batch=1),
    repeats=1,
)


def measure(sizes: Sizes, jobs: list[int], dataset: Path | None, folder: Path) -> dict[str, object]:
    """All of it; `folder` gets what is made."""
    rate = matrix_rate(torch.get_num_threads())
    write_heads(folder / "small", sizes.volumes // len(CONTRASTS), sizes.shape)
    prepared = [measure_preparing(folder / "small", folder / f"small-{n}", n) for n in jobs]
    if dataset is None:
        dataset = folder / "large"
        write_heads(folder / "raw", sizes.subjects, sizes.read_shape)
        prepare(folder / "raw", dataset, jobs=max(jobs))
    reading = measure_reading(dataset, sizes.batches)
    step = measure_step(sizes.step, sizes.repeats)
    need = find_need()
    pair = reading["draw"]["warm"]["batch_seconds"] / reading["batch"]
    return {
        "multiply_gflops": rate / 1e9,
        "threads": torch.get_num_threads(),
        "shape": sizes.shape,
        "preparing": prepared,
        "reading": reading,
        "step": {"side": sizes.step.side, "batch": sizes.step.batch, "seconds": step},
        "reading_share_of_step": pair / (step / sizes.step.batch),
        "paper": {
            **need,
            "times_as_fast": {
                heat: reading["draw"][heat]["slices_a_second"] / need["slices_a_second"]
                for heat in ("cold", "warm")
            },
        },
    }


def show(report: dict[str, object]) -> None:
    """The report in words."""
    print(
        f"matrix products: {report['multiply_gflops']:.0f} GFLOP/s in float32, "
        f"{report['threads']} threads"
    )
    for found in report["preparing"]:
        _show_preparing(found, report["shape"])
    _show_reading(report["reading"])
    step, paper = report["step"], report["paper"]
    print(
        f"\na training step of {step['batch']} pairs of {step['side']} x {step['side']}: "
        f"{step['seconds']:.2f} s; reading a pair from memory takes "
        f"{report['reading_share_of_step']:.3%} of a pair's share of it\n"
        f"the paper's step ({PAPER_SLICES} slices an epoch assumed): "
        f"{1000 * paper['step_seconds']:.0f} ms on an RTX A5000, which needs "
        f"{paper['slices_a_second']:.1f} slices a second; batches come "
        f"{paper['times_as_fast']['cold']:.0f} times as fast from the disk, "
        f"{paper['times_as_fast']['warm']:.0f} times from memory"
    )


def _show_preparing(found: dict[str, object], shape: tuple[int, int, int]) -> None:
    size = " x ".join(map(str, shape))
    print(
        f"\nprepare, {found['volumes']} volumes of {size}, {found['jobs']} jobs: "
        f"{found['seconds']:.1f} s, of it the audit {found['audit_share']:.0%}"
    )
    print("  " + ", ".join(f"{name} {taken:.1f} s" for name, taken in found["stages"].items()))
    print(f"  peak of the largest process: {found['at_start_bytes'] / 1e6:.0f} MB at the start")
    for name in ("cutting", "looking"):
        peaks, growth = found[f"{name}_bytes"], found["growth"][name]
        told = ", ".join(f"{peak / 1e6:.1f} MB at {at}" for at, peak in peaks.items())
        print(
            f"  {name}: {told}; grows by {growth['share']:.1%}, "
            f"{growth['bytes_a_volume'] / 1e3:.1f} kB a volume"
        )
    print(f"  at the end: {found['end_bytes'] / 1e6:.1f} MB")


def _show_reading(found: dict[str, object]) -> None:
    side = " x ".join(map(str, found["side"]))
    print(
        f"\nreading: {found['slices']} slices in frames of {side}, "
        f"{found['stored_bytes'] / 1e6:.0f} MB; {found['batches']} batches of {found['batch']} "
        "pairs, in the order of a training"
    )
    for name, label in (("read", "the store alone"), ("draw", "the trainer's batches")):
        for heat, place in (("cold", "from the disk"), ("warm", "from memory")):
            row = found[name][heat]
            disk = row["disk_bytes"]
            told = "" if disk is None else f", {disk / 1e6:.1f} MB of the disk"
            print(
                f"  {label}, {place}: {1000 * row['batch_seconds']:.2f} ms a batch, "
                f"{row['slices_a_second']:.0f} slices a second{told}"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Preparing, and reading what was prepared.")
    parser.add_argument("dataset", type=Path, nargs="?", help="read this one; else one is made")
    parser.add_argument("--volumes", type=int, default=Sizes.volumes, help="that are prepared")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="processes, in turn")
    parser.add_argument("--tiny", action="store_true", help="few and small volumes: seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    sizes = TINY if options.tiny else Sizes(volumes=options.volumes)
    with tempfile.TemporaryDirectory() as name:
        report = measure(sizes, options.jobs, options.dataset, Path(name))
    if options.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
