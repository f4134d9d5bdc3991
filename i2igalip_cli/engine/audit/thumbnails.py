"""Small pictures of volumes for the eye, packed, for a dataset has many."""

import zlib

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import PLANES
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import in_plane_spacing, view_slices
from i2igalip_cli.volumes.volume import Array

PIXELS = 96  # of a volume's longest side


def make_thumbnail(volume: Volume) -> bytes:
    """Middle slices of a volume in [0, 1], axial, coronal and sagittal, side by side; packed."""
    strip = np.zeros((PIXELS, len(PLANES) * PIXELS), np.uint8)
    longest = max(n * step for n, step in zip(volume.shape, volume.spacing_mm, strict=True))
    for number, plane in enumerate(PLANES):
        slices = view_slices(volume.array, volume.affine, plane)
        spacing = in_plane_spacing(volume.affine, plane)
        small = _scale(slices[len(slices) // 2], spacing, PIXELS / longest)
        height, width = small.shape
        top, left = (PIXELS - height) // 2, number * PIXELS + (PIXELS - width) // 2
        strip[top : top + height, left : left + width] = np.rint(255 * np.clip(small, 0, 1))
    return zlib.compress(strip.tobytes())


def open_thumbnail(packed: bytes) -> npt.NDArray[np.uint8]:
    """The picture of `make_thumbnail`, (PIXELS, 3 PIXELS)."""
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(PIXELS, -1)


def _scale(picture: Array, spacing_mm: tuple[float, float], pixels_per_mm: float) -> Array:
    """The nearest pixels of a slice (H, W) on a grid of square ones."""
    places = []
    for count, step in zip(picture.shape, spacing_mm, strict=True):
        pixels = min(max(int(count * step * pixels_per_mm), 1), PIXELS)
        places.append(((np.arange(pixels) + 0.5) / pixels * count).astype(int))
    return picture[np.ix_(*places)]
