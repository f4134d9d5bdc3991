"""Volumes to SimpleITK's images and back: the one place of these that knows LPS.

A left-handed grid is flipped along its last axis on the way in and back on the way out, so that
ITK sees rotations only. Voxels and affine come back as they went.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.grid import MAX_SHEAR_DEGREES, Affine, shear_degrees
from i2igalip_cli.volumes.volume import Array, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_PLACE_MM = 1e-3  # ITK keeps float64; what differs by more is another grid


def to_image(volume: Volume) -> "sitk.Image":
    """A volume as an image of ITK in LPS mm.

    Args:
        volume: Its axes at right angles (see `grid.straighten`), of either handedness.

    Returns:
        float32; its index (i, j, k) is the volume's, or (i, j, K - 1 - k) where that is
        left-handed.

    Raises:
        VolumeError: The axes are sheared.
    """
    import SimpleITK as sitk  # noqa: N813

    shear = shear_degrees(volume.affine)
    if shear > MAX_SHEAR_DEGREES:
        raise VolumeError(
            f"axes sheared by {shear:.1f} degrees: resample to an orthogonal grid first"
        )
    voxels = _right_handed(volume.array, volume.affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))  # (I, J, K) -> (K, J, I)
    affine = _image_affine(volume)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def from_image(image: "sitk.Image", like: Volume) -> Volume:
    """An image on the grid that `to_image` makes of a volume, as a volume on that one's grid.

    Args:
        image: Of any scalar type; what it holds becomes float32.
        like: Gives affine and header.

    Raises:
        VolumeError: The image lies on another grid, or holds NaN or infinity.
    """
    import SimpleITK as sitk  # noqa: N813

    if image.GetSize() != like.shape or not _lies_on(image, _image_affine(like)):
        raise VolumeError(
            f"an image of {image.GetSize()} voxels at {image.GetOrigin()} mm doesn't lie on the "
            f"volume's grid of {like.shape} voxels; resample it to that one first"
        )
    voxels = sitk.GetArrayFromImage(image).T.astype(np.float32, copy=False)  # -> (I, J, K)
    return like.with_array(_right_handed(voxels, like.affine))


def _is_left_handed(affine: Affine) -> bool:
    return bool(np.linalg.det(affine[:3, :3]) < 0)


def _right_handed(array: Array, affine: Affine) -> Array:
    """A view, flipped along the last axis where the grid is left-handed; its own inverse."""
    return array[:, :, ::-1] if _is_left_handed(affine) else array


def _image_affine(volume: Volume) -> npt.NDArray[np.float64]:
    """Affine (4, 4) of the volume's image: its voxel indices to LPS mm, right-handed."""
    flip = np.eye(4)
    if _is_left_handed(volume.affine):
        flip[2, 2:] = -1, volume.shape[2] - 1
    affine: Affine = _RAS_TO_LPS @ volume.affine @ flip
    return affine


def _lies_on(image: "sitk.Image", affine: Affine) -> bool:
    """Whether the corners of an image lie where an affine to LPS mm puts them."""
    corners = [(0, 0, 0), *np.diag([n - 1 for n in image.GetSize()]).tolist()]
    placed = [image.TransformIndexToPhysicalPoint(corner) for corner in corners]
    expected = np.array(corners) @ affine[:3, :3].T + affine[:3, 3]
    return bool(np.abs(expected - placed).max() < _SAME_PLACE_MM)


@contextmanager
def one_thread() -> Iterator[None]:
    """ITK in one thread: sums of several differ in their last digits, from run to run even.

    A filter's own number of threads doesn't reach all of its parts (SimpleITK 2.5).
    """
    import SimpleITK as sitk  # noqa: N813

    usual = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(usual)
