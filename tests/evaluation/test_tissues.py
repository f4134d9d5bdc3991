"""The body's outline and its tissues, in whatever order a volume is stored."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from i2igalip_cli.evaluation.tissues import outline_body, split_tissues
from i2igalip_cli.volumes.slicing import fill_holes


def trunk() -> tuple[np.ndarray, np.ndarray]:
    """A trunk with a lung and a spine above a couch, in RAS+ (I, J, K), and its outline."""
    x, y = np.meshgrid(np.arange(48) - 24, np.arange(40) - 22, indexing="ij")
    body = np.repeat(((x / 18) ** 2 + (y / 12) ** 2 < 1)[..., None], 8, axis=2)
    body[..., [0, -1]] = False  # air above the head and below the feet
    ct = np.where(body, 30.0, -1000.0)
    ct[body & ((x - 8) ** 2 + y**2 < 20)[..., None]] = -850  # lung
    ct[body & (x**2 + (y + 7) ** 2 < 9)[..., None]] = 700  # spine
    ct[:, 2, :] = ct[24, 2:11] = 100  # a couch's cover and a fold to the back, one voxel thick
    ct[40:44, 34:38, 2:4] = 0  # an arm
    return ct.astype(np.float32), body


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
def test_the_outline_is_the_trunk_without_couch_and_arm(axes) -> None:
    ct, body = trunk()
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    image = nib.Nifti1Image(ct, np.diag([1, 1, 3, 1.0])).as_reoriented(turn)
    array, affine = image.get_fdata(dtype=np.float32), image.affine
    truth = nib.orientations.apply_orientation(body, turn)
    outline = outline_body(array, affine)
    assert (outline != truth).mean() < 0.003  # single voxels at the poles of the ellipse
    wide = outline_body(array, affine, margin=3)
    assert (wide >= outline).all()
    # Three voxels to every side in the axial plane, none across.
    across = "RAS".index("S") if axes != "SAL" else 0
    counts = wide.any(axis=tuple(a for a in range(3) if a != across)).sum()
    assert counts == 6
    inplane = [a for a in range(3) if a != across]
    spans = [
        np.ptp(np.flatnonzero(m.any(axis=tuple(b for b in range(3) if b != a))))
        for m in (outline, wide)
        for a in inplane
    ]
    assert [spans[2] - spans[0], spans[3] - spans[1]] == [6, 6]


def test_tissues_part_the_body() -> None:
    ct, body = trunk()
    tissues = split_tissues(ct, body)
    assert sum(mask.astype(int) for mask in tissues.values()).tolist() == body.astype(int).tolist()
    assert (ct[tissues["air"]] == -850).all()
    assert (ct[tissues["bone"]] == 700).all()
    assert (ct[tissues["soft tissue"]] == 30).all()
    edges = np.array([[[-200.0, 200.0, -200.5, 200.5]]], np.float32)
    parted = split_tissues(edges, np.ones(edges.shape, bool))
    assert parted["soft tissue"].ravel().tolist() == [True, True, False, False]


def test_holes_are_filled_slice_by_slice_as_scipy_fills_them() -> None:
    slices = np.random.default_rng(0).random((4, 17, 19)) > 0.4
    slices[1] = False
    slices[2] = True
    expected = np.stack([binary_fill_holes(slice_) for slice_ in slices])
    np.testing.assert_array_equal(fill_holes(slices), expected)


def test_air_alone_has_no_outline() -> None:
    assert not outline_body(np.full((12, 13, 4), -1000, np.float32), np.eye(4)).any()
