"""`i2igalip merge`: the tables of shards -> one table."""

from pathlib import Path
from typing import Annotated

import typer

from i2igalip_cli.cli.cohort import show_report
from i2igalip_cli.cli.console import Json


def merge(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The output folder of translate --shard.")
    ],
    as_json: Json = False,
) -> None:
    """Gather the tables of all shards into OUT/summary.csv.

    Refused while a shard or a volume is missing.
    """
    from i2igalip_cli.engine.cohort.table import merge_tables

    show_report(merge_tables(out), as_json=as_json)
