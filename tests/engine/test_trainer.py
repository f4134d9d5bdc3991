"""Training: seeded, resumed as if never stopped, and what it leaves on disk."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import flatten, tiny_config
from PIL import Image

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.config import HeadConfig, LossWeights, PrepareConfig
from i2igalip_cli.engine.augmentation import augment
from i2igalip_cli.engine.backends import TorchBackend
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.engine.sampler import BatchSampler
from i2igalip_cli.engine.trainer import Trainer, learning_rate_factor
from i2igalip_cli.errors import CheckpointError, ConfigError, DatasetError, StoppedError


def take_step(trainer: Trainer) -> None:
    trainer.train_step(trainer.sampler.draw(trainer.step))


def test_a_resumed_run_equals_an_unbroken_one(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, mirror=True, zoom=1.5, crop=(16, 16))
    Trainer(dataset, tmp_path / "whole", config, "cpu").run()
    broken = Trainer(dataset, tmp_path / "broken", config, "cpu")
    take_step(broken), take_step(broken)
    broken.save()
    take_step(broken)  # lost with the crash
    resumed = Trainer(dataset, tmp_path / "broken", config, "cpu")
    assert resumed.step == 2
    resumed.rehearse()
    resumed.run()
    names = ("whole", "broken")
    one, two = (load_checkpoint(tmp_path / n / "checkpoint.safetensors") for n in names)
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(two.tensors[name], tensor, err_msg=name)
    assert_same_state(tmp_path / "whole", tmp_path / "broken")


def assert_same_state(one: Path, two: Path) -> None:
    """Weights, averages, optimisers, loss scale and step are equal to the bit."""
    states = [torch.load(run / "state.pt", weights_only=True) for run in (one, two)]
    flat = [dict(flatten(state)) for state in states]
    assert flat[0].keys() == flat[1].keys()
    assert any("optimizers.discriminator.state" in name for name in flat[0])
    for name, value in flat[0].items():
        same = torch.equal(flat[1][name], value) if torch.is_tensor(value) else None
        assert flat[1][name] == value if same is None else same, name


def test_a_run_leaves_log_previews_and_a_checkpoint_that_says_where_from(
    dataset, encoder_folder, tmp_path
) -> None:
    seen = []
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    path = trainer.run(lambda progress: seen.append((progress.step, progress.steps)))
    assert seen == [(2, 4), (4, 4)]
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "kind" not in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
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
    assert list(loaded.planes) == ["axial"]
    assert loaded.planes["axial"] == pytest.approx((1.91, 1.91), abs=0.02)


def test_the_checkpoint_holds_the_average_of_the_steps(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, ema_decay=0.5, steps=2)
    trainer = Trainer(dataset, tmp_path / "run", config, "cpu")
    name = "generator.out.2.weight"
    states = [trainer.method.exported.state_dict()[name].clone()]
    for _ in range(2):
        take_step(trainer)
        states.append(trainer.method.exported.state_dict()[name].clone())
    expected = 0.25 * states[0] + 0.25 * states[1] + 0.5 * states[2]
    np.testing.assert_allclose(trainer.checkpoint().tensors[name], expected, atol=1e-7)


def test_another_run_in_the_folder_is_refused(
    dataset, encoder_folder, tmp_path, monkeypatch
) -> None:
    config = tiny_config(encoder_folder)
    Trainer(dataset, tmp_path / "run", replace(config, seed=3), "cpu")
    Trainer(dataset, tmp_path / "run", config, "cpu").save()  # nothing was trained before
    with pytest.raises(ConfigError, match=r"seed: 0 there, 7 now"):
        Trainer(dataset, tmp_path / "run", replace(config, seed=7), "cpu")
    with pytest.raises(ConfigError, match=r"steps.*: 4 there, 8 now"):
        Trainer(dataset, tmp_path / "run", replace(config, steps=8), "cpu")
    monkeypatch.setattr(Processes, "wait", lambda self: None)
    with pytest.raises(ConfigError, match=r"pairs a step: 2 there, 4 now"):
        Trainer(dataset, tmp_path / "run", config, "cpu", processes=Processes(0, 2))
    how = replace(config, precision="bfloat16", recompute=True, save_every=3)
    assert Trainer(dataset, tmp_path / "run", how, "cpu").config.precision == "bfloat16"


@pytest.mark.parametrize("content", [b"PK\x03\x04 broken", b"", b"garbage", [1, 2], {"step": 1}])
def test_a_damaged_state_is_refused(dataset, encoder_folder, tmp_path, content) -> None:
    config = tiny_config(encoder_folder)
    Trainer(dataset, tmp_path / "run", config, "cpu").save()
    path = tmp_path / "run" / "state.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"can't resume from it \(.+\)") as found:
        Trainer(dataset, tmp_path / "run", config, "cpu")
    assert "\n" not in str(found.value)


def test_a_full_disk_keeps_the_last_state(dataset, encoder_folder, tmp_path, monkeypatch) -> None:
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    trainer.save()
    before = (tmp_path / "run" / "state.pt").read_bytes()

    def full(*_args) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"No space left.*make room"):
        trainer.save()
    assert (tmp_path / "run" / "state.pt").read_bytes() == before
    assert not (tmp_path / "run" / "state.pt.new").exists()


def test_a_broken_row_of_the_log_is_dropped(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder)
    first = Trainer(dataset, tmp_path / "run", config, "cpu")
    take_step(first), take_step(first)
    first.save()
    rows = ['{"step": 1, "cycle": 0.5}', "not JSON", '{"cycle": 1}', '{"step": 3}', '{"step": 2']
    (tmp_path / "run" / "log.jsonl").write_bytes("\n".join(rows).encode() + b"\xff")
    Trainer(dataset, tmp_path / "run", config, "cpu").run()
    kept = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert kept[0] == {"step": 1, "cycle": 0.5}
    assert {row["step"] for row in kept[1:]} == {4}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
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
    with pytest.raises(CheckpointError, match=r"adversarial.* is not finite at step 2"):
        trainer.run()


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1), (49, 1), (50, 1), (75, 0.5), (99, 0.02), (100, 0)]
)
def test_the_rate_is_constant_then_falls_to_zero(step, factor) -> None:
    assert learning_rate_factor(step, 100) == pytest.approx(factor)


def test_the_processes_of_an_epoch_share_every_slice_once(dataset) -> None:
    data = SliceDataset(dataset, "train", 2)
    config = tiny_config(batch=2)
    for loader in (0, 1):
        parts = [
            [
                sampler.slice_at(loader, position)
                for step in range(len(data) // 4 + 1)
                for position in sampler.positions(step)
                if position < len(data)
            ]
            for sampler in (BatchSampler(data, config, rank, 2) for rank in (0, 1))
        ]
        assert not set(parts[0]) & set(parts[1])
        assert sorted(parts[0] + parts[1]) == list(range(len(data)))
    alone = BatchSampler(data, config)
    rows = [[alone.slice_at(k, n) for n in range(len(data))] for k in (0, 1)]
    assert rows[0] != rows[1], "both loaders are shuffled apart"
    later = [alone.slice_at(0, len(data) + n) for n in range(len(data))]
    assert rows[0] != later, "the next epoch is shuffled anew"


def test_two_processes_draw_what_one_draws_with_twice_the_batch(dataset) -> None:
    data = SliceDataset(dataset, "train", 2)
    changes = {"mirror": True, "zoom": 1.5, "crop": (16, 16), "distinct_domains": True}
    whole = BatchSampler(data, tiny_config(batch=4, **changes)).draw(3)
    parts = [BatchSampler(data, tiny_config(batch=2, **changes), r, 2).draw(3) for r in (0, 1)]
    for name in ("first", "second", "first_domains", "second_domains"):
        together = torch.stack([getattr(part, name) for part in parts], 1).flatten(0, 1)
        assert torch.equal(together, getattr(whole, name)), name


def test_registered_partners_are_found_and_augmented_alike(dataset) -> None:
    data = SliceDataset(dataset, "train", 2)
    weights = LossWeights(paired=1)
    changes = {"mirror": True, "zoom": 1.5, "crop": (16, 16), "distinct_domains": True}
    batch = BatchSampler(data, tiny_config(batch=8, weights=weights, **changes)).draw(0)
    assert batch.first_known.all(), "every subject of this dataset has all three contrasts"
    inside = (batch.first > 0).float()
    # The outline of the head is the same in every contrast of a subject, within its noise.
    assert ((batch.first_truth > 0).float() - inside).abs().mean() < 0.02
    assert (batch.first_truth - batch.first).abs().mean() > 0.01
    without = BatchSampler(data, tiny_config(batch=8, **changes)).draw(0)
    assert not without.first_known.any()
    assert torch.equal(without.first, batch.first), "the weight changes nothing else"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_goes_on_as_if_unbroken(
    dataset, encoder_folder, tmp_path, number, workers
) -> None:
    config = tiny_config(encoder_folder, save_every=100)
    Trainer(dataset, tmp_path / "whole", config, "cpu").run()
    broken = Trainer(dataset, tmp_path / "broken", config, "cpu", workers=workers)
    step = broken.train_step

    def interrupted(batch):
        if broken.step == 1:
            children = multiprocessing.active_children()
            assert len(children) == workers
            for child in children:  # a cluster signals every process of a job
                os.kill(child.pid, number)
            os.kill(os.getpid(), number)
        return step(batch)

    broken.train_step = interrupted
    with pytest.raises(StoppedError, match=r"after step 2 of 4.*same command") as stopped:
        broken.run()
    assert stopped.value.exit_code == 128 + number
    Trainer(dataset, tmp_path / "broken", config, "cpu").run()
    assert torch.load(tmp_path / "broken" / "state.pt", weights_only=True)["step"] == 4
    assert_same_state(tmp_path / "whole", tmp_path / "broken")


def test_a_collapse_to_the_identity_is_warned_of(
    dataset, encoder_folder, tmp_path, monkeypatch
) -> None:
    seen = []
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    trainer.run(lambda progress: seen.extend(progress.warnings))
    assert not seen
    again = Trainer(dataset, tmp_path / "again", tiny_config(encoder_folder), "cpu")
    monkeypatch.setattr(again.method, "_generate", lambda slices, domains: slices * again.one)
    again.one = torch.ones(1, requires_grad=True)
    again.run(lambda progress: seen.extend(progress.warnings))
    assert "collapsed to the identity" in seen[0]


def test_a_weight_that_is_not_finite_is_never_saved(dataset, encoder_folder, tmp_path) -> None:
    trainer = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder), "cpu")
    trainer.save()
    before = (tmp_path / "run" / "state.pt").read_bytes()
    trainer.average["generator.label_emb.weight"].fill_(float("nan"))
    with pytest.raises(CheckpointError, match="weight of the generator is not finite"):
        trainer.save()
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


def test_captions_and_domains_of_the_run(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, domains=("PD", "T1"), captions={"t1": "a T1 picture"})
    trainer = Trainer(dataset, tmp_path / "run", config, "cpu")
    assert [(d.name, d.caption) for d in trainer.checkpoint().domains] == [
        ("PD", "This MRI is PD-weighted"),
        ("T1", "a T1 picture"),
    ]
    assert set(trainer.data.domains.tolist()) == {0, 1}
    lower = tiny_config(encoder_folder, domains=("pd", "t1"))
    assert set(Trainer(dataset, tmp_path / "low", lower, "cpu").data.domains.tolist()) == {0, 1}
    blank = tiny_config(encoder_folder, captions={"T1": " "})
    with pytest.raises(ConfigError, match="a caption is empty"):
        Trainer(dataset, tmp_path / "blank", blank, "cpu")
    with pytest.raises(ConfigError, match="unknown domain 'CT'"):
        Trainer(dataset, tmp_path / "no", tiny_config(encoder_folder, domains=("CT", "T1")))


def test_a_weight_on_pairs_needs_pairs(dataset, raw, encoder_folder, tmp_path) -> None:
    from i2igalip_cli.engine.prepare import prepare

    config = tiny_config(encoder_folder, weights=LossWeights(paired=3))
    assert Trainer(dataset, tmp_path / "run", config, "cpu").data.has_pairs
    prepare(raw, tmp_path / "one", PrepareConfig(patterns={"T1": "*T1*"}))
    with pytest.raises(ConfigError, match=r"paired: no subject .* leave its weight at 0"):
        Trainer(tmp_path / "one", tmp_path / "two", config, "cpu")


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

    prepare(raw, tmp_path / "one", PrepareConfig(patterns={"T1": "*T1*"}))
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


def test_a_generator_may_attend_to_every_caption_token(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, caption_context="tokens", steps=2)
    path = Trainer(dataset, tmp_path / "run", config, "cpu").run()
    loaded = load_checkpoint(path)
    assert loaded.tokens.shape == (3, 16, 16)  # captions, tokens of the tiny text tower, its width
    assert loaded.captions.shape == (3, 16)
    assert not np.array_equal(loaded.tokens[0], loaded.tokens[1])
    slices = SliceDataset(dataset, "test", 2).read([0, 1])
    backend = TorchBackend(loaded, "cpu")
    outputs = [backend(slices, None, domain) for domain in loaded.domains]
    assert outputs[0].shape == slices.shape
    altered = TorchBackend(replace(loaded, tokens=loaded.tokens[::-1].copy()), "cpu")
    assert not np.array_equal(altered(slices, None, loaded.domains[0]), outputs[0])


def test_a_run_may_start_from_a_checkpoint(dataset, encoder_folder, tmp_path) -> None:
    config = tiny_config(encoder_folder, steps=2, seed=1)
    first = Trainer(dataset, tmp_path / "first", config, "cpu").run()
    config = replace(config, start=str(first), seed=2)
    second = Trainer(dataset, tmp_path / "second", config, "cpu")
    loaded = load_checkpoint(first)
    for name, tensor in loaded.tensors.items():
        np.testing.assert_array_equal(second.checkpoint().tensors[name], tensor, err_msg=name)
    assert second.provenance["start_sha256"] == loaded.sha256
    take_step(second)
    second.save()
    first.rename(tmp_path / "moved.safetensors")  # a resumed run doesn't need it
    resumed = Trainer(dataset, tmp_path / "second", config, "cpu")
    assert resumed.checkpoint().provenance["start_sha256"] == loaded.sha256
    resumed.run()
    second = resumed
    (tmp_path / "moved.safetensors").rename(first)
    assert not np.array_equal(
        second.checkpoint().tensors["generator.out.2.weight"],
        loaded.tensors["generator.out.2.weight"],
    )
    other = replace(config, domains=("T2", "T1", "PD"))
    with pytest.raises(ConfigError, match="the same in the same order"):
        Trainer(dataset, tmp_path / "other", other, "cpu")
    wider = replace(config, generator=replace(config.generator, width=16))
    with pytest.raises(ConfigError, match="has other networks"):
        Trainer(dataset, tmp_path / "wider", wider, "cpu")


@pytest.mark.parametrize("context", ["pooled", "tokens"])
def test_a_run_on_an_encoder_of_biomedclips_layout(
    dataset, biomedclip_folder, tmp_path, context
) -> None:
    config = tiny_config(
        biomedclip_folder, heads=HeadConfig(blocks=(1, 3, 5)), caption_context=context, steps=2
    )
    trainer = Trainer(dataset, tmp_path / "run", config, "cpu")
    trainer.run()
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded.captions.shape == (3, 16)
    assert loaded.config.generator.context == {"pooled": 16, "tokens": 24}[context]
    assert (loaded.tokens is None) == (context == "pooled")
    slices = SliceDataset(dataset, "test", 2).read([0, 1])
    out = TorchBackend(loaded, "cpu")(slices, None, loaded.domains[1])
    assert np.isfinite(out).all()
