"""A volume as a stack of slices, and exactly back.

Slices lie as radiologists see them and as DICOM stores them: the volume's axes are put in LPS
order by permutation and flips alone (no interpolation, oblique affines keep their nearest
orientation), columns run to the patient's left (sagittal: posterior) and rows to posterior (coronal
and sagittal: inferior). Height and width are padded with zeros, centred, to what the generator
asks.
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import Plane
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.volume import Array, Volume

# Directions of (slice, row, column) in each plane.
_DIRECTIONS: dict[Plane, str] = {"axial": "SPL", "coronal": "PIL", "sagittal": "LIP"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceStack:
    """The slices of a volume and what puts them back on its grid.

    Attributes:
        slices: (N, 1, H, W) float32, ordered along the plane's normal.
        volume: The volume they were cut from.
        plane: Their plane.
    """

    slices: Array
    volume: Volume
    plane: Plane

    @classmethod
    def from_volume(cls, volume: Volume, plane: Plane = "axial", multiple: int = 1) -> "SliceStack":
        """Cut a volume into slices.

        Args:
            volume: Any orientation, oblique ones too.
            plane: Which plane the slices lie in.
            multiple: Height and width are padded to a multiple of this.
        """
        turned = nib.orientations.apply_orientation(volume.array, _turn(volume, plane))
        _, height, width = turned.shape
        rows, columns = _padding(height, multiple), _padding(width, multiple)
        padded = np.pad(turned, ((0, 0), rows, columns))  # (N, h, w) -> (N, H, W)
        return cls(slices=padded[:, None].astype(np.float32), volume=volume, plane=plane)

    def to_volume(self, slices: Array) -> Volume:
        """Put slices of the same shape on the volume's grid.

        Args:
            slices: (N, 1, H, W), in the order and orientation of `self.slices`.

        Raises:
            VolumeError: The shape is another one.
        """
        if slices.shape != self.slices.shape:
            raise VolumeError(f"slices {slices.shape} don't fit the stack {self.slices.shape}")
        turn = _turn(self.volume, self.plane)
        source_axes = np.argsort(turn[:, 0])  # of slice, row, column
        back = np.column_stack([source_axes, turn[source_axes, 1]])
        height, width = (self.volume.shape[axis] for axis in source_axes[1:])
        top, left = (
            (padded - size) // 2
            for padded, size in zip(slices.shape[2:], (height, width), strict=True)
        )
        cut = slices[:, 0, top : top + height, left : left + width]  # (N, 1, H, W) -> (N, h, w)
        return self.volume.with_array(
            np.ascontiguousarray(nib.orientations.apply_orientation(cut, back), dtype=np.float32)
        )


def _turn(volume: Volume, plane: Plane) -> npt.NDArray[np.float64]:
    """Permutation and flips from the volume's axes to (slice, row, column) of the plane."""
    turn: npt.NDArray[np.float64] = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(volume.affine),
        nib.orientations.axcodes2ornt(_DIRECTIONS[plane]),
    )
    return turn


def _padding(size: int, multiple: int) -> tuple[int, int]:
    """Zeros before and after, centred, that bring a size to the next multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


def in_plane_spacing(volume: Volume, plane: Plane) -> tuple[float, float]:
    """Millimetres between rows and between columns of the plane's slices."""
    _, row, column = np.argsort(_turn(volume, plane)[:, 0])
    return volume.spacing_mm[row], volume.spacing_mm[column]
