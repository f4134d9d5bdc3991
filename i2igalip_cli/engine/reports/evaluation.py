"""The page of an evaluation: what was compared, statistics, every case, the worst and the best."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from i2igalip_cli.engine.evaluator.results import CaseResult, Results
from i2igalip_cli.engine.reports.cases import draw, look_at, show
from i2igalip_cli.engine.reports.distributions import PLOTTED, draw_panels, finite_values
from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.errors import GalipError
from i2igalip_cli.evaluation.measures import Measure
from i2igalip_cli.evaluation.report.page import (
    Block,
    Cell,
    Facts,
    Notice,
    Section,
    Table,
    Text,
    Viewer,
)
from i2igalip_cli.evaluation.report.plots import Distribution
from i2igalip_cli.evaluation.report.viewer import ViewerCase

_RANKED_BY = ("mae", "psnr")  # the first that a protocol has
_WORST, _BEST = 3, 2  # cases that are shown


def write_evaluation_report(results: Results, path: Path, *, overwrite: bool = False) -> None:
    """Write an evaluation as one HTML file; worst and best cases are read again for pictures.

    Args:
        results: What it came to.
        path: A .html file.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    count, subjects = len(results.scored), len({case.subject for case in results.scored})
    sections = [
        Section(title="Summary", blocks=[*_notices(results), *_summary(results)]),
        Section(title="Distributions", blocks=list(_plots(results))),
        Section(title="Worst and best", blocks=list(_examples(results))),
        Section(title="Every case", blocks=list(_cases(results))),
        Section(title="Protocols", blocks=list(_protocols(results))),
    ]
    write_page(
        path,
        title=f"Evaluation of {results.method}",
        lead=f"{count} predictions of {subjects} subjects against their references, by "
        f"{' and '.join(results.protocols)}. Statistics are over subjects, not over slices.",
        sections=sections,
        overwrite=overwrite,
    )


def _notices(results: Results) -> Iterator[Block]:
    """What must be known before any figure is read."""
    for title, lines in (
        ("References without a prediction: the figures below leave these out", results.missing),
        ("Predictions without a reference: not evaluated", results.extra),
        ("Failed", [f"{case.case}: {case.error}" for case in results.failures]),
    ):
        if lines:
            yield Notice(title=title, lines=lines, grave=True)
    resampled = [case.case for case in results.scored if case.resampled]
    if resampled:
        yield Notice(title="Resampled to the reference's grid, which smooths them", lines=resampled)
    warnings = [f"{case.case}: {line}" for case in results.cases for line in case.warnings]
    if results.warnings or warnings:
        yield Notice(title="Warnings", lines=[*results.warnings, *warnings])


def _summary(results: Results) -> Iterator[Block]:
    rows = [
        [
            *_names(results, protocol, target, measure),
            summary.count,
            summary.mean,
            summary.deviation,
            summary.median,
            summary.low,
            summary.high,
        ]
        for protocol, target, measure in _measures(results)
        if (summary := results.summary(protocol, measure.key, target)) is not None
    ]
    yield _without_empty_columns(
        caption="Over subjects; the interval of the mean is a bootstrap's (BCa), 95 %",
        columns=[
            *_heads(results),
            *("subjects", "mean", "deviation", "median", "from", "to"),
        ],
        rows=rows,
    )
    sets = [
        [name, score.measure.name, score.measure.region, score.value, score.spread]
        for name, scores in results.sets.items()
        for score in scores
    ]
    if sets:
        yield Table(
            caption="All predictions against all references, by features of slices",
            columns=["features", "measure", "slices", "value", "spread"],
            rows=sets,
        )


def _without_empty_columns(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]
) -> Table:
    """A table of the columns in which any row says something."""
    told = [n for n in range(len(columns)) if any(row[n] not in ("", None) for row in rows)]
    return Table(
        caption=caption,
        columns=[columns[n] for n in told],
        rows=[[row[n] for n in told] for row in rows],
    )


def _heads(results: Results) -> list[str]:
    target = ["target"] if len(results.targets) > 1 else []
    return ["protocol", *target, "measure", "unit", "where", "range"]


def _names(results: Results, protocol: str, target: str, measure: Measure) -> list[Cell]:
    """All that must be equal before two figures are compared, a cell each."""
    label = f"{protocol} {results.protocols[protocol]['hash']}"
    shown = [target] if len(results.targets) > 1 else []
    return [
        label,
        *shown,
        measure.name,
        measure.unit,
        f"{measure.dimensions}-D, {measure.region}",
        measure.describe_range(),
    ]


def _measures(results: Results) -> Iterator[tuple[str, str, Measure]]:
    """Protocol, target and measure of every figure."""
    for protocol in results.protocols:
        for target in results.targets:
            for key in results.keys(protocol):
                yield protocol, target, results.measure(protocol, key)


def _plots(results: Results) -> Iterator[Block]:
    keys = {(protocol, m.key): m for protocol, _, m in _measures(results) if m.better != "neither"}
    panels = [
        Distribution(
            title=f"{protocol} {key}",
            unit=measure.unit,
            groups={
                target or results.method: finite_values(results, protocol, key, target)
                for target in results.targets
            },
        )
        for (protocol, key), measure in list(keys.items())[:PLOTTED]
    ]
    yield from draw_panels(
        panels, "Distribution of each measure over subjects; the figures stand in the summary"
    )


def _examples(results: Results) -> Iterator[Block]:
    """Pictures of the worst and the best cases, and the viewer with these."""
    ranking = _rank(results)
    if ranking is None:
        return
    label, ranked = ranking
    worst = ranked[:_WORST]
    best = ranked[: _WORST - 1 : -1][:_BEST]
    settings = results.protocols.get("fixed", {})
    figures: list[Block] = []
    shown: list[ViewerCase] = []
    for kind, chosen in (("worst", worst), ("best", best)):
        for number, (value, case) in enumerate(chosen, start=1):
            title = f"{case.case}: {kind} {number}, {label} {value:.4g}"
            try:
                look = look_at(case, settings)
            except GalipError as error:
                figures.append(Notice(title=f"{title}: no picture", lines=[str(error)]))
                continue
            figures.append(draw(look, title))
            shown.append(ViewerCase(title=title, panels=show(look)))
    if shown:
        yield Viewer(cases=shown)
    yield from figures


def _rank(results: Results) -> tuple[str, list[tuple[float, CaseResult]]] | None:
    """The measure that cases are ranked by in words, and the cases from the worst on."""
    for protocol in sorted(results.protocols, key=lambda name: name != "fixed"):
        known = results.keys(protocol)
        for key in (*_RANKED_BY, *known):
            if key not in known or results.measure(protocol, key).better == "neither":
                continue
            return f"{protocol} {key}", results.rank(protocol, key)
    return None


def _cases(results: Results) -> Iterator[Block]:
    for protocol in results.protocols:
        keys = results.keys(protocol)
        yield Table(
            caption=f"{protocol}: every case, in the units of the summary",
            columns=["case", "subject", "target", *keys],
            rows=[
                [c.case, c.subject, c.target, *(c.scores[protocol].get(key) for key in keys)]
                for c in results.scored
            ],
        )


def _protocols(results: Results) -> Iterator[Block]:
    for name, settings in results.protocols.items():
        yield Text(text=f"{name} ({settings['hash']}): {settings.get('title', '')}.")
        measures = {m.key: m for protocol, _, m in _measures(results) if protocol == name}
        yield Facts(rows=[(key, measure.definition) for key, measure in measures.items()])
