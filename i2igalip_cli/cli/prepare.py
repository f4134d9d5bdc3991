"""`i2igalip prepare`: raw folder -> dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.cli.audit import end_with, show_audit
from i2igalip_cli.cli.console import (
    Json,
    plain,
    print_json,
    print_table,
    progress,
    say,
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
    modality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CT", help="Modality of a domain of your own, repeated; default MR."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML settings, table [prepare].")] = None,
    plane: Annotated[
        list[str] | None,
        typer.Option(help="axial (default), coronal, sagittal, repeated; or all."),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Keep the whole field of view, air and all; default the foreground and 10 mm.",
        ),
    ] = False,
    least_foreground: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of a slice's pixels that must be foreground: emptier slices at both ends "
            "are left out; default 0.01, 0 keeps all.",
        ),
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN=LOW,HIGH",
            help="Intensities of a domain that become 0 and 1, repeated; default -1024,3000 (HU) "
            "for CT, none for MR.",
        ),
    ] = None,
    percentile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[DOMAIN=]P",
            help="Percentile of the foreground that becomes 1, for a domain or for all without a "
            "window, repeated; default 99.5.",
        ),
    ] = None,
    bias: Annotated[
        bool, typer.Option("--bias", help="Divide MR by its bias field (N4); default not.")
    ] = False,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="Lay a subject's other volumes onto the one of this, rigidly; default as headers "
            "place them.",
        ),
    ] = None,
    reorient: Annotated[
        str | None,
        typer.Option(
            metavar="AXES", help="Turn the array's axes, such as RAS; default as they are."
        ),
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Resample: mm along each axis; default as it is."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Empty what lies outside a mask: otsu (head or body), or by a program on PATH "
            "synthstrip or hd-bet (brain); default none.",
        ),
    ] = None,
    split: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="Subjects for train, val, test: numbers, or shares; default the preset's or "
            "0.7 0.1 0.2 (folders so named win)."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split; default 0.")] = None,
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
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only judge a raw folder, or a prepared dataset, and write nothing but --report.",
        ),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Page of --check; a dataset has its own in audit.html."
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Text-image encoder that the audit asks which contrast it sees, by name or "
            "folder; default biomedclip where it is on this machine."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a dataset for training.

    Finds volumes by domain, takes the steps that are asked for, normalises, splits by subject,
    writes slices, and judges them: exit code 3 where the audit finds faults.
    """
    from dataclasses import replace

    from i2igalip_cli.config import (
        ALL_PLANES,
        PLANES,
        PrepareConfig,
        load_prepare_config,
        parse_assignments,
        parse_scales,
    )
    from i2igalip_cli.engine.prepare import check as judge
    from i2igalip_cli.engine.prepare import plan
    from i2igalip_cli.engine.prepare import prepare as run

    if check and out is not None:
        raise typer.BadParameter("--check makes no dataset", param_hint="--out")
    if check and dry_run:
        raise typer.BadParameter(
            "only lists, and --check judges: one of them", param_hint="--dry-run"
        )
    if report is not None and not check:
        raise typer.BadParameter(
            "with --check; a dataset has its audit.html", param_hint="--report"
        )
    settings = PrepareConfig() if config is None else load_prepare_config(config)
    of_all, scales = parse_scales(window or (), percentile or ())
    given = {
        "preset": preset,
        "patterns": parse_assignments("--domain", domain) if domain else None,
        "captions": parse_assignments("--caption", caption) if caption else None,
        "modalities": parse_assignments("--modality", modality) if modality else None,
        "planes": PLANES if plane == [ALL_PLANES] else tuple(plane) if plane else None,
        "crop": replace(settings.crop, whole=True) if whole else None,
        "steps": _steps(settings.steps, bias, register, reorient, spacing, mask),
        "percentile": of_all,
        "intensity": {**settings.intensity, **scales},
        "least_foreground": least_foreground,
        "split": split,
        "seed": seed,
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    if dry_run:
        _show_plan(plan(raw, settings, split_file), as_json)
        return
    if check:
        with progress("judging") as advance:
            checked = judge(
                raw,
                settings,
                report=report,
                split_file=split_file,
                encoder=encoder,
                jobs=jobs,
                on_progress=advance,
            )
        warn(checked.warnings)
        if as_json:
            print_json(checked.audit.as_json())
        else:
            show_audit(checked.audit)
        end_with(checked.audit)
        return
    if out is None:
        raise typer.BadParameter("a folder, --dry-run or --check", param_hint="--out")
    try:
        with progress("preparing") as advance:
            made = run(
                raw,
                out,
                settings,
                split_file=split_file,
                skip_faulty=skip_faulty,
                encoder=encoder,
                jobs=jobs,
                on_progress=advance,
            )
    except KeyboardInterrupt:
        say("Stopped; the same command goes on with what is left.")
        raise
    warn(made.warnings)
    _show_report(made, out, as_json)
    end_with(made.audit)


def _steps(
    steps: "Steps",
    bias: bool,
    register: str | None,
    reorient: str | None,
    spacing: tuple[float, float, float] | None,
    mask: str | None,
) -> "Steps":
    """The steps of the settings, with what the command line says over them."""
    from dataclasses import replace

    return replace(
        steps,
        bias=bias or steps.bias,
        register=steps.register if register is None else register,
        reorient=steps.reorient if reorient is None else reorient.upper(),
        spacing_mm=spacing or steps.spacing_mm,
        mask=steps.mask if mask is None else mask,
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


def _show_report(made: "PrepareReport", out: Path, as_json: bool) -> None:
    """What was prepared, and how it was judged."""
    left_out = _left_out(made.index.left_out)
    if as_json:
        print_json(
            {
                "dataset": str(out),
                "slices": made.counts,
                "pairs": made.pairs,
                "warnings": made.warnings,
                "left_out": left_out,
                "audit": made.audit.as_json(),
            }
        )
        return
    for name, counts in made.counts.items():
        parts = ", ".join(f"{n} of {part}" for part, n in counts.items())
        typer.echo(f"{name}: slices {parts}")
    typer.echo(f"registered volumes for training in pairs: {made.pairs}")
    if left_out:
        typer.echo(f"left out: {len(left_out)} volumes; --json lists them with the reason")
    show_audit(made.audit)
    typer.echo(f"dataset: {out}, with pictures of all volumes in audit.html")
