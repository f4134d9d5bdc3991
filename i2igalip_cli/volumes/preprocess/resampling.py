"""Volumes with another spacing, and on the grid of another volume; linearly interpolated."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import grid as grids
from i2igalip_cli.volumes.grid import Affine
from i2igalip_cli.volumes.volume import Array, Volume, freeze

if TYPE_CHECKING:
    from i2igalip_cli.volumes.preprocess.rigid import RigidTransform

MAX_VOXELS = 1024**3  # 4 GiB of float32: more is a slip of the spacing
AIR_HU = -1024.0  # of CT where nothing was measured; lower values only pad
SAME_SPACING = 1e-4  # relative; what headers round away
_WIDTH = math.sqrt(8 * math.log(2))  # full width at half maximum of a Gaussian by its sigma


def resample(volume: Volume, spacing_mm: tuple[float, float, float]) -> Volume:
    """A volume with another spacing along its own axes, about the same centre.

    The field of view stays, to half a voxel of the new ones. Where voxels become fewer, the volume
    is smoothed before (see `smooth_for`); where they become more, the outermost voxels fill their
    own extent.

    Args:
        volume: Of any orientation.
        spacing_mm: The new voxels' along I, J, K.

    Returns:
        The volume itself where it has that spacing.

    Raises:
        VolumeError: A spacing that isn't positive, or far too many voxels.
    """
    if not all(math.isfinite(step) and step > 0 for step in spacing_mm):
        raise VolumeError(f"spacing {spacing_mm} mm: give positive lengths, such as 1.0")
    ratios = np.divide(spacing_mm, volume.spacing_mm)
    if np.allclose(ratios, 1, rtol=0, atol=SAME_SPACING):
        return volume
    i, j, k = (max(1, round(n / ratio)) for n, ratio in zip(volume.shape, ratios, strict=True))
    if i * j * k > MAX_VOXELS:
        raise VolumeError(
            f"spacing {spacing_mm} mm makes {volume.shape} voxels of {volume.spacing_mm} mm "
            f"{(i, j, k)}: too many to hold; give a larger spacing"
        )
    between: Affine = np.diag([*ratios, 1.0])  # indices of the new grid to indices of the volume
    between[:3, 3] = (np.array(volume.shape) - 1 - ratios * (np.array((i, j, k)) - 1)) / 2
    array = smooth_for(volume.array, between)
    affine = volume.affine @ between
    return replace(volume, array=fill_grid(array, volume.affine, affine, (i, j, k)), affine=affine)


def lay_onto(volume: Volume, grid: Volume, transform: "RigidTransform | None" = None) -> Volume:
    """The values of a volume on the grid of another.

    Args:
        volume: What is laid.
        grid: Gives shape and affine.
        transform: From the patient's place in `grid` to the same place in `volume`; None where
            the two are aligned.

    Returns:
        Air where it doesn't reach (see `find_air`); smoothed before where the grid's voxels are
        larger (see `smooth_for`).
    """
    to = grid.affine if transform is None else transform.matrix @ grid.affine
    between = np.asarray(np.linalg.solve(volume.affine, to), np.float64)
    array = smooth_for(volume.array, between)
    laid = grids.resample(array, volume.affine, to, grid.shape, outside=find_air(volume))
    return replace(volume, array=laid, affine=grid.affine)


def find_air(volume: Volume) -> float:
    """What a volume holds where there is nothing: -1024 HU in CT, elsewhere its lowest value."""
    return AIR_HU if volume.modality == "CT" else float(volume.array.min())


def clear_padding(volume: Volume) -> Volume:
    """CT with air in place of what scanners and exports put around the field of view.

    Such values, -2000 or -3024, would be smeared over the body's edge by interpolation, and take
    the bins of a histogram.

    Args:
        volume: Of any modality.

    Returns:
        The volume itself where nothing is below -1024 HU, or where it isn't CT.
    """
    if volume.modality != "CT" or volume.array.min() >= AIR_HU:
        return volume
    return replace(volume, array=freeze(np.maximum(volume.array, np.float32(AIR_HU))))


def smooth_for(array: Array, between: Affine) -> Array:
    """An array, smoothed so that larger voxels can be sampled from it without aliasing.

    Voxels are taken as Gaussians whose full width at half maximum is the spacing; what widens the
    small ones to the large ones is the Gaussian between, of variance (r^2 - 1) / (8 ln 2) in small
    voxels (Cardoso, Modat, Vercauteren and Ourselin, "Scale factor point spread function
    matching", MICCAI 2015). r goes by the axis of the other grid that is nearest.

    Args:
        array: (I, J, K).
        between: (4, 4) indices of the other grid to indices of the array.

    Returns:
        The array itself where no voxel becomes larger.
    """
    from scipy.ndimage import gaussian_filter

    ratios = np.ones(3)
    for other, (own, _) in enumerate(nib.orientations.io_orientation(between)):
        ratios[int(own)] = abs(between[int(own), other])
    sigmas = np.sqrt(np.maximum(ratios**2 - 1, 0)) / _WIDTH
    if ratios.max() <= 1 + SAME_SPACING:
        return array
    smooth: Array = gaussian_filter(array, sigmas, mode="nearest", output=np.float32)
    return smooth


def fill_grid(array: Array, affine: Affine, to: Affine, shape: tuple[int, int, int]) -> Array:
    """An array on another grid of the same field of view; its outermost voxels reach to the end.

    Args:
        array: (I, J, K) on the grid of `affine`.
        affine: (4, 4) voxel indices to mm.
        to: (4, 4) the other grid's.
        shape: The other grid's voxels along its axes.

    Returns:
        float32 of `shape`.
    """
    framed = np.pad(array, 1, mode="edge")
    shift = np.eye(4)
    shift[:3, 3] = -1
    return grids.resample(framed, affine @ shift, to, shape)
