"""Do a subject's volumes show the same person, the same way round, at the same place?

Each is registered rigidly onto the subject's first one, as it is, mirrored, and with the next
subject's in its place. Mutual information says which fits best: the person's own anatomy, unless
the labels or the header lie. What others reach tells how much that must be; no fixed number does.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np

from i2igalip_cli.engine.audit.portraits import stored_volume
from i2igalip_cli.engine.audit.scales import EVENLY
from i2igalip_cli.engine.dataset import Shard
from i2igalip_cli.errors import GalipError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.grid import straighten
from i2igalip_cli.volumes.preprocess.descent import RegistrationSettings
from i2igalip_cli.volumes.preprocess.registration import Registration, register

# Coarse: whose head it is shows at 4 mm, and every pair of the dataset is registered three times.
SETTINGS = RegistrationSettings(levels_mm=(8.0, 4.0), followed=1, samples=10_000, steps=40)
THOROUGH = RegistrationSettings()  # for the few that seem to be mirrored


@dataclass(frozen=True, kw_only=True)
class Couple:
    """Two volumes of one subject and visit, and the next subject's in place of the second.

    Attributes:
        first: Onto which is registered.
        second: What is registered.
        stranger: Of the second's domain and the next subject; None where there is no other.
    """

    first: Shard
    second: Shard
    stranger: Shard | None = None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well two volumes agree after registration; mutual information in nats.

    Attributes:
        couple: Which.
        own: As they are; NaN where nothing can be said.
        mirrored: The second with left and right exchanged.
        other: The stranger in place of the second; NaN without one.
        shift_mm: How far the second had to be moved.
        closer: As they are and mirrored, registered thoroughly; of those that seem to be mirrored.
        fault: Why they couldn't be compared; "" where they could.
        failure: Why the second has no place that can be believed: none was found at all, or one too
            far off, though they agree there; "" where it has, and where it just doesn't fit.
    """

    couple: Couple
    own: float = math.nan
    mirrored: float = math.nan
    other: float = math.nan
    shift_mm: float = 0.0
    closer: tuple[float, float] | None = None
    fault: str = ""
    failure: str = ""


def list_couples(shards: Sequence[Shard], factors: Mapping[str, float]) -> list[Couple]:
    """Each volume with the first one of its subject and visit.

    Args:
        shards: One of each volume.
        factors: By volume's name, how large it is against the others of its domain; the others may
            be of any size.
    """
    couples = [
        Couple(first=first, second=second)
        for first, *others in _by_visit(shards)
        for second in others
    ]
    return _with_strangers(couples, shards, factors)


def list_others(
    shards: Sequence[Shard], factors: Mapping[str, float], suspects: Sequence[Couple]
) -> list[Couple]:
    """Of visits with a suspect, the couples that `list_couples` leaves out; as there."""
    visits = {(one.first.subject, one.first.session) for one in suspects}
    couples = [
        Couple(first=first, second=second)
        for visit in _by_visit(shards)
        if (visit[0].subject, visit[0].session) in visits
        for first, second in combinations(visit[1:], 2)
    ]
    return _with_strangers(couples, shards, factors)


def _by_visit(shards: Sequence[Shard]) -> list[list[Shard]]:
    groups: dict[tuple[str, str], list[Shard]] = {}
    for shard in shards:
        groups.setdefault((shard.subject, shard.session), []).append(shard)
    return [sorted(group, key=lambda one: one.domain) for group in groups.values()]


def _with_strangers(
    couples: Sequence[Couple], shards: Sequence[Shard], factors: Mapping[str, float]
) -> list[Couple]:
    """Couples with a next subject's volume of the second's domain; the last ones' is the first's.

    Both are about as large as most: with a child's head all adults agree less than with another
    adult's, and children are too few to be each other's measure. Who stands alone has none.
    """
    of_domain: dict[str, list[Shard]] = {}
    for shard in shards:
        of_domain.setdefault(shard.domain, []).append(shard)
    made = []
    for couple in couples:
        row = of_domain[couple.second.domain]
        at = row.index(couple.second)
        after = (
            one
            for one in (*row[at:], *row[:at])
            if one.subject != couple.second.subject
            and _is_usual(one, factors)
            and _is_usual(couple.second, factors)
        )
        made.append(replace(couple, stranger=next(after, None)))
    return made


def _is_usual(one: Shard, factors: Mapping[str, float]) -> bool:
    return 1 / EVENLY <= factors.get(one.source, 1.0) <= EVENLY


def fit_couple(folder: Path, couple: Couple) -> Fit:
    """Register a couple as it is, mirrored, and with the stranger.

    Raises:
        DatasetError: A shard can't be read.
    """
    first, second = (stored_volume(folder, one) for one in (couple.first, couple.second))
    try:
        first = straighten(first)[0]
        found = _register(second, first)
        mirrored = _agree(_register(_mirror(second), first))
    except GalipError as error:
        return Fit(couple=couple, fault=str(error))
    own = _agree(found)
    if own == 0:
        return Fit(couple=couple, failure=found.reason)
    other = math.nan
    if couple.stranger is not None:
        stranger = stored_volume(folder, couple.stranger)
        with contextlib.suppress(GalipError):  # too thin: that is told of its own couple
            other = _agree(_register(stranger, first))
    middle = first.affine @ [*((np.array(first.shape) - 1) / 2), 1]
    shift = float(found.transform.shift_mm(middle[None, :3])[0])
    return Fit(
        couple=couple,
        own=own,
        mirrored=mirrored,
        other=other,
        shift_mm=shift,
        failure=_find_failure(found),
    )


def look_closer(folder: Path, fit: Fit) -> Fit:
    """Register the couple of a fit thoroughly, as it is and mirrored.

    Raises:
        DatasetError: A shard can't be read.
    """
    first, second = (stored_volume(folder, one) for one in (fit.couple.first, fit.couple.second))
    first = straighten(first)[0]
    try:
        closer = [_register(one, first, THOROUGH) for one in (second, _mirror(second))]
    except GalipError:  # the first look has to do
        return fit
    own, mirrored = map(_agree, closer)
    return replace(fit, closer=(own, mirrored)) if own > 0 else fit


def _register(
    moving: Volume, fixed: Volume, settings: RegistrationSettings = SETTINGS
) -> Registration:
    return register(straighten(moving)[0], fixed, settings)


def _find_failure(found: Registration) -> str:
    """Why a place isn't believed although details lock in there, as another person's don't."""
    locked = found.lock >= SETTINGS.least_lock and found.after > found.before
    return found.reason if locked else ""


def _agree(found: Registration) -> float:
    """Mutual information after registration; 0 where no motion was found that could be judged."""
    return max(found.before, found.after)


def _mirror(volume: Volume) -> Volume:
    """A volume whose array is flipped along its axis nearest to left and right, and nothing else.

    Where the head lies off the middle of its field of view it lands elsewhere; it is registered.
    """
    axis = int(np.flatnonzero(nib.orientations.io_orientation(volume.affine)[:, 0] == 0)[0])
    return volume.with_array(np.flip(volume.array, axis))
