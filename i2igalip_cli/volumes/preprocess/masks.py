"""Where the head or the body is: above a threshold, the largest piece, closed and filled."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EmptyVolumeError
from i2igalip_cli.volumes.preprocess.sitk_image import from_image, to_image
from i2igalip_cli.volumes.slicing import fill_holes, view_slices
from i2igalip_cli.volumes.volume import Array, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

SMOOTH_MM = 1.5  # standard deviation: noise in air stays below the threshold
BRIGHT_PERCENTILE = 99.0  # fat and vessels above it would pull Otsu's threshold up
CT_ABOVE = -300.0  # HU: skin and fat, neither air nor a couch's foam
OPEN_MM = 2.0  # thinner bridges, to a couch or a neighbour, are cut
CLOSE_MM = 8.0  # narrower gaps, such as the skull's signal void, are closed

Mask = npt.NDArray[np.bool_]


def find_mask(volume: Volume) -> Mask:
    """The head or the body, or the brain where it stands alone.

    MR: what is above Otsu's threshold (IEEE Trans. SMC 9, 1979) of the smoothed image. CT: what is
    above -300 HU. Of that the largest piece, closed, its holes filled axial slice by slice: lungs
    and sinuses that are open to the end of the field of view are within.

    Args:
        volume: Its axes at right angles; taken as MR unless its modality says CT.

    Returns:
        (I, J, K).

    Raises:
        EmptyVolumeError: The volume is constant, or nothing in it is bright enough.
    """
    import SimpleITK as sitk  # noqa: N813

    lowest, highest = float(volume.array.min()), float(volume.array.max())
    if lowest == highest:
        raise EmptyVolumeError(f"constant: every voxel is {lowest:g}, there is no body to find")
    image = to_image(volume)
    above = image > CT_ABOVE if volume.modality == "CT" else _above_otsu(image, volume.array)
    opened = sitk.BinaryMorphologicalOpening(above, _radius(volume, OPEN_MM), sitk.sitkBall)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(opened))  # 1 is the largest
    closed = sitk.BinaryMorphologicalClosing(pieces == 1, _radius(volume, CLOSE_MM), sitk.sitkBall)
    body = from_image(closed, like=volume).array > 0
    mask = np.zeros(body.shape, bool)
    view_slices(mask, volume.affine)[...] = fill_holes(view_slices(body, volume.affine))
    if not mask.any():
        raise EmptyVolumeError(
            f"no head or body found in intensities from {lowest:g} to {highest:g}; is it "
            f"{volume.modality or 'MR'}?"
        )
    return mask


def _above_otsu(image: "sitk.Image", array: Array) -> "sitk.Image":
    """What of MR is above Otsu's threshold, after smoothing and without its brightest values."""
    import SimpleITK as sitk  # noqa: N813

    smooth = sitk.DiscreteGaussian(image, variance=[SMOOTH_MM**2] * 3)
    bright = float(np.percentile(array[array > array.mean(dtype=np.float64)], BRIGHT_PERCENTILE))
    cut = sitk.Clamp(smooth, lowerBound=float(array.min()), upperBound=bright)
    return sitk.OtsuThreshold(cut, 0, 1, 256)


def _radius(volume: Volume, length_mm: float) -> list[int]:
    """Voxels along I, J, K within a length; none along axes of thicker slices."""
    return [int(length_mm / step) for step in volume.spacing_mm]
