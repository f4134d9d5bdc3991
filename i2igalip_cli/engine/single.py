"""One volume from file to file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import i2igalip_cli
from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.captions import encode_caption
from i2igalip_cli.engine.cohort.inputs import Choice, find_volumes, stem_of
from i2igalip_cli.engine.cohort.items import output_suffix
from i2igalip_cli.engine.cohort.rows import files_of
from i2igalip_cli.engine.cohort.settings import TranslationSettings, choose_dtype
from i2igalip_cli.engine.comparison import preview_name, save_preview
from i2igalip_cli.engine.translator import Translation, Translator
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import (
    Volume,
    VolumeEntry,
    check_output,
    choose_entries,
    list_volumes,
    load_entry,
    save_volume,
    volume_suffix,
)

_LISTED = 4  # volumes that a refusal names


@dataclass(frozen=True, kw_only=True)
class SingleReport:
    """What a translation of one volume came to.

    Attributes:
        entry: The source.
        output: Where the result lies.
        preview: The picture beside it, if one was asked for.
        dtype: Asked for its voxels.
        shape: Of both.
        nonfinite_voxels: Of the source.
        result: The translation.
        weights: Name of the checkpoint.
        weights_sha256: Its identity.
    """

    entry: VolumeEntry
    output: Path
    preview: Path | None
    dtype: str
    shape: tuple[int, int, int]
    nonfinite_voxels: int
    result: Translation
    weights: str
    weights_sha256: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, a line each."""
        return tuple(f"{self.entry.path}: {warning}" for warning in self.result.warnings)

    def describe(self) -> str:
        """One line for people."""
        result = self.result
        return (
            f"{self.output}: {result.target.name}, {result.slices} slices ({result.empty} empty) "
            f"in {result.seconds:.1f} s"
        )

    def to_dict(self) -> dict[str, Any]:
        """The report for machines."""
        result = self.result
        return {
            "input": str(self.entry.path),
            "series": self.entry.series,
            "volume": self.entry.volume,
            "output": str(self.output),
            "preview": None if self.preview is None else str(self.preview),
            "source": None if result.source is None else result.source.name,
            "target": result.target.name,
            "caption": result.target.caption,
            "shape": self.shape,
            "slices": result.slices,
            "empty_slices": result.empty,
            "source_window": [result.window.low, result.window.high],
            "output_window": [result.out_window.low, result.out_window.high],
            "nonfinite_voxels": self.nonfinite_voxels,
            "dtype": self.dtype,
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "version": i2igalip_cli.__version__,
            "seconds": round(result.seconds, 3),
            "warnings": result.warnings,
        }


def translate_single(
    path: Path,
    settings: TranslationSettings,
    *,
    out: Path | None = None,
    choice: Choice | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> SingleReport:
    """Translate the one volume that a path holds.

    Args:
        path: A file, or a folder with one volume that can be used.
        settings: How.
        out: Where to; None for PATH_TARGET with the same suffix beside it.
        choice: Which, where there are several.
        overwrite: Replace an existing output.
        on_progress: Called with (slices done, slices in all).

    Raises:
        GalipError: What is wrong, which value, and the way out.
    """
    checkpoint = load_checkpoint(settings.weights)
    target = find_domain(settings.to, checkpoint.domains)
    if settings.source is not None:
        find_domain(settings.source, checkpoint.domains)
    entry = _find_entry(path, choice or Choice())
    place = out or _beside(entry, target, settings.format)
    asked = "dicom" if volume_suffix(place) is None else settings.format
    check_output(place, format=asked, overwrite=overwrite)
    _keep_source(entry, place)
    source = load_entry(entry, settings.irregular)
    dtype = choose_dtype(settings.dtype, target, source)
    translator = _make_translator(checkpoint, settings)
    try:
        result = translator(source, on_progress)
    except VolumeError as error:
        raise VolumeError(f"{entry.path}: {error}") from error
    save_volume(result.volume, place, format=asked, dtype=dtype, overwrite=overwrite)
    return SingleReport(
        entry=entry,
        output=place,
        preview=_draw(source, result, place) if settings.preview else None,
        dtype=dtype,
        shape=source.shape,
        nonfinite_voxels=source.nonfinite_voxels,
        result=result,
        weights=checkpoint.name,
        weights_sha256=checkpoint.sha256,
    )


def _keep_source(entry: VolumeEntry, place: Path) -> None:
    """Refuse an output that would replace its own source, whatever names both have.

    Raises:
        VolumeError: It would.
    """
    sources = [entry.path, *files_of(entry.path)]
    if entry.path.is_dir():
        sources += [entry.path / file for file in entry.files]
    outputs = [name for name in (place, *files_of(place)) if name.exists()]
    inside = place.resolve() in {folder for name in sources for folder in name.resolve().parents}
    if inside or any(o.samefile(s) for o in outputs for s in sources if s.exists()):
        raise VolumeError(f"{place} is the source, or holds it: choose another -o")


def _make_translator(checkpoint: Checkpoint, settings: TranslationSettings) -> Translator:
    said = None
    if settings.caption is not None:
        said = encode_caption(settings.caption, checkpoint, settings.encoder, settings.weights)
    return Translator(checkpoint, settings.to, settings.source, settings.options, said)


def _draw(source: Volume, result: Translation, place: Path) -> Path:
    """Draw a picture beside an output; where it lies."""
    picture = place.with_name(preview_name(place.name))
    save_preview(source, result, picture)
    return picture


def _find_entry(path: Path, choice: Choice) -> VolumeEntry:
    """The one volume of a path.

    Raises:
        VolumeError: None, several, or one that can't be used.
    """
    if not path.is_dir():
        return _only(path, choose_entries(list_volumes(path), choice.series, choice.volume))
    found = find_volumes([str(path)], choice=choice)
    usable = [one for one in found if not one.fault and not one.entry.refusal]
    usable = [one for one in usable if not one.entry.synthetic] or usable
    if not usable:
        worst = min(found, key=lambda one: one.entry.expected)
        raise VolumeError(worst.fault or f"{worst.entry.path}: {worst.entry.refusal}")
    if usable[0].entry.series and len({one.entry.path for one in usable}) == 1:
        return _only(path, choose_entries([one.entry for one in usable], choice.series))
    return _only(path, [one.entry for one in usable])


def _only(path: Path, entries: "tuple[VolumeEntry, ...] | list[VolumeEntry]") -> VolumeEntry:
    if len(entries) > 1:
        named = [
            f"series {entry.describe()}" if entry.series else entry.path.name for entry in entries
        ]
        listed = "; ".join(named[:_LISTED]) + ("; ..." if len(named) > _LISTED else "")
        raise VolumeError(
            f"{path}: {len(entries)} volumes ({listed}); name one of them, or say with -o DIR "
            "where to write all"
        )
    return entries[0]


def _beside(entry: VolumeEntry, target: Domain, format_name: str | None) -> Path:
    path = entry.path if entry.path.name not in ("", "..") else entry.path.resolve()
    return path.with_name(f"{stem_of(path)}_{target.name}{output_suffix(entry, format_name)}")
