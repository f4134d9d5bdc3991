"""Whether two volumes lie on one grid in patient space, and how to bring them there."""

import numpy as np

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.grid import Affine, resample
from i2igalip_cli.volumes.volume import freeze

TOLERANCE_MM = 0.01  # other programs round their affines to float32
MIN_OVERLAP = 0.5  # of the reference's voxels: what covers less is another part of the body


def describe_grids(volume: Volume, reference: Volume) -> str:
    """How the grid of a volume differs from that of its reference; "" where it doesn't."""
    if volume.shape != reference.shape:
        ours, theirs = (" x ".join(map(str, v.shape)) for v in (volume, reference))
        return f"{ours} voxels against {theirs}"
    distance = _farthest_corner(volume.affine, reference.affine, reference.shape)
    if distance <= TOLERANCE_MM:
        return ""
    parts = []
    spacings = [" x ".join(f"{s:.4g}" for s in v.spacing_mm) for v in (volume, reference)]
    if spacings[0] != spacings[1]:
        parts.append(f"voxels of {spacings[0]} mm against {spacings[1]} mm")
    angle = _largest_angle(volume.affine, reference.affine)
    if angle > 0.01:
        parts.append(f"axes turned by {angle:.3g} degrees")
    shift = float(np.linalg.norm(volume.affine[:3, 3] - reference.affine[:3, 3]))
    if shift > TOLERANCE_MM:
        parts.append(f"first voxels {shift:.4g} mm apart")
    return f"{', '.join(parts) or 'affines differ'} (corners up to {distance:.4g} mm apart)"


def check_grid(volume: Volume, reference: Volume, what: str) -> None:
    """Refuse a volume on another grid than its reference's.

    Args:
        volume: A prediction, a mask or a label map.
        reference: What it is compared with.
        what: The volume, for the message.

    Raises:
        EvaluationError: Shapes or affines differ; the message says how.
    """
    difference = describe_grids(volume, reference)
    if difference:
        raise EvaluationError(
            f"the {what} lies on another grid than the reference: {difference}; resample it, or "
            "let --resample do so"
        )


def bring_to_grid(
    volume: Volume, reference: Volume, *, nearest: bool = False
) -> tuple[Volume, float]:
    """A volume on its reference's grid, by their places in patient space.

    Args:
        volume: To be resampled, linearly; where it doesn't reach stands its minimum.
        reference: Has the grid.
        nearest: Take the nearest voxel, for masks and label maps.

    Returns:
        The volume, and the share of the reference's voxels that it covers, in [0, 1].

    Raises:
        EvaluationError: It covers less than `MIN_OVERLAP` of them.
    """
    covered = _coverage(volume, reference)
    if covered < MIN_OVERLAP:
        raise EvaluationError(
            f"only {100 * covered:.0f} % of the reference's voxels lie within the volume in "
            "patient space: they don't show the same part of the body, or an affine is wrong"
        )
    array = resample(
        volume.array,
        volume.affine,
        reference.affine,
        reference.shape,
        nearest=nearest,
        outside=float(volume.array.min()),
    )
    moved = Volume(array=freeze(array), affine=reference.affine, modality=volume.modality)
    return moved, covered


def _coverage(volume: Volume, reference: Volume) -> float:
    """Share of the reference's voxels whose centres lie in the volume, from a coarse lattice."""
    axes = [np.unique(np.linspace(0, n - 1, 33).round()) for n in reference.shape]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)  # (3, L)
    between = np.linalg.solve(volume.affine, reference.affine)
    placed = between[:3, :3] @ lattice + between[:3, 3:]
    limits = np.array(volume.shape)[:, None] - 0.5
    return float(((placed > -0.5 - 1e-6) & (placed < limits + 1e-6)).all(axis=0).mean())


def _farthest_corner(first: Affine, second: Affine, shape: tuple[int, int, int]) -> float:
    """How far the same corner of two grids of one shape lies apart, in mm, at most."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    moved = (first - second)[:3, :3] @ corners + (first - second)[:3, 3:]
    return float(np.linalg.norm(moved, axis=0).max())


def _largest_angle(first: Affine, second: Affine) -> float:
    """Largest angle between an axis of one grid and the same axis of the other, in degrees."""
    ours, theirs = (a[:3, :3] / np.linalg.norm(a[:3, :3], axis=0) for a in (first, second))
    chords = np.linalg.norm(ours - theirs, axis=0)  # precise for small angles, too
    return float(np.degrees(2 * np.arcsin(np.minimum(chords / 2, 1))).max())
