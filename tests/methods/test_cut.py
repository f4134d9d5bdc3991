"""CUT: patches are likest to their own source's."""

import math

import pytest
import torch
from conftest import tiny_config

from i2igalip_cli.config import CutConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods.__main__ import EncoderSizes
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.cut import Cut, patch_contrast


def build(**changes) -> Cut:
    config = tiny_config(method="cut", **changes)
    return Cut(config, [DOMAINS["T1"], DOMAINS["T2"]], torch.eye(2, 8), None, EncoderSizes())


def test_the_contrast_of_patches_by_hand() -> None:
    """Three places with features at right angles: the logits are 1 / t for itself, 0 for others."""
    features = torch.eye(3)[None].repeat(2, 1, 1)
    expected = math.log(math.exp(1 / 0.5) + 2) - 1 / 0.5
    assert patch_contrast(features, features, 0.5) == pytest.approx(expected)
    # Each place is likest to another one: its own logit is 0.
    turned = features.roll(1, dims=1)
    assert patch_contrast(features, turned, 0.5) == pytest.approx(expected + 1 / 0.5)


def test_slices_of_a_batch_are_no_negatives_of_each_other() -> None:
    draw = torch.Generator().manual_seed(0)
    one, two = (
        torch.nn.functional.normalize(torch.randn(2, 5, 4, generator=draw), dim=2) for _ in range(2)
    )
    alone = [patch_contrast(one[n : n + 1], two[n : n + 1], 0.07) for n in range(2)]
    assert patch_contrast(one, two, 0.07) == pytest.approx(float(sum(alone)) / 2)


def test_a_translation_that_is_its_source_contrasts_best() -> None:
    method = build(patches=32)
    draw = torch.Generator().manual_seed(1)
    given, other = (2 * torch.rand(2, 1, 32, 24, generator=draw) - 1 for _ in range(2))
    chances = [Chance(torch.tensor([3, 4]), torch.device("cpu")) for _ in range(2)]
    same = method._contrast(given, given, chances[0])
    strange = method._contrast(other, given, chances[1])
    assert same < strange


def test_sources_teach_nothing_and_translations_do() -> None:
    method = build()
    given = torch.rand(1, 1, 32, 24, requires_grad=True)
    made = torch.rand(1, 1, 32, 24, requires_grad=True)
    method._contrast(made, given, Chance(torch.tensor([1]), torch.device("cpu"))).backward()
    assert given.grad is None
    assert made.grad.abs().sum() > 0


def test_features_have_the_channels_that_are_projected() -> None:
    """The slice itself, both halvings (2 and 4 times the width), residual blocks."""
    method = build(blocks=2, layers=(0, 2, 3, 4, 5))
    generator = method.exported["generator"]
    maps = generator.features(torch.zeros(1, 1, 32, 24), [0, 2, 3, 4, 5])
    assert [tuple(m.shape[1:]) for m in maps] == [
        (1, 32, 24),
        (16, 16, 12),
        (32, 8, 6),
        (32, 8, 6),
        (32, 8, 6),
    ]
    assert [m.shape[1] for m in maps] == method._channels()


@pytest.mark.parametrize("layers", [(), (0, 2, 2), (-1, 2), (0, 13)])
def test_layers_that_a_generator_has_not_are_refused(layers) -> None:
    with pytest.raises(ConfigError, match="some from 0 to 12"):
        CutConfig(layers=layers)
