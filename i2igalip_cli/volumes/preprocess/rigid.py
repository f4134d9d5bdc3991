"""Rigid motions of patient space: where a place of one volume lies in another."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

TOLERANCE = 1e-5  # by which a matrix that was written as decimals may miss a rotation
_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS to LPS, and back
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RigidTransform:
    """A rotation and a shift; immutable.

    Attributes:
        matrix: (4, 4) float64, RAS+ mm of the fixed volume to RAS+ mm of the moving one; read-only.
    """

    matrix: Matrix

    def __post_init__(self) -> None:
        """Freeze the matrix; refuse what isn't rigid.

        Raises:
            VolumeError: Not a finite (4, 4) matrix of a rotation and a shift.
        """
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise VolumeError(f"a rigid transform is a finite 4 x 4 matrix, not {matrix.tolist()}")
        rotation = matrix[:3, :3]
        square = np.abs(rotation.T @ rotation - np.eye(3)).max() < TOLERANCE
        ends_well = np.array_equal(matrix[3], (0, 0, 0, 1))
        if not (square and ends_well and np.linalg.det(rotation) > 0):
            raise VolumeError(
                f"not rigid: {matrix.tolist()}; give a rotation and a shift in mm, without "
                f"scaling, shear or mirroring, and 0 0 0 1 below"
            )
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls) -> "RigidTransform":
        """No motion."""
        return cls(matrix=np.eye(4))

    @classmethod
    def from_degrees(
        cls,
        degrees: npt.ArrayLike,
        shift_mm: npt.ArrayLike,
        centre_mm: npt.ArrayLike = (0.0, 0.0, 0.0),
    ) -> "RigidTransform":
        """A turn about a point, and a shift.

        Args:
            degrees: (3,) along the axis it turns about in RAS+ (right-hand rule), as long as the
                angle.
            shift_mm: (3,) by which the centre moves, RAS+.
            centre_mm: (3,) what is turned about, RAS+.
        """
        from scipy.spatial.transform import Rotation

        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(degrees, degrees=True).as_matrix()
        matrix[:3, 3] = np.add(centre_mm, shift_mm) - matrix[:3, :3] @ np.asarray(centre_mm)
        return cls(matrix=matrix)

    @property
    def inverse(self) -> "RigidTransform":
        """From the moving volume to the fixed one."""
        inverse = np.eye(4)
        inverse[:3, :3] = self.matrix[:3, :3].T
        inverse[:3, 3] = -self.matrix[:3, :3].T @ self.matrix[:3, 3]
        return RigidTransform(matrix=inverse)

    def then(self, other: "RigidTransform") -> "RigidTransform":
        """First this motion, then another."""
        return RigidTransform(matrix=other.matrix @ self.matrix)

    @property
    def angle_degrees(self) -> float:
        """How far it turns, from 0 to 180 degrees."""
        rotation = self.matrix[:3, :3]
        # Twice the sine's vector: a small angle keeps its precision, as by the cosine it would not.
        sine = np.linalg.norm((rotation - rotation.T)[[2, 0, 1], [1, 2, 0]])
        return math.degrees(math.atan2(float(sine), float(np.trace(rotation)) - 1))

    def apply(self, places: Matrix) -> Matrix:
        """Where places lie in the moving volume.

        Args:
            places: (..., 3) RAS+ mm in the fixed volume.

        Returns:
            (..., 3) RAS+ mm.
        """
        moved: Matrix = places @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved

    def shift_mm(self, places: Matrix) -> Matrix:
        """How far places move.

        Args:
            places: (..., 3) RAS+ mm in the fixed volume, such as its centre.

        Returns:
            (...) mm.
        """
        shift: Matrix = np.linalg.norm(self.apply(places) - places, axis=-1)
        return shift


def to_itk(transform: RigidTransform) -> "sitk.Euler3DTransform":
    """The same motion in ITK's LPS, about the origin; its six parameters can be searched."""
    import SimpleITK as sitk  # noqa: N813

    matrix = _TURN @ transform.matrix @ _TURN
    motion = sitk.Euler3DTransform()
    motion.SetMatrix(matrix[:3, :3].ravel().tolist(), TOLERANCE)
    motion.SetTranslation(matrix[:3, 3].tolist())
    return motion


def from_itk(motion: "sitk.Euler3DTransform") -> RigidTransform:
    """A motion of ITK's, about whichever centre, in RAS+."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(motion.GetMatrix(), (3, 3))
    matrix[:3, 3] = motion.TransformPoint((0.0, 0.0, 0.0))
    return RigidTransform(matrix=_TURN @ matrix @ _TURN)
