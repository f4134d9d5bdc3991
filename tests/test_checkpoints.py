"""Checkpoints: one file rebuilds the model; what is damaged, newer or dangerous is refused."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_checkpoint
from safetensors.numpy import load_file, save_file

from i2igalip_cli.checkpoints import (
    Calibration,
    Distribution,
    TrainingReference,
    load_authors_generator,
    load_checkpoint,
    load_reference,
    save_checkpoint,
    save_reference,
)
from i2igalip_cli.config import GeneratorConfig
from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.networks.unet import Generator


def rewrite(path: Path, change) -> None:
    """Change the description of a checkpoint file and nothing else."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as opened:
        record = json.loads(opened.metadata()["i2igalip"])
    tensors = load_file(path)
    change(record, tensors)
    save_file(tensors, path, metadata={"i2igalip": json.dumps(record)})


def test_a_checkpoint_comes_back_as_it_was(checkpoint, checkpoint_file) -> None:
    loaded = load_checkpoint(checkpoint_file)
    for name in ("config", "domains", "policy", "crop", "planes", "provenance"):
        assert getattr(loaded, name) == getattr(checkpoint, name)
    np.testing.assert_array_equal(loaded.captions, checkpoint.captions)
    assert set(loaded.tensors) == set(checkpoint.tensors)
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
    assert loaded.sha256 == checkpoint.sha256


def test_half_precision_halves_the_file_and_keeps_the_captions(checkpoint, tmp_path) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(checkpoint, full)
    save_checkpoint(checkpoint, half, half=True)
    tensors = sum(t.nbytes for t in checkpoint.tensors.values())
    assert full.stat().st_size - half.stat().st_size >= 0.49 * tensors
    loaded = load_checkpoint(half)
    np.testing.assert_array_equal(loaded.captions, checkpoint.captions)
    name = "generator.input_blocks.0.0.weight"
    np.testing.assert_allclose(loaded.tensors[name], checkpoint.tensors[name], rtol=1e-3)


def test_an_altered_tensor_is_noticed(checkpoint_file) -> None:
    def alter(record, tensors) -> None:
        tensors["captions"] = tensors["captions"] + np.float32(1e-3)

    rewrite(checkpoint_file, alter)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_checkpoint(checkpoint_file)


def test_a_newer_format_says_update(checkpoint_file) -> None:
    rewrite(checkpoint_file, lambda record, tensors: record.update(format=99))
    with pytest.raises(CheckpointError, match=r"format 99.*update"):
        load_checkpoint(checkpoint_file)


def test_a_damaged_description_is_refused(checkpoint_file) -> None:
    rewrite(checkpoint_file, lambda record, tensors: record.pop("planes"))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(checkpoint_file)


def test_a_checkpoint_from_before_crops_and_planes_keeps_whole_axial_frames(
    checkpoint_file,
) -> None:
    def age(record, tensors) -> None:
        record.update(format=1, plane="axial", spacing_mm=[1.9, 1.8])
        del record["crop"], record["planes"]

    rewrite(checkpoint_file, age)
    old = load_checkpoint(checkpoint_file)
    assert old.crop.whole
    assert dict(old.planes) == {"axial": (1.9, 1.8)}


CALIBRATION = Calibration(
    log_error=-3.5,
    weights={"cycle": 0.5, "edges": 0},
    means={"cycle": -3.0, "edges": -1},
    highest={"cycle": -2.0, "edges": -0.5},
    subjects=6,
    cases=36,
    held_out_subjects=5,
    held_out_cases=30,
    spearman=0.7,
    spearman_by_direction={"T1 to T2": 0.6},
    made_from="simulated brains",
)


def reference(seed: int = 0) -> TrainingReference:
    rng = np.random.default_rng(seed)
    distributions = {
        (domain, plane): Distribution(
            mean=rng.normal(size=16).astype(np.float32),
            directions=rng.normal(size=(2, 16)).astype(np.float32),
            variances=rng.uniform(1, 2, 2).astype(np.float32),
            residual=float(rng.uniform()),
            usual=0.9,
            limit=1.1,
        )
        for domain in ("T1", "T2")
        for plane in ("axial", "coronal")
    }
    return TrainingReference(
        distributions=distributions,
        templates={name: rng.random((24, 24, 24)).astype(np.float32) for name in ("T1", "T2")},
        likeness=0.8,
        gain=-0.1,
        volumes=7,
    )


def assert_same_reference(one: TrainingReference | None, two: TrainingReference | None) -> None:
    assert one is not None and two is not None
    (ours, record), (theirs, other) = one.pack(), two.pack()
    assert record == other
    assert list(one.distributions) == list(two.distributions)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array, err_msg=name)


@pytest.mark.parametrize("half", [False, True])
def test_what_was_learned_of_quality_comes_back_as_it_was(tmp_path, half) -> None:
    known = make_checkpoint(reference=reference(), calibration=CALIBRATION)
    save_checkpoint(known, tmp_path / "known.safetensors", half=half)
    loaded = load_checkpoint(tmp_path / "known.safetensors")
    assert_same_reference(known.reference, loaded.reference)
    assert loaded.calibration == CALIBRATION
    assert loaded.tensors.keys() == known.tensors.keys()


def test_what_was_learned_of_quality_makes_no_other_model(tmp_path) -> None:
    plain, known = make_checkpoint(), make_checkpoint(reference=reference())
    assert known.sha256 == plain.sha256
    for number, checkpoint in enumerate((plain, known)):
        save_checkpoint(checkpoint, tmp_path / f"{number}.safetensors")
    one, two = (load_checkpoint(tmp_path / f"{n}.safetensors").sha256 for n in (0, 1))
    assert one == two == plain.sha256


def test_an_altered_reference_is_noticed(tmp_path) -> None:
    path = tmp_path / "known.safetensors"
    save_checkpoint(make_checkpoint(reference=reference()), path)

    def alter(record, tensors) -> None:
        tensors["reference.0.mean"] = tensors["reference.0.mean"] + np.float32(1e-3)

    rewrite(path, alter)
    with pytest.raises(CheckpointError, match=r"reference of the training data.*SHA-256"):
        load_checkpoint(path)


def test_a_checkpoint_from_before_references_has_none(checkpoint, checkpoint_file) -> None:
    def age(record, tensors) -> None:
        record.update(format=2)
        del record["reference"], record["calibration"]

    rewrite(checkpoint_file, age)
    old = load_checkpoint(checkpoint_file)
    assert old.reference is None
    assert old.calibration is None
    assert old.sha256 == checkpoint.sha256


@pytest.mark.parametrize("change", [{"weights": None}, {"odd": 1}, {"spearman": "high"}])
def test_a_damaged_calibration_is_refused(tmp_path, change) -> None:
    path = tmp_path / "known.safetensors"
    save_checkpoint(make_checkpoint(calibration=CALIBRATION), path)
    rewrite(path, lambda record, tensors: record["calibration"].update(change))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_a_reference_by_itself_comes_back_as_it_was(tmp_path, checkpoint_file) -> None:
    save_reference(reference(), tmp_path / "own.safetensors")
    assert_same_reference(load_reference(tmp_path / "own.safetensors"), reference())
    with pytest.raises(CheckpointError, match="can't write"):
        save_reference(reference(), tmp_path / "no" / "own.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "own.safetensors").read_bytes()[:-9])
    for wrong in (tmp_path / "cut.safetensors", tmp_path / "none.safetensors", checkpoint_file):
        with pytest.raises(CheckpointError, match=wrong.name):
            load_reference(wrong)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x00" * 64])
def test_other_files_are_refused(tmp_path, content) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_checkpoint(path)


def test_a_strangers_safetensors_is_refused(tmp_path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not one of i2igalip's"):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["absent.safetensors", "nosuchname"])
def test_an_absent_checkpoint_is_named(name) -> None:
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(name)


def test_saving_into_no_folder_fails_whole(checkpoint, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="can't write"):
        save_checkpoint(checkpoint, tmp_path / "no" / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_authors_generator_loads_from_its_tensors(tmp_path, wrap, prefix) -> None:
    ours = Generator(GeneratorConfig(domains=2, context=768), seed=3)
    state = {prefix + name: tensor for name, tensor in ours.state_dict().items()}
    torch.save(wrap(state), tmp_path / "authors.pth")
    loaded = load_authors_generator(tmp_path / "authors.pth")
    assert loaded.config.context == 768
    assert loaded.config.domains == 2
    slices, tokens = torch.rand(1, 1, 32, 32), torch.rand(1, 5, 768)
    with torch.inference_mode():
        index = torch.tensor([1])
        torch.testing.assert_close(loaded(slices, tokens, index), ours(slices, tokens, index))


class Dangerous:
    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"label_emb.weight": Dangerous()}, "bad.pth")
    with pytest.raises(CheckpointError, match="more than tensors"):
        load_authors_generator("bad.pth")
    assert not Path("it-ran").exists()
    Path("raw.pth").write_bytes(pickle.dumps(Dangerous()))
    with pytest.raises(CheckpointError):
        load_authors_generator("raw.pth")
    assert not Path("it-ran").exists()


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.zeros(2)},
        {"label_emb.weight": torch.zeros(3, 128), "x.attn2.to_k.weight": torch.zeros(128, 512)},
        [torch.zeros(1)],
    ],
)
def test_other_networks_are_refused(tmp_path, state) -> None:
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth"):
        load_authors_generator(tmp_path / "other.pth")


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_what_is_no_torch_file_is_refused(tmp_path, content) -> None:
    if content is not None:
        (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        load_authors_generator(tmp_path / "x.pth")


def test_the_hash_is_of_every_tensor() -> None:
    one, two = make_checkpoint(), make_checkpoint()
    assert one.sha256 == two.sha256
    changed = dict(one.tensors)
    changed["generator.label_emb.weight"] = changed["generator.label_emb.weight"] + 1
    assert make_checkpoint(tensors=changed).sha256 != one.sha256
