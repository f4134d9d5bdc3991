"""One volume from file to file, or to a file for each of several targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import i2igalip_cli
from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.cohort.inputs import Choice, find_volumes, stem_of
from i2igalip_cli.engine.cohort.items import output_suffix
from i2igalip_cli.engine.cohort.rows import files_of, rounded
from i2igalip_cli.engine.cohort.settings import (
    TranslationSettings,
    choose_dtype,
    find_targets,
    make_translator,
    name_planes,
)
from i2igalip_cli.engine.comparison import preview_name, save_preview
from i2igalip_cli.engine.directions import find_direction
from i2igalip_cli.engine.quality.maps import map_name, remove_map, save_map
from i2igalip_cli.engine.sources import doubt_name
from i2igalip_cli.engine.translation import Translation
from i2igalip_cli.engine.translator import Translator
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
    """What a translation of one volume to one target came to; it keeps no volume in memory.

    Attributes:
        summary: One line for people.
        values: The report for machines.
        warnings: What the user should know, a line each.
    """

    summary: str
    values: Mapping[str, Any]
    warnings: tuple[str, ...]


def translate_single(
    path: Path,
    settings: TranslationSettings,
    *,
    out: Path | None = None,
    choice: Choice | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[SingleReport, ...]:
    """Translate the one volume that a path holds, read once, to each target.

    Places, formats and types of all outputs are judged before the first is written.

    Args:
        path: A file, or a folder with one volume that can be used.
        settings: How.
        out: Where to, with one target; None for PATH_TARGET with the same suffix beside it.
        choice: Which, where there are several.
        overwrite: Replace an existing output.
        on_progress: Called with (slices done, slices in all) of all targets.

    Returns:
        What became of each target, in their order.

    Raises:
        GalipError: What is wrong, which value, and the way out.
    """
    checkpoint = load_checkpoint(settings.weights)
    targets = find_targets(settings, checkpoint)
    assert out is None or len(targets) == 1, "one place has room for one result"
    for target in targets:
        find_direction(checkpoint, target.name, settings.source)
    entry = _find_entry(path, choice or Choice())
    places = [out or _beside(entry, target, settings.format) for target in targets]
    for place in places:
        check_output(place, format=_format_of(place, settings), overwrite=overwrite)
        _keep_source(entry, place)
        if settings.quality:
            map_place = place.with_name(map_name(place.name))
            check_output(map_place, overwrite=overwrite)
            _keep_source(entry, map_place)
    translator = make_translator(settings, checkpoint)
    translator.begin()
    source = load_entry(entry, settings.irregular)
    dtypes = [choose_dtype(settings.dtype, target, source) for target in targets]
    opened = _Opened(
        entry=entry, source=source, checkpoint=checkpoint, settings=settings, overwrite=overwrite
    )
    return tuple(
        opened.translate(
            translator.to(target.name),
            place,
            dtype,
            _share_progress(on_progress, number, len(targets)),
        )
        for number, (target, place, dtype) in enumerate(zip(targets, places, dtypes, strict=True))
    )


def _format_of(place: Path, settings: TranslationSettings) -> str | None:
    """The format to write a place in; None where its name says it."""
    return "dicom" if volume_suffix(place) is None else settings.format


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A volume that was read, and all that its translations have in common."""

    entry: VolumeEntry
    source: Volume
    checkpoint: Checkpoint
    settings: TranslationSettings
    overwrite: bool

    def translate(
        self,
        translator: Translator,
        place: Path,
        dtype: str,
        on_progress: Callable[[int, int], None] | None,
    ) -> SingleReport:
        """Translate to one target and write that.

        Raises:
            GalipError: It can't be translated or written.
        """
        try:
            result = doubt_name(translator(self.source, on_progress), self.entry.path.name)
        except VolumeError as error:
            raise VolumeError(f"{self.entry.path}: {error}") from error
        asked = _format_of(place, self.settings)
        save_volume(result.volume, place, format=asked, dtype=dtype, overwrite=self.overwrite)
        quality_map = self._write_map(result, place)
        preview = None
        if self.settings.preview:
            preview = place.with_name(preview_name(place.name))
            save_preview(self.source, result, preview)
        return SingleReport(
            summary=_summarize(result, place),
            values=self._values(result, place, preview, quality_map, dtype),
            warnings=tuple(f"{self.entry.path}: {warning}" for warning in result.warnings),
        )

    def _write_map(self, result: Translation, place: Path) -> Path | None:
        """Write the map of an output that is in its place; an older output's gives way.

        A map never lies beside an output that it isn't of, whichever of the two can't be written.

        Raises:
            VolumeError: The map, or an older one's removal, failed; the output stays.
        """
        path = place.with_name(map_name(place.name))
        if self.overwrite and path.resolve() != self.entry.path.resolve():  # a source stays
            remove_map(path)
        if result.quality is None:
            return None
        save_map(result.volume, result.quality.map, path, overwrite=self.overwrite)
        return path

    def _values(
        self,
        result: Translation,
        place: Path,
        preview: Path | None,
        quality_map: Path | None,
        dtype: str,
    ) -> Mapping[str, Any]:
        judged = {} if result.quality is None else result.quality.columns()
        return {
            "input": str(self.entry.path),
            "series": self.entry.series,
            "volume": self.entry.volume,
            "output": str(place),
            "preview": None if preview is None else str(preview),
            "source": None if result.source is None else result.source.name,
            "target": result.target.name,
            "caption": result.target.caption,
            "shape": self.source.shape,
            "slices": result.slices,
            "empty_slices": result.empty,
            "source_window": [result.window.low, result.window.high],
            "output_window": [result.out_window.low, result.out_window.high],
            "nonfinite_voxels": self.source.nonfinite_voxels,
            "planes": name_planes(result.planes),
            "backend": result.backend,
            "precision": result.precision,
            "precision_loss_db": rounded(result.precision_loss, 4),
            "through_plane_jump": rounded(result.jump, 6),
            **judged,
            **({"qc_map": str(quality_map)} if quality_map else {}),
            "dtype": dtype,
            "weights": self.checkpoint.name,
            "weights_sha256": self.checkpoint.sha256,
            "version": i2igalip_cli.__version__,
            "seconds": round(result.seconds, 3),
            "warnings": result.warnings,
        }


def _summarize(result: Translation, place: Path) -> str:
    planes = "three planes" if len(result.planes) > 1 else result.planes[0]
    jump = "" if result.jump is None else f", through-plane jump {result.jump:.4f}"
    quality = "" if result.quality is None else f"; {result.quality.describe()}"
    return (
        f"{place}: {result.target.name}, {result.slices} slices ({result.empty} empty) "
        f"in {result.seconds:.1f} s; {planes}{jump}{quality}"
    )


def _share_progress(
    on_progress: Callable[[int, int], None] | None, number: int, count: int
) -> Callable[[int, int], None] | None:
    """Progress of target `number` (from 0) of `count`, which all take the same slices."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(number * total + done, count * total)


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


def _only(path: Path, entries: Sequence[VolumeEntry]) -> VolumeEntry:
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
