"""Does a volume show the contrast that it is labelled with?

Three witnesses: its header or sidecar, the text-image encoder with the captions, and the other
volumes of the dataset. A volume that is swapped with another domain's looks like that domain's.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import BODY, Portrait

LEAST_MARGIN = 0.02  # of the range: how much nearer volumes are to their own domain, where it tells
CLEARLY = 3.0  # times the median deviation of these margins, which must not be chance
SURELY = 0.5  # share of the usual margin by which a volume must be nearer to another domain
CREDIBLE = 0.8  # share of a domain's volumes that an encoder must name as they are labelled
_ADVICE = "look at it, and give it to the domain it shows"


def check_header(evidence: Evidence) -> Checked:
    """Compare labels with headers and sidecars."""
    told = [one for one in evidence.portraits if one.shard.header]
    findings = [
        Finding(
            severity="fault",
            text=f"labelled {one.domain}, but {one.shard.contradiction}",
            volumes=(one.name,),
            advice=_ADVICE,
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
    distances = {one.name: _compare(one, evidence) for one in evidence.portraits}
    findings: list[Finding] = []
    judged, unclear = 0, []
    for domain in evidence.domains:
        own = [
            one
            for one in evidence.of_domain(domain)
            if domain in distances[one.name] and len(distances[one.name]) > 1
        ]
        margins = np.array([_margin(distances[one.name], domain) for one in own])
        usual = float(np.median(margins)) if own else 0.0
        if usual < LEAST_MARGIN or usual < CLEARLY * np.median(np.abs(margins - usual)):
            unclear.append(domain)
            continue
        judged += len(own)
        strays = [one for one, margin in zip(own, margins, strict=True) if margin < -SURELY * usual]
        findings += [_tell_stray(one, distances[one.name]) for one in strays]
    return Checked(
        name="contrast by likeness",
        looks_for="a volume that looks like those of another domain",
        judged=judged,
        unjudged=f"too few subjects, or no difference, to tell {', '.join(unclear)} from others"
        if unclear
        else "",
        findings=tuple(findings),
    )


def _compare(one: Portrait, evidence: Evidence) -> dict[str, float]:
    """Mean difference inside the body from the other subjects' median in each domain."""
    around = evidence.templates.around(one)
    if not around:
        return {}
    inside = np.min(list(around.values()), axis=0) > BODY.threshold
    if not inside.any():
        return {}
    return {
        name: float(np.abs(one.cube[inside] - median[inside]).mean())
        for name, median in around.items()
    }


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
        advice=_ADVICE,
    )


def check_captions(evidence: Evidence) -> Checked:
    """Ask the encoder which domain's caption fits each volume best."""
    looks_for = "a volume that another domain's caption fits better, by the encoder"
    if not evidence.captions:
        return Checked(
            name="contrast by caption", looks_for=looks_for, judged=0, unjudged=evidence.unread
        )
    named = {name: max(fits, key=lambda one: fits[one]) for name, fits in evidence.captions.items()}
    swapped = list(_find_swapped(evidence, named))
    right = {
        domain: float(np.mean([named[one.name] == domain for one in evidence.of_domain(domain)]))
        for domain in evidence.domains
    }
    unknown = [domain for domain, share in right.items() if share < CREDIBLE]
    judged = [one for one in evidence.portraits if swapped or one.domain not in unknown]
    return Checked(
        name="contrast by caption",
        looks_for=looks_for,
        judged=len(judged),
        unjudged=""
        if swapped or not unknown
        else "the encoder names too few volumes as they are labelled: "
        + ", ".join(f"{right[domain]:.0%} of {domain}" for domain in unknown),
        findings=tuple(swapped or _find_misnamed(judged, evidence, named)),
    )


def _find_swapped(evidence: Evidence, named: Mapping[str, str]) -> Iterator[Finding]:
    """Two domains of which each looks like the other as a whole."""
    usual = {}
    for domain in evidence.domains:
        own = evidence.of_domain(domain)
        ((best, count),) = Counter(named[one.name] for one in own).most_common(1)
        if count >= CREDIBLE * len(own) and len(own) > 1:
            usual[domain] = best
    for domain, best in usual.items():
        if domain < best and usual.get(best) == domain:
            yield Finding(
                severity="fault",
                text=f"{domain} and {best} look as if they were exchanged as a whole",
                advice="look at some, and exchange the patterns",
            )


def _find_misnamed(
    portraits: Sequence[Portrait], evidence: Evidence, named: Mapping[str, str]
) -> Iterator[Finding]:
    for one in portraits:
        best, fits = named[one.name], evidence.captions[one.name]
        if best != one.domain and fits[best] > fits[one.domain] + SURELY:
            yield Finding(
                severity="fault",
                text=f"labelled {one.domain}, but the encoder sees {best} (fit {fits[best]:.2f}, "
                f"of {one.domain} {fits[one.domain]:.2f})",
                volumes=(one.name,),
                advice=_ADVICE,
            )
