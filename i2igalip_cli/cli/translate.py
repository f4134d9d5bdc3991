"""`i2igalip translate`: volumes -> volumes of another domain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import i2igalip_cli
from i2igalip_cli.cli.console import Json, print_json, progress, warn
from i2igalip_cli.errors import VolumeError

if TYPE_CHECKING:
    from i2igalip_cli.engine.translator import Translation
    from i2igalip_cli.volumes import Volume


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
        with progress(f"to {target.name}") as advance:
            result = translate_volume(loaded, checkpoint, to, source, options, advance, said)
    except VolumeError as error:
        raise VolumeError(f"{volume}: {error}") from error
    warn(f"{volume}: {warning}" for warning in result.warnings)
    save_volume(result.volume, out, overwrite=overwrite)
    picture = _preview(loaded, result, out) if preview else None
    if as_json:
        print_json(
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
