"""The residual generator and the patch discriminator: sizes, and how far a logit sees."""

import pytest
import torch

from i2igalip_cli.networks.initialise import initialise_normal, seeded
from i2igalip_cli.networks.patch_discriminator import PatchDiscriminator
from i2igalip_cli.networks.resnet import ResnetGenerator


def convolution(inside: int, outside: int, side: int) -> int:
    """Weights and biases."""
    return inside * outside * side**2 + outside


def test_parameters_by_hand() -> None:
    ends = convolution(1, 64, 7) + convolution(64, 1, 7)
    halvings = convolution(64, 128, 3) + convolution(128, 256, 3)
    doublings = convolution(256, 128, 3) + convolution(128, 64, 3)
    blocks = 9 * 2 * convolution(256, 256, 3)
    generator = ResnetGenerator()
    assert sum(p.numel() for p in generator.parameters()) == ends + halvings + doublings + blocks
    judge = PatchDiscriminator()
    layers = ((1, 64), (64, 128), (128, 256), (256, 512), (512, 1))
    assert sum(p.numel() for p in judge.parameters()) == sum(
        convolution(*widths, 4) for widths in layers
    )


@pytest.mark.parametrize("sides", [(8, 8), (16, 40), (64, 24)])
def test_slices_keep_their_sides_and_lie_in_the_range_of_tanh(sides) -> None:
    with seeded(0):
        generator = ResnetGenerator(width=4, blocks=1)
    out = generator(2 * torch.rand(2, 1, *sides) - 1)
    assert out.shape == (2, 1, *sides)
    assert out.abs().max() <= 1


def test_a_logit_sees_seventy_pixels() -> None:
    """Without norms, which see everything, the middle logit's slope reaches 70 x 70 pixels."""
    judge = PatchDiscriminator(width=2)
    judge.layers = torch.nn.Sequential(
        *(m for m in judge.layers if not isinstance(m, torch.nn.InstanceNorm2d))
    )
    slices = torch.rand(1, 1, 160, 160, requires_grad=True)
    logits = judge(slices)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    seen = slices.grad[0, 0].ne(0)
    assert int(seen.any(dim=1).sum()) == 70
    assert int(seen.any(dim=0).sum()) == 70


def test_networks_begin_as_a_seed_and_a_deviation_say() -> None:
    with seeded(1):
        one = PatchDiscriminator(width=16)
    with seeded(1):
        two = PatchDiscriminator(width=16)
    assert torch.equal(one.layers[0].weight, two.layers[0].weight)
    initialise_normal(one, two, deviation=0.02)
    for network in (one, two):
        weights = torch.cat([p.flatten() for n, p in network.named_parameters() if "weight" in n])
        assert abs(weights.std() - 0.02) < 0.002
        assert all(p.eq(0).all() for n, p in network.named_parameters() if "bias" in n)
