"""EGSDE's own laws: its energy, its way back, and gradients where the caller has none."""

import math

import pytest
import torch
from conftest import tiny_config

from i2igalip_cli.config import EgsdeConfig, EnergyWeights
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import UnpairedBatch
from i2igalip_cli.methods.chance import Noise
from i2igalip_cli.methods.egsde import Egsde, Energy, low_pass

T1, T2 = DOMAINS["T1"], DOMAINS["T2"]
BOTH = EnergyWeights(realism=3.0, faithfulness=0.5)


class Trained:
    """What a method that is trained is given; EGSDE learns nothing of it."""


def build(encoder=None, **changes) -> Egsde:
    config = tiny_config(method="egsde", **changes)
    return Egsde(config, (T1, T2), torch.eye(2, 16), None, encoder)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unpaired(first: torch.Tensor, second: torch.Tensor) -> UnpairedBatch:
    """A batch of T1 and T2 slices; every other pair is the other way around."""
    number = torch.arange(len(first))
    turned = (number % 2 == 1)[:, None, None, None]
    one, other = torch.where(turned, second, first), torch.where(turned, first, second)
    unknown = torch.zeros(len(first), dtype=torch.bool)
    own = number % 2
    return UnpairedBatch(one, own, other, 1 - own, one, unknown, other, unknown, number)


@pytest.mark.parametrize(("side", "factor"), [(32, 8), (24, 32), (17, 4), (19, 32), (1, 8)])
def test_the_coarse_look_keeps_what_is_even(side, factor) -> None:
    matrix = low_pass(side, factor)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(side))
    torch.testing.assert_close(matrix.flip(0, 1), matrix)  # it has no left and right


def test_the_coarse_look_loses_what_is_fine() -> None:
    place = torch.arange(96.0)
    inside = slice(24, -24)
    for period, left in ((4, 0.0), (6, 0.0), (768, 1.0)):
        wave = torch.sin(2 * math.pi * (place + 0.5) / period)
        looked = low_pass(96, 12) @ wave
        assert torch.allclose(looked[inside], left * wave[inside], atol=0.02), period
    assert torch.equal(low_pass(9, 1), torch.eye(9))


def energy_of(method: Egsde, weights: EnergyWeights, height: int = 12, width: int = 20) -> Energy:
    classifier = method.exported["classifier"]
    return Energy(classifier, weights, low_pass(height, 8), low_pass(width, 8))


def test_a_sample_like_its_source_has_the_energy_of_likeness() -> None:
    """Features alike in every pixel have the cosine 1; the coarse looks are no distance apart."""
    slices, step = draw(2, 1, 12, 20), torch.tensor([5, 50])
    found = energy_of(build(), BOTH).of(slices, slices, step)
    torch.testing.assert_close(found.detach(), torch.full((2,), 3.0))


def test_the_distance_of_coarse_looks_is_a_sum_of_squares() -> None:
    """Slices that differ by 0.5 everywhere: 12 x 20 pixels of 0.25, whatever the filter."""
    weights = EnergyWeights(realism=0, faithfulness=2)
    slices, step = draw(1, 1, 12, 20), torch.tensor([5])
    found = energy_of(build(), weights).of(slices + 0.5, slices, step)
    torch.testing.assert_close(found.detach(), torch.tensor([120.0]))


def test_the_slope_of_faithfulness_by_hand() -> None:
    """Of the squared distance |R d C'|^2 it is 2 R' R d C' C."""
    weights = EnergyWeights(realism=0, faithfulness=2)
    sample, source, step = draw(2, 1, 12, 20), draw(2, 1, 12, 20, seed=1), torch.tensor([5, 9])
    rows, columns = low_pass(12, 8), low_pass(20, 8)
    expected = 4 * rows.T @ rows @ (sample - source) @ columns.T @ columns
    found = energy_of(build(), weights).slope(sample, source, step)
    torch.testing.assert_close(found, expected)


def test_the_slope_is_that_of_the_energy() -> None:
    """By finite differences, for each sample by itself."""
    energy = energy_of(build(), EnergyWeights(realism=3.0, faithfulness=0.001))
    sample, source, step = draw(2, 1, 12, 20), draw(2, 1, 12, 20, seed=1), torch.tensor([5, 900])
    way, length = draw(2, 1, 12, 20, seed=2), 0.01
    with torch.no_grad():
        after, before = (energy.of(sample + a * way, source, step) for a in (length, -length))
    slope = energy.slope(sample, source, step)
    measured = (after - before) / (2 * length)
    torch.testing.assert_close((slope * way).sum(dim=(1, 2, 3)), measured, rtol=0.02, atol=1e-3)


def test_the_slope_is_precise_in_any_arithmetic() -> None:
    energy = energy_of(build(), BOTH)
    sample, source, step = draw(1, 1, 12, 20), draw(1, 1, 12, 20, seed=1), torch.tensor([5])
    expected = energy.slope(sample, source, step)
    with torch.autocast("cpu", torch.bfloat16):
        found = energy.slope(sample, source, step)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_it_translates_alike_in_every_mode(mode) -> None:
    """The program translates in inference mode, where torch records nothing."""
    method = build(weights=BOTH).requires_grad_(False)
    with torch.no_grad():
        expected = method.translate(torch.full((2, 1, 16, 8), 0.3), T1, T2)
    with mode():
        made = torch.full((2, 1, 16, 8), 0.3)
        assert torch.equal(method.translate(made, T1, T2), expected)
        assert not method.translate(made, T1, T2).requires_grad
        assert torch.equal(made, torch.full((2, 1, 16, 8), 0.3))


def test_both_terms_of_the_energy_guide() -> None:
    slices = torch.rand(1, 1, 16, 8, generator=torch.Generator().manual_seed(0))
    free = EnergyWeights(realism=0, faithfulness=0)
    made = [
        build(weights=weights, steps_back=20).translate(slices, T1, T2)
        for weights in (free, EnergyWeights(realism=500, faithfulness=0), EnergyWeights(realism=0))
    ]
    assert not torch.allclose(made[0], made[1], atol=1e-4)
    assert not torch.allclose(made[0], made[2], atol=1e-4)


class Knowing(torch.nn.Module):
    """A score model that knows the only slice there is, and so the noise on it."""

    def __init__(self, method: Egsde, clean: torch.Tensor) -> None:
        super().__init__()
        self.left, self.clean = method.schedule.left, clean

    def forward(self, noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        left = self.left[step][:, None, None, None]
        return (noisy - left.sqrt() * self.clean) / (1 - left).sqrt()


def test_unguided_it_ends_where_the_score_model_leads() -> None:
    method = build(weights=EnergyWeights(realism=0, faithfulness=0), steps_back=30)
    target = torch.rand(1, 1, 16, 8, generator=torch.Generator().manual_seed(0))
    method.exported["score"] = Knowing(method, 2 * target - 1)
    found = method.translate(torch.rand(1, 1, 16, 8), T1, T2)
    torch.testing.assert_close(found, target, rtol=0, atol=1e-3)


@pytest.mark.parametrize("number", [0, 1, 400, 999])
def test_a_step_back_is_that_of_the_paper(number) -> None:
    """Mean (y - b / sqrt(1 - a) e) / sqrt(1 - b) - b slope (Ho et al. 2020, Algorithm 2)."""
    method = build()
    clean, added, slope = 0.9 * torch.tanh(draw(1, 1, 16, 8)), draw(1, 1, 16, 8, seed=1), 0.1
    method.exported["score"] = Knowing(method, clean)
    step = torch.tensor([number])
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    beta, left = float(betas[number]), float(torch.cumprod(1 - betas, 0)[number])
    before = left / (1 - beta)
    sample = math.sqrt(left) * clean + math.sqrt(1 - left) * added
    mean = (sample - beta / math.sqrt(1 - left) * added) / math.sqrt(1 - beta) - beta * slope
    deviation = math.sqrt(beta * (1 - before) / (1 - left))
    noise = Noise(7, sample.device).normal(sample)
    found = method._step_back(sample, step, torch.full_like(sample, slope), Noise(7, sample.device))
    torch.testing.assert_close(found, mean + deviation * noise, rtol=1e-3, atol=1e-4)


def test_a_new_score_model_is_wrong_by_all_of_the_noise() -> None:
    """It finds none, and standard normal noise has the mean square 1."""
    method = build(Trained())
    slices = torch.rand(4, 1, 32, 24, generator=torch.Generator().manual_seed(0))
    report = method.step(unpaired(slices, slices))
    assert float(report.losses["score"]) == pytest.approx(1, abs=0.08)
    assert report.losses["classifier"] > 0


def test_the_classifier_learns_to_tell_and_the_score_model_to_find_noise() -> None:
    """A guess costs log 2 nats; empty slices tell the noise by themselves."""
    method = build(Trained(), batch=8, learning_rate=3e-3, classifier_rate=3e-3)
    batch = unpaired(torch.zeros(8, 1, 8, 8), torch.ones(8, 1, 8, 8))
    reports = []
    for number in range(40):
        seeds = batch.seeds + 8 * number
        reports.append(method.step(UnpairedBatch(**{**vars(batch), "seeds": seeds})).losses)
    for name, guess in (("score", 1.0), ("classifier", math.log(2))):
        late = torch.stack([losses[name] for losses in reports[-10:]]).mean()
        assert late < 0.75 * guess, name


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("steps_back", 0),
        ("steps_back", 1001),
        ("noise_steps", 49),
        ("low_pass", 0),
        ("classifier_rate", 0.0),
        ("weights", {"realism": -1}),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, value) -> None:
    with pytest.raises(ConfigError, match="realism" if setting == "weights" else setting):
        EgsdeConfig(**{setting: EnergyWeights(**value) if setting == "weights" else value})


def test_the_deeper_network_says_what_sides_must_be() -> None:
    config = tiny_config(method="egsde")
    assert config.side_multiple == 2
    assert EgsdeConfig(classifier=config.classifier).side_multiple == 32
    assert EgsdeConfig(score=config.score).side_multiple == 32
