"""The page of a training: curves, previews and settings, written anew while the run goes on."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.evaluation.report.page import Block, Facts, Figure, Section, Table
from i2igalip_cli.evaluation.report.plots import Curves, draw_curves

NAME = "report.html"
_PREVIEWS = 4  # the first, the last, and some between
_POINTS = 400  # of a curve; more can't be seen
_PACE = "seconds_a_step"
_UNITS = {"psnr": "dB", "ssim": "%"}
Row = Mapping[str, Any]


def write_training_report(run: Path) -> Path:
    """Write RUN/report.html from what the folder of a run holds.

    Args:
        run: With log.jsonl, config.json and previews, as far as they are there yet.

    Returns:
        The page's path.

    Raises:
        VolumeError: The folder is read-only or full.
    """
    log = _read_log(run / "log.jsonl")
    train = [row for row in log if "kind" not in row]
    validation = [row for row in log if row.get("kind") == "validation"]
    step = max((int(row["step"]) for row in log), default=0)
    sections = [
        Section(title="Validation", blocks=list(_validation(validation))),
        Section(title="Losses", blocks=list(_losses(train))),
        Section(title="Previews", blocks=list(_previews(run))),
        Section(title="Settings", blocks=list(_settings(run))),
    ]
    write_page(
        run / NAME,
        title=f"Training {run.resolve().name}",
        lead=f"As it stood after step {step}.",
        sections=sections,
        overwrite=True,
    )
    return run / NAME


def _read_log(path: Path) -> list[Row]:
    """The whole rows of a log; one that is being written is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _validation(rows: list[Row]) -> Iterator[Block]:
    if not rows:
        return
    groups: dict[str, list[str]] = defaultdict(list)
    for name in rows[-1]:
        metric = name.partition(" ")[0]
        if metric in _UNITS:
            groups[metric].append(name)
    panels = [
        Curves(
            title=metric.upper(),
            unit=_UNITS[metric],
            lines={name.partition(" ")[2] or "mean": _curve(rows, name) for name in names},
        )
        for metric, names in groups.items()
    ]
    if panels:
        yield Figure(
            image=draw_curves(panels),
            alt="PSNR and SSIM of the validation subjects over the steps",
            caption="Registered pairs of the validation subjects, fixed range.",
        )
    best = max(rows, key=lambda row: row.get("psnr", -math.inf))
    names = [name for metric in groups for name in groups[metric]]
    yield Table(
        caption=f"The best validation, after step {best['step']}, and the last, after step "
        f"{rows[-1]['step']}",
        columns=["score", "best", "last"],
        rows=[[name, best.get(name), rows[-1].get(name)] for name in names],
    )


def _losses(rows: list[Row]) -> Iterator[Block]:
    names = [name for name in (rows[-1] if rows else {}) if name not in ("step", _PACE)]
    if names:
        yield Figure(
            image=draw_curves(
                [Curves(title=name, unit="", lines={name: _curve(rows, name)}) for name in names]
            ),
            alt="Every loss over the steps",
            caption="Means between two rows of the log; change is how far translations differ from "
            "their sources.",
        )


def _curve(rows: list[Row], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of a name, thinned evenly."""
    points = [(float(row["step"]), float(row[name])) for row in rows if name in row]
    every = -(-len(points) // _POINTS)
    thin = points[::every] if every > 1 else points
    return [step for step, _ in thin], [value for _, value in thin]


def _previews(run: Path) -> Iterator[Block]:
    found = sorted(run.glob("preview_*.png"))
    places = sorted({round(n * (len(found) - 1) / (_PREVIEWS - 1)) for n in range(_PREVIEWS)})
    for path in (found[place] for place in reversed(places) if found):
        step = int(path.stem.partition("_")[2])
        yield Figure(
            image=path.read_bytes(),
            alt=f"A slice of each domain translated to every domain, after step {step}",
            caption=f"After step {step}",
        )


def _settings(run: Path) -> Iterator[Block]:
    path = run / "config.json"
    if path.is_file():
        yield Facts(rows=list(_flatten(json.loads(path.read_text(encoding="utf-8")))))


def _flatten(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
