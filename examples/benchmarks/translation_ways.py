"""The time of a slice: every backend, arithmetic and field of view beside the matrix rate."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from machine import count_flop, matrix_rate

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends import BACKENDS, Precision, make_backend
from i2igalip_cli.engine.precision import precision_loss
from i2igalip_cli.volumes.volume import Array

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TRY = Path(__file__).with_name("try_backend.py")
Run = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the generator on slices.

    Attributes:
        name: Of a backend.
        field: Of view: "whole" or "cropped".
        threads: Of the processor.
        precision: The arithmetic.
        run: Slices (N, 1, H, W) to the same.
        slices: What it is measured on.
        flop: Work of a slice.
    """

    name: str
    field: str
    threads: int
    precision: Precision
    run: Run
    slices: Array
    flop: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a way takes: medians over the repeats.

    Attributes:
        name: As in `Way`.
        field: As in `Way`.
        threads: As in `Way`.
        precision: As in `Way`.
        size: Height and width of the slices.
        slice_seconds: Wall time of all slices, divided by their number.
        rate: Matrix products in the same arithmetic on as many threads just before, FLOP/s.
        share: Of that rate that the generator's work reached.
        loss_db: What less than float32 costs at most, in dB of PSNR; None for float32.
    """

    name: str
    field: str
    threads: int
    precision: Precision
    size: tuple[int, int]
    slice_seconds: float
    rate: float
    share: float
    loss_db: float | None


def list_ways(
    checkpoint: Checkpoint,
    target: Domain,
    fields: dict[str, Array],
    threads: int,
    refusals: dict[tuple[str, Precision], str],
) -> list[Way]:
    """All that can be measured here, warmed up.

    Args:
        checkpoint: What the backends run.
        target: Where to.
        fields: Slices (N, 1, H, W) by field of view.
        threads: Of the processor; backends are also measured on one.
        refusals: From `find_refusals`.
    """
    ways = [
        Way(
            name=name,
            field=field,
            threads=count,
            precision=precision,
            run=run,
            slices=slices,
            flop=count_flop(checkpoint.config.generator, *slices.shape[2:]),
        )
        for (name, count, precision, run), (field, slices) in product(
            _list_backends(checkpoint, target, threads, refusals), fields.items()
        )
    ]
    for way in ways:
        way.run(way.slices[: way.threads])
    return ways


def find_refusals(
    checkpoint: Checkpoint, fields: dict[str, Array]
) -> dict[tuple[str, Precision], str]:
    """Why a backend can't take the slices in an arithmetic; "" where it can.

    Each is tried in a process of its own, which a crash of its library ends.
    """
    sizes = ["x".join(map(str, slices.shape[2:])) for slices in fields.values()]
    found: dict[tuple[str, Precision], str] = {}
    for name, precision in product(BACKENDS, PRECISIONS):
        words = [sys.executable, str(TRY), str(checkpoint.path), name, precision, *sizes]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        said = done.stderr.strip().splitlines()[-1:]
        reason = f"crashed (signal {-done.returncode})" if done.returncode < 0 else "".join(said)
        found[name, precision] = reason if done.returncode else ""
    return found


def _list_backends(
    checkpoint: Checkpoint,
    target: Domain,
    threads: int,
    refusals: dict[tuple[str, Precision], str],
) -> Iterator[tuple[str, int, Precision, Run]]:
    """Every backend in every arithmetic that runs here, on one thread and on all."""
    for (name, precision), count in product(refusals, sorted({1, threads})):
        if not refusals[name, precision]:
            backend = make_backend(
                checkpoint, name=name, device="cpu", threads=count, precision=precision
            )
            yield name, count, precision, lambda slices, b=backend: b(slices, None, target)


def measure(ways: list[Way], repeats: int, psnr: float) -> list[Timing]:
    """Go round all ways, so that what else runs slows all alike.

    Args:
        ways: The first in float32 of each field of view is what others' arithmetic is held against.
        repeats: Rounds.
        psnr: Of the checkpoint, in dB.
    """
    samples: list[list[tuple[float, float]]] = [[] for _ in ways]
    made: list[Array] = [way.slices for way in ways]
    for _, (number, way) in product(range(repeats), enumerate(ways)):
        rate = matrix_rate(way.threads, way.precision)
        began = time.perf_counter()
        made[number] = way.run(way.slices)
        samples[number].append(((time.perf_counter() - began) / len(way.slices), rate))
    exact: dict[str, Array] = {}
    for way, result in zip(ways, made, strict=True):
        if way.precision == "float32":
            exact.setdefault(way.field, result)
    return [
        Timing(
            name=way.name,
            field=way.field,
            threads=way.threads,
            precision=way.precision,
            size=(way.slices.shape[2], way.slices.shape[3]),
            slice_seconds=statistics.median(seconds for seconds, _ in sampled),
            rate=statistics.median(rate for _, rate in sampled),
            share=statistics.median(way.flop / seconds / rate for seconds, rate in sampled),
            loss_db=None
            if way.precision == "float32"
            else precision_loss(result, exact[way.field], psnr),
        )
        for way, sampled, result in zip(ways, samples, made, strict=True)
    ]


def find_fastest(
    timings: list[Timing], field: str, threads: int, precision: Precision
) -> Timing | None:
    """The backend that takes a field of view in the least time; None if none has the arithmetic."""
    own = [
        timing
        for timing in timings
        if (timing.field, timing.threads, timing.precision) == (field, threads, precision)
    ]
    return min(own, key=lambda timing: timing.slice_seconds, default=None)
