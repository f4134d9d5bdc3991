"""The box of the foreground: around what is bright, never around noise, with its margin in mm."""

import numpy as np
import pytest

from i2igalip_cli.config import CropPolicy
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import find_box, foreground_level
from i2igalip_cli.volumes.intensity import IntensityWindow

WINDOW = IntensityWindow(low=0.0, high=1000.0)
TIGHT = CropPolicy(margin_mm=0, share=0)
AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])


def block(order: str = "C") -> Volume:
    """100 in a block of air, whose noise stays below a tenth of the window."""
    noise = np.random.default_rng(0).random((30, 41, 17), dtype=np.float32) * 90
    noise[8:20, 5:33, 4:11] = 500
    return Volume(array=np.asarray(noise, order=order), affine=AFFINE)


def bounds(box) -> list[tuple[int, int]]:
    return [(part.start, part.stop) for part in box]


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_box_holds_the_foreground_and_nothing_else(order) -> None:
    assert bounds(find_box(block(order), WINDOW, TIGHT)) == [(8, 20), (5, 33), (4, 11)]


def test_the_margin_is_in_millimetres_and_ends_at_the_volume() -> None:
    box = find_box(block(), WINDOW, CropPolicy(margin_mm=7))
    assert bounds(box) == [(8 - 4, 20 + 4), (0, 33 + 7), (4 - 3, 11 + 3)]


def test_single_bright_voxels_do_not_widen_the_box() -> None:
    array = np.array(block().array)
    array[29, 40, 16] = 900
    spotted = Volume(array=array, affine=AFFINE)
    few = CropPolicy(margin_mm=0)
    assert bounds(find_box(spotted, WINDOW, few)) == [(8, 20), (5, 33), (4, 11)]
    assert bounds(find_box(spotted, WINDOW, TIGHT))[0] == (8, 30)


def test_a_thing_thinner_than_the_share_is_kept() -> None:
    array = np.zeros((30, 41, 17), np.float32)
    array[15, 20, 8] = 1000
    volume = Volume(array=array, affine=AFFINE)
    assert bounds(find_box(volume, WINDOW, CropPolicy(margin_mm=0, share=0.1))) == [
        (15, 16),
        (20, 21),
        (8, 9),
    ]


def test_whole_and_empty_volumes_keep_their_field_of_view() -> None:
    everything = [(0, 30), (0, 41), (0, 17)]
    assert bounds(find_box(block(), WINDOW, CropPolicy(whole=True))) == everything
    dark = Volume(array=np.full((30, 41, 17), 50.0), affine=AFFINE)
    assert bounds(find_box(dark, WINDOW, TIGHT)) == everything


def test_the_threshold_lies_in_the_window() -> None:
    hounsfield = IntensityWindow(low=-1024.0, high=3000.0)
    assert foreground_level(hounsfield, CropPolicy()) == pytest.approx(-1024 + 402.4)
    assert foreground_level(hounsfield, CropPolicy(whole=True)) == -1024


@pytest.mark.parametrize("fault", [{"threshold": 1.0}, {"share": -0.1}, {"margin_mm": -1.0}])
def test_faults_of_a_policy_are_named(fault) -> None:
    with pytest.raises(ConfigError, match=next(iter(fault))):
        CropPolicy(**fault)
