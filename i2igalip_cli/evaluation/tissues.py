"""Regions of a CT: the body's outline and tissue classes by Hounsfield units."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.slicing import Affine, fill_holes, view_slices
from i2igalip_cli.volumes.volume import Array

Mask = npt.NDArray[np.bool_]
# Work on synthetic CT splits tissue near these figures, but no standard fixes them (bone begins
# between 100 and 300 HU from paper to paper): ours are round, and stand beside every number.
AIR_BELOW = -200.0  # HU
BONE_ABOVE = 200.0  # HU
OUTLINE_ABOVE = -500.0  # HU: half way from air to water, where an edge of the body lies
SYNTHRAD_MARGIN = 10  # voxels in the axial plane
TISSUES = {
    "air": f"reference below {AIR_BELOW:g} HU",
    "soft tissue": f"reference from {AIR_BELOW:g} to {BONE_ABOVE:g} HU",
    "bone": f"reference above {BONE_ABOVE:g} HU",
}


def outline_body(ct: Array, affine: Affine, margin: int = 0) -> Mask:
    """The body in a CT that came without a mask.

    The largest connected piece above -500 HU, after an opening by 3 x 3 voxels in the axial plane
    that parts it from thin things such as a couch's cover; holes (lungs, bowel) are filled slice
    by slice. SynthRAD's masks are outlines widened by a ball of 10 voxels in the axial plane.

    Args:
        ct: (I, J, K) in HU.
        affine: (4, 4) voxel indices to RAS+ mm.
        margin: Voxels by which the outline is widened in the axial plane.

    Returns:
        (I, J, K); empty where nothing is above -500 HU.
    """
    from scipy.ndimage import label

    above = np.ascontiguousarray(view_slices(ct > OUTLINE_ABOVE, affine))
    pieces = _open_in_plane(above)
    numbers, _ = label(pieces)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0  # what is no piece
    body = fill_holes((numbers == sizes.argmax()) & pieces)
    if margin:
        body = _widen_in_plane(body, margin)
    outline = np.zeros(ct.shape, bool)
    view_slices(outline, affine)[...] = body
    return outline


def _open_in_plane(slices: Mask) -> Mask:
    """Squares of 3 x 3 pixels that fit into slices (N, H, W), all together."""
    framed = np.pad(slices, ((0, 0), (1, 1), (1, 1)))
    for combine in (np.logical_and, np.logical_or):
        for axis in (1, 2):
            middle, before, after = (np.roll(framed, shift, axis) for shift in (0, 1, -1))
            framed = combine(combine(before, after), middle)
    return framed[:, 1:-1, 1:-1]


def _widen_in_plane(slices: Mask, margin: int) -> Mask:
    """Slices (N, H, W) widened by ITK's ball of that radius within the plane."""
    import SimpleITK as sitk  # noqa: N813 (as everywhere)

    image = sitk.GetImageFromArray(slices.astype(np.uint8))  # radii in the order W, H, N
    widened = sitk.BinaryDilate(image, (margin, margin, 0), sitk.sitkBall)
    wide: Mask = sitk.GetArrayFromImage(widened) > 0
    return wide


def split_tissues(reference: Array, body: Mask) -> dict[str, Mask]:
    """Air, soft tissue and bone within the body, by the reference.

    Args:
        reference: (I, J, K) in HU.
        body: (I, J, K).

    Returns:
        Disjoint masks by the names of `TISSUES`; together they are the body.
    """
    air, bone = reference < AIR_BELOW, reference > BONE_ABOVE
    return {"air": body & air, "soft tissue": body & ~(air | bone), "bone": body & bone}
