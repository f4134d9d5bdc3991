"""Slices in patient space: in order along their normal, and whether they make a regular grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.frames import Frame, normal_of

MINIMUM_SLICES = 3  # of fewer, neither the distance nor a tilt can be told
SAME_PLACE_MM = 0.01
DISTANCE_TOLERANCE = 0.02  # share of the distance between slices
DRIFT_TOLERANCE_DEGREES = 0.5  # between the stack's direction and the slices' normal
JITTER_MM = 0.1  # of a slice in its plane, against the line through all of them
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Frames in order along their normal, and what is wrong with their places.

    Attributes:
        frames: From the lowest to the highest along the normal.
        distances: Of each frame along the normal from the first one, mm (N).
        step: Median distance between neighbours, mm.
        tilt_degrees: Between the line through the positions and the normal.
        fault: Why this is no regular grid, in words; "" where it is one.
    """

    frames: tuple[Frame, ...]
    distances: Matrix
    step: float
    tilt_degrees: float
    fault: str

    @property
    def affine(self) -> Matrix:
        """(4, 4), (column, row, slice) indices to RAS+ mm; exact for a regular stack.

        A slight drift of the slices is kept as shear.
        """
        first, last = (np.array(self.frames[k].position) for k in (0, -1))
        return to_affine(self.frames[0], first, (last - first) / (len(self.frames) - 1))


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


def distance_along_normal(frame: Frame) -> float:
    """Where a frame lies along its normal, mm; the frame has a position and an orientation."""
    if frame.position is None or frame.orientation is None:
        raise VolumeError("an image without place in the patient")
    return float(np.array(frame.position) @ normal_of(frame.orientation))


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Sort frames of one orientation by position and judge their grid.

    Args:
        frames: At least `MINIMUM_SLICES`, at different places, all with position, orientation and
            spacing.

    Raises:
        VolumeError: The orientation isn't one.
    """
    ordered = sorted(frames, key=distance_along_normal)
    normal = normal_of(ordered[0].orientation or ())
    positions = np.array([frame.position for frame in ordered])
    distances = positions @ normal
    distances = distances - distances[0]
    gaps = np.diff(distances)
    step = float(np.median(gaps))
    drift = positions - positions[0] - distances[:, None] * normal  # (N, 3), in the plane
    slope = drift[-1] / distances[-1]
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    jitter = float(np.abs(drift - distances[:, None] * slope).max())
    return Stack(
        frames=tuple(ordered),
        distances=distances,
        step=step,
        tilt_degrees=tilt,
        fault=_judge(gaps, step, tilt, jitter),
    )


def _judge(gaps: Matrix, step: float, tilt: float, jitter: float) -> str:
    wrong = np.flatnonzero(np.abs(gaps - step) > DISTANCE_TOLERANCE * step)
    if wrong.size:
        place = int(wrong[0])
        missing = gaps[wrong] / step
        if np.all(missing > 1.5) and np.allclose(missing, np.round(missing), atol=0.05):
            lost = int(np.sum(np.round(missing) - 1))
            what = f"missing slices: {lost} between slices {step:.3f} mm apart"
        else:
            what = f"irregular distances between slices: {gaps.min():.3f} to {gaps.max():.3f} mm"
        return f"{what} (the first after slice {place + 1})"
    if tilt > DRIFT_TOLERANCE_DEGREES:
        return f"gantry tilt: the slices are stacked {tilt:.1f} degrees off their normal"
    if jitter > JITTER_MM:
        return f"slices shifted in their plane by up to {jitter:.2f} mm"
    return ""


def regular_distances(stack: Stack) -> Matrix:
    """Places along the normal, mm, of a regular grid with the stack's step and extent."""
    number = round(float(stack.distances[-1]) / stack.step) + 1
    return np.arange(number, dtype=np.float64) * stack.step


def neighbours(stack: Stack, distance: float) -> tuple[int, int, float]:
    """The slices around a place along the normal, and the share of the upper one."""
    upper = int(np.clip(np.searchsorted(stack.distances, distance), 1, len(stack.frames) - 1))
    below, above = stack.distances[upper - 1], stack.distances[upper]
    share: Any = np.clip((distance - below) / (above - below), 0, 1)
    return upper - 1, upper, float(share)
