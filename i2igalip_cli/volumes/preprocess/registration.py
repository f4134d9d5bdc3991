"""Where one contrast of a subject lies in another: rigid registration by mutual information.

Mutual information asks no more of two contrasts than that one tells something of the other (Viola
and Wells, IJCV 24, 1997; Maes et al., IEEE TMI 16, 1997). It has many maxima, so the search sets
out from several places at a coarse resolution, and only the best of them are followed to finer
ones. What is found is judged before it is believed.
"""

from dataclasses import dataclass

from i2igalip_cli.volumes.preprocess.descent import (
    Foreground,
    Pair,
    RegistrationSettings,
    list_starts,
    make_levels,
    search,
)
from i2igalip_cli.volumes.preprocess.locking import measure_lock
from i2igalip_cli.volumes.preprocess.mutual_information import mutual_information
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform
from i2igalip_cli.volumes.volume import Volume


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """What a registration found.

    Attributes:
        transform: From the fixed volume to the moving one; the identity where nothing is kept.
        before: Mutual information as the headers place the volumes, in nats.
        after: The same with the best motion that was found.
        lock: How firmly details inside the foreground agree there: from 0, where they don't, to 1,
            which a volume reaches on itself (see `measure_lock`).
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
    lock = measure_lock(pair, found)
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
