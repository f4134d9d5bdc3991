"""What the program says of a cohort."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from i2igalip_cli.cli.console import SOME_FAILED, plain, print_json, progress, say

if TYPE_CHECKING:
    from i2igalip_cli.engine.cohort.table import CohortReport

_LISTED = 20  # failures
_SECONDS = 60.0  # between two lines of progress where there is no terminal


@contextlib.contextmanager
def volumes_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line every minute elsewhere."""
    from rich.console import Console

    terminal = Console(stderr=True).is_terminal
    said = time.monotonic()
    with progress(label) as draw:

        def advance(done: int, total: int) -> None:
            nonlocal said
            draw(done, total)
            if not terminal and time.monotonic() - said > _SECONDS:
                said = time.monotonic()
                say(plain(f"{label}: {done} of {total} volumes"))

        yield advance


def show_report(report: "CohortReport", *, as_json: bool) -> None:
    """Print what a cohort came to; some failures are an exit code of their own.

    Raises:
        typer.Exit: With 3 if some volumes failed.
    """
    for failure in report.failures[:_LISTED]:
        say(f"[red]failed:[/] {plain(failure)}")
    if len(report.failures) > _LISTED:
        say(plain(f"... and {len(report.failures) - _LISTED} more; all are in {report.table}"))
    if report.warned:
        say(plain(f"{report.warned} volumes have warnings; they are in {report.table}"))
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(report.describe())
    if report.failures:
        raise typer.Exit(SOME_FAILED)
