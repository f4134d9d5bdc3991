"""What an audit found, on the console, and the exit code that says so."""

from typing import TYPE_CHECKING

import typer

from i2igalip_cli.cli.console import SOME_FAILED, plain, say, warn

if TYPE_CHECKING:
    from i2igalip_cli.engine.audit import Audit


def show_audit(audit: "Audit") -> None:
    """Print faults and warnings on stderr, and the verdict on stdout."""
    faults, warnings = audit.lines("fault"), audit.lines("warning")
    for line in faults:
        say(f"[red]Fault:[/] {plain(line)}")
    warn(warnings)
    for check in audit.checks:
        if check.unjudged:
            say(f"[dim]Not judged:[/] {plain(f'{check.name}: {check.unjudged}')}")
    typer.echo(f"audit: {audit.verdict} ({len(faults)} faults, {len(warnings)} warnings)")


def end_with(audit: "Audit") -> None:
    """End with the exit code of a dataset in which something is wrong.

    Raises:
        Exit: There are faults.
    """
    if audit.verdict == "faulty":
        raise typer.Exit(SOME_FAILED)
