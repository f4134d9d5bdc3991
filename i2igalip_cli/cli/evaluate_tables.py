"""The tables of `i2igalip evaluate` on a terminal."""

import math
from typing import TYPE_CHECKING

from i2igalip_cli.cli.console import plain, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from i2igalip_cli.engine.evaluator.comparison import Comparison
    from i2igalip_cli.engine.evaluator.results import Results
    from i2igalip_cli.evaluation.measures import Measure
    from i2igalip_cli.evaluation.statistics import Summary

_FEW = 20  # cases that are all shown
_WORST = 5  # cases shown of more
_DIGITS = {"dB": 2, "%": 2, "HU": 1, "mm": 2}


def print_results(results: "Results") -> None:
    """Print statistics over subjects, and the cases: all where they are few, else the worst."""
    from rich.table import Table

    subjects = len({case.subject for case in results.scored})
    table = Table(title=plain(f"{results.method}: {_counted(results)}, {subjects} subjects"))
    headings = ("protocol", "measure", "where", "range", "", "n", "mean ± deviation", "median")
    for heading in (*headings, "95 % of the mean"):
        table.add_column(heading)
    several = len(results.targets) > 1
    for protocol, settings in results.protocols.items():
        for target in results.targets:
            label = f"{protocol} {settings['hash']}" + (f" {target}" if several else "")
            for key in results.keys(protocol):
                summary = results.summary(protocol, key, target)
                if summary is not None:
                    table.add_row(plain(label), *_row(results.measure(protocol, key), summary))
            table.add_section()
    _add_sets(table, results)
    print_table(table)
    _print_cases(results)


def _counted(results: "Results") -> str:
    count, scored = len(results.cases), len(results.scored)
    resampled = sum(case.resampled for case in results.cases)
    said = f"{count} cases" if scored == count else f"{scored} of {count} cases"
    return said + (f" ({resampled} resampled)" if resampled else "")


def _row(measure: "Measure", summary: "Summary") -> list[str]:
    unit = measure.unit
    interval = ""
    if summary.low is not None and summary.high is not None:
        interval = f"{_number(summary.low, unit)} to {_number(summary.high, unit)}"
    mean = _number(summary.mean, unit)
    if summary.deviation is not None:
        mean += f" ± {_number(summary.deviation, unit)}"
    if summary.infinite:  # one alone makes the mean infinite
        mean += f" ({summary.infinite} of {summary.count})"
    median = _number(summary.median, unit)
    return [*_measure_cells(measure), str(summary.count), mean, median, interval]


def _measure_cells(measure: "Measure") -> list[str]:
    """Name with unit, region, range, and 2-D or 3-D."""
    return [
        plain(measure.name + (f", {measure.unit}" if measure.unit else "")),
        plain(measure.region),
        measure.describe_range(),
        f"{measure.dimensions}-D",
    ]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{_DIGITS.get(unit, 4)}f}"


def _add_sets(table: "Table", results: "Results") -> None:
    """Rows of FID and KID, which have no subjects."""
    for name, scores in results.sets.items():
        for score in scores:
            value = _number(score.value, "")
            if score.spread is not None:
                value += f" ± {_number(score.spread, '')}"
            cells = _measure_cells(score.measure)
            table.add_row(plain(name), *cells, f"{len(results.scored)} cases", value, "", "")


def _print_cases(results: "Results") -> None:
    """One row a case, with the main measures of each protocol."""
    from rich.table import Table

    columns = _main_columns(results)
    cases, title = list(results.cases), ""
    if len(cases) > _FEW:
        cases = [case for _, case in results.rank(*columns[0])[:_WORST]]
        title = f"the {len(cases)} worst cases by {columns[0][0]} {columns[0][1]}"
    table = Table("case", "subject", title=plain(title) or None)
    for protocol, key in columns:
        unit = results.measure(protocol, key).unit
        table.add_column(plain(f"{protocol}\n{key}{f', {unit}' if unit else ''}"))
    noted = any(case.error or case.resampled for case in cases)
    if noted:
        table.add_column("")
    for case in cases:
        values = [
            "" if case.error else _number(case.scores[p].get(k), results.measure(p, k).unit)
            for p, k in columns
        ]
        note = "failed" if case.error else "resampled" if case.resampled else ""
        names = plain(case.case), plain(case.subject)
        table.add_row(*names, *values, *([note] if noted else []))
    print_table(table)


def _main_columns(results: "Results") -> list[tuple[str, str]]:
    """Measures of quality in each protocol's own region."""
    return [
        (protocol, key)
        for protocol in results.protocols
        for key in results.keys(protocol)
        if (measure := results.measure(protocol, key)).main and measure.better != "neither"
    ]


def print_comparison(comparison: "Comparison") -> None:
    """Print which method is better by what, and how well each keeps regions' means."""
    from rich.table import Table

    a, b = comparison.a, comparison.b
    table = Table(title=plain(f"A = {a}, B = {b}: {comparison.subjects} subjects of both"))
    headings = ("protocol", "measure", "where", "range", "", "n", "A", "B", "median A - B")
    for heading in (*headings, "mean A - B, 95 %", "p", "p (Holm)", "effect", ""):
        table.add_column(heading)
    several = len({one.target for one in comparison.measures}) > 1
    for one in comparison.measures:
        label = f"{one.protocol} {comparison.hashes[one.protocol]}"
        paired, unit = one.paired, one.measure.unit
        interval = _number(paired.mean_difference, unit)
        if paired.low is not None and paired.high is not None:
            interval += f" ({_number(paired.low, unit)} to {_number(paired.high, unit)})"
        table.add_row(
            plain(label + (f" {one.target}" if several else "")),
            *_measure_cells(one.measure),
            str(paired.count),
            _number(one.mean_a, unit),
            _number(one.mean_b, unit),
            _number(paired.median_difference, unit),
            interval,
            f"{paired.p:.3g}",
            f"{one.p_holm:.3g}",
            f"{paired.effect:+.2f}",
            plain(one.verdict),
        )
    print_table(table)
    if comparison.regions:
        _print_regions(comparison)


def _print_regions(comparison: "Comparison") -> None:
    from rich.table import Table

    table = Table(title="mean intensity of regions, prediction - reference (Bland-Altman)")
    for heading in ("method", "protocol", "region", "n", "bias", "95 % limits of agreement"):
        table.add_column(heading)
    for one in comparison.regions:
        unit, found = one.measure.unit, one.agreement
        limits = ""
        if found.lower_limit is not None and found.upper_limit is not None:
            limits = f"{_number(found.lower_limit, unit)} to {_number(found.upper_limit, unit)}"
        region = one.measure.region + (f", {unit}" if unit else "")
        names = (one.method, f"{one.protocol} {one.target}".strip(), region)
        bias = _number(found.bias, unit)
        table.add_row(*map(plain, names), str(found.count), bias, limits)
    print_table(table)
