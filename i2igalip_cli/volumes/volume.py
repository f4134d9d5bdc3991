"""The one in-memory convention for volumes."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import VolumeError

Array = npt.NDArray[np.float32]
SYNTHETIC_MARK = "Synthetic image, i2igalip"  # begins every derivation's description


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """How a synthetic volume was made; files that can say so do.

    Attributes:
        source: Name of the source's domain; "" if nothing was said of it.
        target: Name of the target domain.
        modality: Of the target.
        caption: The sentence that conditioned the generator.
        model: Name of the checkpoint.
        model_sha256: Identity of the checkpoint.
        version: Of this program.
    """

    source: str
    target: str
    modality: Modality
    caption: str
    model: str
    model_sha256: str
    version: str

    def describe(self) -> str:
        """One line for people."""
        origin = f"{self.source} to {self.target}" if self.source else f"to {self.target}"
        return (
            f"{SYNTHETIC_MARK} {self.version}: {origin} by the caption '{self.caption}', "
            f"model {self.model} (SHA-256 {self.model_sha256})"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A scalar volume in patient space; immutable.

    Attributes:
        array: Intensities (I, J, K), float32, in the unit of the file; read-only.
        affine: (4, 4) float64, voxel indices to RAS+ millimetres (nibabel's convention); read-only.
        header: The header of the file it came from, kept for writing; None for a made volume.
        modality: "MR" or "CT" where the file says so.
        stored_dtype: Type of the voxels in the file it came from.
        derivation: How it was made, if this program made it.
        nonfinite_voxels: Voxels that were NaN or infinite in the file, and are no signal here.
        warnings: What reading it had to mend or to choose.
    """

    array: Array
    affine: npt.NDArray[np.float64]
    header: Any = None
    modality: Modality | None = None
    stored_dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    derivation: Derivation | None = None
    nonfinite_voxels: int = 0
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the arrays; refuse what is no scalar volume in patient space.

        Intensities that are frozen already are shared, others are copied.

        Raises:
            VolumeError: Not three-dimensional, empty, not finite, or a singular affine.
        """
        array = self.array if _is_frozen(self.array) else np.array(self.array, dtype=np.float32)
        affine = np.array(self.affine, dtype=np.float64)
        if array.ndim != 3 or array.size == 0:
            raise VolumeError(f"a volume needs three axes with voxels, not shape {array.shape}")
        if not _is_finite(array):
            raise VolumeError("a volume holds finite intensities only: replace NaN and infinity")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise VolumeError(f"an affine is a finite 4 x 4 matrix, not {affine.tolist()}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise VolumeError("the affine is singular: the volume has no place in patient space")
        for frozen in (array, affine):
            frozen.setflags(write=False)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along I, J, K."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance in millimetres between neighbours along I, J, K."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    def with_array(self, array: Array) -> "Volume":
        """The same grid and header with other intensities of the same shape."""
        if array.shape != self.array.shape:
            raise VolumeError(f"shape {array.shape} doesn't fit the grid {self.array.shape}")
        return replace(self, array=array, nonfinite_voxels=0)


def freeze(array: Array) -> Array:
    """Make an array of one's own read-only, so that volumes share it instead of copying it."""
    array.setflags(write=False)
    return array


def _is_frozen(array: Any) -> bool:  # noqa: ANN401 (people give lists, too)
    """Whether nobody can change the array: read-only, and no view of one that isn't."""
    while isinstance(array, np.ndarray) and array.dtype == np.float32 and not array.flags.writeable:
        if array.base is None:
            return True
        array = array.base
    return False


def _is_finite(array: Array) -> bool:
    """Whether there is no NaN or infinity: the sum tells without a copy, and can't overflow."""
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return bool(np.isfinite(array.sum(dtype=np.float64)))
