"""The manifest and what ships."""

import json
from pathlib import Path

import pytest

from i2igalip_cli import hub
from i2igalip_cli.errors import CheckpointError

ENTRIES = hub.read_manifest()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_what_ships_is_whole_small_and_described(entry) -> None:
    hub.verify(entry)
    path = hub.shipped_folder() / entry.file
    assert path.stat().st_size == entry.size <= 16e6
    assert (path.parent / "README.md").is_file(), "every shipped model has a card"


def test_one_default_of_each_kind() -> None:
    assert sorted(entry.kind for entry in ENTRIES if entry.default) == ["checkpoint", "encoder"]


def manifest(folder: Path, **changes) -> Path:
    (folder / "a.bin").write_bytes(b"abc")
    row = {
        "name": "a",
        "kind": "checkpoint",
        "file": "a.bin",
        # SHA-256 of "abc" from FIPS 180-2.
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "size": 3,
        "description": "test",
    }
    (folder / "manifest.json").write_text(
        json.dumps({"format": changes.pop("format", 1), "entries": [{**row, **changes}]})
    )
    return folder


def test_an_entry_is_found_by_name(tmp_path) -> None:
    assert hub.find_shipped("checkpoint", "a", manifest(tmp_path)) == tmp_path / "a.bin"


@pytest.mark.parametrize("name", [None, "b"])
def test_an_unknown_entry_lists_the_known(tmp_path, name) -> None:
    with pytest.raises(CheckpointError, match="known: a"):
        hub.find_shipped("checkpoint", name, manifest(tmp_path))


def test_altered_and_absent_files_are_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="SHA-256"):
        hub.find_shipped("checkpoint", "a", manifest(tmp_path, sha256="0" * 64))
    manifest(tmp_path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(CheckpointError, match="absent"):
        hub.find_shipped("checkpoint", "a", tmp_path)


@pytest.mark.parametrize("changes", [{"format": 2}, {"colour": "red"}])
def test_a_manifest_of_another_kind_is_refused(tmp_path, changes) -> None:
    with pytest.raises(CheckpointError, match="manifest"):
        hub.read_manifest(manifest(tmp_path, **changes))


def test_no_manifest_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="absent or damaged"):
        hub.read_manifest(tmp_path)


def test_an_encoder_is_a_folder_or_a_shipped_name(tmp_path) -> None:
    assert hub.find_encoder(str(tmp_path)) == tmp_path
    assert (hub.find_encoder("demo") / "open_clip_config.json").is_file()
    with pytest.raises(CheckpointError, match="known: demo"):
        hub.find_encoder("nosuch")


def test_the_folder_hash_sees_every_file(tmp_path) -> None:
    (tmp_path / "a.json").write_text("1")
    before = hub.folder_sha256(tmp_path)
    (tmp_path / "b.safetensors").write_text("2")
    assert hub.folder_sha256(tmp_path) != before
