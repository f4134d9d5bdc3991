"""Does a volume show the contrast that it is labelled with?

Two witnesses: its header or sidecar, and the other volumes of the dataset. A volume that is swapped
with another domain's looks like that domain's. For a third one see `captions`.
"""

from collections.abc import Mapping

import numpy as np

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait

LEAST_MARGIN = 0.02  # of the range: how much nearer volumes are to their own domain, where it tells
CLEARLY = 3.0  # times the median deviation of these margins, which must not be chance
SURELY = 0.5  # share of the usual margin by which a volume must be nearer to another domain
ADVICE = "look at it, and give it to the domain it shows"


def check_header(evidence: Evidence) -> Checked:
    """Compare labels with headers and sidecars."""
    told = [one for one in evidence.portraits if one.shard.header]
    findings = [
        Finding(
            severity="fault",
            text=f"labelled {one.domain}, but {one.shard.contradiction}",
            volumes=(one.name,),
            advice=ADVICE,
        )
        for one in told
        if one.shard.contradiction
    ]
    silent = len(evidence.portraits) - len(told)
    return Checked(
        name="contrast by header",
        looks_for="a header or sidecar that tells another contrast than the label",
        judged=len(told),
        unjudged=f"{silent} have no header or sidecar that tells their contrast" if silent else "",
        findings=tuple(findings),
    )


def check_likeness(evidence: Evidence) -> Checked:
    """Find volumes that look like another domain's volumes rather than their own."""
    strays, unclear = find_strays(evidence)
    clear = [name for name in evidence.domains if name not in unclear]
    return Checked(
        name="contrast by likeness",
        looks_for="a volume that looks like those of another domain",
        judged=sum(len(_comparable(name, evidence)) for name in clear),
        unjudged=f"too few subjects, or no clear difference: {', '.join(unclear)}"
        if unclear
        else "",
        findings=tuple(_tell_stray(one, evidence.distances[one.name]) for one in strays),
    )


def find_strays(evidence: Evidence) -> tuple[list[Portrait], list[str]]:
    """Volumes that look like another domain's, and the domains that can't be judged so."""
    strays: list[Portrait] = []
    unclear = []
    for domain in evidence.domains:
        own = _comparable(domain, evidence)
        margins = np.array([_margin(evidence.distances[one.name], domain) for one in own])
        usual = float(np.median(margins)) if own else 0.0
        if usual < LEAST_MARGIN or usual < CLEARLY * np.median(np.abs(margins - usual)):
            unclear.append(domain)
            continue
        strays += [
            one for one, margin in zip(own, margins, strict=True) if margin < -SURELY * usual
        ]
    return strays, unclear


def _comparable(domain: str, evidence: Evidence) -> list[Portrait]:
    """A domain's volumes that could be compared with it and another one."""
    return [
        one
        for one in evidence.of_domain(domain)
        if domain in (known := evidence.distances[one.name]) and len(known) > 1
    ]


def _margin(distances: Mapping[str, float], own: str) -> float:
    """How much nearer a volume is to its own domain than to the nearest other one."""
    return min(value for name, value in distances.items() if name != own) - distances[own]


def _tell_stray(one: Portrait, distances: Mapping[str, float]) -> Finding:
    best = min(distances, key=lambda name: distances[name])
    return Finding(
        severity="fault",
        text=f"labelled {one.domain}, but looks like {best} (it differs from the others of {best} "
        f"by {distances[best]:.2f} of the range, of {one.domain} by {distances[one.domain]:.2f})",
        volumes=(one.name,),
        advice=ADVICE,
    )
