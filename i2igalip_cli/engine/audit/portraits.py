"""What the audit keeps of every volume: its shape at low resolution, its size, its brightness."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import CropPolicy
from i2igalip_cli.engine.audit.thumbnails import make_thumbnail
from i2igalip_cli.engine.dataset import Shard, open_shard
from i2igalip_cli.engine.quality.orientation import shrink
from i2igalip_cli.errors import DatasetError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import find_box
from i2igalip_cli.volumes.intensity import UNIT
from i2igalip_cli.volumes.volume import Array

BODY = CropPolicy(margin_mm=0)  # what counts as foreground, however the dataset was cropped
BINS = 50  # of the histogram over [0, 1]
Cube = npt.NDArray[np.float16]  # as precise as the slices that it is made of


@dataclass(frozen=True, kw_only=True, eq=False)
class Portrait:
    """A volume as the checks see it.

    Attributes:
        shard: Of its first plane.
        cube: The foreground's box at low resolution, (24, 24, 24) along R, A, S; in [0, 1].
        size_mm: Of the foreground's box, towards right, anterior, superior.
        empty: Share of the box's voxels that are 0.
        air: Share of all voxels that are no foreground.
        histogram: Shares of the foreground's voxels in `BINS` equal parts of [0, 1].
        thumbnail: Its middle slices, packed (see `thumbnails`).
    """

    shard: Shard
    cube: Cube
    size_mm: tuple[float, float, float]
    empty: float
    air: float
    histogram: Array
    thumbnail: bytes

    @property
    def name(self) -> str:
        """Path below the raw folder."""
        return self.shard.source

    @property
    def domain(self) -> str:
        """Name of its domain."""
        return self.shard.domain


def stored_volume(folder: Path, shard: Shard) -> Volume:
    """The slices of a shard as a volume in patient space, in [0, 1].

    Raises:
        DatasetError: It can't be read, or was prepared before shards knew their place.
    """
    if not shard.affine:
        raise DatasetError(f"{folder}: made by an older i2igalip; prepare it again for an audit")
    array = np.asarray(open_shard(folder, shard), np.float32)
    return Volume(array=array, affine=np.reshape(shard.affine, (4, 4)))


def make_portrait(folder: Path, shard: Shard) -> Portrait:
    """Look at a volume once.

    Raises:
        DatasetError: It can't be read.
    """
    volume = stored_volume(folder, shard)
    box = find_box(volume, UNIT, BODY)
    inside = volume.array[box]
    bright = inside[inside > BODY.threshold]
    counts, _ = np.histogram(bright, BINS, (0, 1))
    return Portrait(
        shard=shard,
        cube=shrink(volume, BODY).astype(np.float16),
        size_mm=_measure(inside.shape, volume),
        empty=float((inside <= 0).mean()),
        air=float((volume.array <= BODY.threshold).mean()),
        histogram=(counts / max(bright.size, 1)).astype(np.float32),
        thumbnail=make_thumbnail(volume),
    )


def _measure(shape: tuple[int, ...], volume: Volume) -> tuple[float, float, float]:
    """Millimetres of a box along the axes nearest to right, anterior, superior."""
    along = nib.orientations.io_orientation(volume.affine)[:, 0].astype(int)
    sizes = [0.0, 0.0, 0.0]
    for axis, place in enumerate(along):
        sizes[place] = shape[axis] * volume.spacing_mm[axis]
    right, anterior, superior = sizes
    return right, anterior, superior
