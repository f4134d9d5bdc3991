"""Masks by programs of others: stand-ins of the same arguments take their place on PATH."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.errors import ConfigError, EmptyVolumeError, VolumeError
from i2igalip_cli.volumes import Volume, load_volume
from i2igalip_cli.volumes.preprocess import strippers
from i2igalip_cli.volumes.preprocess.masks import find_mask
from i2igalip_cli.volumes.preprocess.reorienting import reorient
from i2igalip_cli.volumes.preprocess.strippers import MASKS, PROGRAMS, check_mask

# What each program's own parser takes; the stand-in then finds what is right of and above a place.
PARSERS = {
    "mri_synthstrip": """
parser.add_argument("-i", "--image", required=True)
parser.add_argument("-o", "--out")
parser.add_argument("-m", "--mask")
parser.add_argument("-g", "--gpu", action="store_true")
given = parser.parse_args()
image, mask = given.image, given.mask
""",
    "hd-bet": """
parser.add_argument("-i", "--input", required=True)
parser.add_argument("-o", "--output")
parser.add_argument("-device", default="cuda")
parser.add_argument("--disable_tta", action="store_true")
parser.add_argument("--save_bet_mask", action="store_true")
parser.add_argument("--no_bet_image", action="store_true")
given = parser.parse_args()
assert given.output.endswith(".nii.gz") and given.save_bet_mask and given.device == "cpu"
image, mask = given.input, given.output[:-7] + "_bet.nii.gz"
""",
}
FINDS = """
image = nib.load(image)
assert "".join(nib.aff2axcodes(image.affine)) == "RAS", "axes in another order"
places = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), -1)
places = places @ image.affine[:3, :3].T + image.affine[:3, 3]
within = (image.get_fdata() > 100) & (places[..., 0] > 3) & (places[..., 2] > -4)
nib.save(nib.Nifti1Image(within.astype(np.uint8), image.affine), mask)
print("please cite")
"""
COMMANDS = {"synthstrip": "mri_synthstrip", "hd-bet": "hd-bet"}
SHAPE = (17, 19, 5)
AFFINE = np.diag([2.0, 1.8, 4.0, 1.0])
AFFINE[:3, 3] = (-16, -16, -8)


def install(folder: Path, command: str, does: str = FINDS) -> None:
    """Put a stand-in of a program into a folder of PATH."""
    head = "import argparse, sys\nimport nibabel as nib, numpy as np\n"
    parser = "parser = argparse.ArgumentParser(allow_abbrev=False)\n" + PARSERS[command]
    (folder / command).write_text(f"#!{sys.executable}\n{head}{parser}{does}")
    (folder / command).chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder of PATH, empty."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def volume(**changes) -> Volume:
    array = np.random.default_rng(0).uniform(0, 200, SHAPE)
    return Volume(**{"array": array, "affine": AFFINE, **changes})


def expected() -> np.ndarray:
    """Where `FINDS` finds something in `volume()`."""
    x, z = 2.0 * np.arange(17) - 16, 4.0 * np.arange(5) - 8
    return (volume().array > 100) & (x > 3)[:, None, None] & (z > -4)


def test_every_program_has_a_stand_in() -> None:
    assert COMMANDS.keys() == PROGRAMS.keys()
    assert MASKS.keys() == {"otsu", *PROGRAMS}
    assert MASKS["otsu"] is find_mask


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("axes", ["RAS", "PIL", "LSA"])
def test_a_mask_lies_where_the_program_found_it_whatever_the_axes(name, axes, programs) -> None:
    install(programs, COMMANDS[name])
    check_mask(name)
    turned = reorient(volume(), axes)
    mask = MASKS[name](turned)
    assert mask.dtype == bool
    assert mask.shape == turned.shape
    back = reorient(turned.with_array(mask.astype(np.float32)), "RAS")
    np.testing.assert_array_equal(back.array > 0, expected())
    assert expected().any()


def test_an_oblique_volume_is_masked_on_its_own_grid(programs) -> None:
    install(programs, "mri_synthstrip")
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    mask = MASKS["synthstrip"](volume(affine=turn @ AFFINE))
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    x = (places @ (turn @ AFFINE)[:3, :3].T + (turn @ AFFINE)[:3, 3])[..., 0]
    right = x > 3 + 1e-3
    np.testing.assert_array_equal(
        mask[right], ((volume().array > 100) & (places[..., 2] > 1))[right]
    )


def test_the_program_gets_nothing_but_voxels_and_their_place(programs, tmp_path) -> None:
    path = tmp_path / "named.nii.gz"
    image = nib.Nifti1Image(volume().array, AFFINE)
    image.header["descrip"] = b"NAME OF A PATIENT"
    nib.save(image, path)
    install(
        programs,
        "mri_synthstrip",
        FINDS + "assert b'NAME' not in image.header['descrip'].tobytes()\n",
    )
    np.testing.assert_array_equal(MASKS["synthstrip"](load_volume(path)), expected())


def test_nothing_is_left_behind(programs, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    install(programs, "hd-bet")
    MASKS["hd-bet"](volume())
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("synthstrip", r"mri_synthstrip or synthstrip-docker .* isn't on PATH; FreeSurfer"),
        ("hd-bet", r"hd-bet isn't on PATH; pip install 'hd-bet>=2'"),
    ],
)
def test_an_absent_program_says_how_to_get_it(name, way, programs) -> None:
    for find in (lambda: check_mask(name), lambda: MASKS[name](volume())):
        with pytest.raises(ConfigError, match=rf"mask = {name}: {way}.*or take the mask otsu"):
            find()


def test_a_container_script_serves_as_well(programs) -> None:
    install(programs, "mri_synthstrip")
    (programs / "mri_synthstrip").rename(programs / "synthstrip-docker")
    np.testing.assert_array_equal(MASKS["synthstrip"](volume()), expected())


def test_an_unknown_mask_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mask = bet: of otsu, synthstrip, hd-bet"):
        check_mask("bet")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("does", "kind", "message"),
    [
        (
            "print('half way', file=sys.stderr)\nsys.exit('out of memory\\n')",
            VolumeError,
            r"failed \(exit code 1\): out of memory$",
        ),
        ("print('no weights')\nsys.exit(3)", VolumeError, r"failed \(exit code 3\): no weights$"),
        ("sys.exit(2)", VolumeError, r"failed \(exit code 2\): it says nothing$"),
        ("", VolumeError, "ended without a mask"),
        (FINDS.replace("> 100", "> 1e9"), EmptyVolumeError, "found no brain"),
        (
            FINDS.replace("(within.astype(np.uint8)", "(within[1:].astype(np.uint8)"),
            VolumeError,
            "lies on another grid",
        ),
        (
            FINDS.replace("image.affine), mask", "image.affine + 0.1), mask"),
            VolumeError,
            "lies on another grid",
        ),
    ],
)
def test_what_goes_wrong_is_said(name, does, kind, message, programs) -> None:
    install(programs, COMMANDS[name], does)
    with pytest.raises(kind, match=f"{name} {message}|the mask of {name} {message}"):
        MASKS[name](volume())


def test_a_program_that_cannot_start_is_said(programs) -> None:
    (programs / "hd-bet").write_text("#!/no/such/interpreter\n")
    (programs / "hd-bet").chmod(0o755)
    with pytest.raises(VolumeError, match=r"hd-bet can't be run: .*hd-bet: No such file"):
        MASKS["hd-bet"](volume())


def test_a_program_that_hangs_is_stopped_and_said(programs, monkeypatch) -> None:
    monkeypatch.setattr(strippers, "_LONGEST_S", 0.5)
    install(programs, "hd-bet", "import time\ntime.sleep(60)")
    with pytest.raises(VolumeError, match=r"hd-bet took longer than 0\.5 s, and was stopped"):
        MASKS["hd-bet"](volume())


def test_ct_goes_to_programs_that_know_it(programs) -> None:
    for command in COMMANDS.values():
        install(programs, command)
    scan = volume(modality="CT")
    np.testing.assert_array_equal(MASKS["synthstrip"](scan), expected())
    with pytest.raises(VolumeError, match="hd-bet knows MR only, not CT"):
        MASKS["hd-bet"](scan)
