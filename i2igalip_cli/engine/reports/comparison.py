"""The page of two methods: by which measure which is better, and how surely."""

from collections.abc import Iterator
from pathlib import Path

from i2igalip_cli.engine.evaluator.comparison import (
    SIGNIFICANT,
    Comparison,
    RegionAgreement,
)
from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.engine.reports.distributions import PLOTTED, draw_panels, finite_values
from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.evaluation.report.page import Block, Figure, Notice, Section, Table
from i2igalip_cli.evaluation.report.plots import (
    Agreement,
    Distribution,
    draw_agreement,
)


def write_comparison_report(
    comparison: Comparison, a: Results, b: Results, path: Path, *, overwrite: bool = False
) -> None:
    """Write a comparison as one HTML file.

    Args:
        comparison: Of `a` with `b`.
        a: Results of the first method.
        b: Of the second.
        path: A .html file.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    sections = [
        Section(title="Differences", blocks=[*_notices(comparison), *_table(comparison)]),
        Section(title="Subjects", blocks=list(_plots(comparison, a, b))),
        Section(title="Means of regions", blocks=list(_regions(comparison, a, b))),
    ]
    hashes = ", ".join(f"{name} ({found})" for name, found in comparison.hashes.items())
    write_page(
        path,
        title=f"{comparison.a} against {comparison.b}",
        lead=f"{comparison.subjects} subjects of both, paired; protocols {hashes}. Wilcoxon's "
        "signed-rank test, p corrected by Holm for all measures of this page; a difference counts "
        f"as shown below {SIGNIFICANT:g}.",
        sections=sections,
        overwrite=overwrite,
    )


def _notices(comparison: Comparison) -> Iterator[Block]:
    for method, subjects in (
        (comparison.a, comparison.only_a),
        (comparison.b, comparison.only_b),
    ):
        if subjects:
            title = f"Only {method} has these subjects: they are left out"
            yield Notice(title=title, lines=subjects, grave=True)
    if comparison.warnings:
        yield Notice(title="Warnings", lines=comparison.warnings)


def _table(comparison: Comparison) -> Iterator[Block]:
    yield Table(
        caption="Differences are first minus second; effect is the rank-biserial correlation",
        columns=[
            *("protocol", "target", "measure", "unit", "where", "subjects"),
            *(comparison.a, comparison.b, "median difference", "mean difference", "from", "to"),
            *("p", "p (Holm)", "effect", "what it shows"),
        ],
        rows=[
            [
                *(one.protocol, one.target, one.key, one.measure.unit),
                f"{one.measure.dimensions}-D, {one.measure.region}",
                *(one.paired.count, one.mean_a, one.mean_b, one.paired.median_difference),
                *(one.paired.mean_difference, one.paired.low, one.paired.high),
                *(one.paired.p, one.p_holm, one.paired.effect, one.verdict),
            ]
            for one in comparison.measures
        ],
        digits=4,
    )


def _plots(comparison: Comparison, a: Results, b: Results) -> Iterator[Block]:
    several = len({one.target for one in comparison.measures}) > 1
    panels = [
        Distribution(
            title=f"{one.protocol} {one.key}" + (f", {one.target}" if several else ""),
            unit=one.measure.unit,
            groups={
                name: finite_values(results, one.protocol, one.key, one.target)
                for name, results in ((comparison.a, a), (comparison.b, b))
            },
        )
        for one in comparison.measures[:PLOTTED]
    ]
    yield from draw_panels(
        panels, "Each measure of both methods over subjects; the figures stand in the table"
    )


def _regions(comparison: Comparison, a: Results, b: Results) -> Iterator[Block]:
    panels = [_agreement(one, a if one.method == comparison.a else b) for one in comparison.regions]
    drawn = [panel for panel in panels if panel is not None][:PLOTTED]
    if drawn:
        yield Figure(
            image=draw_agreement(drawn),
            alt="Bland-Altman plots of the mean intensity of regions",
            caption="Bland-Altman: mean intensity of a region in the prediction minus that in the "
            "reference, a dot a subject; bias and 95 % limits of agreement.",
        )


def _agreement(one: RegionAgreement, results: Results) -> Agreement | None:
    """Points and lines of one plot; None below two subjects."""
    found = one.agreement
    if found.lower_limit is None or found.upper_limit is None:
        return None
    ours = results.by_subject(one.protocol, one.measure.key, one.target)
    theirs = results.by_subject(one.protocol, f"reference_{one.measure.key}", one.target)
    both = sorted(ours.keys() & theirs.keys())
    return Agreement(
        title=f"{one.method}: {one.measure.region}",
        unit=one.measure.unit,
        means=[(ours[subject] + theirs[subject]) / 2 for subject in both],
        differences=[ours[subject] - theirs[subject] for subject in both],
        bias=found.bias,
        limits=(found.lower_limit, found.upper_limit),
    )
