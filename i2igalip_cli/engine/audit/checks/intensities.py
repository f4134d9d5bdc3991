"""Are volumes as bright, and as empty, as the others of their domain, and the domains alike?"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import BINS, Portrait

EMPTIER = 0.25  # share of the box: a masked volume among others, or a masked domain
BRIGHTER = 0.2  # of the range, mean of the foreground: the window was set by something else
LEAST_AIR = 0.01  # share of a CT's voxels; around a body in a box it is a fifth
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
    """CT without air: another contrast, or no Hounsfield units."""
    tomography = {one.name for one in evidence.index.domains if one.modality == "CT"}
    for one in evidence.portraits:
        if one.domain in tomography and one.air < LEAST_AIR:
            yield Finding(
                severity="fault",
                text=f"labelled {one.domain}, but there is no air in it: no CT, or not in HU",
                volumes=(one.name,),
                advice="look at it, and at its header's rescale slope and intercept",
            )


def _find_masked(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    usual = float(np.median([one.empty for one in portraits]))
    for one in portraits:
        if abs(one.empty - usual) > EMPTIER:
            yield Finding(
                severity="warning",
                text=f"{one.empty:.0%} of it is empty (0), of the others of {one.domain} "
                f"{usual:.0%}: was it masked, and they not, or they?",
                volumes=(one.name,),
                advice="prepare with --mask, or leave it out",
            )


def brightness(one: Portrait) -> float:
    """Mean of the foreground, in [0, 1]."""
    return float(one.histogram @ ((np.arange(BINS) + 0.5) / BINS))


def _find_scaled(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    means = np.array([brightness(one) for one in portraits])
    usual = float(np.median(means))
    spread = float(np.median(np.abs(means - usual)))
    for one, mean in zip(portraits, means, strict=True):
        if abs(mean - usual) > max(BRIGHTER, RARE * spread):
            yield Finding(
                severity="warning",
                text=f"its foreground lies at {mean:.2f} of the range, that of the others of "
                f"{one.domain} at {usual:.2f}: something bright set its range, or it is another "
                "kind of image",
                volumes=(one.name,),
                advice="look at it",
            )


def _find_shifts(evidence: Evidence, domains: Sequence[str]) -> Iterator[Finding]:
    """Pairs of domains of which one is masked and the other isn't."""
    modality = {domain.name: domain.modality for domain in evidence.index.domains}
    empty = {
        name: float(np.median([one.empty for one in evidence.of_domain(name)])) for name in domains
    }
    for one, other in combinations(domains, 2):
        if modality[one] == modality[other] and abs(empty[one] - empty[other]) > EMPTIER:
            yield Finding(
                severity="warning",
                text=f"{empty[one]:.0%} of {one} is empty (0), and {empty[other]:.0%} of {other}: "
                "if one is masked, training learns to mask, too",
                advice="prepare both with --mask",
            )
