"""Are two volumes that look alike at low resolution one scan? Their noise says.

A person scanned twice in one pose looks the same from afar, and so may two persons whose heads were
laid on an atlas; no two scans have the same noise, and a scan saved again keeps its own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.engine.audit.portraits import BODY, Portrait, stored_volume
from i2igalip_cli.engine.dataset import Shard
from i2igalip_cli.engine.quality.orientation import standard
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.volume import Array

# Correlation at low resolution. A scan saved again with other numbers reaches 0.9999 and more, two
# heads bent from one atlas and scanned alike 0.98.
ALIKE = 0.999
_BLOCK = 64  # volumes that are compared with as many others at a time, for memory's sake
_LAYERS = 48  # of the middle, whose noise is compared
_LEAST_LAYERS = 5  # along an axis, for noise along it
_FLAT = 0.1  # share of a body where its anatomy is least steep, and noise is what is left


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Two volumes that look alike.

    Attributes:
        first: One.
        second: The other.
        noise: Correlation of their noise, in [-1, 1]; NaN where it can't be compared, for their
            grids don't lie on each other, or there is none.
    """

    first: Shard
    second: Shard
    noise: float = math.nan


def list_twins(portraits: Sequence[Portrait]) -> list[Twins]:
    """All pairs that look alike at low resolution, whatever their brightness."""
    blocks = [portraits[at : at + _BLOCK] for at in range(0, len(portraits), _BLOCK)]
    found = []
    for number, rows in enumerate(blocks):
        vectors = _stack(rows)
        for columns in blocks[number:]:
            alike = vectors @ _stack(columns).T > ALIKE  # (rows, columns)
            if columns is rows:
                alike = np.triu(alike, 1)
            found += [(rows[int(i)], columns[int(j)]) for i, j in np.argwhere(alike)]
    return [Twins(first=one.shard, second=other.shard) for one, other in found]


def _stack(portraits: Sequence[Portrait]) -> Array:
    return np.stack([standard(one.cube.astype(np.float32)).astype(np.float32) for one in portraits])


def compare_noise(folder: Path, twins: Twins) -> Twins:
    """Look at twins at full resolution.

    Raises:
        DatasetError: A shard can't be read.
    """
    first, second = (stored_volume(folder, one) for one in (twins.first, twins.second))
    found = [_correlate_noise(*pair) for pair in _lay(first, second)]
    known = [value for value in found if math.isfinite(value)]
    return replace(twins, noise=max(known, default=math.nan))


def _lay(first: Volume, second: Volume) -> Iterator[tuple[Array, Array]]:
    """The middle layers of both as one may lie on the other: as headers say, corner on corner."""
    offsets = {(0, 0, 0)} if first.shape == second.shape else set()
    between = np.linalg.solve(first.affine, second.affine)
    if np.allclose(between[:3, :3], np.eye(3), atol=1e-3):
        i, j, k = np.rint(between[:3, 3]).astype(int).tolist()
        offsets.add((i, j, k))
    for offset in sorted(offsets):
        shared = [
            min(n - max(step, 0), m + min(step, 0))
            for n, m, step in zip(first.shape, second.shape, offset, strict=True)
        ]
        if min(shared) > 0:
            yield (
                _cut(first.array, [max(step, 0) for step in offset], shared),
                _cut(second.array, [max(-step, 0) for step in offset], shared),
            )


def _cut(array: Array, starts: Sequence[int], shape: Sequence[int]) -> Array:
    cut = array[tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))]
    skipped = max(len(cut) - _LAYERS, 0) // 2
    return cut[skipped : skipped + _LAYERS]


def _correlate_noise(first: Array, second: Array) -> float:
    """Correlation where both bodies are flattest; NaN where there is no noise, or no body."""
    body = _cut_ends((first > BODY.threshold) & (second > BODY.threshold))
    if not body.any():
        return math.nan
    slopes = (_find_slopes(first) + _find_slopes(second))[body]
    flat = slopes <= np.quantile(slopes, _FLAT)
    one, other = (_find_noise(array)[body][flat] for array in (first, second))
    if one.size < 2 or not (one.std() and other.std()):
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def _find_noise(array: Array) -> Array:
    """Second differences along all axes at once, without both ends of each.

    What is straight along any axis, as most of an anatomy's edges are, leaves nothing in them
    (Immerkaer, Computer Vision and Image Understanding 64, 1996, in three dimensions).
    """
    for axis in _long_axes(array.shape):
        array = np.diff(array, 2, axis=axis)
    return array


def _find_slopes(array: Array) -> Array:
    """How steep an anatomy is at each voxel, whatever the noise; without both ends of each axis."""
    from scipy.ndimage import gaussian_gradient_magnitude

    slopes: Array = _cut_ends(gaussian_gradient_magnitude(array, 1))
    return slopes


def _cut_ends(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for axis in _long_axes(array.shape):
        array = array.take(range(1, array.shape[axis] - 1), axis)
    return array


def _long_axes(shape: Sequence[int]) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size >= _LEAST_LAYERS]
