"""The page of an audit: the verdict, what each check says, and every volume for the eye."""

from collections.abc import Iterator
from pathlib import Path

from i2igalip_cli.engine.audit.checks.intensities import brightness
from i2igalip_cli.engine.audit.checks.sizes import AXES
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Audit
from i2igalip_cli.engine.audit.thumbnails import open_thumbnail
from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.evaluation.report.page import Block, Cell, Figure, Notice, Section, Table, Text
from i2igalip_cli.evaluation.report.plots import Distribution, draw_distributions
from i2igalip_cli.evaluation.report.sheets import Tile, draw_sheet

REPORT_NAME = "audit.html"  # in a dataset
_SHOWN = 40  # volumes of a domain
_LEADS = {
    "sound": "No check found anything wrong. They can't see everything: look at the pictures.",
    "doubtful": "Nothing that spoils a training, but things that you should know.",
    "faulty": "Something here would spoil a training, or what is measured after it.",
}


def write_audit_report(
    audit: Audit, evidence: Evidence, path: Path, *, overwrite: bool = False
) -> None:
    """Write what an audit found as one HTML file.

    Args:
        audit: The verdict.
        evidence: What it was judged by.
        path: A .html file.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    sections = [
        Section(title="Findings", blocks=list(_findings(audit))),
        Section(title="Checks", blocks=[_checks(audit)]),
        Section(title="Domains", blocks=[_counts(audit), *_plots(evidence)]),
        Section(title="Every volume", blocks=list(_sheets(audit, evidence))),
    ]
    write_page(
        path,
        title=f"Audit of {len(evidence.portraits)} volumes: {audit.verdict}",
        lead=_LEADS[audit.verdict],
        sections=sections,
        overwrite=overwrite,
        dated=False,
    )


def _findings(audit: Audit) -> Iterator[Block]:
    faults, warnings = audit.lines("fault"), audit.lines("warning")
    if faults:
        yield Notice(title="Faults", lines=faults, grave=True)
    if warnings:
        yield Notice(title="Warnings", lines=warnings)
    if not (faults or warnings):
        yield Text(text="No faults and no warnings.")


def _checks(audit: Audit) -> Table:
    columns = ("check", "looks for", "judged", "faults", "warnings", "not judged")
    rows: list[list[Cell]] = []
    for check in audit.checks:
        severities = [one.severity for one in check.findings]
        counts = severities.count("fault"), severities.count("warning")
        rows.append([check.name, check.looks_for, check.judged, *counts, check.unjudged])
    return Table(
        caption="What was looked for, in how many volumes or pairs, and what wasn't judged",
        columns=columns,
        rows=rows,
        digits=0,
    )


def _counts(audit: Audit) -> Table:
    splits = list(next(iter(audit.counts.values()), {}))
    return Table(
        caption="Volumes by domain and split",
        columns=["domain", *splits],
        rows=[[name, *counts.values()] for name, counts in audit.counts.items()],
        digits=0,
    )


def _plots(evidence: Evidence) -> Iterator[Figure]:
    """How large, how empty and how bright each domain's volumes are."""
    measures = {
        **{
            f"extent {axis}": ("mm", [one.size_mm[place] for one in evidence.portraits])
            for place, axis in enumerate(AXES)
        },
        "empty (0)": ("% of its box", [100 * one.empty for one in evidence.portraits]),
        "mean of the foreground": ("of the range", [brightness(one) for one in evidence.portraits]),
    }
    panels = [
        Distribution(
            title=title,
            unit=unit,
            groups={
                name: [
                    value
                    for one, value in zip(evidence.portraits, values, strict=True)
                    if one.domain == name
                ]
                for name in evidence.domains
            },
        )
        for title, (unit, values) in measures.items()
    ]
    yield Figure(
        image=draw_distributions(panels),
        alt="Extents, emptiness and brightness of every volume, by domain",
        caption="A dot a volume; the box spans the quartiles, its line is the median.",
    )


def _sheets(audit: Audit, evidence: Evidence) -> Iterator[Block]:
    """A contact sheet a domain, volumes with findings first."""
    marked = {
        name for check in audit.checks for finding in check.findings for name in finding.volumes
    }
    for domain in evidence.domains:
        own = sorted(evidence.of_domain(domain), key=lambda one: one.name not in marked)
        shown = own[:_SHOWN]
        tiles = [
            Tile(name=one.name, picture=open_thumbnail(one.thumbnail), marked=one.name in marked)
            for one in shown
        ]
        more = f", {len(shown)} of {len(own)} shown" if len(shown) < len(own) else ""
        yield Figure(
            image=draw_sheet(tiles),
            alt=f"Middle slices of the volumes of {domain}, axial, coronal and sagittal",
            caption=f"{domain}: middle slices, axial, coronal and sagittal; framed where a check "
            f"found something{more}",
        )
