"""The command line: one thin function a subcommand, progress, and the one error boundary.

A subcommand is one file and one line below. Nothing here computes.
"""

import logging
import os
import sys
import warnings
from typing import Annotated

import typer

import i2igalip_cli
from i2igalip_cli.cli.console import plain, say
from i2igalip_cli.cli.evaluate import evaluate
from i2igalip_cli.cli.merge import merge
from i2igalip_cli.cli.panels import PanelCommand
from i2igalip_cli.cli.prepare import prepare
from i2igalip_cli.cli.train import train
from i2igalip_cli.cli.translate import translate
from i2igalip_cli.cli.weights import download_weights
from i2igalip_cli.errors import GalipError, StoppedError, first_line, os_reason

app = typer.Typer(
    name="i2igalip",
    help="Translate medical image volumes between domains with one text-conditioned generator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes half the time of boxes
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _silence_libraries() -> None:
    """Keep other libraries' warnings and log lines off stderr; `python -W` brings them back.

    What matters of them to a user stands in our own messages.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def main() -> None:
    """Run the program: a fault of the input is one red line and exit code 1.

    Typer itself ends a wrong command line with 2 and an interrupt with 130.
    """
    _silence_libraries()
    try:
        app()
    except GalipError as error:
        _end(str(error), error.exit_code if isinstance(error, StoppedError) else 1)
    except OSError as error:  # of stdout: what volumes and checkpoints meet is a GalipError
        _end(
            f"can't write what this came to: {os_reason(error)}; outputs that it made are whole", 1
        )
    except Exception as error:
        if os.environ.get("I2IGALIP_TRACEBACK"):
            raise
        kind = type(error).__name__
        way = "please report it with what I2IGALIP_TRACEBACK=1 prints"
        _end(f"a fault of i2igalip itself ({kind}: {first_line(error)}); {way}", 1)


def _end(message: str, code: int) -> None:
    say(f"[bold red]Error:[/] {plain(message)}")
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(i2igalip_cli.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for command in (prepare, train, translate, merge, evaluate):
    app.command(cls=PanelCommand)(command)
app.command("download-weights")(download_weights)
