"""Rows: what counts as finished, and hashes that see every change."""

import dataclasses
import errno
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from world import World

from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.cohort.inputs import find_volumes
from i2igalip_cli.engine.cohort.items import plan_items
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.rows import Row, hash_content, identify_input
from i2igalip_cli.engine.cohort.settings import Fingerprint, TranslationSettings, choose_dtype
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import Volume, VolumeEntry


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch, here=True)


def test_a_file_is_hashed_by_its_bytes(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_content(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert hash_content(tmp_path / "absent") is None


def test_a_folder_is_hashed_by_names_and_contents(tmp_path) -> None:
    folder = tmp_path / "f"
    (folder / "s").mkdir(parents=True)
    (folder / "1").write_bytes(b"x")
    (folder / "s" / "2").write_bytes(b"y")
    expected = "".join(
        f"{name}\n{hashlib.sha256(content).hexdigest()}\n"
        for name, content in (("1", b"x"), ("s/2", b"y"))
    )
    before = hash_content(folder)
    assert before == hashlib.sha256(expected.encode()).hexdigest()
    (folder / "1").rename(folder / "3")
    assert hash_content(folder) != before


def test_a_pair_is_hashed_and_identified_by_both_files(tmp_path) -> None:
    for suffix in (".hdr", ".img"):
        (tmp_path / f"a{suffix}").write_bytes(b"x")
    entry = VolumeEntry(path=tmp_path / "a.hdr")
    before = hash_content(entry.path), identify_input(entry)
    (tmp_path / "a.img").write_bytes(b"longer")
    assert hash_content(entry.path) != before[0]
    assert identify_input(entry) != before[1]
    (tmp_path / "a.img").unlink()
    assert hash_content(entry.path) is None


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_voxels_in_a_file_of_their_own_are_part_of_input_and_output(tmp_path, suffix) -> None:
    image = sitk.GetImageFromArray(np.ones((3, 3, 3), np.float32))
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    entry = VolumeEntry(path=tmp_path / f"a{suffix}")
    before = hash_content(entry.path), identify_input(entry)
    os.utime(tmp_path / "a.raw", (5, 5))
    assert identify_input(entry) != before[1]
    assert hash_content(entry.path) == before[0]
    (tmp_path / "a.raw").write_bytes(b"x")
    assert hash_content(entry.path) != before[0]
    # A header may call the file as it likes.
    text = entry.path.read_text().replace("a.raw", "b.bin")
    entry.path.write_text(text)
    (tmp_path / "b.bin").write_bytes(bytes(3 * 3 * 3 * 4))
    before = hash_content(entry.path), identify_input(entry)
    os.utime(tmp_path / "b.bin", (5, 5))
    assert identify_input(entry) != before[1]


def test_the_identity_of_an_input_is_that_of_its_files(tmp_path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    entry = VolumeEntry(path=folder, series="1.2", files=("a", "b"))
    before = identify_input(entry)
    os.utime(folder / "c", (5, 5))
    assert identify_input(entry) == before, "of another series"
    os.utime(folder / "b", (5, 5))
    assert identify_input(entry) != before
    (folder / "a").unlink()
    assert identify_input(entry) == "", "gone"
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a", "a")
    inside = VolumeEntry(path=archive, series="1.2", files=("a",))
    before = identify_input(inside)
    assert before
    os.utime(archive, (5, 5))
    assert identify_input(inside) != before
    single = VolumeEntry(path=archive, series="1.2", files=("",))
    assert identify_input(single) == identify_input(inside)


def test_a_row_survives_its_file(world) -> None:
    world.volume("a.nii", shape=(4, 5, 6))
    (row,) = world.run().rows
    assert Row.from_json(row.to_json()) == row
    assert row.shape == (4, 5, 6)
    assert row.spacing_mm == (1.9, 1.9, 3.0)
    assert row.output_sha256 == hashlib.sha256((world.out / "a_T2.nii").read_bytes()).hexdigest()
    assert (row.attempt, row.slices, row.stored_dtype) == (1, 6, "float32")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "lost"}', '{"status": "done"}'])
def test_a_damaged_row_is_none(text) -> None:
    with pytest.raises(ConfigError):
        Row.from_json(text)


def test_what_counts_as_final(world) -> None:
    path = world.volume("a.nii")
    world.run()
    (item,) = plan_items(find_volumes([str(world.inputs)]), [DOMAINS["T2"]])
    ledger = Ledger(world.out, "later")
    row = ledger.row(item.key)
    earlier = Ledger(world.out, "earlier", began_ns=0)

    def final(where: Ledger, *, overwrite: bool = False, fingerprint=row.fingerprint) -> bool:
        return where.is_final(item, fingerprint, overwrite=overwrite)

    assert final(ledger), "of an earlier run, to go on with"
    assert not final(ledger, overwrite=True), "of an earlier run, to be done again"
    assert final(earlier, overwrite=True), "of this run"
    other = dataclasses.replace(row.fingerprint, caption="other")
    assert not final(ledger, fingerprint=other)
    failed = dataclasses.replace(row, status="failed")
    claim = ledger.claims.take(item.key)
    ledger.write_row(failed, claim)
    assert not final(Ledger(world.out, "latest", began_ns=2**62)), "an old failure is tried again"
    assert final(earlier), "a failure of this run isn't"
    ledger.write_row(row, claim)
    os.utime(path, (5, 5))
    assert not final(ledger), "another input"


def test_staging_of_the_dead_goes_with_the_next_claim(world) -> None:
    ledger = Ledger(world.out, "test")
    claim = dataclasses.replace(ledger.claims.take("k"), generation=3)
    for generation in (1, 2, 3):
        left = ledger.state / "staging" / f"k.{generation}"
        left.mkdir()
        (left / "half").write_text("x")
    assert list(ledger.staging(claim).iterdir()) == []
    assert [path.name for path in (ledger.state / "staging").iterdir()] == ["k.3"]


def test_a_folder_takes_the_place_of_an_older_one(world) -> None:
    ledger = Ledger(world.out, "test")
    claim = ledger.claims.take("k")
    place = world.out / "s" / "series"
    for content in ("old", "new"):
        staged = ledger.staging(claim)
        (staged / "series").mkdir()
        (staged / "series" / content).write_text(content)
        (staged / "series.json").write_text(content)
        ledger.publish(staged, place, claim)
    assert [path.name for path in place.iterdir()] == ["new"]
    assert (world.out / "s" / "series.json").read_text() == "new"


def test_an_output_folder_that_cant_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(VolumeError, match=r"can't write .*file"):
        Ledger(tmp_path / "file", "test")


def test_files_of_dead_processes_are_cleared(world) -> None:
    ledger = Ledger(world.out, Ledger.name_run())
    host = Ledger.name_run().rpartition("-")[0]
    runs = ledger.state / "runs"
    for name in (f"{host}-{2**22 + 1}", "elsewhere-17", f"{host}-{os.getppid()}"):
        (runs / name).touch()
        (ledger.state / f"log-{name}.txt").touch()
    ledger.close()
    assert {path.name for path in runs.iterdir()} == {"elsewhere-17", f"{host}-{os.getppid()}"}
    assert len(list(ledger.state.glob("log-*"))) == 2
    shutil.rmtree(world.out)


@pytest.mark.parametrize(
    ("dtype", "target", "stored", "expected"),
    [
        ("auto", "T2", "int16", "float32"),
        ("auto", "pelvic-CT", "float32", "int16"),
        ("source", "T2", ">i2", "int16"),
        ("source", "T2", "uint8", "uint8"),
        ("source", "pelvic-CT", "float64", "float32"),
        ("uint16", "T2", "float32", "uint16"),
    ],
)
def test_the_type_of_the_output(dtype, target, stored, expected) -> None:
    volume = Volume(
        array=np.ones((2, 2, 2), np.float32), affine=np.eye(4), stored_dtype=np.dtype(stored)
    )
    assert choose_dtype(dtype, DOMAINS[target], volume) == expected


@pytest.mark.parametrize("dtype", ["uint16", "source"])
def test_ct_never_goes_to_an_unsigned_type(dtype) -> None:
    volume = Volume(array=np.ones((2, 3, 4)), affine=np.eye(4), stored_dtype=np.dtype(np.uint16))
    with pytest.raises(VolumeError, match="CT has Hounsfield units below 0, uint16 has no room"):
        choose_dtype(dtype, DOMAINS["pelvic-CT"], volume)


@pytest.mark.parametrize("wrong", [{"format": "jpeg"}, {"dtype": "int3"}, {"irregular": "guess"}])
def test_unknown_settings_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        TranslationSettings(targets=("T2",), **wrong)


def test_every_setting_of_the_fingerprint_is_in_the_row() -> None:
    names = {field.name for field in dataclasses.fields(Fingerprint)}
    assert names < {field.name for field in dataclasses.fields(Row)}


def test_the_older_folder_is_back_if_the_new_one_cant_be_published(world, monkeypatch) -> None:
    ledger = Ledger(world.out, "test")
    claim = ledger.claims.take("k")
    place = world.out / "series"
    place.mkdir()
    (place / "old").write_text("precious")
    staged = ledger.staging(claim)
    (staged / "series").mkdir()
    rename = Path.rename

    def renaming(self: Path, target: Path) -> Path:
        if self == staged / "series":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renaming)
    with pytest.raises(OSError, match="Input/output"):
        ledger.publish(staged, place, claim)
    ledger.clear_staging(claim)
    assert (place / "old").read_text() == "precious"


def test_an_output_between_its_coming_and_its_row_is_ours(world) -> None:
    world.volume("a.nii")
    row = world.run().rows[0]
    ledger = Ledger(world.out, "test")
    (key,) = [path.stem for path in (ledger.state / "rows").iterdir()]
    assert not ledger.may_replace(key), "a finished one has its row to say so"
    claim = ledger.claims.take(key)
    staged = ledger.staging(claim)
    (staged / "a_T2.nii").write_text("x")
    ledger.publish(staged, world.out / "a_T2.nii", claim)
    assert ledger.may_replace(key)
    ledger.write_row(row, claim)
    assert not ledger.may_replace(key)
