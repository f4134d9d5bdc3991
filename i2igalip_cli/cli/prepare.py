"""`i2igalip prepare`: raw folder -> dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.cli.console import (
    SOME_FAILED,
    Json,
    plain,
    print_json,
    print_table,
    progress,
    warn,
)

if TYPE_CHECKING:
    from i2igalip_cli.config import Steps
    from i2igalip_cli.engine.prepare import LeftOut, Plan, PrepareReport


def prepare(
    raw: Annotated[Path, typer.Argument(help="Folder of volumes, searched through all levels.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder of the prepared dataset.")
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME='GLOB' of files, such as T1='**/*T1*.nii.gz', repeated; default T1, T2 and "
            "PD by name, BIDS suffix or DICOM header."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="A known dataset: ixi or gold-atlas.")] = None,
    caption: Annotated[
        list[str] | None,
        typer.Option(help="NAME='TEXT', repeated: a domain of your own, or another caption."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML settings, table [prepare].")] = None,
    plane: Annotated[
        list[str] | None,
        typer.Option(help="axial (default), coronal, sagittal, repeated; or all."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep the whole field of view, air and all.")
    ] = False,
    bias: Annotated[bool, typer.Option("--bias", help="Divide MR by its bias field (N4).")] = False,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN", help="Lay a subject's other volumes onto the one of this, rigidly."
        ),
    ] = None,
    reorient: Annotated[
        str | None, typer.Option(metavar="AXES", help="Turn the array's axes, such as RAS.")
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None, typer.Option(help="Resample: mm along each axis.")
    ] = None,
    mask: Annotated[
        bool, typer.Option("--mask", help="Empty what is neither head nor body.")
    ] = False,
    split: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="Subjects for train, val, test: numbers, or shares; default the preset's or "
            "0.7 0.1 0.2 (folders so named win)."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split.")] = None,
    split_file: Annotated[
        Path | None,
        typer.Option(
            help="Split by subject, such as DATASET/split.json: what it says stays, new subjects "
            "are added to it."
        ),
    ] = None,
    skip_faulty: Annotated[
        bool,
        typer.Option(
            "--skip-faulty", help="Leave out volumes that can't be used; exit code 3 if there are."
        ),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, a subject each at a time.")] = 1,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what was found, what is left out, and why."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a dataset for training.

    Finds volumes by domain, takes the steps that are asked for, normalises, splits by subject, and
    writes slices.
    """
    from dataclasses import replace

    from i2igalip_cli.config import (
        ALL_PLANES,
        PLANES,
        PrepareConfig,
        load_prepare_config,
        parse_assignments,
    )
    from i2igalip_cli.engine.prepare import plan
    from i2igalip_cli.engine.prepare import prepare as run

    settings = PrepareConfig() if config is None else load_prepare_config(config)
    given = {
        "preset": preset,
        "patterns": parse_assignments("--domain", domain) if domain else None,
        "captions": parse_assignments("--caption", caption) if caption else None,
        "planes": PLANES if plane == [ALL_PLANES] else tuple(plane) if plane else None,
        "crop": replace(settings.crop, whole=True) if whole else None,
        "steps": _steps(settings.steps, bias, register, reorient, spacing, mask),
        "split": split,
        "seed": seed,
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    if dry_run:
        _show_plan(plan(raw, settings, split_file), as_json)
        return
    if out is None:
        raise typer.BadParameter("a folder, or --dry-run", param_hint="--out")
    with progress("preparing") as advance:
        report = run(
            raw,
            out,
            settings,
            split_file=split_file,
            skip_faulty=skip_faulty,
            jobs=jobs,
            on_progress=advance,
        )
    faults = [f"{one.name}: {one.reason}; left out" for one in report.left_out if one.faulty]
    warn([*report.warnings, *faults])
    _show_report(report, out, as_json)
    if faults:
        raise typer.Exit(SOME_FAILED)


def _steps(
    steps: "Steps",
    bias: bool,
    register: str | None,
    reorient: str | None,
    spacing: tuple[float, float, float] | None,
    mask: bool,
) -> "Steps":
    """The steps of the settings, with what the command line says over them."""
    from dataclasses import replace

    return replace(
        steps,
        bias=bias or steps.bias,
        register=steps.register if register is None else register,
        reorient=steps.reorient if reorient is None else reorient.upper(),
        spacing_mm=spacing or steps.spacing_mm,
        mask=mask or steps.mask,
    )


def _left_out(left_out: "tuple[LeftOut, ...]") -> list[dict[str, object]]:
    return [{"file": o.name, "reason": o.reason, "faulty": o.faulty} for o in left_out]


def _show_plan(planned: "Plan", as_json: bool) -> None:
    """What would be prepared, and what wouldn't."""
    from rich.table import Table

    columns = ("file", "domain", "by", "subject", "split")
    rows = [
        (
            volume.name,
            volume.domain,
            volume.evidence,
            " ".join(part for part in (volume.subject, volume.session, volume.site) if part),
            planned.split_of.get(volume.subject, "none"),
        )
        for volume in planned.found.volumes
    ]
    if as_json:
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"found": found, "left_out": _left_out(planned.found.left_out)})
        return
    warn(planned.warnings)
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(plain, row))
    print_table(table)
    if planned.found.left_out:
        typer.echo("\nleft out:")
    for one in planned.found.left_out:
        typer.echo(f"  {one.name}: {one.reason}")


def _show_report(report: "PrepareReport", out: Path, as_json: bool) -> None:
    """What was prepared."""
    if as_json:
        print_json(
            {
                "dataset": str(out),
                "slices": report.counts,
                "pairs": report.pairs,
                "warnings": report.warnings,
                "left_out": _left_out(report.left_out),
            }
        )
        return
    for name, counts in report.counts.items():
        parts = ", ".join(f"{n} of {part}" for part, n in counts.items())
        typer.echo(f"{name}: slices {parts}")
    typer.echo(f"registered volumes for training in pairs: {report.pairs}")
    if report.left_out:
        typer.echo(f"left out: {len(report.left_out)} volumes; --json lists them with the reason")
    typer.echo(f"dataset: {out}")
