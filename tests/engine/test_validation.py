"""Validation while training: scores by hand, over several processes, and the best is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_config, write_head

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.engine.prepare import prepare
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.engine.validation import LARGEST_PSNR, Validator
from i2igalip_cli.evaluation.similarity import structural_similarity

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A dataset with two validation subjects, all contrasts registered."""
    raw = tmp_path_factory.mktemp("raw")
    for subject in range(4):
        for contrast in ("T1", "T2", "PD"):
            shape = ((20, 24, 9), (17, 19, 9), (15, 22, 9), (19, 17, 9))[subject]
            path = raw / f"sub-{subject}_{contrast}.nii.gz"
            write_head(path, contrast, seed=subject, shape=shape)
    prepare(raw, raw / "dataset", PrepareConfig(split=(2, 2, 0)))
    return raw / "dataset"


class Constant:
    """Translates everything to one level, plus a tenth for each place of the target."""

    def translate(self, slices, source, target):
        return torch.full_like(slices, 0.1 * ("T1", "T2", "PD").index(target.name))


class Copy:
    """Translates nothing."""

    def translate(self, slices, source, target):
        return slices


def test_scores_are_those_of_the_slices_by_hand(validated) -> None:
    config = tiny_config(validation_slices=0)
    scores = Validator(validated, config, Processes()).score(Constant(), CPU)
    data = SliceDataset(validated, "val", 2)
    names = ["T1", "T2", "PD"]
    psnrs, ssims = [], []
    padded = {shard.shape[1:] for shard in data.shards} - {data.side}
    assert padded, "a slice smaller than the frame"
    for number in np.flatnonzero(data.domains == 0):  # from T1 to PD
        partner = data.counterpart(int(number), 2)
        row = data._shard_of[partner]
        truth = np.array(data._maps[row][data._slice_of[partner]], np.float32)  # without the pad
        psnrs.append(-10 * np.log10(np.mean((truth.astype(np.float64) - np.float32(0.2)) ** 2)))
        ssims.append(structural_similarity(np.full_like(truth, 0.2), truth, 1.0))
    assert scores["psnr T1 to PD"] == pytest.approx(np.mean(psnrs), abs=1e-4)
    assert scores["ssim T1 to PD"] == pytest.approx(np.mean(ssims), abs=1e-3)
    directions = [f"{a} to {b}" for a in names for b in names if a != b]
    for metric in ("psnr", "ssim"):
        assert {n for n in scores if n.startswith(f"{metric} ")} == {
            f"{metric} {d}" for d in directions
        }
        mean = np.mean([scores[f"{metric} {d}"] for d in directions])
        assert scores[metric] == pytest.approx(mean)


def test_the_parts_of_several_processes_make_the_whole(validated, monkeypatch) -> None:
    config = tiny_config(validation_slices=3)
    whole = Validator(validated, config, Processes())
    assert len(whole) == 2 * 3 * 2 * 3  # subjects, sources, targets, slices
    parts = [Validator(validated, config, Processes(rank, 2)) for rank in (0, 1)]
    shared = []
    # What dist.all_reduce would do: first hear both parts, then hand out their mean.
    monkeypatch.setattr(Processes, "mean", lambda self, values: shared.append(values) or values)
    for part in parts:
        part.score(Constant(), CPU)
    mean = (shared[0] + shared[1]) / 2
    monkeypatch.setattr(Processes, "mean", lambda self, values: mean)
    found = parts[0].score(Constant(), CPU)
    monkeypatch.undo()
    for name, value in whole.score(Constant(), CPU).items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_evenly_spaced_slices_are_taken(validated) -> None:
    validator = Validator(validated, tiny_config(validation_slices=3), Processes())
    data = SliceDataset(validated, "val", 2)
    places = sorted({data.place(number) for number, _, _ in validator.pairs})
    assert len(places) == 3
    assert places[1] == pytest.approx(0.5)
    assert places[0] == pytest.approx(1 - places[2])


def test_a_perfect_translation_counts_the_largest_psnr(validated) -> None:
    validator = Validator(validated, tiny_config(), Processes())
    validator.pairs = [(number, number, target) for number, _, target in validator.pairs]
    scores = validator.score(Copy(), CPU)
    assert scores["psnr"] == pytest.approx(LARGEST_PSNR)
    assert scores["ssim"] == pytest.approx(100)


def test_without_registered_subjects_there_is_nothing_to_validate(raw, tmp_path) -> None:
    prepare(raw, tmp_path / "none", PrepareConfig(split=(5, 0, 0)))
    assert len(Validator(tmp_path / "none", tiny_config(), Processes())) == 0
    prepare(raw, tmp_path / "one", PrepareConfig(patterns={"T1": "*T1*"}, split=(3, 1, 1)))
    assert len(Validator(tmp_path / "one", tiny_config(), Processes())) == 0


def test_a_run_keeps_its_best_and_goes_on_from_it(
    validated, encoder_folder, tmp_path, monkeypatch
) -> None:
    told = iter([20.0, 25.0, 24.0, 22.0])
    monkeypatch.setattr(Validator, "score", lambda *_: {"psnr": next(told), "ssim": 50.0})
    config = tiny_config(encoder_folder, validate_every=1, save_every=2)
    seen = []
    trainer = Trainer(validated, tmp_path / "run", config, "cpu")
    whole = trainer.train_step

    def stop_after_three(batch):
        if trainer.step == 3:
            raise KeyboardInterrupt
        return whole(batch)

    trainer.train_step = stop_after_three
    with pytest.raises(KeyboardInterrupt):
        trainer.run(lambda p: seen.append((p.step, p.validation["psnr"], p.best)))
    assert seen == [(1, 20.0, True), (2, 25.0, True), (3, 24.0, False)]
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").provenance["step"] == 2
    told = iter([24.0, 22.0])
    Trainer(validated, tmp_path / "run", config, "cpu").run(
        lambda p: seen.append((p.step, p.validation["psnr"], p.best))
    )
    assert seen[3:] == [(3, 24.0, False), (4, 22.0, False)]
    rows = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    marks = [(row["step"], row.get("kind", "train")) for row in rows]
    expected = [(step, kind) for step in (1, 2, 3, 4) for kind in ("train", "validation")]
    assert marks == expected, "what the crash left beyond the saved step is written once"
    assert load_checkpoint(tmp_path / "run" / "best.safetensors").provenance["step"] == 2


def test_validation_changes_nothing_of_the_training(validated, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, steps=3, validate_every=1)
    often = Trainer(validated, tmp_path / "often", config, "cpu")
    often.run()
    never = Trainer(validated, tmp_path / "never", replace(config, validate_every=100), "cpu")
    never.run()
    for name, tensor in often.method.trained_state().items():
        assert torch.equal(never.method.trained_state()[name], tensor), name
