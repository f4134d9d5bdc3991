"""What a header may claim, whatever the format: axes, how many voxels, a place in space."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.entry import SYNTHETIC, VolumeEntry

MAX_VOXELS = 2**31  # 8 GiB as float32
MAX_SERIES = 2**15 - 1  # the longest fourth axis of NIfTI-1

Shape = tuple[int, int, int]


def squeeze(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes without the trailing axes of one voxel beyond the third."""
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse what is no volume and no series of volumes.

    Args:
        shape: Voxels along the axes, squeezed.

    Raises:
        VolumeError: Without the file's name.
    """
    if min(shape, default=0) < 1:
        raise VolumeError(f"damaged: its header says that its shape is {shape}")
    if len(shape) > 4:
        raise VolumeError(f"shape {shape}: a vector at each voxel; give a scalar volume")
    if len(shape) < 3:
        raise VolumeError(f"shape {shape}: a volume has three axes")
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise VolumeError(f"shape {shape}: more than {MAX_VOXELS} voxels; crop or resample it")
    if math.prod(shape[3:]) > MAX_SERIES:
        raise VolumeError(f"shape {shape}: more than {MAX_SERIES} volumes; split it")


def list_entries(
    path: Path, shape: tuple[int, ...], *, synthetic: bool = False
) -> tuple[VolumeEntry, ...]:
    """An entry a volume: one for three axes, one for each place on a fourth."""
    notes = (SYNTHETIC,) if synthetic else ()
    places = (None,) if len(shape) == 3 else range(shape[3])
    return tuple(
        VolumeEntry(path=path, volume=place, notes=notes, synthetic=synthetic) for place in places
    )


def find_place(entry: VolumeEntry, shape: tuple[int, ...]) -> tuple[int, Shape]:
    """The place of an entry's volume on the fourth axis, 0 without one, and the volume's shape.

    Raises:
        VolumeError: The file has no such volume (any more).
    """
    if entry.volume is None and len(shape) == 4:
        raise VolumeError(f"{entry.path}: {shape[3]} volumes on a fourth axis; choose one")
    place = entry.volume or 0
    if place >= math.prod(shape[3:]):
        raise VolumeError(f"{entry.path}: no volume {place} on a fourth axis; its shape is {shape}")
    return place, (shape[0], shape[1], shape[2])


def check_affine(affine: npt.NDArray[np.floating], name: str) -> npt.NDArray[np.float64]:
    """The affine as float64, if it is finite and its axes span space.

    Args:
        affine: (4, 4) voxel indices to millimetres.
        name: What the format calls it.

    Raises:
        VolumeError: Without the file's name: it isn't so.
    """
    with np.errstate(all="ignore"):
        exact: npt.NDArray[np.float64] = np.asarray(affine, np.float64)
        volume_mm3 = abs(np.linalg.det(exact[:3, :3]))
    if not np.isfinite(exact).all():
        raise VolumeError(f"its {name} holds NaN or infinity; mend the header")
    if not 1e-12 <= volume_mm3 < math.inf:
        raise VolumeError(
            f"its {name} is singular (voxels of {volume_mm3:g} cubic mm); mend the header"
        )
    return exact
