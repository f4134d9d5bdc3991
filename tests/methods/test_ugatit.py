"""U-GAT-IT: the paper's numbers of parameters, its losses by hand, the slices that it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import tiny_config
from torch import nn

from i2igalip_cli.config import UgatitConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import UnpairedBatch
from i2igalip_cli.methods.__main__ import EncoderSizes, sized, variants
from i2igalip_cli.methods.adversarial import Made
from i2igalip_cli.methods.base import Part
from i2igalip_cli.methods.pair import Pair
from i2igalip_cli.methods.ugatit import Ugatit, attention
from i2igalip_cli.networks.ugatit import MixedNorm

FULL = {"light": False, "size": 16, "global_layers": 3, "local_layers": 3}


def build(**changes) -> Ugatit:
    captions = torch.nn.functional.normalize(torch.eye(2, 16) + 0.1, dim=1)
    config = tiny_config(method="ugatit", **changes)
    return Ugatit(config, [DOMAINS["T1"], DOMAINS["T2"]], captions, None, EncoderSizes())


def pairs(height: int = 16, width: int = 16, seed: int = 0) -> UnpairedBatch:
    """Two pairs: bright slices with rows of the first domain, dark ones with columns."""
    draw = torch.Generator().manual_seed(seed)
    bright, dark = (0.1 * torch.rand(2, 1, height, width, generator=draw) for _ in range(2))
    bright += 0.7 + 0.2 * (torch.arange(height) // 2 % 2)[:, None]
    dark += 0.2 * (torch.arange(width) // 2 % 2)
    none, unknown = torch.zeros(2, 1, height, width), torch.zeros(2, dtype=torch.bool)
    domains = (torch.tensor([0, 0]), torch.tensor([1, 1]))
    seeds = torch.arange(2)
    return UnpairedBatch(bright, domains[0], dark, domains[1], none, unknown, none, unknown, seeds)


def convolutions(*layers: tuple[int, int, int]) -> int:
    """Weights of layers, each of channels that come in, that go out, and the kernel's side."""
    return sum(inside * outside * side**2 for inside, outside, side in layers)


@pytest.fixture(scope="module")
def numbers() -> dict[str, dict[str, Part]]:
    """What each variant is made of."""
    return {name: sized(variants()[name]).parts() for name in ("ugatit", "ugatit light")}


def test_it_has_the_papers_numbers_of_parameters(numbers) -> None:
    """Table 3 of I2I-Galip: 278.9 and 56.4 million, 4023.6 in all for 12 directions."""
    parts = numbers["ugatit"]
    assert math.floor(parts["generator"].parameters / 1e5) == 2789
    assert math.floor(parts["discriminators"].parameters / 1e5) == 564
    in_all = sum(part.times(4) * part.parameters for part in parts.values())
    assert in_all == pytest.approx(4023.6e6, rel=0.01)


def test_its_layers_have_the_parameters_that_they_should(numbers) -> None:
    """Counted by the tables of layers in the appendix of Kim et al., without any biases there."""
    blocks = 2 * 4 * convolutions((256, 256, 3), (256, 256, 3))
    sides = convolutions((1, 64, 7), (64, 128, 3), (128, 256, 3))  # as many on the way out
    norms = 8 * 256 + 3 * 128 + 3 * 64  # shares; where sides are doubled scale and shift as well
    cam = 2 * 256 + 512 * 256 + 256
    light = 2 * sides + blocks + norms + cam + 4 * 256 * 256
    full = light + (64 * 64 - 1) * 256 * 256
    assert numbers["ugatit light"]["generator"].parameters == light
    assert numbers["ugatit"]["generator"].parameters == full


def test_the_attention_tells_source_from_target() -> None:
    """Binary cross-entropy: undecided it is ln 2 each, and right or wrong by 3 softplus(-+3)."""
    undecided, sure = torch.zeros(3, 2), torch.full((3, 2), 3.0)
    assert attention(undecided, undecided) == pytest.approx(2 * math.log(2))
    assert attention(sure, -sure) == pytest.approx(2 * math.log1p(math.exp(-3)))
    assert attention(-sure, sure) == pytest.approx(2 * math.log1p(math.exp(3)))


class Constant(nn.Module):
    """Judges whatever it sees alike, as two discriminators with attention would say it."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, slices: torch.Tensor) -> list[torch.Tensor]:
        sides = ((1, 3, 3), (2,), (1, 5, 5), (2,))
        return [torch.full((len(slices), *side), self.logit) for side in sides]


def test_patches_and_attention_of_both_discriminators_weigh_alike() -> None:
    """0.25 from everyone: 8 x 0.75^2 for the generators, 8 x (0.75^2 + 0.25^2) for the others."""
    method = build()
    method.judge_first, method.judge_second = Constant(0.25), Constant(0.25)
    pair = Pair.of(pairs())
    terms, made = method.teach_generators(pair)
    weight, adversarial = terms["adversarial"]
    assert weight == 1
    assert adversarial.item() == pytest.approx(4.5)
    weight, judged = method.teach_discriminators(pair, made)["discriminator"]
    assert weight == 1
    assert judged.item() == pytest.approx(5.0)


def test_discriminators_learn_which_slices_are_real() -> None:
    method = build(discriminator_rate=2e-3)
    pair = Pair.of(pairs())
    made = Made(second=pair.first, first=pair.second)  # what generators make that copy
    first = None
    for _ in range(30):
        _, loss = method.teach_discriminators(pair, made)["discriminator"]
        first = first or loss.item()
        loss.backward()
        method.update("discriminators")
    for real, copied in zip(
        method.judge_first(pair.first), method.judge_first(pair.second), strict=True
    ):
        assert real.mean() > copied.mean()
    assert loss.item() < first / 2


def test_the_generators_attention_learns_the_domains() -> None:
    """Each finds its own source, 1, and its target, 0."""
    weights = {"adversarial": 0.0, "cycle": 0.0, "identity": 0.0, "cam": 1.0}
    config = UgatitConfig()
    method = build(weights=replace(config.weights, **weights), learning_rate=2e-2)
    for seed in range(10):
        method.step(pairs(seed=seed))
    pair = Pair.of(pairs(seed=99))
    to_second, to_first = method.exported.values()
    assert to_second(pair.first)[1].min() > to_second(pair.second)[1].max()
    assert to_first(pair.second)[1].min() > to_first(pair.first)[1].max()


def test_shares_stay_within_0_and_1_however_large_a_step_is() -> None:
    method = build(learning_rate=2.0)
    method.step(pairs())
    shares = torch.cat([m.rho.detach() for m in method.modules() if isinstance(m, MixedNorm)])
    assert shares.min() == 0
    assert shares.max() == 1


def test_the_full_variant_learns_and_translates_slices_of_its_size() -> None:
    method = build(**FULL)
    before = method.exported["generator_to_first"].modulation.layers[0].weight.clone()
    assert before.shape == (32, 32 * 4 * 4)
    method.step(pairs())
    assert not torch.equal(
        method.exported["generator_to_first"].modulation.layers[0].weight, before
    )
    with torch.no_grad():
        slices = torch.rand(3, 1, 16, 16)
        translated = method.translate(slices, DOMAINS["T1"], DOMAINS["T2"])
    assert translated.shape == slices.shape
    assert not torch.allclose(translated, slices, atol=0.05)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 32)])
def test_the_full_variant_refuses_larger_slices_and_says_the_way_out(height, width) -> None:
    method = build(**FULL)
    said = rf"{height} x {width} .* 16 x 16; .* size = 32, .* light = true"
    with pytest.raises(ConfigError, match=said):
        method.translate(torch.rand(1, 1, height, width), None, DOMAINS["T2"])
    with pytest.raises(ConfigError, match=said):
        method.step(pairs(height, width))


def test_the_smallest_side_is_what_its_discriminators_can_halve() -> None:
    """Of 12 pixels two halvings leave 3, and the last two layers 1; of 8 pixels nothing."""
    method = build()
    assert method.config.smallest_side == 12
    method.step(pairs(12, 24))
    with pytest.raises(RuntimeError):
        method.step(pairs(8, 24))


def test_settings_that_do_not_fit_are_faults() -> None:
    with pytest.raises(ConfigError, match=r"size = 0: a multiple of 4.*global_layers = 2"):
        UgatitConfig(size=0, global_layers=2, crop=(8, 8))
    with pytest.raises(ConfigError, match=r"slices of 64 pixels.*7 layers need 96"):
        UgatitConfig(size=64)
    with pytest.raises(ConfigError, match=r"slices of 64 pixels.*7 layers need 96"):
        UgatitConfig(light=True, crop=(128, 64))
    with pytest.raises(ConfigError, match=r"crop = \[512, 256\]: .* 256 x 256"):
        UgatitConfig(crop=(512, 256))
    assert UgatitConfig(light=True, crop=(104, 96)).side_multiple == 8
    assert UgatitConfig(size=192).side_multiple == 192
