"""`i2igalip train`: dataset -> run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.cli.console import plain, progress, say, warn
from i2igalip_cli.config import CONFIGS

if TYPE_CHECKING:
    from i2igalip_cli.engine.rehearsal import Forecast
    from i2igalip_cli.engine.trainer import Trainer, TrainProgress


def train(
    dataset: Annotated[Path, typer.Argument(help="A prepared dataset.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; resumed if it holds one.")],
    method: Annotated[
        str | None,
        typer.Option(help=f"One of {', '.join(CONFIGS)}; default the settings', else galip."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="DOMAIN", help="Train this domain and --to alone."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="The other one. cut and egsde translate from the first to this only, the others "
            "both ways; galip takes all domains of the dataset without them.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML settings; without it those of the papers.")
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
            help="biomedclip (the paper's, galip's default), demo (shipped, the others': it only "
            "judges their translations), an open_clip folder, or an open_clip name such as "
            "ViT-B-16:laion2b_s34b_b88k."
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
        typer.Option(
            help="DOMAIN='TEXT', repeated: what a domain of the dataset is called. Methods that "
            "read no captions keep it for --qc."
        ),
    ] = None,
    paired: Annotated[
        float | None, typer.Option(help="Weight of galip's loss on registered pairs, e.g. 10.")
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

    from i2igalip_cli.config import GalipConfig, load_train_config, parse_assignments
    from i2igalip_cli.engine.memory import keep_freed_memory
    from i2igalip_cli.engine.parallel import join_processes
    from i2igalip_cli.engine.trainer import Trainer

    keep_freed_memory()
    settings = load_train_config(config, change or (), method)
    if paired is not None:
        if not isinstance(settings, GalipConfig):
            raise typer.BadParameter(f"--paired is galip's: {settings.method} has no such loss")
        settings = replace(settings, weights=replace(settings.weights, paired=paired))
    given = {
        "encoder": encoder,
        "start": start,
        "steps": steps,
        "seed": seed,
        "domains": _two_domains(source, to),
        "captions": parse_assignments("--caption", caption) if caption else None,
    }
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # types by name
    with join_processes(device) as (processes, own_device), progress("training") as advance:
        trainer = Trainer(
            dataset,
            out,
            settings,
            own_device,
            processes=processes,
            workers=workers,
            weights=weights,
        )
        tell = say if processes.writes else _silent
        tell(plain(_describe(trainer)))
        if trainer.step < trainer.steps:
            tell(_foretell(trainer.rehearse(), trainer.steps - trainer.step))

        def show(progress: "TrainProgress") -> None:
            if processes.writes:
                advance(progress.step, progress.steps)
                warn(progress.warnings)
                _show_progress(progress, settings.save_every)

        checkpoint = trainer.run(show)
        if processes.writes:
            typer.echo(f"checkpoint: {checkpoint}")


def _two_domains(source: str | None, to: str | None) -> tuple[str, str] | None:
    """The domains that `--from` and `--to` name; None without them."""
    if source is None and to is None:
        return None
    if source is None or to is None:
        raise typer.BadParameter("--from and --to name two domains together")
    return source, to


def _silent(text: str) -> None:
    """What the processes say that don't write."""


def _show_progress(progress: "TrainProgress", every: int) -> None:
    if progress.step % every == 0:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        say(f"step {progress.step}: {losses}")
    if progress.validation is not None:
        scores = progress.validation
        mark = " (the best so far)" if progress.best else ""
        say(
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
