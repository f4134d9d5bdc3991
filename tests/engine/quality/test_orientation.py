"""How a volume lies: every way is told from every other, but for left and right."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.checkpoints import TrainingReference
from i2igalip_cli.config import CropPolicy
from i2igalip_cli.engine.quality.orientation import (
    SIDE,
    TURNS,
    check_anatomy,
    judge_lie,
    name_turn,
    shrink,
    turn_cube,
)
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import slice_affine, view_slices

CROP = CropPolicy()
OBLIQUE = np.array([[1.9, 0.2, 0, -20], [-0.2, 1.9, 0.1, -25], [0, -0.1, 3.0, -15], [0, 0, 0, 1.0]])


def organ(shape=(31, 37, 29)) -> np.ndarray:
    """A ball bright in front, less so above and below, dark on both sides; along RAS."""
    r, a, s = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in shape), indexing="ij")
    bright = 0.6 + 0.02 * r - 0.5 * r**2 + 0.35 * a + 0.2 * s + 0.2 * s**2
    return np.where(r**2 + a**2 + s**2 < 1, bright, 0).astype(np.float32)


def reference(**changes) -> TrainingReference:
    template = shrink(Volume(array=organ(), affine=np.eye(4)), CROP)
    values = {"distributions": {}, "templates": {"T1": template}, "likeness": 0.9, "gain": -0.2}
    return TrainingReference(**{**values, "volumes": 1, **changes})


def test_a_cube_holds_the_means_of_blocks() -> None:
    array = np.random.default_rng(0).uniform(0.2, 1, (2 * SIDE, SIDE, 3 * SIDE)).astype(np.float32)
    cube = shrink(Volume(array=array, affine=np.eye(4)), CROP)
    blocks = array.reshape(SIDE, 2, SIDE, 1, SIDE, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(cube, blocks, rtol=1e-5)


def test_a_cube_of_an_awkward_volume_keeps_its_mean() -> None:
    array = np.random.default_rng(0).uniform(0.2, 1, (17, 19, 5)).astype(np.float32)
    cube = shrink(Volume(array=array, affine=OBLIQUE), CROP)
    assert cube.mean() == pytest.approx(array.mean(), rel=1e-5)


def test_air_around_the_foreground_changes_nothing() -> None:
    array = np.random.default_rng(0).uniform(0.2, 1, (17, 19, 5)).astype(np.float32)
    wide = np.pad(array, ((3, 1), (0, 5), (2, 2)))
    inner, outer = (shrink(Volume(array=a, affine=np.eye(4)), CROP) for a in (array, wide))
    np.testing.assert_allclose(outer, inner, rtol=1e-5)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL", "IRP"])
def test_how_voxels_are_stored_changes_nothing(axes: str) -> None:
    image = nib.Nifti1Image(organ(), OBLIQUE)
    wanted = nib.orientations.axcodes2ornt(axes)
    stored = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(OBLIQUE), wanted)
    )
    assert "".join(nib.aff2axcodes(stored.affine)) == axes
    one = shrink(Volume(array=organ(), affine=OBLIQUE), CROP)
    two = shrink(Volume(array=stored.get_fdata(dtype=np.float32), affine=stored.affine), CROP)
    np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_slices_of_a_plane_make_the_same_cube(plane) -> None:
    volume = Volume(array=organ(), affine=OBLIQUE)
    slices = view_slices(volume.array, volume.affine, plane)
    cube = shrink(Volume(array=slices, affine=slice_affine(plane)), CROP)
    np.testing.assert_allclose(cube, shrink(volume, CROP), atol=1e-6)


def test_every_turn_is_found_but_for_left_and_right() -> None:
    template = reference().templates["T1"]
    assert len(set(TURNS)) == 48
    for turn in TURNS:
        lie = judge_lie(turn_cube(template, turn), {"T1": template})
        axes, signs = turn
        if axes == (0, 1, 2) and signs[1:] == (1, 1):
            assert lie.gain < -0.05, turn
            continue
        assert lie.best == pytest.approx(1, abs=0.05)
        assert lie.gain > 0.05, turn
        back = turn_cube(turn_cube(template, turn), lie.turn)
        assert min(abs(back - template).mean(), abs(back[::-1] - template).mean()) < 1e-6, turn


def test_the_template_of_another_domain_will_do() -> None:
    template = reference().templates["T1"]
    alone = judge_lie(template, {"T1": template})
    beside = judge_lie(template, {"T2": 1 - template, "T1": template})
    assert beside.correlation == pytest.approx(alone.correlation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("axes", "said"),
    [((2,), "upside down"), ((1,), "back to front"), ((1, 2), "back to front and upside down")],
)
def test_flips_are_named(axes, said) -> None:
    turned = Volume(array=np.flip(organ(), axes).copy(), affine=OBLIQUE)
    (warning,) = check_anatomy(turned, reference(), CROP)
    assert f"looks {said}: correlation" in warning
    assert "1.00 if its affine said so" in warning


def test_a_wrong_affine_is_as_bad_as_a_turned_array() -> None:
    upside = np.diag([2.0, 2.0, -2.0, 1.0])
    (warning,) = check_anatomy(Volume(array=organ(), affine=upside), reference(), CROP)
    assert "looks upside down" in warning


def test_axes_that_changed_places_are_named_by_what_they_look_like() -> None:
    """What lies along R is the body's S axis, along A its R axis, along S its A axis."""
    turned = organ().transpose(2, 0, 1).copy()
    (warning,) = check_anatomy(Volume(array=turned, affine=np.eye(4)), reference(), CROP)
    assert "turned (its R, A, S look like S, R, A)" in warning or (
        "turned (its R, A, S look like S, L, A)" in warning  # left and right can't be told
    )


def test_a_name_says_where_each_axis_points() -> None:
    assert name_turn(((2, 0, 1), (1, -1, 1))) == "turned (its R, A, S look like P, S, R)"


@pytest.mark.parametrize("flip", [(), (0,)])
def test_what_lies_well_or_is_mirrored_is_not_warned_of(flip) -> None:
    volume = Volume(array=np.flip(organ(), flip).copy(), affine=OBLIQUE)
    assert check_anatomy(volume, reference(), CROP) == ()


def test_something_else_is_told_and_no_turn_is_made_of_it() -> None:
    noise = np.random.default_rng(0).uniform(0, 1, (31, 37, 29)).astype(np.float32)
    (warning,) = check_anatomy(Volume(array=noise, affine=np.eye(4)), reference(), CROP)
    assert "doesn't look like the anatomy" in warning
    assert "theirs 0.90 at least" in warning


def test_what_training_volumes_do_themselves_is_no_warning() -> None:
    upside = Volume(array=organ()[:, :, ::-1].copy(), affine=np.eye(4))
    lie = judge_lie(shrink(upside, CROP), reference().templates)
    assert check_anatomy(upside, reference(), CROP)
    assert not check_anatomy(upside, replace(reference(), gain=lie.gain), CROP)
    assert not check_anatomy(upside, replace(reference(), gain=lie.gain, likeness=1.0), CROP)
