"""Are volumes as bright, and as empty, as the others of their domain, and the domains alike?"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from i2igalip_cli.engine.audit.checks.grouping import is_sizeable, tell_together
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import BINS, Portrait

EMPTIER = 0.25  # share of the box: a masked volume among others, or a masked domain
BRIGHTER = 0.2  # of the range, mean of the foreground: the window was set by something else
LEAST_AIR = 0.01  # share of a CT's voxels; around a body in a box it is a fifth
AIRY = 0.05  # the same of a domain's middle volume, where one without air is no CT
RARE = 6.0  # times the median deviation of a domain's volumes


def check_intensities(evidence: Evidence) -> Checked:
    """Find volumes that were scaled or masked unlike the others, and domains that were."""
    findings = list(_find_airless(evidence))
    for domain in evidence.many:
        own = evidence.of_domain(domain)
        findings += [*_find_masked(own), *_find_scaled(own)]
    findings += _find_shifts(evidence, evidence.many)
    return Checked(
        name="intensities",
        looks_for="volumes or domains that were masked or scaled unlike the others",
        judged=sum(len(evidence.of_domain(name)) for name in evidence.many),
        unjudged=evidence.too_few,
        findings=tuple(findings),
    )


def _find_airless(evidence: Evidence) -> Iterator[Finding]:
    """CT without air: another contrast, or no Hounsfield units, where its domain has much."""
    for domain in evidence.index.domains:
        own = evidence.of_domain(domain.name)
        airless = [one.name for one in own if one.air < LEAST_AIR]
        if domain.modality != "CT" or not airless:
            continue
        airy = domain.name in evidence.many and np.median([one.air for one in own]) >= AIRY
        if not airy or is_sizeable(len(airless), len(own)):
            yield Finding(
                severity="warning",
                text=f"{len(airless)} of {len(own)} volumes of {domain.name} have no air in them: "
                "reconstructed or cut within the body, or not in HU",
                volumes=tuple(airless),
                advice="look at one, and at its header's rescale slope and intercept",
            )
            continue
        for name in airless:
            yield Finding(
                severity="fault",
                text=f"labelled {domain.name}, but there is no air in it, as there is in the "
                "others: no CT, or not in HU",
                volumes=(name,),
                advice="look at it, and at its header's rescale slope and intercept",
            )


def _find_emptiness(portraits: Sequence[Portrait]) -> float:
    """The lower middle: half a domain may be masked, and between the halves lies no volume."""
    return float(np.percentile([one.empty for one in portraits], 50, method="lower"))


def _find_masked(portraits: Sequence[Portrait]) -> list[Finding]:
    usual = _find_emptiness(portraits)
    odd = [one for one in portraits if abs(one.empty - usual) > EMPTIER]
    findings = [
        Finding(
            severity="warning",
            text=f"{one.empty:.0%} of it is empty (0), of the others of {one.domain} "
            f"{usual:.0%}: was it masked, and they not, or they?",
            volumes=(one.name,),
            advice="prepare with --mask, or leave it out",
        )
        for one in odd
    ]
    shares = [one.empty for one in odd] or [0.0]
    text = (
        f"volumes of {portraits[0].domain} are {min(shares):.0%} to {max(shares):.0%} empty (0), "
        f"the rest {usual:.0%}: were they masked, and the rest not, or the rest?"
    )
    return tell_together(findings, len(portraits), text)


def brightness(one: Portrait) -> float:
    """Mean of the foreground, in [0, 1]."""
    return float(one.histogram @ ((np.arange(BINS) + 0.5) / BINS))


def _find_scaled(portraits: Sequence[Portrait]) -> list[Finding]:
    means = np.array([brightness(one) for one in portraits])
    usual = float(np.median(means))
    spread = float(np.median(np.abs(means - usual)))
    findings = [
        Finding(
            severity="warning",
            text=f"its foreground lies at {mean:.2f} of the range, that of the others of "
            f"{one.domain} at {usual:.2f}: something bright set its range, or it is another "
            "kind of image",
            volumes=(one.name,),
            advice="look at it",
        )
        for one, mean in zip(portraits, means, strict=True)
        if abs(mean - usual) > max(BRIGHTER, RARE * spread)
    ]
    text = (
        f"volumes of {portraits[0].domain} are brighter or darker than the rest, whose foreground "
        f"lies at {usual:.2f} of the range: something bright set their range, or they are another "
        "kind of image"
    )
    return tell_together(findings, len(portraits), text)


def _find_shifts(evidence: Evidence, domains: Sequence[str]) -> Iterator[Finding]:
    """Pairs of domains of which one is masked and the other isn't."""
    modality = {domain.name: domain.modality for domain in evidence.index.domains}
    empty = {name: _find_emptiness(evidence.of_domain(name)) for name in domains}
    for one, other in combinations(domains, 2):
        if modality[one] == modality[other] and abs(empty[one] - empty[other]) > EMPTIER:
            yield Finding(
                severity="warning",
                text=f"{empty[one]:.0%} of {one} is empty (0), and {empty[other]:.0%} of {other}: "
                "if one is masked, training learns to mask, too",
                advice="prepare both with --mask",
            )
