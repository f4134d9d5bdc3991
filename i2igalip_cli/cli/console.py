"""What the program says: messages on stderr, results on stdout, one progress bar.

Of the program only this package prints. Everything heavy is imported inside the functions that need
it, so that `--help` is instant.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

SOME_FAILED = 3  # exit code: some of the volumes can't be used, the others are done
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def plain(text: str) -> str:
    """A message on one line, with nothing that the console would read as style."""
    from rich.markup import escape

    return escape(one_line(text))


def say(text: str) -> None:
    """Print a styled line on stderr."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(text)


def warn(warnings: Iterable[str]) -> None:
    """Print a line for each warning on stderr."""
    for warning in warnings:
        say(f"[yellow]Warning:[/] {plain(warning)}")


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with time left on stderr; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def print_json(values: object) -> None:
    """Print a JSON object on stdout."""
    typer.echo(json.dumps(values, indent=2, allow_nan=False))


def print_table(table: "Table") -> None:
    """Print a table without cutting names, however narrow the terminal or the log is."""
    from rich.console import Console

    wanted = Console(width=10_000).measure(table).maximum
    Console(width=max(Console().width, wanted)).print(table)
