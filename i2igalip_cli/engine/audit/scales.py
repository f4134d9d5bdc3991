"""How large each body is against the others of its domain, and its subject's other volumes."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from i2igalip_cli.engine.audit.portraits import Portrait
from i2igalip_cli.engine.audit.templates import LEAST_SUBJECTS

SCALED = 1.4  # times the others' size along all axes: adults differ by less than 1.2
EVENLY = 1.25  # largest over smallest of the three ratios, or of two volumes' factors: scaled alike


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The size of a body over that of the others.

    Attributes:
        usual_mm: Extent of the domain's volumes towards right, anterior, superior; medians.
        ratios: The body's own extents over these.
        kin: The factor of the subject's other volumes, those of its visit where there are some; NaN
            where there is no other.
    """

    usual_mm: tuple[float, ...]
    ratios: tuple[float, ...]
    kin: float = math.nan

    @property
    def factor(self) -> float:
        """How many times as large it is; a cut along one axis doesn't change it."""
        return float(np.median(self.ratios))

    @property
    def scaled(self) -> bool:
        """Whether all three axes are too long or too short by the same factor."""
        even = max(self.ratios) < EVENLY * min(self.ratios)
        return even and max(self.factor, 1 / self.factor) > SCALED

    @property
    def wrong(self) -> bool:
        """Whether it is scaled and the subject's other volumes, if any, aren't likewise."""
        apart = self.factor / self.kin
        return self.scaled and not 1 / EVENLY <= apart <= EVENLY


def measure_scales(portraits: Sequence[Portrait]) -> dict[str, Scale]:
    """By name, the scales of the volumes of domains with enough of them.

    Args:
        portraits: All of a dataset.
    """
    usual = _find_usual(portraits)
    scales = {
        one.name: Scale(
            usual_mm=usual[one.domain],
            ratios=tuple(np.divide(one.size_mm, usual[one.domain]).tolist()),
        )
        for one in portraits
        if one.domain in usual
    }
    families: dict[str, list[Portrait]] = defaultdict(list)
    for one in portraits:
        if one.name in scales:
            families[one.shard.subject].append(one)
    return {
        one.name: replace(scales[one.name], kin=_measure_kin(one, family, scales))
        for family in families.values()
        for one in family
    }


def _find_usual(portraits: Sequence[Portrait]) -> dict[str, tuple[float, ...]]:
    sizes: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for one in portraits:
        sizes[one.domain].append(one.size_mm)
    # The lower middle: between two halves that differ lies a size that no volume has.
    return {
        name: tuple(np.percentile(of_domain, 50, axis=0, method="lower").tolist())
        for name, of_domain in sizes.items()
        if len(of_domain) >= LEAST_SUBJECTS
    }


def _measure_kin(one: Portrait, family: Sequence[Portrait], scales: Mapping[str, Scale]) -> float:
    others = [kin for kin in family if kin is not one]
    of_visit = [kin for kin in others if kin.shard.session == one.shard.session]
    factors = [scales[kin.name].factor for kin in of_visit or others]
    return float(np.median(factors)) if factors else math.nan
