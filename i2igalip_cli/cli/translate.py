"""`i2igalip translate`: volumes -> volumes of another domain."""

import os
import re
from dataclasses import asdict
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from i2igalip_cli.cli import translate_options as given
from i2igalip_cli.cli.cohort import show_report, volumes_progress
from i2igalip_cli.cli.console import plain, print_json, progress, say, warn
from i2igalip_cli.cli.submission import parse_submission
from i2igalip_cli.cli.submission import submit as submit_request
from i2igalip_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from i2igalip_cli.engine.backends import Precision
    from i2igalip_cli.engine.cohort.run import CohortRequest
    from i2igalip_cli.volumes import Irregular


def translate(
    context: typer.Context,
    inputs: given.Inputs = None,
    *,
    to: given.Targets,
    source: given.Source = None,
    list_file: given.ListFile = None,
    series: given.Series = None,
    volume: given.Place = None,
    irregular: given.IrregularRule = "fail",
    output: given.Output = None,
    overwrite: given.Overwrite = False,
    resume: given.Resume = False,
    format: given.Format = None,
    dtype: given.VoxelType = "auto",
    preview: given.Preview = False,
    qc: given.QualityCheck = False,
    report: given.Report = None,
    as_json: given.AsJson = False,
    weights: given.Weights = None,
    planes: given.Planes = None,
    caption: given.Caption = None,
    encoder: given.Encoder = None,
    device: given.Device = None,
    threads: given.Threads = None,
    backend: given.BackendName = None,
    precision: given.Arithmetic = "float32",
    compile: given.Compile = False,
    batch_size: given.BatchSize = 8,
    shard: given.ShardOf = None,
    submit: given.Submit = None,
    jobs: given.Jobs = None,
    slurm: given.Slurm = None,
) -> None:
    """Translate volumes into another domain.

    An output has its source's shape, affine, units and header. Into a folder (-o DIR) go any number
    of volumes: what fails is a row of its table, and exit code 3. With several --to each volume is
    read once and translated to each.
    """
    from i2igalip_cli.engine.cohort.inputs import Choice
    from i2igalip_cli.engine.cohort.run import CohortRequest
    from i2igalip_cli.engine.cohort.settings import TranslationSettings
    from i2igalip_cli.engine.cohort.shards import Shard
    from i2igalip_cli.engine.translation import TranslationOptions

    if encoder is not None and caption is None and not qc:
        raise typer.BadParameter(
            "--encoder is where --caption or --qc finds its encoder; give one of them, too"
        )
    if not inputs and list_file is None:
        raise typer.BadParameter("give a volume, a folder of volumes, or --list FILE")
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what is finished, --overwrite doesn't: choose one")
    if submit is not None and report is not None:
        raise typer.BadParameter("--report draws what is translated here, and --submit does none")
    submission = parse_submission(submit, jobs, slurm, shard)
    try:
        options = TranslationOptions(
            backend=backend,
            device=device,
            threads=threads,
            batch_size=batch_size,
            precision=cast("Precision", precision),  # checked there
            planes=planes,
            compile=compile,
        )
        share = None if shard is None else Shard.parse(shard, os.environ)
        settings = TranslationSettings(
            targets=tuple(to),
            source=source,
            weights=weights,
            caption=caption,
            encoder=encoder,
            irregular=cast("Irregular", irregular),  # checked there
            format=format,
            dtype=dtype,
            preview=preview,
            quality=qc,
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
        return
    if report is not None:
        from i2igalip_cli.engine.reports.writing import check_page

        check_page(report, overwrite=overwrite or resume)
    if is_cohort:
        _translate_cohort(request, report, as_json=as_json)
    else:
        _translate_one(request, report, as_json=as_json)


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
    if out is not None and len(request.settings.targets) > 1:
        raise typer.BadParameter(
            f"-o {out} names one volume, but --to {len(request.settings.targets)} targets: say "
            "with -o DIR where to write, or leave it out"
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


def _translate_cohort(request: "CohortRequest", page: Path | None, *, as_json: bool) -> None:
    from i2igalip_cli.engine.cohort.run import run_cohort

    with volumes_progress(_label(request)) as advance:
        report = run_cohort(request, advance, lambda notice: say(plain(notice)))
    if not report.rows:
        say(plain(f"shard {request.shard} is empty: there are fewer volumes than shards"))
    try:
        show_report(report, as_json=as_json)
    finally:  # also where that ends with 3; what fails in drawing comes after the results
        _write_page([asdict(row) for row in report.rows], request, page, root=report.out)


def _translate_one(request: "CohortRequest", page: Path | None, *, as_json: bool) -> None:
    from i2igalip_cli.engine.single import translate_single

    with progress(_label(request)) as advance:
        reports = translate_single(
            Path(request.inputs[0]),
            request.settings,
            out=request.out,
            choice=request.choice,
            overwrite=request.overwrite,
            on_progress=advance,
        )
    warn(dict.fromkeys(line for report in reports for line in report.warnings))
    if as_json:
        found = [report.values for report in reports]
        print_json(found if len(found) > 1 else found[0])
    else:
        for report in reports:
            typer.echo(report.summary)
    _write_page([report.values for report in reports], request, page)


def _write_page(
    records: "Sequence[Mapping[str, Any]]",
    request: "CohortRequest",
    page: Path | None,
    root: Path | None = None,
) -> None:
    """Write the page that was asked for, if one was."""
    if page is None:
        return
    from i2igalip_cli.engine.reports import write_translation_report

    write_translation_report(
        records,
        page,
        root=root,
        irregular=request.settings.irregular,
        overwrite=request.overwrite or request.resume,
    )


def _label(request: "CohortRequest") -> str:
    """What the progress is of."""
    return f"to {', '.join(request.settings.targets)}"
