"""The wheel by itself: installed in a fresh environment, it translates from another folder."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import write_head

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out]
    subprocess.run([*command, PROJECT], check=True)
    return next(out.glob("*.whl"))


def test_the_wheel_carries_the_weights(wheel) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [p for p in (PROJECT / "weights").rglob("*") if p.is_file()]
    assert {f"i2igalip_cli/{p.relative_to(PROJECT).as_posix()}" for p in shipped} <= names


def test_the_wheel_carries_what_pages_are_made_of(wheel) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = PROJECT / "i2igalip_cli" / "evaluation" / "report" / "assets"
    there = {p.relative_to(PROJECT).as_posix() for p in assets.iterdir()}
    assert len(there) >= 6
    assert there <= names


def test_an_installed_wheel_translates_from_another_folder(wheel, tmp_path) -> None:
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, wheel], check=True)
    # The packages it depends on are taken from here; its own is not: a path named in a .pth file
    # isn't searched for further .pth files, which is where an editable installation stands.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    away = tmp_path / "away"
    volume = write_head(away / "in.nii.gz", shape=(40, 48, 4))
    program = home / "bin" / "i2igalip"
    translated = subprocess.run(
        [program, "translate", volume.name, "--to", "T2", "--json"],
        cwd=away,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(translated.stdout)["target"] == "T2"
    before, after = nib.load(volume), nib.load(away / "in_T2.nii.gz")
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.shape == after.shape
    where = subprocess.run(
        [python, "-c", "import i2igalip_cli; print(i2igalip_cli.__file__)"],
        cwd=away,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(home))
