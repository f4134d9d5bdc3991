"""The manifest, what ships, and what a name stands for."""

import json
from pathlib import Path

import pytest
from conftest import make_checkpoint

from i2igalip_cli import hub
from i2igalip_cli.checkpoints import load_checkpoint, save_checkpoint
from i2igalip_cli.errors import CheckpointError, ConfigError

ENTRIES = hub.read_manifest()
SHIPPED = [entry for entry in ENTRIES if entry.ships]
# SHA-256 of "abc" from FIPS 180-2.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_what_ships_is_whole_small_and_described(entry) -> None:
    for report in hub.require(entry):
        assert report.state == "right"
        assert report.path.stat().st_size == report.file.size <= 16e6
        assert (report.path.parent / "README.md").is_file(), "every shipped model has a card"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_has_a_licence_and_pins(entry) -> None:
    assert entry.license in ("Apache-2.0", "MIT")
    for row in entry.files:
        for hexadecimal, digits in ((row.sha256, 64), (row.revision, 40)):
            assert not hexadecimal or (len(hexadecimal) == digits and int(hexadecimal, 16) >= 0)
        assert bool(row.repo) == bool(row.revision) == bool(row.filename)
        assert row.repo or row.sha256, "what ships is known to a byte"


def test_biomedclip_is_two_repositories_under_one_name() -> None:
    """The pins as public projects quote them."""
    [entry] = hub.choose(ENTRIES, ["biomedclip"])
    assert entry.sources == (
        "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
        "@9f341de24bfb00180f1b847274256e9b65a3a32e",
        "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
        "@d673b8835373c6fa116d6d8006b33d48734e305d",
    )
    assert entry.label == "biomedclip (784 MB, MIT)"


def test_one_default_of_each_kind() -> None:
    assert sorted(entry.kind for entry in ENTRIES if entry.default) == ["checkpoint", "encoder"]


def manifest(folder: Path, sha256: str = ABC, number: int = 2, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.bin").write_bytes(b"abc")
    row = {
        "name": "a",
        "kind": "checkpoint",
        "license": "MIT",
        "description": "test",
        "files": [{"file": "a.bin", "sha256": sha256, "size": 3}],
    }
    (folder / "manifest.json").write_text(
        json.dumps({"format": number, "entries": [{**row, **changes}]})
    )
    return folder


@pytest.mark.parametrize("name", ["a", None])
def test_a_checkpoint_is_found_by_name_or_as_the_only_one(tmp_path, name) -> None:
    assert hub.find_checkpoint(name, manifest(tmp_path)) == tmp_path / "a.bin"


def test_the_default_goes_before_others(tmp_path) -> None:
    rows = json.loads((manifest(tmp_path) / "manifest.json").read_text())
    (tmp_path / "b.bin").write_bytes(b"abc")
    files = [{"file": "b.bin", "sha256": ABC}]
    rows["entries"].append({**rows["entries"][0], "name": "b", "files": files, "default": True})
    (tmp_path / "manifest.json").write_text(json.dumps(rows))
    assert hub.find_checkpoint(None, tmp_path) == tmp_path / "b.bin"
    assert hub.find_checkpoint("a", tmp_path) == tmp_path / "a.bin"


def test_unknown_names_list_the_known(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="known: a"):
        hub.find_checkpoint("b", manifest(tmp_path))
    with pytest.raises(ConfigError, match="unknown weights 'b': the manifest has a"):
        hub.choose(hub.read_manifest(tmp_path), ["a", "b"])


def test_altered_and_absent_files_are_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="SHA-256"):
        hub.find_checkpoint("a", manifest(tmp_path, sha256="0" * 64))
    manifest(tmp_path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(CheckpointError, match=r"a: a\.bin absent; make the bundle again"):
        hub.find_checkpoint("a", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"number": 3}, {"colour": "red"}, {"files": []}, {"files": "a.bin"}, {"files": [{"x": 1}]}],
)
def test_a_manifest_of_another_kind_is_refused(tmp_path, changes) -> None:
    with pytest.raises(CheckpointError, match="manifest"):
        hub.read_manifest(manifest(tmp_path, **changes))


def test_no_manifest_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="absent or damaged"):
        hub.read_manifest(tmp_path)


def test_an_encoder_is_a_folder_or_a_name_of_ours(tmp_path) -> None:
    assert hub.find_encoder(str(tmp_path)) == hub.EncoderPaths(tmp_path)
    (tmp_path / "text_tower").mkdir()
    assert hub.find_encoder(str(tmp_path)).text_tower == tmp_path / "text_tower"
    shipped = hub.find_encoder("demo")
    assert (shipped.folder / "open_clip_config.json").is_file()
    assert shipped.text_tower is None
    assert hub.find_encoder("demo", manifest(tmp_path)) == shipped, "a bundle adds to what ships"
    assert hub.find_encoder("brain-demo") is None, "a checkpoint is no encoder"
    assert hub.find_encoder("ViT-B-16:laion2b_s34b_b88k") is None


def test_weights_are_a_file_a_run_a_bundle_or_a_name(tmp_path) -> None:
    wanted = make_checkpoint().sha256
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    run.mkdir()
    save_checkpoint(make_checkpoint(), run / "checkpoint.safetensors")
    content = hub.file_sha256(run / "checkpoint.safetensors")
    manifest(bundle, files=[{"file": "b.safetensors", "sha256": content}])
    (bundle / "b.safetensors").write_bytes((run / "checkpoint.safetensors").read_bytes())
    for weights in (run / "checkpoint.safetensors", run, bundle, str(bundle)):
        assert load_checkpoint(weights).sha256 == wanted
    assert load_checkpoint("brain-demo").sha256 == load_checkpoint().sha256


@pytest.mark.parametrize("name", ["no.safetensors", "no/such"])
def test_weights_that_arent_there_are_one_line(tmp_path, name) -> None:
    with pytest.raises(CheckpointError, match="no such file or folder"):
        load_checkpoint(tmp_path / name)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"neither checkpoint\.safetensors .* manifest\.json"):
        load_checkpoint(tmp_path)
