"""Whether one anatomy lies on another, or two do that only look alike from afar: details tell."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.preprocess.descent import Pair
from i2igalip_cli.volumes.preprocess.mutual_information import (
    BINS,
    Mask,
    find_window,
    inform,
    lay,
    number_bins,
)
from i2igalip_cli.volumes.preprocess.rigid import Matrix, RigidTransform
from i2igalip_cli.volumes.volume import Array, Volume

_AWAY_MM = 4.0  # how far the place found is left to see whether details of the inside fit there
_SHIFTS = _AWAY_MM * np.vstack([np.eye(3), -np.eye(3)])  # (6, 3) mm
_CUTS = 3  # parts of the inside along each axis
Parts = npt.NDArray[np.intp]
Laid = tuple[Array, Mask]  # values at the fixed voxels, and which of those it reaches


def measure_lock(pair: Pair, found: RigidTransform) -> float:
    """How firmly details lock in: how fast information decays, times the parts that agree.

    Args:
        pair: Fixed and moving volume.
        found: From the fixed to the moving one.

    Returns:
        From 0 to 1, which a volume reaches on itself.

    A smooth volume loses little 4 mm away from its very own place; so the decay is held against
    that of each volume on itself, and the slower one counts. Where anatomies differ, parts of them
    would rather lie elsewhere, each in its own direction.
    """
    fixed, moving = pair
    laid = _lay_around(moving, fixed, found, _SHIFTS)
    values, reached = laid[0]
    inside = _find_inside(fixed) & reached
    decay = _measure_decay(pair, laid, inside)
    if decay <= 0:
        return 0.0
    own = min(_measure_own_decay(one, inside) for one in (fixed, fixed.with_array(values)))
    return min(1.0, decay / own) * _share_agreeing(pair, laid, inside) if own > 0 else 0.0


def _lay_around(
    moving: Volume, fixed: Volume, place: RigidTransform, shifts_mm: Matrix
) -> list[Laid]:
    """A volume laid onto another at a place, and where shifts (N, 3) lead to from there."""
    shifts = (RigidTransform.from_degrees((0, 0, 0), mm) for mm in shifts_mm)
    return [lay(moving, fixed, one) for one in (place, *map(place.then, shifts))]


def _measure_decay(pair: Pair, laid: list[Laid], inside: Mask) -> float:
    """By which exponent mutual information decays from the first place to the others."""
    fixed, window = pair[0].array, find_window(pair[1].array)
    first = np.zeros(fixed.shape, np.intp)
    first[inside] = number_bins(fixed[inside], find_window(fixed))
    peak, *around = (
        inform(first[counted], number_bins(values[counted], window))
        for values, counted in ((values, reached & inside) for values, reached in laid)
    )
    away = float(np.mean(around))
    return float(np.log(peak / away)) if min(peak, away) > 0 else 0.0


def _measure_own_decay(volume: Volume, inside: Mask) -> float:
    """The same of a volume on itself, where it decays alike to and fro."""
    laid = _lay_around(volume, volume, RigidTransform.identity(), _SHIFTS[:3])
    return _measure_decay((volume, volume), laid, inside)


def _share_agreeing(pair: Pair, laid: list[Laid], inside: Mask) -> float:
    """Share of 27 parts of the inside that fit better where they are than 4 mm away.

    A voxel adds log(p(f, m) / (p(f) p(m))), by the joint histogram of the place found. Parts count
    by what the place matters to them.
    """
    held = inside & np.all([reached for _, reached in laid], axis=0)
    window = find_window(pair[1].array)
    first = number_bins(pair[0].array[held], find_window(pair[0].array)) * BINS
    numbers = [first + number_bins(values[held], window) for values, _ in laid]  # 7 of (N,)
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
