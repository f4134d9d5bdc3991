"""UNIT: its losses by hand, its codes, its ways, and the slices it can't learn from."""

import math

import pytest
import torch
from conftest import tiny_config
from torch.distributions import Normal, kl_divergence

from i2igalip_cli.config import UnitConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import UnpairedBatch
from i2igalip_cli.methods.__main__ import EncoderSizes
from i2igalip_cli.methods.adversarial import Made
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.pair import Pair
from i2igalip_cli.methods.unit import Unit, fool, prior_distance, tell_apart

PAIRED = [DOMAINS["T1"], DOMAINS["T2"]]


def build(*, trained: bool = True, **changes) -> Unit:
    encoder = EncoderSizes() if trained else None
    return Unit(tiny_config(method="unit", **changes), PAIRED, torch.eye(2, 16), None, encoder)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def batch(height: int, width: int) -> UnpairedBatch:
    first, second = draw(2, 1, height, width), draw(2, 1, height, width, seed=1)
    nothing, unknown = torch.zeros_like(first), torch.zeros(2, dtype=torch.bool)
    zeros, ones = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    truths = (nothing, unknown, nothing, unknown)
    return UnpairedBatch(first, zeros, second, ones, *truths, torch.arange(2))


def test_scales_weigh_the_same_however_many_logits_they_have() -> None:
    judged = [torch.full((1, 1, 4, 4), 0.5), torch.full((1, 1, 2, 2), 3.0)]
    assert fool(judged).item() == pytest.approx((0.5**2 + 2**2) / 2)
    real = [torch.full((1, 1, 4, 4), 1.0), torch.full((1, 1, 2, 2), 0.0)]
    assert tell_apart(real, judged).item() == pytest.approx((0.5**2 + 1 + 3**2) / 2)


def test_the_prior_is_a_standard_normal_distribution() -> None:
    code = 3 * draw(2, 4, 3, 5) - 1
    expected = 2 * kl_divergence(Normal(code, 1.0), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(prior_distance(code), expected)


class Known(Chance):
    """Chance whose draws are known beforehand."""

    def __init__(self, *draws: torch.Tensor) -> None:
        self.draws = list(draws)

    def normal(self, *shape: int) -> torch.Tensor:
        assert self.draws[0].shape[1:] == shape
        return self.draws.pop(0)


def test_the_losses_are_those_of_the_paper() -> None:
    """With networks that multiply: x has the code 2 x in the first domain, 4 x in the second.

    Noise n is added to the code of x, m to the code that is found again. Then x is rebuilt as
    x + n / 2, its translation is (2 x + n) / 4, found again as 2 x + n, and back it is
    x + (n + m) / 2; of slices y of the second domain likewise.
    """
    method = build()
    factor = {"first": 2, "second": 4}
    method.encode = lambda slices, side: factor[side] * slices
    method.decode = lambda code, side: code / factor[side]
    method.judge_first.forward = lambda slices: [slices, torch.full((3,), 3.0)]
    method.judge_second.forward = lambda slices: [2 * slices]
    x, y, n, m, o, p = (2 * draw(2, 1, 8, 8, seed=seed) - 1 for seed in range(6))
    terms, made = method.teach_generators(Pair(first=x, second=y, chance=Known(n, m, o, p)))
    expected = {
        "adversarial": (
            1,
            ((2 * (2 * x + n) / 4 - 1) ** 2).mean()
            + ((((4 * y + o) / 2 - 1) ** 2).mean() + (3 - 1) ** 2) / 2,
        ),
        "image": (10, (n / 2).abs().mean() + (o / 4).abs().mean()),
        "cycle": (10, ((n + m) / 2).abs().mean() + ((o + p) / 4).abs().mean()),
        "content": (1, n.abs().mean() + o.abs().mean()),
        "kl": (
            0.01,
            sum((z**2).mean() for z in (2 * x, 2 * x + n, 4 * y, 4 * y + o)),
        ),
    }
    assert terms.keys() == expected.keys()
    for name, (weight, term) in expected.items():
        assert terms[name][0] == weight, name
        torch.testing.assert_close(terms[name][1], term, msg=name)
    torch.testing.assert_close(made.second, (2 * x + n) / 4)
    torch.testing.assert_close(made.first, (4 * y + o) / 2)


def test_the_discriminators_are_taught_that_real_slices_are_1_and_translated_ones_0() -> None:
    """By judges that take a slice itself for their logits, at one scale."""
    method = build()
    method.judge_first.forward = method.judge_second.forward = lambda slices: [slices]
    x, y, to_first, to_second = (draw(2, 1, 8, 8, seed=seed) for seed in range(4))
    pair, made = Pair(first=x, second=y, chance=Known()), Made(second=to_second, first=to_first)
    terms = method.teach_discriminators(pair, made)
    squares = (x - 1) ** 2 + to_first**2 + (y - 1) ** 2 + to_second**2
    assert terms.keys() == {"discriminator"}
    assert terms["discriminator"][0] == 1
    torch.testing.assert_close(terms["discriminator"][1], squares.mean())


def test_codes_vary_by_one_in_training_and_not_in_translation() -> None:
    method = build(batch=1)
    means, codes = [], []
    encode, decode = method.encode, method.decode
    method.encode = lambda slices, side: means.append(encode(slices, side)) or means[-1]
    method.decode = lambda code, side: codes.append(code) or decode(code, side)
    method.step(batch(64, 64))
    noise = codes[0] - means[0]  # of a pair's first slice: 32 channels of 16 x 16
    assert noise.mean().item() == pytest.approx(0, abs=5 / math.sqrt(noise.numel()))
    assert noise.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * noise.numel()))
    assert torch.equal(codes[0], codes[1])  # it is rebuilt and translated of one code
    means.clear(), codes.clear()
    method.translate(draw(1, 1, 16, 16), *PAIRED)
    assert torch.equal(codes[0], means[0])


@pytest.mark.parametrize(("target", "source"), [(0, "second"), (1, "first")])
def test_a_translation_goes_from_one_domains_encoder_to_the_others_decoder(target, source) -> None:
    method = build(trained=False)
    end = ("first", "second")[target]
    idle = [f"encoder_{end}", f"decoder_{source}"]
    for name in idle:  # what doesn't take part may be anything
        for parameter in method.exported[name].parameters():
            parameter.data.fill_(math.nan)
    slices = draw(1, 1, 16, 24)
    with torch.no_grad():
        found = method.translate(slices, PAIRED[1 - target], PAIRED[target])
        code = method.encode(2 * slices - 1, source)
        expected = (method.decode(code, end) + 1) / 2
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("levels", "scales", "side"), [(4, 3, 128), (2, 3, 32), (2, 1, 8)])
def test_the_smallest_slices_leave_two_logits_a_side(levels, scales, side) -> None:
    """Each level and each scale after the first halves the sides."""
    changes = {"discriminator_levels": levels, "scales": scales, "batch": 1}
    method = build(**changes)
    assert method.config.smallest_side == side
    assert method.judge_first(draw(1, 1, side, side))[-1].shape == (1, 1, 2, 2)
    assert torch.isfinite(method.step(batch(side, side)).change)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scales": 0}, "scales = 0: at least 1"),
        ({"shared_blocks": 0}, "shared_blocks = 0: at least 1"),
        ({"discriminator_levels": 1}, "discriminator_levels = 1: at least 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said) -> None:
    with pytest.raises(ConfigError, match=said):
        UnitConfig(**changes)
