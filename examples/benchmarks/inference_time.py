"""Time of a slice at the sizes of the papers, for every method, beside table 4's ratios.

    python examples/benchmarks/inference_time.py [--method NAME ...] [--side 256] [--device cpu]
                                                 [--repeats 3] [--json FILE]

Weights are random, which costs what learned ones do. Each method translates one slice by one
backend (torch); of some tries after a warm-up the fastest counts. EGSDE takes so many steps that
two short samplings are timed and their difference gives a step's time: those figures are marked.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from machine import matrix_rate
from paper_tables import TABLE_4

from i2igalip_cli.config import EgsdeConfig, TrainConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.cores import usable_cores
from i2igalip_cli.methods import METHODS
from i2igalip_cli.methods.__main__ import CONTEXT, variants

REFERENCE = "galip"
FEW, MORE = 2, 6  # steps of the samplings that stand for a long one


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A method.

    Attributes:
        seconds: Of a slice.
        parameters: Of the networks that translate it, both directions where one run has them.
        extrapolated: Whether the time is that of some steps, times their number.
    """

    seconds: float
    parameters: int
    extrapolated: bool


def time_method(config: TrainConfig, side: int, device: torch.device, repeats: int) -> Timing:
    """Time a method with random weights on a slice.

    Args:
        config: Of the method.
        side: Of the slice.
        device: Where.
        repeats: Tries.
    """
    if isinstance(config, EgsdeConfig) and config.steps_back > MORE:
        few, more = (
            time_method(replace(config, steps_back=steps), side, device, repeats)
            for steps in (FEW, MORE)
        )
        of_step = (more.seconds - few.seconds) / (MORE - FEW)
        seconds = few.seconds + (config.steps_back - FEW) * of_step
        return replace(few, seconds=seconds, extrapolated=True)
    domains = [DOMAINS["T1"], DOMAINS["T2"]]
    fitted = config.fit(len(domains), CONTEXT)
    method = METHODS[config.method](fitted, domains, torch.rand(len(domains), CONTEXT))
    method.to(device).eval().requires_grad_(False)
    if device.type == "cuda":
        method.exported.to(memory_format=torch.channels_last)
    shown = torch.rand(1, 1, side, side, device=device)
    best = float("inf")
    with torch.inference_mode():
        method.translate(shown, domains[0], domains[1])  # loads and tunes
        for _ in range(repeats):
            began = time.perf_counter()
            method.translate(shown, domains[0], domains[1]).cpu()
            best = min(best, time.perf_counter() - began)
    parameters = sum(p.numel() for p in method.exported.parameters())
    return Timing(seconds=best, parameters=parameters, extrapolated=False)


def show(timings: dict[str, Timing], rate: float, device: torch.device) -> None:
    """Print the table."""
    print(f"one slice on {device}, matrix products: {rate / 1e9:.0f} GFLOP/s in float32\n")
    print("| method | parameters | seconds | / galip's | the paper's seconds | the paper's ratio |")
    print("|---|---|---|---|---|---|")
    own = timings.get(REFERENCE)
    base = TABLE_4[REFERENCE].inference_seconds
    for name, one in timings.items():
        printed = TABLE_4.get(name)
        paper = f"{printed.inference_seconds:.5f}" if printed else "-"
        ratio = f"{printed.inference_seconds / base:.3f}" if printed else "-"
        ours = f"{one.seconds / own.seconds:.2f}" if own else "-"
        mark = " (of some steps)" if one.extrapolated else ""
        print(
            f"| {name} | {one.parameters / 1e6:.1f} M | {one.seconds:.3f}{mark} | {ours} | {paper} "
            f"| {ratio} |"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    settings = variants()
    parser = argparse.ArgumentParser(description="Time of a slice, method by method.")
    add = parser.add_argument
    add("--method", nargs="+", choices=settings, default=list(settings), metavar="NAME")
    add("--side", type=int, default=256, help="of the slice, in pixels")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--repeats", type=int, default=3)
    add("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    rate = matrix_rate(usable_cores())
    timings = {
        name: time_method(settings[name], options.side, device, options.repeats)
        for name in options.method
    }
    show(timings, rate, device)
    if options.json is not None:
        found = {name: asdict(one) for name, one in timings.items()}
        options.json.write_text(json.dumps({"multiply_gflops": rate / 1e9, "methods": found}))


if __name__ == "__main__":
    main()
