import numpy as np
import pytest

from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window

EYE = np.eye(4)


@pytest.mark.parametrize(
    ("array", "affine", "message"),
    [
        (np.ones((2, 2)), EYE, "three axes"),
        (np.ones((2, 0, 2)), EYE, "three axes"),
        (np.full((1, 1, 1), np.nan), EYE, "finite"),
        (np.ones((1, 1, 1)), np.eye(3), "4 x 4"),
        (np.ones((1, 1, 1)), np.diag([1.0, 0, 1, 1]), "singular"),
    ],
)
def test_a_volume_checks_itself(array, affine, message) -> None:
    with pytest.raises(VolumeError, match=message):
        Volume(array=array, affine=affine)


def test_a_volume_is_immutable_and_apart_from_its_source() -> None:
    array = np.ones((2, 3, 4))
    volume = Volume(array=array, affine=np.diag([1.0, 2, 3, 1]))
    array[:] = 5
    assert volume.array.max() == 1
    assert (volume.shape, volume.spacing_mm) == ((2, 3, 4), (1, 2, 3))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0] = 2
    with pytest.raises(VolumeError, match="doesn't fit the grid"):
        volume.with_array(array[1:])


def test_mr_is_scaled_by_the_percentile_of_its_foreground() -> None:
    # 100 voxels of air, and a foreground of 1..101 whose median is 51
    array = np.concatenate([np.zeros(1000), np.arange(1, 102)]).astype(np.float32)
    foreground = array[array > array.mean()]
    window = find_window(array, DOMAINS["T1"], IntensityPolicy(percentile=50))
    assert (window.low, window.high) == (0, np.median(foreground))
    unit = window.to_unit(array)
    assert (unit.min(), unit.max(), unit.dtype) == (0, 1, np.float32)
    inside = array <= window.high
    np.testing.assert_allclose(window.from_unit(unit)[inside], array[inside], rtol=1e-6)


def test_ct_has_its_window_in_hounsfield_units() -> None:
    window = find_window(
        np.array([-1024.0, 0, 988, 5000], np.float32), DOMAINS["pelvic-CT"], IntensityPolicy()
    )
    unit = window.to_unit(np.array([-2000, -1024, 988, 3000, 9000], np.float32))
    np.testing.assert_allclose(unit, [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("array", "message"), [(np.full(5, 3.0), "every voxel is 3"), (np.arange(-9.0, 0), "positive")]
)
def test_volumes_without_a_scale_are_refused(array, message) -> None:
    with pytest.raises(VolumeError, match=message):
        find_window(array.astype(np.float32), None, IntensityPolicy())


def test_a_percentile_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="percentile = 0"):
        IntensityPolicy(percentile=0)
