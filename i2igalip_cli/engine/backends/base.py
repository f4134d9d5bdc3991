"""What a backend is, and what all of them share."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol, get_args

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.cores import usable_cores
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes.volume import Array

Precision = Literal["float32", "bfloat16", "float16"]
CALLS_A_WORKER = 4  # in a call of a backend: at its end, workers wait for the slowest
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class Backend(Protocol):
    """Runs a checkpoint's networks on slices.

    Attributes:
        name: In `BACKENDS`.
        precision: The arithmetic it computes in.
        warnings: What happened on the way that the user should know, each once.
        chunk: Slices in a call that keep it busy; fewer or more only take longer or more memory.
    """

    name: str
    precision: Precision
    warnings: list[str]
    chunk: int

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices.

        Args:
            slices: (N, 1, H, W) float32 in [0, 1]; H and W multiples of the generator's
                `side_multiple`.
            source: Their domain; None where the method needn't know.
            target: Domain of the result, one of the checkpoint's.

        Returns:
            The same shape, type, range and order. It doesn't depend on how slices are divided into
            calls, nor on threads.
        """


BackendClass = Callable[..., Backend]


class NoGraphError(ConfigError):
    """A method without a graph of its translation, for a backend that needs one."""


def count_threads(threads: int | None) -> int:
    """The threads asked for: here, else by the environment, else as many as the process may use."""
    if threads is not None:
        return threads
    for variable in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        asked = os.environ.get(variable, "").split(",")[0]  # OpenMP's may name nested levels
        if asked.isdecimal() and int(asked) > 0:
            return int(asked)
    return usable_cores()


def refuse_device(checkpoint: Checkpoint, name: str, device: str | None) -> None:
    """Refuse anything but the processor.

    Raises:
        ConfigError: Another device is asked for.
    """
    if device not in (None, "cpu"):
        raise ConfigError(
            f"{checkpoint.name} can't run on {device}: {name} runs on the processor; for other "
            "devices take --backend torch"
        )


def refuse_precision(name: str, precision: str, known: tuple[str, ...]) -> None:
    """Refuse arithmetic that a backend, or this machine, hasn't.

    Raises:
        ConfigError: It isn't among the known.
    """
    if precision not in known:
        raise ConfigError(
            f"no {precision} on {name} here: it computes in {' or '.join(known)}; take another "
            "--precision or --backend"
        )


def refuse_compile(name: str, compile: bool) -> None:
    """Refuse to compile where nothing can be.

    Raises:
        ConfigError: It is asked for.
    """
    if compile:
        raise ConfigError(f"{name} has nothing to compile; leave --compile out or take torch")


def find_tokens(checkpoint: Checkpoint, target: Domain) -> tuple[int, Array]:
    """The target's row in the networks' table, and the caption tokens (1, M, C) attended to."""
    index = [domain.name for domain in checkpoint.domains].index(target.name)
    if checkpoint.tokens is None:
        return index, checkpoint.captions[index][None, None].astype(np.float32)  # (C,) -> (1, 1, C)
    return index, checkpoint.tokens[index][None].astype(np.float32)  # (M, C) -> (1, M, C)


def run_in_pieces(run: Callable[[Array], Array], slices: Array, size: int, workers: int) -> Array:
    """Run slices through a network in micro-batches of one size, several at a time.

    A network's last bits depend on the size of its batch and on the threads that share one
    operation; so every piece has the same size, the last one filled with zeros, and is one
    worker's alone.

    Args:
        run: Maps (size, 1, H, W) to the same; called from several threads.
        slices: (N, 1, H, W).
        size: Slices in a piece.
        workers: Threads.

    Returns:
        (N, 1, H, W), in order.
    """
    out = np.empty_like(slices)

    def translate(start: int) -> None:
        piece = slices[start : start + size]
        filled = np.zeros((size, *slices.shape[1:]), np.float32)
        filled[: len(piece)] = piece
        out[start : start + len(piece)] = run(filled)[: len(piece)]

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(translate, range(0, len(slices), size)):
            pass  # raises what a worker raised
    return out
