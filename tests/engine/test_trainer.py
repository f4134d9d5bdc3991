"""Training: seeded, resumed as if never stopped, and what it leaves on disk."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_config
from PIL import Image

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.config import HeadConfig
from i2igalip_cli.engine.augmentation import augment
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.trainer import BatchSampler, Trainer, learning_rate_factor
from i2igalip_cli.errors import CheckpointError, ConfigError, DatasetError


def test_a_resumed_run_equals_an_unbroken_one(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, mirror=True, zoom=1.5, crop=(16, 16))
    Trainer(dataset, tmp_path / "whole", config, "cpu").run()
    broken = Trainer(dataset, tmp_path / "broken", config, "cpu")
    broken.train_step(), broken.train_step()
    broken.save()
    broken.train_step()  # lost with the crash
    resumed = Trainer(dataset, tmp_path / "broken", config, "cpu")
    assert resumed.step == 2
    resumed.run()
    names = ("whole", "broken")
    one, two = (load_checkpoint(tmp_path / n / "checkpoint.safetensors") for n in names)
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(two.tensors[name], tensor, err_msg=name)
    states = [torch.load(tmp_path / n / "state.pt", weights_only=True) for n in names]
    for name, tensor in states[0]["method"].items():
        assert torch.equal(states[1]["method"][name], tensor), name


def test_a_run_leaves_log_previews_and_a_checkpoint_that_says_where_from(
    dataset, encoder_folder, tmp_path
) -> None:
    seen = []
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    path = trainer.run(lambda progress: seen.append((progress.step, progress.steps)))
    assert seen == [(4, 4)]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4]
    assert {"cycle", "identity", "clip", "cls", "adversarial", "discriminator"} <= set(rows[0])
    previews = sorted(p.name for p in (tmp_path / "run").glob("preview_*.png"))
    assert previews == ["preview_000000.png", "preview_000002.png", "preview_000004.png"]
    assert Image.open(tmp_path / "run" / previews[0]).size[0] > 4 * 20
    loaded = load_checkpoint(path)
    assert [domain.name for domain in loaded.domains] == ["T1", "T2", "PD"]
    assert loaded.config.generator.domains == 3
    assert loaded.config.generator.context == 16
    assert loaded.provenance["step"] == 4
    assert len(loaded.provenance["encoder_sha256"]) == 64
    np.testing.assert_allclose(np.linalg.norm(loaded.captions, axis=1), 1, atol=1e-5)
    assert loaded.spacing_mm == pytest.approx((1.91, 1.91), abs=0.02)


def test_the_checkpoint_holds_the_average_of_the_steps(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, ema_decay=0.5, steps=2)
    trainer = Trainer(dataset, tmp_path / "run", config, "cpu")
    name = "generator.out.2.weight"
    states = [trainer.method.exported.state_dict()[name].clone()]
    for _ in range(2):
        trainer.train_step()
        states.append(trainer.method.exported.state_dict()[name].clone())
    expected = 0.25 * states[0] + 0.25 * states[1] + 0.5 * states[2]
    np.testing.assert_allclose(trainer.checkpoint().tensors[name], expected, atol=1e-7)


def test_another_run_in_the_folder_is_refused(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder)
    Trainer(dataset, tmp_path / "run", config, "cpu")
    with pytest.raises(ConfigError, match=r"seed: 0 there, 7 now"):
        Trainer(dataset, tmp_path / "run", replace(config, seed=7), "cpu")


def test_a_damaged_state_is_refused(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder)
    Trainer(dataset, tmp_path / "run", config, "cpu").save()
    (tmp_path / "run" / "state.pt").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(CheckpointError, match="can't resume"):
        Trainer(dataset, tmp_path / "run", config, "cpu")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"method": "magic"}, ConfigError, "known are galip"),
        ({"encoder": "nosuch"}, CheckpointError, "nosuch"),
        ({"heads": HeadConfig(blocks=(9,), kernel=3)}, ConfigError, "block 9"),
        ({"crop": (640, 16)}, ConfigError, "slices are"),
    ],
)
def test_settings_that_dont_fit_are_named(
    dataset, encoder_folder, tmp_path, changes, error, message
) -> None:
    with pytest.raises(error, match=message):
        Trainer(dataset, tmp_path / "run", tiny_config(**{"encoder": encoder_folder, **changes}))


def test_losses_that_are_not_finite_stop_the_run(
    dataset, encoder_folder, tmp_path, monkeypatch
) -> None:
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    with torch.no_grad():
        trainer.method.exported["generator"].label_emb.weight.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite at step 4"):
        trainer.run()


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1), (49, 1), (50, 1), (75, 0.5), (99, 0.02), (100, 0)]
)
def test_the_rate_is_constant_then_falls_to_zero(step, factor) -> None:
    assert learning_rate_factor(step, 100) == pytest.approx(factor)


def test_an_epoch_shows_every_slice_once_and_both_loaders_differ(dataset) -> None:
    data = SliceDataset(dataset, "train", 2)
    sampler = BatchSampler(data, tiny_config(batch=4))
    shown = np.concatenate([sampler._shuffled(step, 0) for step in range(sampler.steps_per_epoch)])
    assert set(shown.tolist()) == set(range(len(data)))
    assert len(shown) - len(data) < 4
    assert not np.array_equal(sampler._shuffled(0, 0), sampler._shuffled(0, 1))
    later = sampler._shuffled(sampler.steps_per_epoch, 0)
    assert not np.array_equal(sampler._shuffled(0, 0), later), "the next epoch is shuffled anew"


def test_pairs_are_of_two_domains_when_asked(dataset) -> None:
    data = SliceDataset(dataset, "train", 2)
    sampler = BatchSampler(data, tiny_config(batch=8, distinct_domains=True))
    for step in range(5):
        batch = sampler.draw(step)
        assert (batch.first_domains != batch.second_domains).all()
        assert batch.first.shape == batch.second.shape == (8, 1, *data.side)
    again = sampler.draw(4)
    assert torch.equal(again.first, batch.first)


def test_one_domain_cant_be_paired_with_another(dataset, raw, tmp_path) -> None:
    from i2igalip_cli.engine.prepare import prepare

    prepare(raw, tmp_path / "one", patterns={"T1": "*T1*"})
    data = SliceDataset(tmp_path / "one", "train")
    with pytest.raises(DatasetError, match="two domains"):
        BatchSampler(data, tiny_config(distinct_domains=True))


def test_augmentation_does_what_it_is_asked() -> None:
    slices = torch.zeros(64, 1, 16, 12)
    slices[:, :, 7:9, 2:4] = 1
    rng = np.random.default_rng(0)
    assert torch.equal(augment(slices, tiny_config(), rng), slices)
    mirrored = augment(slices, tiny_config(mirror=True), rng)
    flipped = [torch.equal(one, slices[0].flip(2)) for one in mirrored]
    kept = [torch.equal(one, slices[0]) for one in mirrored]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 20 < sum(flipped) < 44
    zoomed = augment(torch.ones(64, 1, 16, 12), tiny_config(zoom=2.0), rng)
    torch.testing.assert_close(zoomed, torch.ones_like(zoomed)), "no border is seen"
    areas = augment(slices, tiny_config(zoom=2.0), rng).sum(dim=(1, 2, 3))
    assert areas.min() >= 0
    assert areas.max() <= 4 * 4.5
    assert (areas > 4.4).sum() > 10
    cropped = augment(slices, tiny_config(crop=(8, 6)), rng)
    assert cropped.shape == (64, 1, 8, 6)
    assert len({tuple(one.flatten().tolist()) for one in cropped}) > 5
