"""Rigid motions: by hand, by their laws, and as SimpleITK applies them in its own space."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own name for itself
from scipy.spatial.transform import Rotation

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform, from_itk, to_itk

PLACES = np.array([[0.0, 0, 0], [31, -7, 12], [-80, 95.5, -41]])
LPS = np.array([-1.0, -1.0, 1.0])


def motion(seed: int) -> RigidTransform:
    rng = np.random.default_rng(seed)
    return RigidTransform.from_degrees(*rng.uniform(-40, 40, (3, 3)))


def test_a_quarter_turn_about_a_point_and_a_shift() -> None:
    """About the axis to superior, right turns to anterior."""
    quarter = RigidTransform.from_degrees((0, 0, 90), (1, 2, 3), centre_mm=(10, 0, 0))
    np.testing.assert_allclose(quarter.apply(np.array([11.0, 0, 0])), (11, 3, 3), atol=1e-12)
    np.testing.assert_allclose(quarter.apply(np.array([10.0, 0, 5])), (11, 2, 8), atol=1e-12)
    assert quarter.shift_mm(np.array([10.0, 0, 0])) == pytest.approx(14**0.5)
    assert quarter.angle_degrees == pytest.approx(90)


def test_the_inverse_undoes_a_motion() -> None:
    moved = motion(1)
    np.testing.assert_allclose(moved.inverse.apply(moved.apply(PLACES)), PLACES, atol=1e-12)
    assert moved.then(moved.inverse).angle_degrees == pytest.approx(0, abs=1e-9)


def test_motions_follow_one_another_in_order() -> None:
    first, second = motion(2), motion(3)
    np.testing.assert_allclose(
        first.then(second).apply(PLACES), second.apply(first.apply(PLACES)), atol=1e-12
    )
    assert not np.allclose(first.then(second).matrix, second.then(first).matrix)


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 0.3, 90.0, 179.99, 180.0])
def test_angles_are_told_to_the_last_digits(degrees: float) -> None:
    axis = np.array([2, -1, 2]) / 3
    turned = RigidTransform.from_degrees(degrees * axis, (5, 6, 7))
    assert turned.angle_degrees == pytest.approx(degrees, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1.01, 1, 1, 1]),
        np.diag([-1, 1, 1, 1]),
        np.eye(4) + np.eye(4, k=1),
        np.diag([1, 1, 1, 2]),
        np.diag([1, 1, np.nan, 1]),
        np.eye(3),
    ],
    ids=["scaled", "mirrored", "sheared", "homogeneous", "not finite", "3 x 3"],
)
def test_what_is_not_rigid_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(VolumeError, match="rigid"):
        RigidTransform(matrix=matrix)


def test_nobody_changes_a_motion() -> None:
    matrix = np.eye(4)
    held = RigidTransform(matrix=matrix)
    matrix[0, 3] = 9
    assert held.matrix[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        held.matrix[0, 3] = 9


def test_itk_moves_places_alike_in_its_own_space() -> None:
    moved = motion(5)
    for place in PLACES:
        theirs = np.array(to_itk(moved).TransformPoint((place * LPS).tolist())) * LPS
        np.testing.assert_allclose(theirs, moved.apply(place), atol=1e-9)


def test_a_motion_of_itk_about_a_centre_is_read() -> None:
    theirs = sitk.Euler3DTransform((4, -8, 15), 0.3, -0.2, 0.1, (16, 23, -42))
    for place in PLACES:
        expected = np.array(theirs.TransformPoint((place * LPS).tolist())) * LPS
        np.testing.assert_allclose(from_itk(theirs).apply(place), expected, atol=1e-9)


def test_the_angle_is_that_of_the_rotation_vector() -> None:
    turned = motion(6)
    expected = Rotation.from_matrix(turned.matrix[:3, :3]).magnitude()
    assert turned.angle_degrees == pytest.approx(np.degrees(expected))
