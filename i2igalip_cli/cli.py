"""The command line: one thin function a subcommand, progress, and the one error boundary.

Of the program only this file prints. Everything heavy is imported inside the functions that need
it, so that `--help` is instant.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import i2igalip_cli
from i2igalip_cli.errors import CheckpointError, GalipError, StoppedError, VolumeError

if TYPE_CHECKING:
    from rich.table import Table

    from i2igalip_cli.engine.evaluator import EvaluationReport
    from i2igalip_cli.engine.rehearsal import Forecast
    from i2igalip_cli.engine.trainer import Trainer, TrainProgress
    from i2igalip_cli.engine.translator import Translation
    from i2igalip_cli.hub import FileReport, WeightsEntry
    from i2igalip_cli.volumes import Volume

app = typer.Typer(
    name="i2igalip",
    help="Translate medical image volumes between domains with one text-conditioned generator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes half the time of boxes
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def main() -> None:
    """Run the program: a fault of the input is one red line and exit code 1.

    Typer itself ends a wrong command line with 2 and an interrupt with 130.
    """
    try:
        app()
    except GalipError as error:
        _say(f"[bold red]Error:[/] {_plain(str(error))}")
        sys.exit(error.exit_code if isinstance(error, StoppedError) else 1)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(" ".join(text.split()))


def _say(text: str) -> None:
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False).print(text)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _say(f"[yellow]Warning:[/] {_plain(warning)}")


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
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


def _print_json(values: object) -> None:
    typer.echo(json.dumps(values, indent=2, allow_nan=False))


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


@app.command()
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
    plane: Annotated[str | None, typer.Option(help="axial, coronal or sagittal.")] = None,
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

    from i2igalip_cli.config import PrepareConfig, load_prepare_config, parse_assignments
    from i2igalip_cli.engine.prepare import prepare

    settings = PrepareConfig() if config is None else load_prepare_config(config)
    given = {
        "patterns": parse_assignments("--pattern", pattern) if pattern else None,
        "captions": parse_assignments("--caption", caption) if caption else None,
        "plane": plane,
        "split": split,
        "seed": seed,
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    with _progress("preparing") as advance:
        report = prepare(
            raw,
            out,
            settings,
            on_progress=advance,
        )
    _warn(report.warnings)
    if as_json:
        _print_json(
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


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="A prepared dataset.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; resumed if it holds one.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML settings; without it the paper's.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Over the settings, in TOML, repeated: weights.cls=0, heads.blocks=[8,11], "
            "ema_decay=0.999, caption_context='tokens' ...",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="biomedclip (the paper's, the default), demo (shipped), an open_clip folder, or "
            "an open_clip name such as ViT-B-16:laion2b_s34b_b88k."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of download-weights --to, in which the encoder is looked up."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Begin with a trained checkpoint (file, run or shipped name)."),
    ] = None,
    caption: Annotated[
        list[str] | None,
        typer.Option(help="DOMAIN='TEXT', repeated: what a domain of the dataset is called."),
    ] = None,
    single: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="DOMAIN DOMAIN", help="Train these two alone (I2I-Galip-S)."),
    ] = None,
    paired: Annotated[
        float | None, typer.Option(help="Weight of the loss on registered pairs, e.g. 10.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Length in steps, over the settings'.")] = None,
    seed: Annotated[int | None, typer.Option(help="Over the settings'.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default by itself.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that read slices ahead.")] = 0,
) -> None:
    """Train on a prepared dataset.

    The same command resumes a run that was stopped.
    """
    from dataclasses import replace

    from i2igalip_cli.config import load_train_config, parse_assignments
    from i2igalip_cli.engine.memory import keep_freed_memory
    from i2igalip_cli.engine.parallel import join_processes
    from i2igalip_cli.engine.trainer import Trainer

    keep_freed_memory()
    settings = load_train_config(config, change or ())
    given = {
        "encoder": encoder,
        "start": start,
        "steps": steps,
        "seed": seed,
        "domains": single,
        "captions": parse_assignments("--caption", caption) if caption else None,
        "weights": None if paired is None else replace(settings.weights, paired=paired),
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    with join_processes(device) as (processes, own_device), _progress("training") as advance:
        trainer = Trainer(
            dataset,
            out,
            settings,
            own_device,
            processes=processes,
            workers=workers,
            weights=weights,
        )
        say = _say if processes.writes else _silent
        say(_plain(_describe(trainer)))
        if trainer.step < trainer.steps:
            say(_foretell(trainer.rehearse(), trainer.steps - trainer.step))

        def show(progress: "TrainProgress") -> None:
            if processes.writes:
                advance(progress.step, progress.steps)
                _warn(progress.warnings)
                _show_progress(progress, settings.save_every)

        checkpoint = trainer.run(show)
        if processes.writes:
            typer.echo(f"checkpoint: {checkpoint}")


def _silent(text: str) -> None:
    """What the processes say that don't write."""


def _show_progress(progress: "TrainProgress", every: int) -> None:
    if progress.step % every == 0:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        _say(f"step {progress.step}: {losses}")
    if progress.validation is not None:
        scores = progress.validation
        mark = " (the best so far)" if progress.best else ""
        _say(
            f"step {progress.step}: validation PSNR {scores['psnr']:.2f} dB, "
            f"SSIM {scores['ssim']:.2f} %{mark}"
        )


def _foretell(forecast: "Forecast", steps: int) -> str:
    """The line before the first step: what the run will take."""
    from datetime import timedelta

    left = timedelta(seconds=round(forecast.seconds_a_step * steps))
    memory = forecast.memory_bytes
    size = "unknown memory" if memory is None else f"{memory / 2**30:.1f} GiB of memory"
    return (
        f"a step takes {forecast.seconds_a_step:.2f} s and {size} (one was tried out and undone); "
        f"{steps:,} steps take about {left}"
    )


def _describe(trainer: "Trainer") -> str:
    """The run's first line."""
    sizes = ", ".join(
        f"{network} {number:,}"
        for network, number in trainer.method.parameters_by_network().items()
    )
    return (
        f"{trainer.config.method} on {trainer.device}, encoder {trainer.config.encoder} "
        f"({trainer.provenance['encoder_sha256'][:12]}), parameters: {sizes}; "
        f"step {trainer.step} of {trainer.steps}"
    )


@app.command()
def translate(
    volume: Annotated[Path, typer.Argument(help="A NIfTI volume.", metavar="IN.nii.gz")],
    to: Annotated[str, typer.Option("--to", help="Target domain, e.g. T2, or its caption.")],
    source: Annotated[str | None, typer.Option("--from", help="Domain of the source.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: IN_TARGET.nii.gz beside IN.")
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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write OUT_preview.png: source and result.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default by itself.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the processor.")] = None,
    batch_size: Annotated[
        int, typer.Option(help="Slices between two reports of progress; never the result.")
    ] = 8,
    as_json: Json = False,
) -> None:
    """Translate a volume into another domain.

    The output has the source's shape, affine, units and header.
    """
    from i2igalip_cli.checkpoints import load_checkpoint
    from i2igalip_cli.domains import find_domain
    from i2igalip_cli.volumes import check_output, load_volume, save_volume, volume_suffix

    if encoder is not None and caption is None:
        raise typer.BadParameter("--encoder is where --caption finds its encoder; give both")
    checkpoint = load_checkpoint(weights)
    target = find_domain(to, checkpoint.domains)
    if source is not None:
        find_domain(source, checkpoint.domains)
    loaded = load_volume(volume)
    suffix = volume_suffix(volume) or ""
    stem = volume.name[: len(volume.name) - len(suffix)]
    out = output or volume.with_name(f"{stem}_{target.name}{suffix}")
    check_output(out, overwrite=overwrite)

    from i2igalip_cli.engine.captions import encode_caption
    from i2igalip_cli.engine.translator import TranslationOptions, translate_volume

    said = None if caption is None else encode_caption(caption, checkpoint, encoder, weights)
    options = TranslationOptions(device=device, threads=threads, batch_size=batch_size)
    try:
        with _progress(f"to {target.name}") as advance:
            result = translate_volume(loaded, checkpoint, to, source, options, advance, said)
    except VolumeError as error:
        raise VolumeError(f"{volume}: {error}") from error
    _warn(f"{volume}: {warning}" for warning in result.warnings)
    save_volume(result.volume, out, overwrite=overwrite)
    picture = _preview(loaded, result, out) if preview else None
    if as_json:
        _print_json(
            {
                "input": str(volume),
                "output": str(out),
                "preview": None if picture is None else str(picture),
                "source": None if result.source is None else result.source.name,
                "target": target.name,
                "caption": result.target.caption,
                "shape": loaded.shape,
                "slices": result.slices,
                "empty_slices": result.empty,
                "source_window": [result.window.low, result.window.high],
                "output_window": [result.out_window.low, result.out_window.high],
                "nonfinite_voxels": loaded.nonfinite_voxels,
                "weights": checkpoint.name,
                "weights_sha256": checkpoint.sha256,
                "version": i2igalip_cli.__version__,
                "seconds": round(result.seconds, 3),
                "warnings": result.warnings,
            }
        )
    else:
        typer.echo(
            f"{out}: {target.name}, {result.slices} slices ({result.empty} empty) "
            f"in {result.seconds:.1f} s"
        )


def _preview(source: "Volume", result: "Translation", out: Path) -> Path:
    from i2igalip_cli.evaluation.pictures import draw_comparison, save_picture
    from i2igalip_cli.volumes import volume_suffix

    suffix = volume_suffix(out) or ""
    path = out.with_name(f"{out.name[: len(out.name) - len(suffix)]}_preview.png")
    name = "source" if result.source is None else result.source.name
    save_picture(
        draw_comparison(
            [
                (name, source, result.window),
                (f"{result.target.name} (synthetic)", result.volume, result.out_window),
            ]
        ),
        path,
    )
    return path


@app.command()
def evaluate(
    pred: Annotated[Path, typer.Option("--pred", help="A volume, or a folder of volumes.")],
    gt: Annotated[Path, typer.Option("--gt", help="Its reference, or a folder of same names.")],
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Where to look (above 0); a file or a folder.")
    ] = None,
    value_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--range",
            metavar="LOW HIGH",
            help="Intensities of the fixed protocol, e.g. -1024 3000 for CT; "
            "default each volume's own percentiles.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare predictions with references.

    PSNR, SSIM and masked MAE, by protocol.
    """
    from i2igalip_cli.engine.evaluator import evaluate_paths
    from i2igalip_cli.evaluation.protocols import Scale

    with _progress("evaluating") as advance:
        report = evaluate_paths(pred, gt, mask, Scale(value_range=value_range), advance)
    _warn(report.warnings)
    if as_json:
        _print_json(report.to_dict())
    else:
        _print_table(report)


def _print_table(report: "EvaluationReport") -> None:
    from rich.table import Table

    columns = (("paper", "psnr"), ("paper", "ssim"), ("fixed", "psnr"), ("fixed", "ssim"))
    table = Table("volume", title="mean over slices; last row mean ± deviation over volumes")
    for protocol, metric in columns:
        table.add_column(f"{protocol}\n{metric.upper()} {'dB' if metric == 'psnr' else '%'}")
    table.add_column("fixed\nMAE")
    for row in report.rows:
        values = [f"{getattr(row.scores[p], m):.2f}" for p, m in columns]
        table.add_row(row.name, *values, f"{row.scores['fixed'].mae:.4f}")
    table.add_section()
    table.add_row(
        f"mean of {len(report.rows)}",
        *(_mean(report.summary(p, m), 2) for p, m in columns),
        _mean(report.summary("fixed", "mae"), 4),
    )
    _print_table_whole(table)


def _print_table_whole(table: "Table") -> None:
    """Print a table without cutting names, however narrow the terminal or the log is."""
    from rich.console import Console

    wanted = Console(width=10_000).measure(table).maximum
    Console(width=max(Console().width, wanted)).print(table)


def _mean(summary: tuple[float, float] | None, digits: int) -> str:
    return "" if summary is None else f"{summary[0]:.{digits}f} ± {summary[1]:.{digits}f}"


@app.command("download-weights")
def download_weights(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Entries of the manifest.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show what there is.")] = False,
    check: Annotated[
        bool, typer.Option("--verify", help="Compare what is here with its SHA-256.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Make a bundle for machines without network."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch, list or check the weights.

    They go to the Hugging Face cache (HF_HOME). Other commands load a bundle with --weights DIR.
    """
    from i2igalip_cli import hub

    if sum((listing, check, to is not None)) > 1:
        raise typer.BadParameter("--list, --verify and --to exclude each other")
    if names and everything:
        raise typer.BadParameter("give names or --all, not both")
    entries = hub.read_manifest()
    chosen = hub.choose(entries, names) if names else entries
    if listing:
        _list_weights(chosen, as_json)
    elif check:
        here = [entry for entry in chosen if names or any(hub.locate(entry))]
        _verify_weights(here, as_json)
    elif names or everything:
        _fetch_weights(chosen, to, as_json)
    else:
        raise typer.BadParameter("give the name of an entry, --all, --list or --verify")


def _list_weights(entries: "list[WeightsEntry]", as_json: bool) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from i2igalip_cli import hub

    where = [
        "ships" if entry.ships else "here" if all(hub.locate(entry)) else "to fetch"
        for entry in entries
    ]
    rows = list(zip(entries, where, strict=True))
    if as_json:
        _print_json([{**asdict(e), "size": e.size, "where": place} for e, place in rows])
        return
    table = Table("name", "kind", "MB", "licence", "where", "what it is")
    for entry, place in rows:
        label = f"{entry.name} (default)" if entry.default else entry.name
        size = f"{entry.size / 1e6:.1f}"
        table.add_row(label, entry.kind, size, entry.license, place, entry.description)
    _print_table_whole(table)


def _verify_weights(entries: "list[WeightsEntry]", as_json: bool) -> None:
    from i2igalip_cli import hub

    found = {entry.name: hub.verify(entry) for entry in entries}
    _print_reports(found, as_json)
    bad = [e for e in entries if any(r.state in ("wrong", "absent") for r in found[e.name])]
    if bad:
        ways = "; ".join(f"{entry.name}: {hub.mend(entry)}" for entry in bad)
        raise CheckpointError(f"wrong or absent files: {ways}")


def _fetch_weights(entries: "list[WeightsEntry]", to: Path | None, as_json: bool) -> None:
    from i2igalip_cli import hub

    if to is not None:
        hub.check_bundle_folder(to)
    found = {}
    for entry in entries:
        origin = "ships with i2igalip" if entry.ships else f"from {' and '.join(entry.sources)}"
        _say(_plain(f"{entry.label}, {origin}"))
        with _progress(f"{entry.name}, MB") as advance:

            def show(done: int, total: int, advance: Callable[[int, int], None] = advance) -> None:
                advance(round(done / 1e6), round(total / 1e6))

            found[entry.name] = hub.download(entry, show)
    bundle = None if to is None else hub.write_bundle(entries, to)
    _print_reports(found, as_json, bundle)


def _print_reports(
    found: "dict[str, list[FileReport]]", as_json: bool, bundle: Path | None = None
) -> None:
    """Each file with its state, by entry; with the bundle that was made of them."""
    if as_json:
        rows = [
            {
                "name": name,
                "files": [
                    {
                        "file": report.file.file,
                        "state": report.state,
                        "path": None if report.path is None else str(report.path),
                        "sha256": report.sha256 or None,
                    }
                    for report in reports
                ],
            }
            for name, reports in found.items()
        ]
        _print_json({"entries": rows, "bundle": None if bundle is None else str(bundle)})
        return
    for name, reports in found.items():
        for report in reports:
            typer.echo(f"{name}: {report.describe()}")
    if bundle is not None:
        typer.echo(f"bundle: {bundle}")
