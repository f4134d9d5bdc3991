"""The overlay: a known motion is told, the chessboard shows both volumes, and a misfit none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from i2igalip_cli import save_volume
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.resampling import lay_onto
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform

EXAMPLES = Path(__file__).parents[1] / "examples"
SHAPE, SPACING = (48, 52, 40), (3.0, 3.0, 4.0)
MOTION = RigidTransform.from_degrees((2.0, -1.0, 7.0), (5.0, -6.0, 3.0))


@pytest.fixture(scope="module")
def overlays():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import registration_overlay

        yield registration_overlay


def make_head(seed: int) -> np.ndarray:
    """Blobs within an ellipsoid, from 0 to 1, and air around them."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(-1.4, 1.4, n) for n in SHAPE), indexing="ij")
    inside = sum(axis**2 for axis in grid) < 1
    blobs = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2)
    ranks = blobs.ravel().argsort().argsort().reshape(SHAPE) / blobs.size
    return np.where(inside, 0.2 + 0.8 * ranks, 0).astype(np.float32)


def make_volume(array: np.ndarray) -> Volume:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -np.multiply(SPACING, np.array(array.shape) - 1) / 2  # the middle is at 0
    return Volume(array=array, affine=affine)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> dict[str, Path]:
    """A head, its other contrast moved, and noise."""
    folder, head = tmp_path_factory.mktemp("overlay"), make_head(0)
    other = make_volume(np.where(head > 0, 1.3 - head, 0).astype(np.float32))
    noise = np.random.default_rng(1).random(SHAPE, np.float32)
    volumes = {
        "head": make_volume(head),
        "moved": lay_onto(other, other, MOTION.inverse),
        "noise": make_volume(noise),
    }
    paths = {name: folder / f"{name}.nii.gz" for name in volumes}
    for name, volume in volumes.items():
        save_volume(volume, paths[name])
    return paths


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, EXAMPLES / "registration_overlay.py", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_known_motion_is_told_and_drawn(paths, tmp_path) -> None:
    out = tmp_path / "overlay.png"
    done = run(paths["head"], paths["moved"], out, "--json")
    found = json.loads(done.stdout)
    assert found["moved"]
    assert found["after_nats"] > 1.5 * found["before_nats"]
    assert found["angle_degrees"] == pytest.approx(np.sqrt(4 + 1 + 49), abs=0.5)
    assert found["shift_mm"] == pytest.approx(np.sqrt(25 + 36 + 9), abs=1.5)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).std() > 10


def test_what_lies_on_the_reference_already_stays(overlays, paths, tmp_path) -> None:
    found = overlays.overlay(paths["head"], paths["head"], tmp_path / "overlay.png", 24.0)
    assert not found["moved"]
    assert found["after_nats"] == found["before_nats"] > 1
    assert found["angle_degrees"] == found["shift_mm"] == 0


def test_a_misfit_is_refused_and_not_drawn(paths, tmp_path) -> None:
    done = run(paths["head"], paths["noise"], tmp_path / "overlay.png")
    assert done.returncode == 1
    assert "noise.nii.gz isn't registered: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.iterdir()]


def test_fields_of_the_chessboard_are_of_both_volumes_in_turn(overlays) -> None:
    shape = (9, 7, 5)
    white, black = (make_volume(np.full(shape, value, np.float32)) for value in (1, 0))
    board = overlays.lay_chessboard(white, black, 6.0).array  # 2 x 2 x 1.5 voxels
    assert board[0, 0, 0] == board[1, 1, 1] == 1
    assert board[2, 0, 0] == board[0, 2, 0] == board[0, 0, 2] == 0
    assert board[2, 2, 0] == board[2, 0, 2] == board[0, 0, 3] == 1, "0, 4, 8 | 12 mm along K"
    np.testing.assert_array_equal(board[:-2], 1 - board[2:])


def test_agreeing_volumes_leave_no_trace_of_the_chessboard(overlays) -> None:
    head = make_volume(make_head(3))
    board = overlays.lay_chessboard(head, head, 24.0)
    np.testing.assert_array_equal(board.array, head.array)
