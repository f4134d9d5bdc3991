"""Slices in patient space: in order along their normal, and whether they make a regular grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.dicom.frames import Frame, normal_of
from i2igalip_cli.volumes.grid import MAX_SHEAR_DEGREES

MINIMUM_SLICES = 3  # of fewer, neither the distance nor a tilt can be told
SAME_PLACE_MM = 0.01
DISTANCE_TOLERANCE = 0.1  # share of the step: how far a slice may lie from the regular grid
JITTER_MM = 0.1  # and at most, along the normal and across it
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Frames in order along their normal, and what is wrong with their places.

    Attributes:
        frames: From the lowest to the highest along the normal.
        distances: Of each frame along the normal from the first one, mm (N).
        step: Median distance between neighbours, mm.
        fault: Why this is no regular grid, in words; "" where it is one.
    """

    frames: tuple[Frame, ...]
    distances: Matrix
    step: float
    fault: str

    @property
    def affine(self) -> Matrix:
        """(4, 4), (column, row, slice) indices to RAS+ mm, by the line through all positions.

        Exact for a regular stack; a slight drift of the slices is kept as shear.
        """
        step, origin = np.polyfit(np.arange(len(self.frames)), _positions(self.frames), 1)
        return to_affine(self.frames[0], origin, step)


def to_affine(frame: Frame, origin: Matrix, step: Matrix) -> Matrix:
    """An affine from a frame's directions, the first pixel's place and the way to the next slice.

    Args:
        frame: Its orientation and spacing count.
        origin: LPS mm (3).
        step: LPS mm (3).

    Returns:
        (4, 4), (column, row, slice) indices to RAS+ mm.
    """
    orientation, spacing = np.array(frame.orientation), np.array(frame.spacing)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] / np.linalg.norm(orientation[:3]) * spacing[1]
    affine[:3, 1] = orientation[3:] / np.linalg.norm(orientation[3:]) * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def place_along_normal(frames: Sequence[Frame]) -> npt.NDArray[np.int64]:
    """Number of each frame's place along the common normal, from 0 for the lowest (N).

    Args:
        frames: Of one orientation, all with a position.

    Raises:
        VolumeError: The orientation isn't one.
    """
    distances = _distances(frames)
    order = np.argsort(distances, kind="stable")
    places = np.empty(len(frames), dtype=np.int64)
    places[order] = np.concatenate([[0], np.cumsum(np.diff(distances[order]) > SAME_PLACE_MM)])
    return places


def _distances(frames: Sequence[Frame]) -> Matrix:
    """Along the first frame's normal, mm (N): rounded directions of others don't count."""
    distances: Matrix = _positions(frames) @ normal_of(frames[0].orientation or ())
    return distances


def _positions(frames: Sequence[Frame]) -> Matrix:
    return np.array([frame.position for frame in frames], dtype=np.float64)  # (N, 3) LPS mm


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Sort frames of one orientation by position and judge their grid.

    Args:
        frames: At least `MINIMUM_SLICES`, at different places, all with position, orientation and
            spacing.

    Raises:
        VolumeError: The orientation isn't one.
    """
    ordered = [frames[k] for k in np.argsort(_distances(frames), kind="stable")]
    positions, distances = _positions(ordered), _distances(ordered)
    distances = distances - distances[0]
    normal = normal_of(ordered[0].orientation or ())
    step = float(np.median(np.diff(distances)))
    drift = positions - positions[0] - distances[:, None] * normal  # (N, 3), in the plane
    slope = drift[-1] / distances[-1]
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    jitter = float(np.abs(drift - distances[:, None] * slope).max())
    return Stack(
        frames=tuple(ordered),
        distances=distances,
        step=step,
        fault=_judge(distances, step, tilt, jitter),
    )


def _judge(distances: Matrix, step: float, tilt: float, jitter: float) -> str:
    """What is wrong with places along the normal (N, from 0) and across it; "" for nothing."""
    tolerance = min(JITTER_MM, DISTANCE_TOLERANCE * step)
    numbers = np.arange(len(distances))
    regular = np.polyval(np.polyfit(numbers, distances, 1), numbers)
    if np.abs(distances - regular).max() > tolerance:
        return _name_gaps(np.diff(distances), step, tolerance)
    if tilt > MAX_SHEAR_DEGREES:
        return f"gantry tilt: the slices are stacked {tilt:.1f} degrees off their normal"
    if jitter > JITTER_MM:
        return f"slices shifted in their plane by up to {jitter:.2f} mm"
    return ""


def _name_gaps(gaps: Matrix, step: float, tolerance: float) -> str:
    wrong = np.flatnonzero(np.abs(gaps - step) > tolerance)
    where = f" (the first after slice {int(wrong[0]) + 1})" if wrong.size else ""
    missing = gaps[wrong] / step
    if wrong.size and np.all(missing > 1.5) and np.allclose(missing, np.round(missing), atol=0.05):
        lost = int(np.sum(np.round(missing) - 1))
        return f"missing slices: {lost} between slices {step:.3f} mm apart{where}"
    return f"irregular distances between slices: {gaps.min():.3f} to {gaps.max():.3f} mm{where}"


def regular_distances(stack: Stack) -> Matrix:
    """Places along the normal, mm, of a regular grid with the stack's step that covers it."""
    number = math.ceil(float(stack.distances[-1]) / stack.step - 0.05) + 1
    return np.arange(number, dtype=np.float64) * stack.step


def neighbours(stack: Stack, distance: float) -> tuple[int, int, float]:
    """The slices around a place along the normal, and the share of the upper one."""
    upper = int(np.clip(np.searchsorted(stack.distances, distance), 1, len(stack.frames) - 1))
    below, above = stack.distances[upper - 1], stack.distances[upper]
    share: Any = np.clip((distance - below) / (above - below), 0, 1)
    return upper - 1, upper, float(share)
