"""`i2igalip prepare`: raw folder -> dataset."""

from pathlib import Path
from typing import Annotated

import typer

from i2igalip_cli.cli.console import Json, print_json, progress, warn


def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder of volumes, searched through all levels.")],
    out: Annotated[Path, typer.Option("--out", help="New folder of the prepared dataset.")],
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="DOMAIN='GLOB' of file names, repeated; default T1, T2, PD by '*T1*'."),
    ] = None,
    caption: Annotated[
        list[str] | None,
        typer.Option(help="DOMAIN='TEXT', repeated: a domain of your own, or another caption."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML settings, table [prepare].")] = None,
    plane: Annotated[
        list[str] | None,
        typer.Option(help="axial (default), coronal, sagittal, repeated; or all."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep the whole field of view, air and all.")
    ] = False,
    split: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="Subjects for train, val, test: numbers, or shares; default 0.7 0.1 0.2 "
            "(folders so named win)."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split.")] = None,
    as_json: Json = False,
) -> None:
    """Make a dataset for training.

    Finds volumes by domain, normalises, splits by subject, and writes slices.
    """
    from dataclasses import replace

    from i2igalip_cli.config import (
        ALL_PLANES,
        PLANES,
        PrepareConfig,
        load_prepare_config,
        parse_assignments,
    )
    from i2igalip_cli.engine.prepare import prepare

    settings = PrepareConfig() if config is None else load_prepare_config(config)
    given = {
        "patterns": parse_assignments("--pattern", pattern) if pattern else None,
        "captions": parse_assignments("--caption", caption) if caption else None,
        "planes": PLANES if plane == [ALL_PLANES] else tuple(plane) if plane else None,
        "crop": replace(settings.crop, whole=True) if whole else None,
        "split": split,
        "seed": seed,
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    with progress("preparing") as advance:
        report = prepare(
            raw,
            out,
            settings,
            on_progress=advance,
        )
    warn(report.warnings)
    if as_json:
        print_json(
            {
                "dataset": str(out),
                "slices": report.counts,
                "pairs": report.pairs,
                "warnings": report.warnings,
            }
        )
        return
    for name, counts in report.counts.items():
        parts = ", ".join(f"{n} of {part}" for part, n in counts.items())
        typer.echo(f"{name}: slices {parts}")
    typer.echo(f"registered volumes for training in pairs: {report.pairs}")
    typer.echo(f"dataset: {out}")
