"""The figures of `translate.py` in words and tables."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = dict[str, Any]
console = Console(width=110, highlight=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _giga(value: float) -> str:
    return f"{value / 1e9:.0f}"


def _cost(row: Figures) -> str:
    return f"{row['seconds']:.2f} s, peak {row['peak_bytes'] / 1e9:.2f} GB"


def show_machine(report: Figures) -> None:
    """Threads and matrix rates at the beginning."""
    rates = ", ".join(f"{_giga(rate)} ({name})" for name, rate in report["rates"].items())
    console.print(
        f"{report['threads']} threads; products of matrices, GFLOP/s: {rates}; beside it ran "
        f"{report['load']:.1f} programs (load of the last minute)"
    )


def show_speed(found: Figures) -> None:
    """The volume, the literal loop, the steps, the backends and the command."""
    loop, flop = found["literal"], found["flop"]
    shape, cropped = (" x ".join(map(str, found[name])) for name in ("shape", "cropped"))
    graph = f"{'made' if found['graph_made'] else 'found'} in {found['graph_seconds']:.1f} s"
    console.print(
        f"\nVolume {shape}, box {found['box']} (slices, rows, columns), generator's slices "
        f"{cropped}; {found['filled_slices']} of {found['shape'][2]} slices have foreground\n"
        f"Generator: {flop['whole'] / 1e9:.1f} GFLOP a whole slice, {flop['cropped'] / 1e9:.1f} "
        f"cropped; its ONNX graph was {graph}\n"
        f"Literal loop: {loop['seconds']:.1f} s = start {loop['start_seconds']:.1f} + "
        f"{found['shape'][2]} slices of {1000 * loop['slice_seconds']:.0f} ms (caption "
        f"{1000 * loop['caption_seconds']:.0f}, generator {1000 * loop['generator_seconds']:.0f}; "
        f"{loop['timed_slices']} were timed) + saving {loop['saving_seconds']:.1f}; peak "
        f"{loop['peak_bytes'] / 1e9:.2f} GB; matrix rate before and after "
        f"{' and '.join(map(_giga, loop['rates']))} GFLOP/s; whole frames of ours differ from it "
        f"by at most {found['literal_difference']:.0e}"
    )
    _table(
        "Each step switched on in turn",
        ("step", "ms a slice", "slices", "s a volume"),
        [
            (
                row["step"],
                f"{1000 * row['slice_seconds']:.0f}",
                str(row["slices"]),
                f"{row['seconds']:.1f}",
            )
            for row in found["steps"]
        ],
    )
    _show_timings(found["timings"])
    for name, why in found["left_out"].items():
        console.print(f"Left out: {name}: {why}")
    for best in found["fastest"]:
        console.print(
            f"Fastest at {' x '.join(map(str, best['size']))} in {best['precision']}: "
            f"{best['name']}, {best['share']:.0%} of the matrix rate"
        )
    _show_program(found["program"])


def _show_timings(timings: list[Figures]) -> None:
    _table(
        "Generator by backend (matrix rate in the same arithmetic, on as many threads)",
        ("backend", "size", "threads", "ms a slice", "GFLOP/s of matrices", "reached", "dB lost"),
        [
            (
                f"{row['name']}, {row['precision']}",
                " x ".join(map(str, row["size"])),
                str(row["threads"]),
                f"{1000 * row['slice_seconds']:.0f}",
                _giga(row["rate"]),
                f"{row['share']:.0%}",
                "" if row["loss_db"] is None else f"{row['loss_db']:.3f}",
            )
            for row in timings
        ],
    )


def _show_program(runs: list[Figures]) -> None:
    _table(
        "i2igalip translate, from cold start to finished file",
        ("options", "s", "core s", "peak GB", "bound s", "reached", "times faster than literal"),
        [
            (run["options"] or "(default)", run["refused"], "", "", "", "", "")
            if "refused" in run
            else (
                run["options"] or "(default)",
                f"{run['seconds']:.1f}",
                f"{run['processor_seconds']:.1f}",
                f"{run['peak_bytes'] / 1e9:.2f}",
                f"{run['bound_seconds']:.1f}",
                f"{run['share_of_bound']:.0%}",
                f"{run['times_faster']:.1f}",
            )
            for run in runs
        ],
    )
    console.print(
        "Bound: the work of the slices with foreground, cropped, at the float32 matrix rate just "
        "before the run."
    )


def show_start(found: Figures) -> None:
    """Start-up by backend, and the demo volume taken apart."""
    for name, row in found["few_slices"].items():
        told = row["refused"] if "refused" in row else _cost(row)
        console.print(f"Start-up with {name} (3 slices of 32 x 32): {told}")
    demo = found["demo"]
    console.print(
        f"Demo volume {demo['shape']}: {demo['seconds']:.2f} s = reading {demo['reading']:.2f} + "
        f"computing {demo['computing']:.2f} + writing {demo['writing']:.2f} + rest "
        f"{demo['rest']:.2f}; peak {demo['peak_bytes'] / 1e9:.2f} GB; torch was "
        f"{'' if demo['torch_loaded'] else 'not '}loaded"
    )


def show_memory(found: Figures) -> None:
    """Peaks, and how they grow."""
    for row in found["ct"]:
        console.print(
            f"CT {found['side']} x {found['side']} x {row['slices']} "
            f"({row['float32_bytes'] / 1e9:.2f} GB in float32): peak "
            f"{row['peak_bytes'] / 1e9:.2f} GB, {row['seconds']:.1f} s with a small generator"
        )
    console.print(
        f"The peak grows by {found['copies']:.2f} float32 copies of what a volume grows by; demo "
        f"volume: {found['demo_peak_bytes'] / 1e9:.2f} GB"
    )


def show_linear(found: Figures) -> None:
    """Time a slice by length."""
    times = ", ".join(f"{n}: {1000 * s:.2f}" for n, s in found["slice_seconds"].items())
    console.print(
        f"ms a slice of {found['side']} x {found['side']} by slices: {times}; spread "
        f"{found['spread']:.0%}; matrix rate {_giga(min(found['rates']))} to "
        f"{_giga(max(found['rates']))} GFLOP/s"
    )
