"""What is written for a translated volume: the volume, its row, a sidecar, a picture, a map."""

from dataclasses import replace
from pathlib import Path

from i2igalip_cli.engine.cohort.bids import map_sidecar, sidecar
from i2igalip_cli.engine.cohort.items import CohortItem
from i2igalip_cli.engine.cohort.rows import Row, hash_content, rounded
from i2igalip_cli.engine.cohort.settings import TranslationSettings, choose_dtype
from i2igalip_cli.engine.comparison import preview_name, save_preview
from i2igalip_cli.engine.quality.maps import MAP_SUFFIX, save_map
from i2igalip_cli.engine.quality.quality import Quality
from i2igalip_cli.engine.translation import Translation
from i2igalip_cli.volumes import Volume, save_volume, volume_suffix
from i2igalip_cli.volumes.files import whole_file


def write_products(
    folder: Path,
    item: CohortItem,
    row: Row,
    settings: TranslationSettings,
    source: Volume,
    result: Translation,
) -> Row:
    """Write all that belongs to a translated volume into a folder.

    Args:
        folder: An empty one; the files have the names of their final places.
        item: What was translated.
        row: As it began.
        settings: How it was translated.
        source: The volume.
        result: Its translation.

    Returns:
        The row of the volume, done.

    Raises:
        VolumeError: The disk is full, or the format can't hold the volume.
    """
    suffix = volume_suffix(Path(item.output.name))
    written = folder / item.output.name
    dtype = choose_dtype(settings.dtype, result.target, source)
    asked = item.format if suffix is None else None  # a file says its format by its name
    save_volume(result.volume, written, format=asked, dtype=dtype)
    stored = "" if suffix is None and dtype == "float32" else dtype
    done = _complete(row, source, result, stored, hash_content(written) or "")
    if item.bids:
        beside = folder / f"{written.name.removesuffix(suffix or '')}.json"
        _write_text(beside, sidecar(done, item.entry.path, item.bids))
    if settings.preview:
        save_preview(source, result, folder / preview_name(written.name))
    if result.quality is not None:
        _write_map(folder / item.map_output.name, item, result.volume, result.quality)
    return done


def _write_map(path: Path, item: CohortItem, result: Volume, quality: Quality) -> None:
    """Write the map of where a result is doubtful, and in BIDS its sidecar."""
    save_map(result, quality.map, path)
    if item.bids:
        beside = path.with_name(f"{path.name.removesuffix(MAP_SUFFIX)}.json")
        _write_text(beside, map_sidecar(item.bids))


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _complete(row: Row, source: Volume, result: Translation, stored: str, content: str) -> Row:
    return replace(
        row,
        status="done",
        shape=source.shape,
        spacing_mm=tuple(round(mm, 6) for mm in source.spacing_mm),
        slices=result.slices,
        empty_slices=result.empty,
        source_window=(result.window.low, result.window.high),
        output_window=(result.out_window.low, result.out_window.high),
        nonfinite_voxels=source.nonfinite_voxels,
        stored_dtype=stored,
        backend=result.backend,
        precision_loss_db=rounded(result.precision_loss, 4),
        through_plane_jump=rounded(result.jump, 6),
        warnings=result.warnings,
        seconds=round(result.seconds, 3),
        output_sha256=content,
        **({} if result.quality is None else result.quality.columns()),
    )
