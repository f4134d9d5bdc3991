"""Are the bodies as large as they should be, and do the domains show the same part of them?"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from i2igalip_cli.engine.audit.checks.grouping import tell_together
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait

AXES = ("from left to right", "from back to front", "from bottom to top")
PARTIAL = 1.4  # times the others' extent along one axis
SHIFTED = 1.2  # between the middles of two domains
PLAUSIBLE_MM = (30.0, 700.0)  # from an infant's head to a body


def check_sizes(evidence: Evidence) -> Checked:
    """Find wrong voxel sizes, cut fields of view, and domains that show different parts."""
    findings = [
        *_find_implausible(evidence),
        *_find_wrong(evidence),
        *_find_children(evidence),
        *_find_cut(evidence),
        *_find_shifts(evidence),
    ]
    return Checked(
        name="field of view",
        looks_for="wrong voxel sizes, cut volumes, domains that show different parts of the body",
        judged=len(evidence.scales),
        unjudged=evidence.too_few,
        findings=tuple(findings),
    )


def find_scaled(evidence: Evidence) -> set[str]:
    """Names of the volumes whose voxels' size must be wrong."""
    wrong = {name for name, scale in evidence.scales.items() if scale.wrong}
    return wrong | {one.name for one in evidence.portraits if _is_implausible(one)}


def _is_implausible(one: Portrait) -> bool:
    low, high = PLAUSIBLE_MM
    return max(one.size_mm) < low or min(one.size_mm) > high


def _find_implausible(evidence: Evidence) -> Iterator[Finding]:
    for one in evidence.portraits:
        if _is_implausible(one):
            yield Finding(
                severity="fault",
                text=f"the body is {_sizes(one.size_mm)} mm: its voxels' size is wrong",
                volumes=(one.name,),
                advice="mend its header",
            )


def _find_wrong(evidence: Evidence) -> Iterator[Finding]:
    """Volumes that are scaled unlike the others of their domain and of their subject."""
    for one in evidence.portraits:
        scale = evidence.scales.get(one.name)
        if scale is None or not scale.wrong or _is_implausible(one):
            continue
        kin = (
            "" if math.isnan(scale.kin) else f", its subject's other volumes {scale.kin:.2g} times"
        )
        yield Finding(
            severity="fault",
            text=f"everything is {scale.factor:.2g} times as large as in the others of "
            f"{one.domain} ({_sizes(one.size_mm)} mm, they {_sizes(scale.usual_mm)}){kin}",
            volumes=(one.name,),
            advice="mend its header's voxel size"
            if kin
            else "its header's voxel size is wrong, or it is a child among adults",
        )


def _find_children(evidence: Evidence) -> list[Finding]:
    """Subjects who are larger or smaller than the others in all their volumes alike."""
    alike: dict[str, list[Portrait]] = defaultdict(list)
    for one in evidence.portraits:
        scale = evidence.scales.get(one.name)
        if scale and scale.scaled and not scale.wrong and not _is_implausible(one):
            alike[one.shard.subject].append(one)
    findings = []
    for subject, own in alike.items():
        factor = np.median([evidence.scales[one.name].factor for one in own])
        findings.append(
            Finding(
                severity="warning",
                text=f"subject {subject} is {factor:.2g} times as large as the others, in its "
                "volumes alike",
                volumes=tuple(one.name for one in own),
                advice="a child among adults, or voxel sizes that are wrong in all its headers",
            )
        )
    subjects = {one.shard.subject for one in evidence.portraits}
    text = "subjects are larger or smaller than the rest, each in its volumes alike"
    return tell_together(findings, len(subjects), text)


def _find_cut(evidence: Evidence) -> Iterator[Finding]:
    """Volumes that are longer or shorter than the others of their domain along one axis."""
    for domain in evidence.many:
        own = evidence.of_domain(domain)
        for place in range(len(AXES)):
            yield from _find_cut_along(place, own, evidence)


def _find_cut_along(place: int, portraits: Sequence[Portrait], evidence: Evidence) -> list[Finding]:
    domain, axis = portraits[0].domain, AXES[place]
    usual = evidence.scales[portraits[0].name].usual_mm[place]
    cut = [
        one
        for one in portraits
        if not (scale := evidence.scales[one.name]).scaled
        and max(scale.ratios[place], 1 / scale.ratios[place]) > PARTIAL
    ]
    findings = [
        Finding(
            severity="warning",
            text=f"{one.size_mm[place]:.0f} mm {axis}, the others of {domain} {usual:.0f}: a cut "
            "volume, or another part of the body",
            volumes=(one.name,),
            advice="look at it",
        )
        for one in cut
    ]
    extents = [one.size_mm[place] for one in cut] or [0.0]
    text = (
        f"volumes of {domain} show {min(extents):.0f} to {max(extents):.0f} mm {axis}, the rest "
        f"{usual:.0f}: cut, or with more of the body, such as the neck"
    )
    return tell_together(findings, len(portraits), text)


def _sizes(sizes_mm: Sequence[float]) -> str:
    return " x ".join(f"{size:.0f}" for size in sizes_mm)


def _find_shifts(evidence: Evidence) -> Iterator[Finding]:
    """Axes along which one domain's volumes are smaller than another's, nearly all of them."""
    for place, axis in enumerate(AXES):
        extents = {
            name: [one.size_mm[place] for one in evidence.of_domain(name)] for name in evidence.many
        }
        if not extents:
            continue
        small = min(extents, key=lambda name: float(np.median(extents[name])))
        large = max(extents, key=lambda name: float(np.median(extents[name])))
        less, more = (float(np.median(extents[name])) for name in (small, large))
        apart = np.percentile(extents[small], 75) < np.percentile(extents[large], 25)
        if more > SHIFTED * less and apart:
            yield Finding(
                severity="warning",
                text=f"{small} shows {less:.0f} mm {axis}, {large} {more:.0f}: unpaired training "
                "learns to cut or to invent the rest",
                advice="crop both to the same part of the body",
            )
