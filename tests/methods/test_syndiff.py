"""SynDiff: the paper's sizes, its losses by hand, and what a translation is made of."""

import math

import pytest
import torch
from conftest import tiny_config

from i2igalip_cli.config import SynDiffConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods.__main__ import sized
from i2igalip_cli.methods.base import UnpairedBatch
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.pair import Pair, to_signed
from i2igalip_cli.methods.syndiff import (
    StepBack,
    SynDiff,
    gradient_penalty,
    logistic_discriminator,
    logistic_generator,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def build(*, trained: bool = True, **changes) -> SynDiff:
    config = tiny_config(method="syndiff", **changes)
    encoder = torch.nn.Identity() if trained else None  # SynDiff doesn't look through it
    return SynDiff(config, [DOMAINS["T1"], DOMAINS["T2"]], torch.eye(2, 16), None, encoder)


def batch(seed: int = 0) -> UnpairedBatch:
    first, second = draw(2, 1, 32, 24, seed=seed), draw(2, 1, 32, 24, seed=seed + 100)
    domains, known = torch.tensor([0, 1]), torch.tensor([False, False])
    seeds = torch.tensor([seed, seed + 1])
    return UnpairedBatch(first, domains, second, 1 - domains, first, known, second, known, seeds)


def test_the_papers_sizes() -> None:
    """Table 3: 39.7M + 7.8M, 27.7M + 2.7M, and 936.6M for the 12 directions of four domains."""
    counted = {name: part.parameters for name, part in sized(SynDiffConfig()).parts().items()}
    assert {name: number // 100_000 / 10 for name, number in counted.items()} == {
        "diffusive generator": 39.7,
        "generator": 7.8,
        "diffusive discriminator": 27.7,
        "discriminator": 2.7,
    }
    assert round(12 * sum(counted.values()) / 1e6, 1) == 936.6


def test_the_papers_settings() -> None:
    """Appendix B.2; steps and moments are those of Özbey et al. 2023."""
    config = SynDiffConfig()
    weights = config.weights
    assert (weights.cycle, weights.diffusive_cycle) == (0.5, 0.5)
    assert (weights.adversarial, weights.diffusive_adversarial) == (1, 1)
    assert (config.learning_rate, config.discriminator_rate, config.epochs) == (1e-4, 1e-4, 50)
    assert (config.beta_min, config.beta_max, config.diffusion_steps) == (0.1, 20, 4)
    assert (config.side_multiple, config.ema_decay, config.batch) == (32, 0.999, 1)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"beta_min": 20.0}, "beta_min"),
        ({"width": 9}, "width = 9"),
        ({"multipliers": ()}, "multipliers"),
        ({"attention_reductions": (64,)}, "up to 32"),
        ({"penalty_every": 0}, "penalty_every = 0"),
        ({"latent": 0, "noisy_levels": 0}, "latent = 0: at least 1; noisy_levels"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, fault) -> None:
    with pytest.raises(ConfigError, match=fault):
        SynDiffConfig(**changes)


@pytest.mark.parametrize(("multipliers", "multiple"), [((1,), 4), ((1, 2), 4), ((1, 1, 1, 1), 8)])
def test_both_kinds_of_generators_decide_the_sides(multipliers, multiple) -> None:
    config = SynDiffConfig(multipliers=multipliers, attention_reductions=())
    assert config.side_multiple == multiple


def test_logistic_losses_by_hand() -> None:
    """Where p = 1/4 is the judged chance to be real, the logit is -log 3; at 0 it is 1/2."""
    quarter, half = torch.full((2,), -math.log(3)), torch.zeros(2)
    assert logistic_generator(quarter) == pytest.approx(math.log(4))
    assert logistic_generator(half) == pytest.approx(math.log(2))
    expected = math.log(2) + math.log(4 / 3)  # -log(1/2) - log(1 - 1/4)
    assert logistic_discriminator(half, quarter) == pytest.approx(expected)


class Quadratic(torch.nn.Module):
    """Judges x by a |x|^2 / 2, whose slope is a x."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, before, noisy, step):
        return 0.5 * self.a * before.square().sum(dim=(1, 2, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_penalty_by_hand_whatever_the_arithmetic(dtype) -> None:
    """a^2 |x|^2 / 2 in the mean of slices, and its own slope a |x|^2."""
    real = torch.tensor([1.0, 2.0, 0.5, 1.5]).reshape(2, 1, 1, 2)  # |x|^2: 5 and 2.5
    step = torch.tensor([0, 1])
    back = StepBack(step=step, noisy=real, real=real, made=real, clean=real)
    judge = Quadratic()
    with torch.autocast("cpu", dtype):
        penalty = gradient_penalty(judge, back)
    penalty.backward()
    assert penalty.dtype == torch.float32
    assert float(penalty.detach()) == pytest.approx(0.5 * 9 * 3.75)
    assert float(judge.a.grad) == pytest.approx(3 * 3.75)


def test_the_penalty_comes_every_so_many_steps() -> None:
    method = build(penalty_every=3)
    found = [float(method.step(batch(seed)).losses["penalty"]) > 0 for seed in range(4)]
    assert found == [True, False, False, True]


def test_translation_needs_the_diffusive_generators_alone() -> None:
    trained, bare = build(), build(trained=False)
    assert trained.exported.state_dict().keys() == bare.exported.state_dict().keys()
    assert not bare.optimizers
    assert set(bare.parameters_by_network()) == {"generator_to_first", "generator_to_second"}
    assert set(trained.parameters_by_network()) > {"translators", "slice_judges", "step_judges"}


class Oracle(torch.nn.Module):
    """Guesses always the same, and remembers what it saw."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean = clean
        self.seen: list[tuple[torch.Tensor, ...]] = []

    def forward(self, noisy, source, step, latent):
        self.seen.append((noisy, source, step, latent))
        return self.clean


@pytest.mark.parametrize(("target", "side"), [("T1", "first"), ("T2", "second")])
def test_a_translation_goes_back_step_by_step_to_the_last_guess(target, side) -> None:
    method = build(trained=False)
    clean, source = draw(2, 1, 32, 24, seed=1), draw(2, 1, 32, 24, seed=2)
    oracle = method.exported[f"generator_to_{side}"] = Oracle(to_signed(clean))
    found = method.translate(source, None, DOMAINS[target])
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-6)
    assert [step.tolist() for _, _, step, _ in oracle.seen] == [[3, 3], [2, 2], [1, 1], [0, 0]]
    for noisy, shown, step, latent in oracle.seen:
        assert torch.equal(shown, to_signed(source))
        assert torch.equal(latent[0], latent[1])
        # What is noisy is so by the schedule: 768 pixels estimate a deviation to 2.6 %.
        left = method.schedule.left[step[0]]
        noise = (noisy - left.sqrt() * to_signed(clean)) / (1 - left).sqrt()
        assert float(noise.std()) == pytest.approx(1, abs=0.13)
        assert float(noise.mean()) == pytest.approx(0, abs=0.18)
    latents = torch.stack([latent[0] for *_, latent in oracle.seen])
    assert len(latents.unique(dim=0)) == 4


def test_training_sees_steps_as_translation_does() -> None:
    """A guess that is right makes what the real slice makes, up to noise; at step 0 exactly."""
    method = build()
    real = to_signed(draw(64, 1, 8, 8))
    oracle = method.exported["generator_to_second"] = Oracle(real)
    source = torch.zeros_like(real)
    chance = Chance(torch.arange(64), real.device)
    back = method.go_back("second", real, source, chance)
    assert set(back.step.tolist()) == {0, 1, 2, 3}
    assert torch.equal(oracle.seen[0][0], back.noisy)
    for number in range(4):
        chosen = back.step == number
        before, made = back.real[chosen], back.made[chosen]
        assert float(before.mean()) == pytest.approx(float(made.mean()), abs=0.15)
        assert float(before.std()) == pytest.approx(float(made.std()), rel=0.15)
    at_once = back.step == 0
    assert torch.equal(back.real[at_once], real[at_once])
    torch.testing.assert_close(back.made[at_once], real[at_once])


def test_the_translators_learn_from_the_diffusive_generators_too() -> None:
    """What a diffusive generator is shown is made by them, and not cut off."""
    method = build()
    given = batch()
    pair = Pair.of(given)
    with torch.no_grad():  # the last layers begin at 0, and would let nothing through
        for generator in method.exported.values():
            generator.last.weight.add_(0.1)
    terms, _ = method.teach_generators(pair)
    terms["diffusive_cycle"][1].backward()
    for translator in method.translators.values():
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in translator.parameters())
