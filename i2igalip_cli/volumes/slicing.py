"""A volume as slices, and exactly back.

Slices lie as radiologists see them and as DICOM stores them: the volume's axes are put in LPS
order by permutation and flips alone (no interpolation, oblique affines keep their nearest
orientation), columns run to the patient's left (sagittal: posterior) and rows to posterior (coronal
and sagittal: inferior). They are a view of the volume: writing to the view of an empty volume puts
slices back. Height and width are padded with zeros, centred, to what the generator asks.
"""

from typing import TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import Plane
from i2igalip_cli.volumes.foreground import Box
from i2igalip_cli.volumes.volume import Array

# Directions of (slice, row, column) in each plane.
_DIRECTIONS: dict[Plane, str] = {"axial": "SPL", "coronal": "PIL", "sagittal": "LIP"}
Affine = npt.NDArray[np.float64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def view_slices(
    array: npt.NDArray[_Scalar], affine: Affine, plane: Plane = "axial"
) -> npt.NDArray[_Scalar]:
    """The slices of a volume in a plane, without a copy.

    Args:
        array: (I, J, K), or a box of a volume.
        affine: (4, 4) voxel indices to RAS+ mm, any orientation, oblique ones too.
        plane: Which plane the slices lie in.

    Returns:
        (N, h, w) view of the array, ordered along the plane's normal.
    """
    turned: npt.NDArray[_Scalar] = nib.orientations.apply_orientation(array, _turn(affine, plane))
    return turned


def slice_affine(plane: Plane) -> Affine:
    """Affine (4, 4) of slices as `view_slices` orders them: index (slice, row, column) to RAS+.

    One unit a step, and no place: it tells directions alone.
    """
    turn = nib.orientations.axcodes2ornt(_DIRECTIONS[plane])
    affine: Affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[turn[:, 0].astype(int), range(3)] = turn[:, 1]
    return affine


def place_slices(
    affine: Affine, shape: tuple[int, int, int], plane: Plane, corner: tuple[int, int, int]
) -> Affine:
    """Affine (4, 4) of a plane's slices, or of a box of them: (slice, row, column) to RAS+ mm.

    Args:
        affine: Of the volume, voxel indices to RAS+ mm.
        shape: Of the volume.
        plane: Of the slices.
        corner: First slice, row and column of the box.
    """
    to_voxels = nib.orientations.inv_ornt_aff(_turn(affine, plane), shape)
    moved = np.eye(4)
    moved[:3, 3] = corner
    placed: Affine = affine @ to_voxels @ moved
    return placed


def turn_box(box: Box, shape: tuple[int, int, int], affine: Affine, plane: Plane = "axial") -> Box:
    """A box along I, J, K of a volume of this shape as one along slices, rows and columns."""
    turned = [slice(0, 0)] * 3
    for axis, (place, flip) in enumerate(_turn(affine, plane)):
        start, stop = box[axis].start, box[axis].stop
        if flip < 0:
            start, stop = shape[axis] - stop, shape[axis] - start
        turned[int(place)] = slice(start, stop)
    first, second, third = turned
    return first, second, third


def pad_slices(slices: Array, multiple: int) -> Array:
    """Slices (N, h, w) as (N, 1, H, W), with zeros around them up to multiples of `multiple`."""
    _, height, width = slices.shape
    rows, columns = _padding(height, multiple), _padding(width, multiple)
    padded = np.pad(slices, ((0, 0), rows, columns))  # (N, h, w) -> (N, H, W)
    return padded[:, None].astype(np.float32, copy=False)


def cut_padding(slices: Array, height: int, width: int) -> Array:
    """Undo `pad_slices`: (N, 1, H, W) -> (N, height, width)."""
    top, left = (
        (padded - size) // 2 for padded, size in zip(slices.shape[2:], (height, width), strict=True)
    )
    return slices[:, 0, top : top + height, left : left + width]


def fill_holes(slices: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Slices (N, H, W) with everything filled that isn't connected to their border."""
    from scipy.ndimage import generate_binary_structure, label

    within = generate_binary_structure(3, 1)
    within[[0, 2]] = False  # neighbours within a slice alone
    outside = np.pad(~slices, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    numbers, count = label(outside, within)
    reached = np.zeros(count + 1, bool)
    reached[numbers[:, 0, 0]] = True  # the frame of each slice is one piece
    filled: npt.NDArray[np.bool_] = ~reached[numbers[:, 1:-1, 1:-1]]
    return filled


def in_plane_spacing(affine: Affine, plane: Plane) -> tuple[float, float]:
    """Millimetres between rows and between columns of the plane's slices."""
    _, row, column = np.argsort(_turn(affine, plane)[:, 0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return float(spacing[row]), float(spacing[column])


def _turn(affine: Affine, plane: Plane) -> npt.NDArray[np.float64]:
    """Permutation and flips from the volume's axes to (slice, row, column) of the plane."""
    turn: npt.NDArray[np.float64] = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine),
        nib.orientations.axcodes2ornt(_DIRECTIONS[plane]),
    )
    return turn


def _padding(size: int, multiple: int) -> tuple[int, int]:
    """Zeros before and after, centred, that bring a size to the next multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2
