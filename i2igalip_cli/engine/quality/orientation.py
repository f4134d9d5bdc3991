"""Whether a volume lies as its affine says: against templates of the training data.

A low-resolution volume is correlated with a template of each domain as it lies and in each of the
47 other ways that its axes can be permuted and flipped. Left and right can't be told apart in
anatomy as symmetric as a head's, so a mirror image counts as the volume itself.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import TrainingReference
from i2igalip_cli.config import CropPolicy
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import find_box
from i2igalip_cli.volumes.intensity import UNIT
from i2igalip_cli.volumes.volume import Array

SIDE = 24  # voxels of a template along each axis
CLEAR = 0.05  # of correlation: by how much training's own extremes must be passed
Turn = tuple[tuple[int, int, int], tuple[int, int, int]]  # axes taken, and signs
TURNS: tuple[Turn, ...] = tuple(
    (axes, signs)  # type: ignore[misc]  # three of each
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
)
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
_FLIPS = {1: "back to front", 2: "upside down"}


@dataclass(frozen=True, kw_only=True)
class Lie:
    """How a volume lies against the templates.

    Attributes:
        correlation: As its affine says, in [-1, 1].
        best: In the best other way.
        turn: That way.
    """

    correlation: float
    best: float
    turn: Turn

    @property
    def gain(self) -> float:
        """What the other way gains; negative where the volume lies best as it does."""
        return self.best - self.correlation


def shrink(unit: Volume, crop: CropPolicy) -> Array:
    """The foreground's box of a volume as a cube of `SIDE` voxels, each the mean of its share.

    Args:
        unit: In [0, 1].
        crop: What counts as foreground.

    Returns:
        (SIDE, SIDE, SIDE) float32 along the axes nearest to right, anterior, superior.
    """
    box = find_box(unit, UNIT, replace(crop, whole=False, margin_mm=0))
    small: npt.NDArray[Any] = nib.orientations.apply_orientation(
        unit.array[box], nib.orientations.io_orientation(unit.affine)
    )
    for axis in range(3):
        weights = _overlaps(small.shape[axis])  # (SIDE, n)
        small = np.moveaxis(np.tensordot(weights, small, (1, axis)), 0, axis)
    return small.astype(np.float32)


def _overlaps(size: int) -> Array:
    """Shares of `size` equal layers in each of `SIDE` equal layers of the same length."""
    wide, fine = np.arange(SIDE + 1) / SIDE, np.arange(size + 1) / size
    upper = np.minimum(wide[1:, None], fine[None, 1:])
    lower = np.maximum(wide[:-1, None], fine[None, :-1])
    shares: Array = (np.maximum(upper - lower, 0) * SIDE).astype(np.float32)
    return shares


def turn_cube(cube: Array, turn: Turn) -> Array:
    """A cube with other axes and senses."""
    axes, signs = turn
    steps = tuple(slice(None, None, sign) for sign in signs)
    turned: Array = cube.transpose(axes)[steps]
    return turned


def judge_lie(cube: Array, templates: Mapping[str, Array]) -> Lie:
    """Correlate a volume in each way it could lie with the templates; the best domain counts.

    Args:
        cube: Of `shrink`, along R, A, S.
        templates: By domain, likewise.
    """
    known = np.stack([standard(template) for template in templates.values()])  # (D, SIDE^3)
    found = {turn: float((known @ standard(turn_cube(cube, turn))).max()) for turn in TURNS}
    own = max(found.pop(turn) for turn in list(found) if _keeps_lie(turn))
    best = max(found, key=lambda turn: found[turn])
    return Lie(correlation=own, best=found[best], turn=best)


def _keeps_lie(turn: Turn) -> bool:
    """Whether a turn is none, or a mirror image of left and right."""
    axes, signs = turn
    return axes == (0, 1, 2) and signs[1:] == (1, 1)


def standard(cube: Array) -> npt.NDArray[np.float64]:
    """A cube as a vector of mean 0 and length 1; zeros where it is constant."""
    vector: npt.NDArray[np.float64] = cube.astype(np.float64).ravel()
    vector -= vector.mean()
    length = np.linalg.norm(vector)
    if length > 0:
        vector /= length
    return vector


def name_turn(turn: Turn) -> str:
    """What is wrong with a volume that lies best in another way, in words."""
    axes, signs = turn
    if axes == (0, 1, 2):
        return " and ".join(words for axis, words in _FLIPS.items() if signs[axis] < 0)
    looks = [""] * 3
    for axis, (called, sign) in enumerate(zip(axes, signs, strict=True)):
        looks[called] = _ENDS[axis][sign > 0]
    return f"turned (its R, A, S look like {', '.join(looks)})"


def check_anatomy(unit: Volume, reference: TrainingReference, crop: CropPolicy) -> tuple[str, ...]:
    """A warning where a volume lies otherwise than its affine says, or shows something else.

    Args:
        unit: In [0, 1].
        reference: Has the templates, and how training volumes lay against them.
        crop: What counts as foreground.
    """
    lie = judge_lie(shrink(unit, crop), reference.templates)
    if max(lie.correlation, lie.best) < reference.likeness - CLEAR:
        return (
            f"doesn't look like the anatomy of the training volumes (correlation "
            f"{lie.correlation:.2f}, theirs {reference.likeness:.2f} at least)",
        )
    if lie.gain <= max(reference.gain, 0) + CLEAR:
        return ()
    return (
        f"looks {name_turn(lie.turn)}: correlation with the training volumes "
        f"{lie.correlation:.2f} as it lies, {lie.best:.2f} if its affine said so; check its "
        "orientation",
    )
