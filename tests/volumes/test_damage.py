"""Damaged files of every format that is one file or a pair: read, or refused in one silent line."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DERIVATION
from fuzz.damage import damage

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume, list_volumes, load_entry, save_volume

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".mgh", ".mgz", ".nrrd", ".nhdr", ".mha", ".mhd")
AFFINE = np.array([[-0.9, 0.1, 0, 80], [0.1, 0.9, 0, -90], [0, 0, 5.5, -30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    "count", [150, pytest.param(3000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_read_or_refused_in_one_silent_line(
    tmp_path: Path, capfd, suffix, count
) -> None:
    rng = np.random.default_rng(count)
    array = np.random.default_rng(0).random((7, 6, 5)) * 100
    volume = replace(Volume(array=array, affine=AFFINE), derivation=DERIVATION)
    path = tmp_path / f"a{suffix}"
    save_volume(volume, path)
    whole = {file: file.read_bytes() for file in tmp_path.iterdir()}
    outcomes = {"read": 0, "refused": 0}
    for _ in range(count):
        for file, raw in whole.items():
            file.write_bytes(raw)
        victim = list(whole)[rng.integers(len(whole))]
        victim.write_bytes(damage(whole[victim], rng, victim.name))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                for entry in list_volumes(path)[:2]:
                    assert load_entry(entry).array.size
                outcomes["read"] += 1
            except VolumeError as error:
                assert "\n" not in str(error)
                assert str(error).startswith(str(tmp_path))
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0  # both happen, or nothing was tested
    assert set(tmp_path.iterdir()) == set(whole)
    assert capfd.readouterr() == ("", "")
