"""Volumes are compared on one grid in patient space; what lies elsewhere is told apart."""

import numpy as np
import pytest
from conftest import OBLIQUE, head
from scipy.interpolate import RegularGridInterpolator

from i2igalip_cli.engine.evaluator.grids import bring_to_grid, check_grid, describe_grids
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.volumes import Volume

SHAPE = (17, 19, 5)


def volume(affine=OBLIQUE, shape=SHAPE, seed=0) -> Volume:
    return Volume(array=head(shape=shape, seed=seed), affine=affine)


def flipped(affine, axis: int, count: int):
    turned = affine.copy()
    turned[:3, 3] += affine[:3, axis] * (count - 1)
    turned[:3, axis] *= -1
    return turned


def test_rounding_is_no_difference() -> None:
    rounded = OBLIQUE.astype(np.float32).astype(np.float64) + 1e-4
    assert describe_grids(volume(rounded), volume()) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.eye(4) + np.eye(4, k=3), "first voxels 1 mm apart"),
        (np.diag([1, 1, 1.5, 1]), r"voxels of 1.91 x 1.913 x 4.502 mm"),
        (np.diag([-1.0, 1, 1, 1]), "turned by 180 degrees"),
    ],
)
def test_the_difference_is_named_in_millimetres(change, said) -> None:
    moved = change @ OBLIQUE if change[0, 3] else OBLIQUE @ change
    with pytest.raises(EvaluationError, match=said):
        check_grid(volume(moved), volume(), "prediction")


def test_shapes_are_named() -> None:
    with pytest.raises(
        EvaluationError, match=r"17 x 19 x 6 voxels against 17 x 19 x 5.*--resample"
    ):
        check_grid(volume(shape=(17, 19, 6)), volume(), "mask")


def test_turned_storage_comes_back_exactly() -> None:
    one = volume()
    turned = Volume(array=one.array[:, ::-1], affine=flipped(OBLIQUE, 1, 19))
    assert describe_grids(turned, one)
    moved, covered = bring_to_grid(turned, one)
    np.testing.assert_allclose(moved.array, one.array, atol=1e-3)
    assert covered == 1


def test_resampling_is_linear_in_patient_space() -> None:
    """Against scipy's interpolation of the same points, computed apart."""
    source = volume(np.diag([1.3, 0.9, 2.1, 1]) + np.eye(4, k=3) * 0.4, (23, 29, 9))
    wanted = volume(np.diag([1.1, 1.2, 1.9, 1]), (20, 18, 7))
    moved, covered = bring_to_grid(source, wanted)
    points = np.stack(np.meshgrid(*map(np.arange, wanted.shape), indexing="ij"), axis=-1)
    in_mm = points @ wanted.affine[:3, :3].T + wanted.affine[:3, 3]
    indices = (in_mm - source.affine[:3, 3]) @ np.linalg.inv(source.affine[:3, :3]).T
    grid = tuple(map(np.arange, source.shape))
    expected = RegularGridInterpolator(grid, source.array, bounds_error=False)(indices)
    inside = np.isfinite(expected)
    assert inside.sum() > 1000
    np.testing.assert_allclose(moved.array[inside], expected[inside], rtol=1e-4, atol=1e-2)
    assert covered > 0.9


def test_labels_go_by_the_nearest_and_air_stays_air() -> None:
    labels = Volume(array=np.full(SHAPE, 7) * (head(shape=SHAPE) > 0), affine=OBLIQUE)
    half = OBLIQUE.copy()
    half[:3, 3] += 0.4 * OBLIQUE[:3, 0]
    moved, _ = bring_to_grid(labels, volume(half), nearest=True)
    assert set(np.unique(moved.array)) == {0, 7}
    ct = Volume(array=np.full(SHAPE, -1024.0) + head(shape=SHAPE), affine=OBLIQUE)
    beyond = OBLIQUE.copy()
    beyond[:3, 3] -= 3 * OBLIQUE[:3, 1]
    moved, covered = bring_to_grid(ct, volume(beyond))
    assert (moved.array[:, :2] == -1024).all(), "outside of a CT is air, not 0 HU"
    assert covered == pytest.approx(16 / 19, abs=0.02)


def test_another_part_of_the_body_is_refused() -> None:
    far = OBLIQUE.copy()
    far[:3, 3] += 100
    with pytest.raises(EvaluationError, match="only 0 % of the reference's voxels"):
        bring_to_grid(volume(far), volume())
