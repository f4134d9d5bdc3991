"""What a benchmark asks of the machine: its matrix rate, a network's work, a command's cost."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from i2igalip_cli.config import GeneratorConfig
from i2igalip_cli.networks.unet import Generator

WATCH = Path(__file__).with_name("watch.py")
# Of small sizes of the benchmarks, which show in seconds that they run.
TINY_GENERATOR = GeneratorConfig(
    width=8,
    multipliers=(1, 2),
    norm_groups=4,
    head_width=8,
    context=16,
    residual_blocks=1,
    attention_reductions=(2,),
)


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: Wall time from its start to its end.
        processor_seconds: Time on processor cores, of all its threads.
        peak_bytes: Largest resident memory.
    """

    seconds: float
    processor_seconds: float
    peak_bytes: int


class CommandError(Exception):
    """A command failed; the message is what it said last."""


def run_watched(command: Sequence[object]) -> Cost:
    """Run a command to its end.

    Raises:
        CommandError: It failed.
    """
    words = [sys.executable, str(WATCH), *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(done.stderr.strip())
    return Cost(**json.loads(done.stdout))


_LONGEST_PRODUCT = 5.0  # seconds of one product


def translate_words(
    source: Path, target: str, out: Path, weights: Path | None, threads: int, *options: object
) -> list[object]:
    """The command line of `i2igalip translate`; without weights, the shipped ones."""
    words: list[object] = [sys.executable, "-m", "i2igalip_cli", "translate", source]
    words += ["--to", target, "-o", out, "--overwrite", "--threads", threads, *options]
    return words if weights is None else [*words, "--weights", weights]


def matrix_rate(
    threads: int, precision: str = "float32", side: int = 2048, repeats: int = 3
) -> float:
    """Products of square matrices in torch, in FLOP a second: the fastest of a few.

    Where the processor lacks the arithmetic (bfloat16 on many), torch takes minutes for them: then
    smaller matrices have to do.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    small = side // 8
    seconds = _time_product(small, precision, 2)
    if seconds * (side / small) ** 3 < _LONGEST_PRODUCT:
        small, seconds = side, _time_product(side, precision, repeats)
    torch.set_num_threads(before)
    return 2 * small**3 / seconds


def _time_product(side: int, precision: str, repeats: int) -> float:
    """Seconds of the fastest of a few products."""
    a, b = (torch.rand(side, side).to(getattr(torch, precision)) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return best


def count_flop(config: GeneratorConfig, height: int, width: int) -> int:
    """Work of the generator on one slice: all matrix products and convolutions, 2 a multiply-add.

    Counted without data, where torch takes attention apart: its fused form isn't counted.
    """
    with torch.device("meta"):
        slices, tokens = torch.empty(1, 1, height, width), torch.empty(1, 1, config.context)
        domain = torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        Generator(config).to("meta")(slices, tokens, domain)
    return counter.get_total_flops()
