"""The contract of every method in the registry, and the laws of each."""

import io
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from conftest import TINY_SIZES, tiny_config

from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from i2igalip_cli.config import CONFIGS, CropPolicy, IntensityPolicy
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.backends.on_torch import rebuild_method
from i2igalip_cli.methods import METHODS, UnpairedBatch
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

NAMES = ("T1", "T2", "PD")
# The caption is one token, so attending to it is the same whatever the queries and keys are.
IDLE = ("attn2.to_q", "attn2.to_k", "norm2")


@pytest.fixture(scope="module")
def encoder(encoder_folder) -> TextImageEncoder:
    return TextImageEncoder.from_folder(encoder_folder)


def names_of(name: str) -> tuple[str, ...]:
    return NAMES[:2] if CONFIGS[name].two_domains else NAMES


def build(name: str, encoder, **changes):
    domains = [DOMAINS[n] for n in names_of(name)]
    captions = torch.nn.functional.normalize(torch.eye(3, 16)[: len(domains)] + 0.1, dim=1)
    config = tiny_config(method=name, **changes).fit(len(domains), 16)
    return METHODS[name](config, domains, captions, None, encoder)


def batch(
    seed: int = 0, name: str = "galip", pairs: int = 2, sides: tuple[int, int] = (32, 24)
) -> UnpairedBatch:
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(pairs, 1, *sides, generator=draw) for _ in range(2))
    truth, known = torch.zeros(pairs, 1, *sides), torch.zeros(pairs, dtype=torch.bool)
    count = len(names_of(name))
    own = torch.arange(pairs) % count
    domains = (own, (own + 1) % count)
    seeds = torch.arange(pairs) + 100 * seed
    return UnpairedBatch(first, domains[0], second, domains[1], truth, known, truth, known, seeds)


def directions(method):
    """Every source and target that the method learns."""
    for source, one in enumerate(method.domains):
        for target, other in enumerate(method.domains):
            if method.config.translates(source, target):
                yield one, other


def learned(method) -> dict[str, torch.Tensor]:
    return {k: v for k, v in method.named_parameters() if not k.startswith("encoder.")}


def test_every_method_has_settings_and_a_size_for_tests() -> None:
    assert METHODS.keys() == CONFIGS.keys() == TINY_SIZES.keys()
    assert all(CONFIGS[name]().method == name for name in METHODS)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_teaches_every_network_but_the_encoder(name, precision, encoder) -> None:
    frozen = {k: v.clone() for k, v in encoder.state_dict().items()}
    method = build(name, encoder, precision=precision)
    before = {k: v.clone() for k, v in learned(method).items()}
    # A domain without slices in a step waits for the next; float16 first finds its loss scale.
    for seed in range(12 if precision == "float16" else 3):
        report = method.step(batch(seed, name))
    assert report.losses
    assert all(torch.isfinite(loss) for loss in report.losses.values())
    assert torch.isfinite(report.change)
    for key, tensor in learned(method).items():
        assert torch.isfinite(tensor).all(), key
        if not any(idle in key for idle in IDLE):
            assert not torch.equal(tensor, before[key]), f"{key} didn't learn"
        assert tensor.requires_grad, f"{key} was left frozen"
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, frozen[key]), f"{key} of the frozen encoder moved"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_translate_keeps_shape_and_range(name, precision, encoder) -> None:
    method = build(name, None, precision=precision)
    slices = torch.rand(3, 1, 32, 24)
    for source, target in directions(method):
        with torch.no_grad(), method.autocast():
            out = method.translate(slices, source, target).float()
        assert out.shape == slices.shape
        assert out.min() >= 0
        assert out.max() <= 1
        assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_slice_is_translated_alike_whatever_it_is_beside(name, encoder) -> None:
    """Samplers draw the same for every slice, so a cohort can be divided at will."""
    method = build(name, encoder)
    method.step(batch(0, name))
    slices = torch.rand(3, 1, 32, 24, generator=torch.Generator().manual_seed(1))
    for source, target in directions(method):
        with torch.no_grad():
            whole = method.translate(slices, source, target)
            alone = torch.cat([method.translate(one[None], source, target) for one in slices])
        torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_seeded_and_leaves_the_global_random_state(name, encoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (build(name, encoder, seed=seed) for seed in (1, 1, 2))
    one.step(batch(0, name))
    two.step(batch(0, name))
    slices = torch.rand(1, 1, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        source, target = next(directions(one))
        again = one.translate(slices, source, target)
        assert torch.equal(one.translate(slices, source, target), again)
    assert torch.equal(torch.rand(1), expected)
    for key, tensor in one.trained_state().items():
        assert torch.equal(tensor, two.trained_state()[key]), key
    begun = learned(build(name, encoder, seed=1))
    assert any(not torch.equal(tensor, begun[key]) for key, tensor in learned(other).items())


@pytest.mark.parametrize("name", METHODS)
def test_the_chance_of_a_pair_decides_its_step(name, encoder) -> None:
    """Pairs in pieces of a batch learn what they would together, draws included."""
    whole, pieces = build(name, encoder, batch=4), build(name, encoder, batch=2)
    given = batch(0, name, pairs=4)
    one, two = whole.step(given), pieces.step(given)
    assert one.losses.keys() == two.losses.keys()
    for key, loss in one.losses.items():
        torch.testing.assert_close(two.losses[key], loss, rtol=2e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", METHODS)
def test_the_trained_state_comes_back_whole(name, encoder) -> None:
    one, two = build(name, encoder, seed=1), build(name, encoder, seed=2)
    one.step(batch(0, name))
    two.load_trained_state(one.trained_state())
    for key, tensor in one.trained_state().items():
        assert torch.equal(tensor, two.trained_state()[key]), key
    assert not any(key.startswith("encoder.") for key in one.trained_state())
    with pytest.raises(RuntimeError, match="missing"):
        two.load_trained_state({})


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_is_the_unbroken_one_to_the_bit(name, encoder) -> None:
    """Through a file, as the trainer keeps it: networks, moments, and whatever else is learned."""
    unbroken, begun = build(name, encoder), build(name, encoder)
    for step in range(4):
        unbroken.step(batch(step, name))
    for step in range(2):
        begun.step(batch(step, name))
    file = io.BytesIO()
    torch.save(begun.run_state(), file)
    file.seek(0)
    resumed = build(name, encoder, seed=9)
    resumed.config = begun.config
    resumed.load_run_state(torch.load(file, weights_only=True))
    for step in range(2, 4):
        resumed.step(batch(step, name))
    for key, tensor in unbroken.trained_state().items():
        assert torch.equal(tensor, resumed.trained_state()[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_and_loaded_method_translates_alike(name, encoder, tmp_path) -> None:
    """A checkpoint alone rebuilds the method, and holds nothing that translation doesn't need."""
    method = build(name, encoder)
    method.step(batch(0, name))
    made = Checkpoint(
        config=method.config,
        domains=method.domains,
        captions=method.captions.numpy(),
        policy=IntensityPolicy(),
        crop=CropPolicy(whole=True),
        planes={"axial": (1.0, 1.0)},
        tensors={k: v.numpy() for k, v in method.exported.state_dict().items()},
    )
    save_checkpoint(made, tmp_path / "made.safetensors")
    loaded = load_checkpoint(tmp_path / "made.safetensors")
    assert loaded.config == method.config
    rebuilt = rebuild_method(loaded)
    assert {k.split(".")[0] for k in rebuilt.trained_state()} == {"exported"}
    method.eval()
    slices = torch.from_numpy(np.random.default_rng(3).random((2, 1, 32, 24), np.float32))
    for source, target in directions(method):
        with torch.no_grad():
            expected = method.translate(slices, source, target)
            found = rebuilt.translate(slices, source, target)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in METHODS if CONFIGS[n].two_domains])
def test_a_method_of_two_domains_has_directions(name) -> None:
    config = CONFIGS[name]()
    assert config.translates(0, 1)
    assert not config.translates(0, 0)
    assert config.translates(1, 0) != config.one_way


def first_gradients(encoder, size: int, **changes) -> dict[str, torch.Tensor]:
    """Gradients of every network in a first step on four pairs, `size` of them at once."""
    method = build("galip", encoder, batch=size, **changes)
    found = {}
    update = method.update

    def keep(name: str) -> None:
        network = method.discriminator if name == "discriminator" else method.exported
        for key, parameter in network.named_parameters():
            if parameter.grad is not None:
                found[f"{name}.{key}"] = parameter.grad.clone()
        update(name)

    method.update = keep
    pieces = [batch(0), batch(1)]
    four = UnpairedBatch(
        *(torch.cat([getattr(p, f.name) for p in pieces]) for f in fields(UnpairedBatch))
    )
    method.step(four)
    return found


@pytest.mark.parametrize("changes", [{"size": 2}, {"size": 1}, {"size": 4, "recompute": True}])
def test_gathered_and_recomputed_gradients_are_the_same(encoder, changes) -> None:
    expected = first_gradients(encoder, 4)
    found = first_gradients(encoder, **changes)
    assert expected.keys() == found.keys()
    for key, gradient in expected.items():
        largest = gradient.abs().max()
        # A bias before an instance norm has the gradient 0, and rounding instead.
        assert (found[key] - gradient).abs().max() <= 5e-4 * largest + 1e-8, key


TERMS = ("adversarial", "cycle", "identity", "clip", "cls", "paired")


def known_pairs() -> UnpairedBatch:
    """Two pairs of slices, three of four with their true translation."""
    given = batch(3, sides=(16, 12))
    draw = torch.Generator().manual_seed(9)
    truths = [torch.rand(2, 1, 16, 12, generator=draw) for _ in range(2)]
    return replace(
        given,
        first_truth=truths[0],
        first_known=torch.tensor([True, True]),
        second_truth=truths[1],
        second_known=torch.tensor([True, False]),
    )


def step_alone(encoder, term: str, move: float = 0.0, **changes) -> tuple[float, float]:
    """A step under one term: its loss, and its slope along a direction of the last convolution.

    Args:
        encoder: What judges.
        term: The only weight that isn't 0.
        move: How far the generator has been moved along that direction before.
        changes: Of the configuration.
    """
    from i2igalip_cli.config import LossWeights

    weights = LossWeights(**{name: float(name == term) for name in TERMS})
    method = build("galip", encoder, weights=weights, **changes)
    draw = torch.Generator().manual_seed(1)
    slope = 0.0
    directions = {}
    last = {n: p for n, p in method.exported.named_parameters() if "generator.out.2" in n}
    for name, parameter in last.items():
        directions[name] = torch.randn(parameter.shape, generator=draw)
        parameter.data += move * directions[name]
    update = method.update

    def keep(network: str) -> None:
        nonlocal slope
        if network == "generator":
            scale = method.scaler.get_scale()
            for name, parameter in last.items():
                slope += float((parameter.grad / scale * directions[name]).sum())
        update(network)

    method.update = keep
    return float(method.step(known_pairs()).losses[term]), slope


@pytest.mark.parametrize("term", TERMS)
def test_a_terms_weight_teaches_the_generator_that_term(encoder, term) -> None:
    """The slope that the step's gradients give is that of the loss, by finite differences."""
    _, slope = step_alone(encoder, term)
    step = 2e-4
    before, after = (step_alone(encoder, term, move)[0] for move in (-step, step))
    measured = (after - before) / (2 * step)
    assert abs(slope) > 1e-3
    assert slope == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("term", TERMS)
def test_float16_scales_the_loss_and_not_the_lesson(encoder, term) -> None:
    _, expected = step_alone(encoder, term)
    _, found = step_alone(encoder, term, precision="float16")
    assert found == pytest.approx(expected, rel=0.1)
