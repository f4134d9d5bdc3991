"""The contract of every method in the registry."""

from dataclasses import fields, replace

import pytest
import torch
from conftest import TINY_GENERATOR, tiny_config

from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.methods import METHODS, UnpairedBatch
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

NAMES = ("T1", "T2", "PD")


@pytest.fixture(scope="module")
def encoder(encoder_folder) -> TextImageEncoder:
    return TextImageEncoder.from_folder(encoder_folder)


def build(name: str, encoder, **changes):
    domains = [DOMAINS[n] for n in NAMES]
    captions = torch.nn.functional.normalize(torch.eye(3, 16) + 0.1, dim=1)
    config = tiny_config(method=name, generator=replace(TINY_GENERATOR, domains=3), **changes)
    return METHODS[name](config, domains, captions, None, encoder)


def batch(seed: int = 0) -> UnpairedBatch:
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(2, 1, 16, 12, generator=draw) for _ in range(2))
    truth, known = torch.zeros(2, 1, 16, 12), torch.zeros(2, dtype=torch.bool)
    domains = (torch.tensor([0, 1]), torch.tensor([1, 2]))
    return UnpairedBatch(first, domains[0], second, domains[1], truth, known, truth, known)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_teaches_every_network_but_the_encoder(name, precision, encoder) -> None:
    method = build(name, encoder, precision=precision)
    frozen = {k: v.clone() for k, v in encoder.state_dict().items()}
    before = {k: v.clone() for k, v in method.named_parameters() if not k.startswith("encoder.")}
    # A domain without slices in a step waits for the next; float16 first finds its loss scale.
    for seed in range(12 if precision == "float16" else 3):
        report = method.step(batch(seed))
    assert all(torch.isfinite(loss) for loss in report.losses.values())
    # The caption is one token, so attending to it is the same whatever the queries and keys are.
    idle = ("attn2.to_q", "attn2.to_k", "norm2")
    for key, tensor in method.named_parameters():
        if not key.startswith("encoder.") and not any(name in key for name in idle):
            assert not torch.equal(tensor, before[key]), f"{key} didn't learn"
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, frozen[key]), f"{key} of the frozen encoder moved"


@pytest.mark.parametrize("name", METHODS)
def test_translate_keeps_shape_and_range(name, encoder) -> None:
    method = build(name, None)
    slices = torch.rand(3, 1, 16, 12)
    for target in method.domains:
        out = method.translate(slices, method.domains[0], target)
        assert out.shape == slices.shape
        assert out.min() >= 0
        assert out.max() <= 1


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_seeded_and_leaves_the_global_random_state(name, encoder) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (build(name, encoder, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    one.step(batch())
    two.step(batch())
    for key, tensor in one.trained_state().items():
        assert torch.equal(tensor, two.trained_state()[key]), key
    weight = "exported.generator.out.2.weight"
    if weight in other.state_dict():
        assert not torch.equal(other.state_dict()[weight], one.state_dict()[weight])


@pytest.mark.parametrize("name", METHODS)
def test_the_trained_state_comes_back_whole(name, encoder) -> None:
    one, two = build(name, encoder, seed=1), build(name, encoder, seed=2)
    one.step(batch())
    two.load_trained_state(one.trained_state())
    for key, tensor in one.trained_state().items():
        assert torch.equal(tensor, two.trained_state()[key]), key
    assert not any(key.startswith("encoder.") for key in one.trained_state())
    with pytest.raises(RuntimeError, match="missing"):
        two.load_trained_state({})


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
    given = batch(3)
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
