"""The score model is of the paper's size; it and the classifier know slice and step."""

import pytest
import torch

from i2igalip_cli.config import EgsdeConfig, TimedUnetConfig
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.networks.initialise import seeded
from i2igalip_cli.networks.score_unet import (
    DomainClassifier,
    PixelAttention,
    ScoreUnet,
    TimedBlock,
    TimedEncoder,
)

SMALL = TimedUnetConfig(
    width=8,
    multipliers=(1, 2, 3),
    residual_blocks=2,
    attention_reductions=(2,),
    head_width=8,
    norm_groups=4,
)


def stirred(kind, *arguments):
    """A network whose layers all have a part: none begins at zero."""
    with seeded(0):
        network = kind(*arguments)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.2 * torch.randn(parameter.shape)
    return network.requires_grad_(False)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_papers_size() -> None:
    """Table 3: 164 M a domain, 657.2 M for four."""
    with torch.device("meta"):
        model = ScoreUnet(EgsdeConfig().score)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert 164e6 <= count < 165e6
    assert 4 * count == pytest.approx(657.2e6, rel=5e-4)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (20, 12), (8, 28)])
def test_any_sides_that_are_multiples_will_do(height, width) -> None:
    noisy, step = draw(2, 1, height, width), torch.tensor([0, 999])
    assert stirred(ScoreUnet, SMALL)(noisy, step).shape == noisy.shape
    classifier = stirred(DomainClassifier, SMALL)
    assert classifier.features(noisy, step).shape == (2, 24, height // 4, width // 4)
    assert classifier(noisy, step).shape == (2, 2)


@pytest.mark.parametrize("kind", [ScoreUnet, DomainClassifier])
def test_what_is_found_depends_on_slice_and_step_alone(kind) -> None:
    network = stirred(kind, SMALL)
    noisy, step = draw(2, 1, 12, 8), torch.tensor([3, 700])
    out = network(noisy, step)
    assert not torch.allclose(network(noisy, step.flip(0)), out, atol=1e-3)
    assert not torch.allclose(network(noisy + 0.5, step), out, atol=1e-3)
    torch.testing.assert_close(network(noisy[1:], step[1:]), out[1:], rtol=1e-4, atol=1e-5)


def test_a_new_score_model_finds_no_noise() -> None:
    out = ScoreUnet(SMALL)(draw(1, 1, 8, 8), torch.tensor([500]))
    assert torch.equal(out, torch.zeros(1, 1, 8, 8))


def test_new_blocks_change_nothing() -> None:
    x, embedding = draw(2, 8, 4, 4), draw(2, 5)
    assert torch.equal(TimedBlock(8, 8, 5, 4)(x, embedding), x)
    assert torch.equal(PixelAttention(8, 4, 4)(x), x)


def test_the_step_scales_and_shifts_the_second_norm() -> None:
    """Scaled by 1 - 1 nothing of the slice is left, and only the shift is seen."""
    block = stirred(TimedBlock, 8, 8, 5, 4)
    linear = block.modulation[1]
    linear.weight.zero_()
    linear.bias[:8], linear.bias[8:] = -1, torch.arange(8.0)
    first, second = draw(1, 8, 4, 4), draw(1, 8, 4, 4, seed=1)
    added = block(first, draw(1, 5)) - first
    torch.testing.assert_close(block(second, draw(1, 5)) - second, added)
    shift = torch.arange(8.0)[None, :, None, None].expand(1, 8, 4, 4)
    torch.testing.assert_close(added, block.second(shift))


def test_attention_knows_no_places() -> None:
    """Pixels in another order come out in that order."""
    attention = stirred(PixelAttention, 8, 4, 4)
    x, order = draw(2, 8, 1, 15), torch.randperm(15, generator=torch.Generator().manual_seed(1))
    out = attention(x)
    assert not torch.allclose(out, x, atol=1e-2)
    torch.testing.assert_close(attention(x[..., order]), out[..., order])


def test_the_way_down_halves_and_widens() -> None:
    encoder = stirred(TimedEncoder, SMALL)
    deepest, maps, embedding = encoder(draw(1, 1, 16, 8), torch.tensor([1]))
    # The first convolution, then two blocks a level and a halving between levels.
    sides = [(16, 8)] * 3 + [(8, 4)] * 3 + [(4, 2)] * 3
    widths = [8, 8, 8, 8, 16, 16, 16, 24, 24]
    assert [tuple(x.shape) for x in maps] == [
        (1, c, *side) for c, side in zip(widths, sides, strict=True)
    ]
    assert encoder.widths == widths
    assert deepest.shape == (1, 24, 4, 2)
    assert embedding.shape == (1, 32)


def test_the_classifier_judges_by_the_mean_of_its_features() -> None:
    classifier = stirred(DomainClassifier, SMALL, 3)
    noisy, step = draw(2, 1, 8, 8), torch.tensor([3, 4])
    mean = classifier.features(noisy, step).flatten(2).mean(dim=2)
    expected = mean @ classifier.judge.weight.T + classifier.judge.bias
    torch.testing.assert_close(classifier(noisy, step), expected)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("width", 0),
        ("width", 9),
        ("residual_blocks", 0),
        ("multipliers", ()),
        ("multipliers", (1, 0)),
        ("norm_groups", 3),
        ("norm_groups", 0),
        ("head_width", 5),
        ("attention_reductions", (3,)),
        ("attention_reductions", (64,)),
    ],
)
def test_sizes_no_network_can_have_are_refused(setting, value) -> None:
    with pytest.raises(ConfigError, match=setting):
        TimedUnetConfig(**{"width": 32, "head_width": 8, setting: value})
