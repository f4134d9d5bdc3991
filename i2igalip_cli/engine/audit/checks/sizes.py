"""Are the bodies as large as they should be, and do the domains show the same part of them?"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait

AXES = ("from left to right", "from back to front", "from bottom to top")
SCALED = 1.4  # times the others' size along all axes: adults differ by less than 1.2
EVENLY = 1.25  # largest over smallest of the three ratios, where the voxels' size is wrong
PARTIAL = 1.4  # times the others' extent along one axis
SHIFTED = 1.2  # between the middles of two domains
PLAUSIBLE_MM = (30.0, 700.0)  # from an infant's head to a body


def check_sizes(evidence: Evidence) -> Checked:
    """Find wrong voxel sizes, cut fields of view, and domains that show different parts."""
    findings = [*_find_implausible(evidence.portraits)]
    for domain in evidence.many:
        own = evidence.of_domain(domain)
        findings += _find_odd(own, np.median([one.size_mm for one in own], axis=0).tolist())
    findings += _find_shifts(evidence)
    return Checked(
        name="field of view",
        looks_for="wrong voxel sizes, cut volumes, domains that show different parts of the body",
        judged=sum(len(evidence.of_domain(name)) for name in evidence.many),
        unjudged=evidence.too_few,
        findings=tuple(findings),
    )


def find_scaled(evidence: Evidence) -> set[str]:
    """Names of the volumes whose voxels' size must be wrong."""
    return {
        name
        for one in check_sizes(evidence).findings
        if one.severity == "fault"
        for name in one.volumes
    }


def _find_implausible(portraits: Sequence[Portrait]) -> Iterator[Finding]:
    low, high = PLAUSIBLE_MM
    for one in portraits:
        if max(one.size_mm) < low or min(one.size_mm) > high:
            yield Finding(
                severity="fault",
                text=f"the body is {_sizes(one.size_mm)} mm: its voxels' size is wrong",
                volumes=(one.name,),
                advice="mend its header",
            )


def _find_odd(portraits: Sequence[Portrait], middle: Sequence[float]) -> Iterator[Finding]:
    """Volumes unlike the others of their domain, in size or along one axis."""
    for one in portraits:
        ratios = np.divide(one.size_mm, middle)
        if _is_scaled(ratios):
            size = float(np.prod(ratios) ** (1 / 3))
            yield Finding(
                severity="fault",
                text=f"everything is {size:.2g} times as large as in the others of {one.domain} "
                f"({_sizes(one.size_mm)} mm, they {_sizes(middle)})",
                volumes=(one.name,),
                advice="its header's voxel size is wrong, or it is a child among adults",
            )
            continue
        for axis, ratio in zip(AXES, ratios, strict=True):
            if max(ratio, 1 / ratio) > PARTIAL:
                place = AXES.index(axis)
                yield Finding(
                    severity="warning",
                    text=f"{one.size_mm[place]:.0f} mm {axis}, the others of {one.domain} "
                    f"{middle[place]:.0f}: a cut volume, or another part of the body",
                    volumes=(one.name,),
                    advice="look at it",
                )


def _is_scaled(ratios: npt.NDArray[np.float64]) -> bool:
    """Whether all three axes are too long or too short by the same factor."""
    size = float(np.prod(ratios) ** (1 / 3))
    return max(size, 1 / size) > SCALED and float(ratios.max() / ratios.min()) < EVENLY


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
                advice="crop both to the same part, or prepare with --register",
            )
