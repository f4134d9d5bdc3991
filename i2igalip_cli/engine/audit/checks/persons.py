"""Do a subject's volumes show one person, the same way round, and where they say?

Judged by registration of each onto the subject's first one (see `pairs`). A person's own volume
agrees more than a stranger's, and more than its mirror image; by how much is taken from the dataset
itself.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from i2igalip_cli.engine.audit.checks.orientation import find_turned
from i2igalip_cli.engine.audit.checks.sizes import find_scaled
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding, name_some
from i2igalip_cli.engine.audit.pairs import Fit

# Times the mutual information as it lies: its mirror image fits better. So it must be at first
# sight, and again where both are registered thoroughly.
MIRRORED = 1.03
LEAST_NATS = 0.1  # of mutual information: with less, two volumes tell nothing of each other
TELLING = 1.1  # own over strangers', in the middle of a dataset: below, persons can't be told apart
LEAST_FITS = 3  # of two domains, for a middle that one wrong volume doesn't rule
MISPLACED_MM = 4.0  # between volumes on one grid; the voxels that they were compared at
Suspicion = Literal["mirrored", "stranger", ""]


class Persons:
    """Judges fits by what a dataset's own volumes and strangers' reach.

    Args:
        fits: Of all couples that could be registered.
    """

    def __init__(self, fits: Sequence[Fit]) -> None:
        self._incoming = {
            (fit.couple.first.domain, fit.couple.stranger.file): fit.other
            for fit in fits
            if fit.couple.stranger is not None
        }
        ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
        for fit in fits:
            ratios[_domains(fit)].append(fit.own / self.strangers(fit))
        middles = {
            domains: float(np.nanmedian(found))
            for domains, found in ratios.items()
            if np.isfinite(found).sum() >= LEAST_FITS
        }
        told = {domains: ratio for domains, ratio in middles.items() if ratio >= TELLING}
        # Domains that were compared for suspicious visits alone are taken to be like the others.
        compared = {domain for domains in told for domain in domains}
        few = {one for one in ratios.keys() - middles.keys() if compared.issuperset(one)}
        self.usual = {
            **told,
            **dict.fromkeys(few, np.median([*told.values()] or 0)),
        }

    def strangers(self, fit: Fit) -> float:
        """What strangers reach with either of a couple, in nats; NaN where there is none.

        The geometric mean, so that neither volume's noise alone decides.
        """
        incoming = self._incoming.get((fit.couple.first.domain, fit.couple.second.file), math.nan)
        reached = [fit.other, incoming]
        known = [value for value in reached if value > 0]
        return math.prod(known) ** (1 / len(known)) if known else math.nan

    def suspect(self, fit: Fit) -> Suspicion:
        """What a couple looks like; "" where it is one person's, the same way round."""
        usual = self.usual.get(_domains(fit))
        enough = -math.inf if usual is None else math.sqrt(usual) * self.strangers(fit)
        better = fit.mirrored > max(MIRRORED * fit.own, LEAST_NATS)
        own, mirrored = fit.closer or (fit.own, fit.mirrored)
        if better and mirrored > MIRRORED * own and not fit.mirrored < enough:
            return "mirrored"
        return "stranger" if max(fit.own, fit.mirrored) < enough else ""


def check_persons(evidence: Evidence) -> Checked:
    """Find another person's volume, a mirrored one, and one that isn't where its grid says."""
    able = _find_able(evidence.fits)
    persons = Persons(able)
    unclear = sorted({_domains(fit) for fit in able} - persons.usual.keys())
    findings = [*_blame(able, persons), *_find_misplaced(able, persons)]
    findings += _find_failures(evidence.fits, persons)
    return Checked(
        name="persons",
        looks_for="a volume of another person, a mirrored one, a failed registration",
        judged=len(able),
        unjudged="; ".join(
            filter(None, (_say_unclear(unclear), _say_unusual(able), _say_unfit(evidence)))
        ),
        findings=tuple(findings),
    )


def _find_able(fits: Sequence[Fit]) -> list[Fit]:
    return [fit for fit in fits if not math.isnan(fit.own)]


def _say_unclear(pairs: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(" and ".join(pair) for pair in pairs)
    return f"whether {named} show one person: too few subjects, or no difference" if pairs else ""


def _say_unusual(fits: Sequence[Fit]) -> str:
    """Of domains in which others have strangers, who has none: children among adults."""
    compared = {fit.couple.second.domain for fit in fits if fit.couple.stranger is not None}
    alone = [
        fit.couple.second.source
        for fit in fits
        if fit.couple.stranger is None and fit.couple.second.domain in compared
    ]
    if not alone:
        return ""
    return f"whose {len(alone)} are, for no strangers are as large: {name_some(alone)}"


def _say_unfit(evidence: Evidence) -> str:
    visits = Counter((one.shard.subject, one.shard.session) for one in evidence.portraits)
    unfit = find_unfit(evidence)
    left_out = [
        one.name
        for one in evidence.portraits
        if one.name in unfit and visits[one.shard.subject, one.shard.session] > 1
    ]
    if not left_out:
        return ""
    shown = name_some(left_out)
    return f"{len(left_out)} turned or of another size, so not registered: {shown}"


def find_unfit(evidence: Evidence) -> set[str]:
    """Names of volumes that fit nobody's, and are no measure for others: turned or scaled ones."""
    return {*find_turned(evidence), *find_scaled(evidence)}


def find_suspects(fits: Sequence[Fit]) -> list[Fit]:
    """Fits that don't look like one person's, the same way round."""
    able = _find_able(fits)
    persons = Persons(able)
    return [fit for fit in able if persons.suspect(fit)]


def find_mirrored(fits: Sequence[Fit]) -> list[Fit]:
    """Fits whose second volume seems to be mirrored."""
    able = _find_able(fits)
    persons = Persons(able)
    return [fit for fit in able if persons.suspect(fit) == "mirrored"]


def _blame(fits: Sequence[Fit], persons: Persons) -> Iterator[Finding]:
    """For each visit with suspects the volumes that fit few of the others, or all that may be."""
    visits: dict[tuple[str, str], list[Fit]] = defaultdict(list)
    for fit in fits:
        visits[fit.couple.first.subject, fit.couple.first.session].append(fit)
    for visit in visits.values():
        camps = _find_camps(visit, persons)
        # Within a camp others bear witness for both of a couple.
        wrong = [
            fit
            for fit in visit
            if persons.suspect(fit) and not any(camp.issuperset(_names(fit)) for camp in camps)
        ]
        most, *fewer = camps
        if fewer and len(most) > len(fewer[0]):
            for name in sorted(set[str]().union(*fewer)):
                yield from (_accuse(fit, (name,), persons) for fit in _first_of(wrong, name))
        else:
            yield from (_accuse(fit, _names(fit), persons) for fit in wrong)


def _find_camps(visit: Sequence[Fit], persons: Persons) -> list[set[str]]:
    """Volumes of a visit that agree with each other, or through others; the most come first."""
    camps = [{name} for name in dict.fromkeys(name for fit in visit for name in _names(fit))]
    for fit in visit:
        if not persons.suspect(fit) and _domains(fit) in persons.usual:
            joined = [camp for camp in camps if camp.intersection(_names(fit))]
            camps = [camp for camp in camps if camp not in joined]
            camps.append(set[str]().union(*joined))
    return sorted(camps, key=len, reverse=True)


def _first_of(fits: Sequence[Fit], name: str) -> list[Fit]:
    """The first fit of a volume, if there is one."""
    return [fit for fit in fits if name in _names(fit)][:1]


def _accuse(fit: Fit, names: tuple[str, ...], persons: Persons) -> Finding:
    others = " and ".join(name for name in _names(fit) if name not in names)
    against = f" against {others}" if others else ", one against the other"
    if persons.suspect(fit) == "mirrored":
        own, mirrored = fit.closer or (fit.own, fit.mirrored)
        text = (
            f"left and right are exchanged{against}: mutual information {own:.3f} as it lies, "
            f"{mirrored:.3f} mirrored"
        )
        return Finding(
            severity="fault",
            text=text,
            volumes=names,
            advice="compare them with their originals, and mend the affine or the array",
        )
    ratio, usual = fit.own / persons.strangers(fit), persons.usual[_domains(fit)]
    text = (
        f"another person, or too bad to tell{against}: mutual information {ratio:.2f} times that "
        f"with strangers, {usual:.2f} times is usual"
    )
    return Finding(
        severity="fault",
        text=text,
        volumes=names,
        advice="find out whose it is, or leave the subject out",
    )


def _find_misplaced(fits: Sequence[Fit], persons: Persons) -> Iterator[Finding]:
    for fit in fits:
        first, second = fit.couple.first, fit.couple.second
        together = first.grid != "" and first.grid == second.grid
        if together and fit.shift_mm > MISPLACED_MM and not persons.suspect(fit):
            yield Finding(
                severity="fault",
                text=f"on one grid, as if registered, but {fit.shift_mm:.0f} mm apart",
                volumes=_names(fit),
                advice="prepare with --register",
            )


def _find_failures(fits: Sequence[Fit], persons: Persons) -> Iterator[Finding]:
    for fit in fits:
        if fit.fault:
            text = f"can't be compared: {fit.fault}"
            yield Finding(severity="warning", text=text, volumes=_names(fit))
        elif fit.failure and not persons.suspect(fit):
            yield Finding(
                severity="warning",
                text=f"registration failed: {fit.failure}",
                volumes=_names(fit),
                advice="look where their headers place them",
            )


def _domains(fit: Fit) -> tuple[str, str]:
    return fit.couple.first.domain, fit.couple.second.domain


def _names(fit: Fit) -> tuple[str, str]:
    return fit.couple.first.source, fit.couple.second.source
