"""The page of translations: sources and results, how far they can be trusted, and what failed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2igalip_cli.engine.cohort import bids
from i2igalip_cli.engine.evaluator.reading import read_on_grid
from i2igalip_cli.engine.quality.maps import map_name
from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.errors import GalipError
from i2igalip_cli.evaluation.report.page import (
    Block,
    Cell,
    Facts,
    Figure,
    Notice,
    Section,
    Table,
    Text,
    Viewer,
)
from i2igalip_cli.evaluation.report.panels import draw_case, find_middle
from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.evaluation.report.viewer import ViewerCase
from i2igalip_cli.volumes import Irregular, Volume, load_volume
from i2igalip_cli.volumes.intensity import IntensityWindow

_SHOWN = 4  # translations with pictures
_WARNED = 30  # warnings in full
_MAP_TOP = 0.3  # of the range: more doubt is shown like this
# Of the table, as far as any translation has them: name in reports and rows, and what to call it.
_COLUMNS = {
    "input": "source",
    "series": "series",
    "volume": "volume",
    "target": "target",
    "qc_score": "score",
    "qc_calibrated": "score is",
    "qc_cycle": "cycle",
    "qc_flips": "flips",
    "qc_planes": "planes",
    "qc_edges": "edges",
    "qc_caption_in": "caption, source",
    "qc_caption_out": "caption, result",
    "qc_distance": "distance",
    "qc_looks_like": "looks like",
    "through_plane_jump": "jump",
    "seconds": "s",
}
# The same for all translations of a run, or told one by one.
_SETTINGS = (
    *("source", "target", "caption", "planes", "backend", "precision"),
    *("weights", "weights_sha256", "version"),
)
Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Image:
    """A translation for the eye, on one grid.

    Attributes:
        title: What it is.
        source: What was translated.
        window: What of it is black and white.
        result: Its translation.
        out_window: What of that is black and white.
        doubt: Map of `--qc`, of the range; None without.
    """

    title: str
    source: Volume
    window: IntensityWindow
    result: Volume
    out_window: IntensityWindow
    doubt: Volume | None


def write_translation_report(
    records: Sequence[Record],
    path: Path,
    *,
    root: Path | None = None,
    irregular: Irregular = "fail",
    overwrite: bool = False,
) -> None:
    """Write translations as one HTML file; those with pictures are read again.

    Args:
        records: What `translate` reports of each: a cohort's rows or the values of single volumes.
        path: A .html file.
        root: Folder of the outputs, where their paths are relative to one.
        irregular: How sources were read.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    done = [record for record in records if record.get("status", "done") == "done"]
    judged = any(record.get("qc_score") is not None for record in done)
    ranked = sorted(done, key=lambda r: -(r.get("qc_score") or 0.0)) if judged else done
    sections = [
        Section(
            title="Images",
            blocks=[*_notices(records), *_pictures(ranked, root, irregular, judged=judged)],
        ),
        Section(title="Every translation", blocks=list(_table(done))),
        Section(title="Settings", blocks=[Facts(rows=list(_settings(done)))]),
    ]
    write_page(
        path,
        title=f"Translation of {len(done)} volume{'s' if len(done) != 1 else ''}",
        lead="Synthetic images: they show what a network made of the sources, not what a scanner "
        "would have measured.",
        sections=sections,
        overwrite=overwrite,
    )


def _notices(records: Sequence[Record]) -> Iterator[Block]:
    for status, title in (("failed", "Failed"), ("skipped", "Skipped")):
        lines = [str(record["error"]) for record in records if record.get("status") == status]
        if lines:
            yield Notice(title=title, lines=lines, grave=status == "failed")
    warnings = list(_group_warnings(records))
    more = len(warnings) - _WARNED
    if more > 0:
        warnings[_WARNED:] = [f"... and {more} more: they stand in summary.csv or --json"]
    if warnings:
        yield Notice(title="Warnings", lines=warnings)


def _group_warnings(records: Sequence[Record]) -> Iterator[str]:
    """Warnings of single translations, then those that several have, once each."""
    told: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for line in record["warnings"]:
            told[line].append(str(record["input"]))
    for line, inputs in sorted(told.items(), key=lambda pair: len(pair[1])):
        who = inputs[0] if len(inputs) == 1 else f"{len(inputs)} translations"
        yield f"{who}: {line}"


def _pictures(
    records: Sequence[Record], root: Path | None, irregular: Irregular, *, judged: bool
) -> Iterator[Block]:
    """The viewer and a picture of the first; of what can't be read any more, the reason."""
    images, faults = [], []
    for record in records[:_SHOWN]:
        try:
            images.append(_read(record, root, irregular))
        except GalipError as error:
            faults.append(str(error))
    if faults:
        yield Notice(title="No picture", lines=faults)
    if len(records) > _SHOWN:
        which = "most doubtful" if judged else "first"
        yield Text(text=f"The {_SHOWN} {which} of {len(records)}.")
    if images:
        yield Viewer(cases=[ViewerCase(title=image.title, panels=_show(image)) for image in images])
    for image in images:
        middle = find_middle(image.window.to_unit(image.source.array), image.source.affine)
        columns = _show(image)
        yield Figure(
            image=draw_case(columns, middle),
            alt=f"{image.title}: axial, coronal and sagittal slices of "
            + ", ".join(column.title for column in columns),
            caption=image.title,
        )


def _read(record: Record, root: Path | None, irregular: Irregular) -> _Image:
    """Source, result and map of a translation.

    Raises:
        GalipError: They aren't there any more.
    """
    output = (root or Path()) / record["output"]
    source = load_volume(
        record["input"],
        series=record["series"] or None,
        volume=record["volume"],
        irregular=irregular,
    )
    low, high = record["source_window"]
    out_low, out_high = record["output_window"]
    maps = [output.with_name(name(output.name)) for name in (map_name, bids.map_name)]
    found = [path for path in maps if path.is_file() and record.get("qc_score") is not None]
    return _Image(
        title=f"{record['input']} to {record['target']}",
        source=source,
        window=IntensityWindow(low=low, high=high),
        result=read_on_grid(output, source, "result", resample=True).volume,
        out_window=IntensityWindow(low=out_low, high=out_high),
        doubt=read_on_grid(found[0], source, "map", resample=True).volume if found else None,
    )


def _show(image: _Image) -> list[Shown]:
    found = [
        Shown(title=title, volume=volume, low=window.low, high=window.high)
        for title, volume, window in (
            ("source", image.source, image.window),
            ("synthetic", image.result, image.out_window),
        )
    ]
    if image.doubt is not None:
        doubt = Shown(
            title="doubt (QC)",
            volume=image.doubt,
            low=0.0,
            high=_MAP_TOP,
            kind="map",
            unit="of the range",
        )
        found.append(doubt)
    return found


def _table(records: Sequence[Record]) -> Iterator[Block]:
    shown = [name for name in _COLUMNS if any(r.get(name) not in (None, "") for r in records)]
    if records:
        yield Table(
            caption="Every translation; score, cycle, flips, planes and jump are of the range",
            columns=[_COLUMNS[name] for name in shown],
            rows=[[_cell(record, name) for name in shown] for record in records],
            digits=4,
        )


def _cell(record: Record, name: str) -> Cell:
    value: Cell = record.get(name)
    if name == "qc_calibrated" and value is not None:
        return "expected error" if value else "disagreement, not calibrated"
    return value


def _settings(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """What the translations have in common, or their different values."""
    for name in _SETTINGS:
        values = dict.fromkeys(str(r[name]) for r in records if r.get(name) not in (None, ""))
        if values:
            yield name.replace("_", " "), ", ".join(values)
