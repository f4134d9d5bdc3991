"""`i2igalip translate`: volumes -> volumes of another domain."""

import os
import re
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from i2igalip_cli.cli.cohort import show_report, volumes_progress
from i2igalip_cli.cli.console import Json, plain, print_json, progress, say, warn
from i2igalip_cli.cli.submission import parse_submission
from i2igalip_cli.cli.submission import submit as submit_request
from i2igalip_cli.errors import ConfigError

if TYPE_CHECKING:
    from i2igalip_cli.engine.cohort.run import CohortRequest
    from i2igalip_cli.volumes import Irregular


def translate(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", help="Target domain, e.g. T2, or its caption.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Volumes (NIfTI and others, DICOM folders, files and archives), folders of them, "
            "quoted globs, or a BIDS dataset.",
            metavar="IN",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="Domain of the source.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A volume file, or a folder for any number of volumes with a table of them. "
            "Default for one volume: IN_TARGET beside IN, with its suffix; for BIDS: "
            "derivatives/i2igalip in it.",
        ),
    ] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="File with an input a line; # begins a comment.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="DICOM: series number, UID or description pattern, or all."),
    ] = None,
    volume: Annotated[
        str | None, typer.Option(metavar="N|all", help="Place on a fourth axis, from 0, or all.")
    ] = None,
    irregular: Annotated[
        str, typer.Option(help="DICOM slices that make no regular grid: fail, resample, nearest.")
    ] = "fail",
    format: Annotated[
        str | None, typer.Option(help="Of the output: nifti, dicom; default that of the source.")
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="Of the output's voxels: auto (CT int16, MR float32), float32, int16, uint16, "
            "source (its integer type)."
        ),
    ] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a folder: redo only what isn't finished.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N|slurm",
            help="Only share I (from 0) of N of the volumes; slurm: the array task's.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint file, folder of a run or of download-weights --to, or shipped name; "
            "default the shipped one."
        ),
    ] = None,
    caption: Annotated[
        str | None, typer.Option(help="Say the target in your own words; --to still names it.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Where --caption finds the checkpoint's encoder, if it has moved."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs.")] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write OUT_preview.png: source and result.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default by itself.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the processor.")] = None,
    batch_size: Annotated[
        int, typer.Option(help="Slices between two reports of progress; never the result.")
    ] = 8,
    submit: Annotated[
        str | None,
        typer.Option(
            metavar="slurm",
            help="Don't translate here: submit --jobs tasks and one that merges their tables to "
            "the cluster (needs i2igalip[slurm]).",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="--submit: share among up to N tasks.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="--submit: option of sbatch, repeated: partition=gpu, gpus-per-node=1, time=120 "
            "(minutes; default 8 hours), mem=16G (default 8G) ...",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Translate volumes into another domain.

    An output has its source's shape, affine, units and header. Into a folder (-o DIR) go any number
    of volumes: what fails is a row of its table, and exit code 3.
    """
    from i2igalip_cli.engine.cohort.inputs import Choice
    from i2igalip_cli.engine.cohort.run import CohortRequest
    from i2igalip_cli.engine.cohort.settings import TranslationSettings
    from i2igalip_cli.engine.cohort.shards import Shard
    from i2igalip_cli.engine.translator import TranslationOptions

    if encoder is not None and caption is None:
        raise typer.BadParameter("--encoder is where --caption finds its encoder; give both")
    if not inputs and list_file is None:
        raise typer.BadParameter("give a volume, a folder of volumes, or --list FILE")
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what is finished, --overwrite doesn't: choose one")
    submission = parse_submission(submit, jobs, slurm, shard)
    try:
        options = TranslationOptions(device=device, threads=threads, batch_size=batch_size)
        share = None if shard is None else Shard.parse(shard, os.environ)
        settings = TranslationSettings(
            to=to,
            source=source,
            weights=weights,
            caption=caption,
            encoder=encoder,
            irregular=cast("Irregular", irregular),  # checked there
            format=format,
            dtype=dtype,
            preview=preview,
            options=options,
        )
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    request = CohortRequest(
        inputs=inputs or [],
        list_file=list_file,
        out=output,
        choice=Choice(series=series, volume=_volume_number(volume)),
        settings=settings,
        resume=resume,
        overwrite=overwrite,
        shard=share,
    )
    is_cohort = _is_cohort(request, submitted=submission is not None)
    if submission is not None:
        submit_request(context, request, submission, as_json=as_json)
    elif is_cohort:
        _translate_cohort(request, as_json=as_json)
    else:
        _translate_one(request, as_json=as_json)


def _volume_number(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal():
        raise typer.BadParameter(f"--volume {text}: give a number from 0, or all")
    return int(text)


def _is_cohort(request: "CohortRequest", *, submitted: bool) -> bool:
    """Whether the output is a folder with a table, rather than one volume.

    Raises:
        typer.BadParameter: What is asked for needs a folder, and -o names none.
    """
    from i2igalip_cli.volumes import volume_suffix

    out = request.out
    if out is not None and (out.is_dir() or volume_suffix(out) is None):
        _refuse_typo(request, out)
        return True
    if out is None and request.bids is not None:
        return True
    if out is not None and request.settings.format == "dicom":
        raise typer.BadParameter(
            f"--format dicom writes a folder, but -o {out} names a volume file"
        )
    reason = "--submit" if submitted else _needs_folder(request)
    if reason:
        named = "" if out is None else f", and {out} names one volume"
        raise typer.BadParameter(f"{reason}: say with -o DIR where to write{named}")
    return False


def _refuse_typo(request: "CohortRequest", out: Path) -> None:
    """Take a name such as out.nii.g for a slip, not for a folder to make.

    Raises:
        typer.BadParameter: One file goes to a new place whose name ends like a file's.
    """
    one_file = len(request.inputs) == 1 and Path(request.inputs[0]).is_file()
    if one_file and not out.exists() and re.fullmatch(r"\.[A-Za-z]\w{0,4}", out.suffix):
        raise typer.BadParameter(
            f"-o {out} ends like a file's name, but not like a volume's; if it is to be a folder, "
            "make it first"
        )


def _needs_folder(request: "CohortRequest") -> str:
    """Why this takes an output folder; "" where it doesn't."""
    reasons = {
        "several inputs": len(request.inputs) > 1,
        "--list": request.list_file is not None,
        "a glob": not Path(request.inputs[0]).exists() and has_magic(request.inputs[0])
        if request.inputs
        else False,
        "--series all": request.choice.series == "all",
        "--volume all": request.choice.volume == "all",
        "--resume": request.resume,
        "--shard": request.shard is not None,
    }
    return next((reason for reason, given in reasons.items() if given), "")


def _translate_cohort(request: "CohortRequest", *, as_json: bool) -> None:
    from i2igalip_cli.engine.cohort.run import run_cohort

    with volumes_progress(f"to {request.settings.to}") as advance:
        report = run_cohort(request, advance, lambda notice: say(plain(notice)))
    if not report.rows:
        say(plain(f"shard {request.shard} is empty: there are fewer volumes than shards"))
    show_report(report, as_json=as_json)


def _translate_one(request: "CohortRequest", *, as_json: bool) -> None:
    from i2igalip_cli.engine.single import translate_single

    with progress(f"to {request.settings.to}") as advance:
        report = translate_single(
            Path(request.inputs[0]),
            request.settings,
            out=request.out,
            choice=request.choice,
            overwrite=request.overwrite,
            on_progress=advance,
        )
    warn(report.warnings)
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(report.describe())
