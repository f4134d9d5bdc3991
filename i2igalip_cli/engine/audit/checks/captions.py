"""Does a volume show what its domain's caption says? By the text-image encoder.

Where it names most of a dataset as it is labelled, it is right of nearly all, but not of each: what
it says of one volume alone is worth a look, and a fault where another witness says so, too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from i2igalip_cli.engine.audit.checks.contrast import ADVICE, find_strays
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait

SURELY = 0.5  # of the fit: by how much another domain's caption must fit better
CREDIBLE = 0.8  # share of a domain's volumes that an encoder must name alike


def check_captions(evidence: Evidence) -> Checked:
    """Ask the encoder which domain's caption fits each volume best."""
    looks_for = "a volume that another domain's caption fits better, by the encoder"
    if not evidence.captions:
        return Checked(
            name="contrast by caption", looks_for=looks_for, judged=0, unjudged=evidence.unread
        )
    named = {name: max(fits, key=lambda one: fits[one]) for name, fits in evidence.captions.items()}
    circles = _find_circles(_find_usual(evidence, named))
    exchanged = {domain for circle in circles for domain in circle}
    right = {
        domain: float(np.mean([named[one.name] == domain for one in evidence.of_domain(domain)]))
        for domain in evidence.domains
        if domain not in exchanged
    }
    unknown = [domain for domain, share in right.items() if share < CREDIBLE]
    credible = [one for one in evidence.portraits if right.get(one.domain, 0) >= CREDIBLE]
    return Checked(
        name="contrast by caption",
        looks_for=looks_for,
        judged=len(credible) + sum(len(evidence.of_domain(domain)) for domain in exchanged),
        unjudged="the encoder names too few volumes as they are labelled: "
        + ", ".join(f"{right[domain]:.0%} of {domain}" for domain in unknown)
        if unknown
        else "",
        findings=(*map(_tell_circle, circles), *_find_misnamed(credible, evidence, named)),
    )


def _find_usual(evidence: Evidence, named: Mapping[str, str]) -> dict[str, str]:
    """By domain, what the encoder sees in nearly all of its volumes, if there is such a thing."""
    usual = {}
    for domain in evidence.domains:
        own = evidence.of_domain(domain)
        ((best, count),) = Counter(named[one.name] for one in own).most_common(1)
        if count >= CREDIBLE * len(own) and len(own) > 1:
            usual[domain] = best
    return usual


def _find_circles(usual: Mapping[str, str]) -> list[list[str]]:
    """Domains that look like the next one as a whole, and the last of them like the first."""
    circles: list[list[str]] = []
    for start in usual:
        circle = [start]
        while (after := usual.get(circle[-1], "")) not in ("", *circle):
            circle.append(after)
        known = any(start in other for other in circles)
        if after == start and len(circle) > 1 and not known:
            circles.append(circle)
    return circles


def _tell_circle(circle: Sequence[str]) -> Finding:
    around = ", ".join(
        f"{domain} looks like {after}"
        for domain, after in zip(circle, (*circle[1:], circle[0]), strict=True)
    )
    names = f"{', '.join(circle[:-1])} and {circle[-1]}"
    return Finding(
        severity="fault",
        text=f"{names} look as if they were exchanged as a whole: {around}",
        advice="look at some, and exchange the patterns",
    )


def _find_misnamed(
    portraits: Sequence[Portrait], evidence: Evidence, named: Mapping[str, str]
) -> Iterator[Finding]:
    strays, _ = find_strays(evidence)
    accused = {one.name for one in strays} | {
        one.name for one in evidence.portraits if one.shard.contradiction
    }
    for one in portraits:
        best, fits = named[one.name], evidence.captions[one.name]
        if best != one.domain and fits[best] > fits[one.domain] + SURELY:
            yield Finding(
                severity="fault" if one.name in accused else "warning",
                text=f"labelled {one.domain}, but the encoder sees {best} (fit {fits[best]:.2f}, "
                f"of {one.domain} {fits[one.domain]:.2f})",
                volumes=(one.name,),
                advice=ADVICE,
            )
