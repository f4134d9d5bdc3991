"""Where one contrast of a subject lies in another: rigid registration by mutual information.

Mutual information asks no more of two contrasts than that one tells something of the other (Viola
and Wells, IJCV 24, 1997; Maes et al., IEEE TMI 16, 1997). It has many maxima, so the search sets
out from several places at a coarse resolution, and only the best of them are followed to finer
ones. What is found is judged before it is believed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.preprocess.descent import (
    Foreground,
    Pair,
    RegistrationSettings,
    list_starts,
    make_levels,
    search,
)
from i2igalip_cli.volumes.preprocess.mutual_information import (
    BINS,
    Mask,
    _lay,
    _number_bins,
    mutual_information,
)
from i2igalip_cli.volumes.preprocess.rigid import Matrix, RigidTransform
from i2igalip_cli.volumes.volume import Volume

_AWAY_MM = 4.0  # how far the place found is left to see whether details of the inside fit there
_SHIFTS = _AWAY_MM * np.vstack([np.eye(3), -np.eye(3)])  # (6, 3) mm
_CUTS = 3  # parts of the inside along each axis
Parts = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """What a registration found.

    Attributes:
        transform: From the fixed volume to the moving one; the identity where nothing is kept.
        before: Mutual information as the headers place the volumes, in nats.
        after: The same with the best motion that was found.
        lock: How firmly details inside the foreground agree there: from 0, where they don't, to 1,
            which a volume reaches on itself (see `_measure_lock`).
        starts: Places from which the search set out.
        kept: Whether the volumes fit now: by the motion found, or as the headers place them.
        reason: Why not; "" where they do.
    """

    transform: RigidTransform
    before: float
    after: float
    lock: float
    starts: int
    kept: bool
    reason: str


def register(
    moving: Volume, fixed: Volume, settings: RegistrationSettings | None = None
) -> Registration:
    """Find the rigid motion that lays one contrast of a subject on another.

    The same bytes come back on every run and for any number of threads: it runs in one.

    Args:
        moving: What is to be laid onto `fixed` (see `resampling.lay_onto`).
        fixed: The reference.
        settings: None for the defaults.

    Raises:
        EmptyVolumeError: A volume is constant.
        VolumeError: A volume of fewer than four layers, or with sheared axes.
    """
    settings = settings or RegistrationSettings()
    levels = make_levels(fixed, moving, settings.levels_mm)
    foreground = Foreground.of(levels[0][0])
    starts = [
        start
        for start in list_starts(foreground, Foreground.of(levels[0][1]), settings.turn_degrees)
        if foreground.share_within(moving, start) >= settings.least_overlap
    ]
    if not (starts and foreground.share_within(moving, RigidTransform.identity())):
        return _refuse("the fields of view don't overlap where the headers place them", 0)
    found = search(levels, foreground, starts, settings)
    if found is None:
        return _refuse("every descent left the other field of view", len(starts))
    return _judge(levels[-1], foreground, found, len(starts), settings)


def _refuse(reason: str, starts: int) -> Registration:
    """No motion was found that could be judged."""
    return Registration(
        transform=RigidTransform.identity(),
        before=0.0,
        after=0.0,
        lock=0.0,
        starts=starts,
        kept=False,
        reason=reason,
    )


def _judge(
    pair: Pair,
    foreground: Foreground,
    found: RigidTransform,
    starts: int,
    settings: RegistrationSettings,
) -> Registration:
    """Whether a motion is believed; where the headers fit as well, nothing is moved."""
    still = RigidTransform.identity()
    before, after = (mutual_information(*pair, motion) for motion in (still, found))
    voxel = min(pair[0].spacing_mm)
    moved = foreground.shift_mm(found)
    lock = _measure_lock(pair, found)
    angle, shift = found.angle_degrees, float(found.shift_mm(foreground.centre))
    faults = {
        f"the motion found turns by {angle:.0f} degrees, above {settings.max_angle_degrees:g}": (
            angle > settings.max_angle_degrees
        ),
        f"the motion found shifts by {shift:.0f} mm, above {settings.max_shift_mm:g}": (
            shift > settings.max_shift_mm
        ),
        f"mutual information doesn't improve: {before:.3f} before, {after:.3f} after": (
            after <= before and moved > voxel
        ),
        f"mutual information doesn't improve enough: details inside agree by {lock:.1%} at the "
        f"place found, below {settings.least_lock:.1%} (a volume with itself: 100%): another "
        f"subject, a mirrored volume, or noise": lock < settings.least_lock,
    }
    reason = "; ".join(fault for fault, holds in faults.items() if holds)
    moves = not reason and after > before
    return Registration(
        transform=found if moves else still,
        before=before,
        after=after,
        lock=lock,
        starts=starts,
        kept=not reason,
        reason=reason,
    )


def _measure_lock(pair: Pair, found: RigidTransform) -> float:
    """How firmly details lock in: how fast information decays, times the parts that agree.

    A smooth volume loses little 4 mm away from its very own place; so the decay is held against
    that of each volume on itself, and the slower one counts. Where anatomies differ, parts of them
    would rather lie elsewhere, each in its own direction.
    """
    fixed, moving = pair
    values, reached = _lay(moving, fixed, found)
    inside = _find_inside(fixed) & reached
    decay = _measure_decay(pair, _leave(found, _SHIFTS), inside)
    if decay <= 0:
        return 0.0
    forth = _leave(RigidTransform.identity(), _SHIFTS[:3])  # on itself, it decays alike to and fro
    laid = fixed.with_array(values)
    own = min(_measure_decay((one, one), forth, inside) for one in (fixed, laid))
    return min(1.0, decay / own) * _share_agreeing(pair, found, inside) if own > 0 else 0.0


def _leave(place: RigidTransform, shifts_mm: Matrix) -> list[RigidTransform]:
    """The place, and those that shifts (N, 3) lead to from there."""
    return [place, *(place.then(RigidTransform.from_degrees((0, 0, 0), mm)) for mm in shifts_mm)]


def _measure_decay(pair: Pair, places: list[RigidTransform], inside: Mask) -> float:
    """By which exponent mutual information decays from the first place to the others."""
    peak, *around = (mutual_information(*pair, place, inside) for place in places)
    away = float(np.mean(around))
    return float(np.log(peak / away)) if min(peak, away) > 0 else 0.0


def _share_agreeing(pair: Pair, found: RigidTransform, inside: Mask) -> float:
    """Share of 27 parts of the inside that fit better where they are than 4 mm away.

    A voxel adds log(p(f, m) / (p(f) p(m))), by the joint histogram of the place found. Parts count
    by what the place matters to them.
    """
    laid = [_lay(pair[1], pair[0], place) for place in _leave(found, _SHIFTS)]
    held = inside & np.all([reached for _, reached in laid], axis=0)
    first = _number_bins(pair[0].array[held], pair[0].array) * BINS
    numbers = [first + _number_bins(values[held], pair[1].array) for values, _ in laid]  # 7 of (N,)
    joint = np.bincount(numbers[0], minlength=BINS**2).reshape(BINS, BINS) + 0.5  # none is 0
    told = np.log(joint * joint.sum() / np.outer(joint.sum(axis=1), joint.sum(axis=0))).ravel()
    parts = _cut(np.argwhere(held))
    fits = np.array([np.bincount(parts, told[one]) for one in numbers])  # (7, parts)
    weights = np.ptp(fits, axis=0)
    best = fits.argmax(axis=0) == 0
    return float(weights[best].sum() / weights.sum()) if weights.any() else 0.0


def _cut(places: Parts) -> Parts:
    """The part, 0 to 26, of each place (N, 3): thirds of thirds of thirds, of as many places."""
    parts = np.zeros(len(places), np.intp)
    for along in places.T:
        order = np.lexsort((along, parts))
        starts = np.searchsorted(parts[order], parts[order])
        sizes = np.bincount(parts)[parts[order]]
        parts[order] = parts[order] * _CUTS + (np.arange(len(places)) - starts) * _CUTS // sizes
    return parts


def _find_inside(volume: Volume) -> Mask:
    """The foreground with its holes, without the 4 mm at its outline: (I, J, K)."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    filled = binary_fill_holes(volume.array > volume.array.mean(dtype=np.float64))
    inside: Mask = distance_transform_edt(filled, sampling=volume.spacing_mm) > _AWAY_MM
    return inside
