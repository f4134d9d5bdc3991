"""Translation at full size: the literal loop, ours step by step, and what the machine allows.

    python examples/benchmarks/translate.py [--part speed ...] [--size small] [--threads N]

The generator has the paper's sizes and random weights. Parts:

- speed: the ICBM 152 T1 template on the grid of an IXI volume (trilinear, the brain centred and not
  made smaller) in a literal loop (`literal_translation.py`), in ours with each step switched on,
  with every backend beside the machine's matrix rate, and by the whole command;
- start: what the command takes besides reading, computing and writing;
- memory: its peaks for CTs of two lengths and for the demo volume;
- linear: the time a slice of volumes of several lengths.

Times are medians of some rounds. Other programs may run at the same time, so the matrix rate is
measured beside each of them.
"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

from machine import matrix_rate
from translation_cost import measure_linear, measure_memory, measure_start
from translation_inputs import SIZES, Setting
from translation_report import show_linear, show_machine, show_memory, show_speed, show_start
from translation_speed import measure_speed

from i2igalip_cli.engine.backends.base import count_threads

PARTS = {
    "speed": (measure_speed, show_speed),
    "start": (measure_start, show_start),
    "memory": (measure_memory, show_memory),
    "linear": (measure_linear, show_linear),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Translation at full size, measured.")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--size", choices=SIZES, default="full", help="small: seconds, for tests")
    parser.add_argument("--threads", type=int, help="of the processor; default all")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of measuring")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    options = parser.parse_args()
    threads, sizes = count_threads(options.threads), SIZES[options.size]
    report: dict[str, object] = {
        "sizes": asdict(sizes),
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "rates": {
            f"{precision}, {count} threads": matrix_rate(count, precision)
            for precision in ("float32", "bfloat16")
            for count in sorted({1, threads})
        },
    }
    show_machine(report)
    for part in options.part:
        measure, show = PARTS[part]
        with tempfile.TemporaryDirectory() as folder:
            report[part] = measure(
                Setting(sizes=sizes, folder=Path(folder), threads=threads, repeats=options.repeats)
            )
        if options.json is not None:  # after each part, so that a later fault loses none
            options.json.write_text(json.dumps(report, indent=1))
        show(report[part])


if __name__ == "__main__":
    main()
