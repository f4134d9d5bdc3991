"""U-GAT-IT's networks against formulas of the paper, and against a layer by hand."""

import pytest
import torch
from torch import nn

from i2igalip_cli.networks.initialise import seeded
from i2igalip_cli.networks.ugatit import ClassAttention, MixedNorm, UgatitGenerator, normalise
from i2igalip_cli.networks.ugatit_discriminator import SpectralNorm, UgatitDiscriminators


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small(size: int | None) -> UgatitGenerator:
    with seeded(1):
        return UgatitGenerator(width=8, blocks=1, size=size)


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_a_norm_mixes_statistics_of_channels_and_of_the_whole(rho) -> None:
    """Eq. 1 written out: a_I and a_L have the mean and variance of (H, W) and of (C, H, W)."""
    x, gamma, beta = 3 + 2 * drawn(2, 4, 5, 7), drawn(2, 4, seed=1), drawn(2, 4, seed=2)
    found = normalise(x, torch.full((4,), rho), gamma, beta)
    for n in range(2):
        of_all = (x[n] - x[n].mean()) / (x[n].var(unbiased=False) + 1e-5).sqrt()
        for c in range(4):
            one = x[n, c]
            of_one = (one - one.mean()) / (one.var(unbiased=False) + 1e-5).sqrt()
            expected = gamma[n, c] * (rho * of_one + (1 - rho) * of_all[c]) + beta[n, c]
            torch.testing.assert_close(found[n, c], expected, rtol=1e-4, atol=1e-5)


def test_attention_weighs_channels_by_what_classifies_them() -> None:
    """By hand: two channels, one of which speaks for the domain."""
    attention = ClassAttention(2)
    x = torch.tensor([[[[1.0, 3.0]], [[2.0, 8.0]]]])  # means 2 and 5, largest 3 and 8
    with torch.no_grad():
        attention.of_mean.weight.copy_(torch.tensor([[1.0, 0.0]]))
        attention.of_largest.weight.copy_(torch.tensor([[0.0, 10.0]]))
        attention.mix.weight.copy_(torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]])[:, :, None, None])
        attention.mix.bias.copy_(torch.tensor([0.0, 5.0]))
        weighed, logits = attention(x)
    torch.testing.assert_close(logits, torch.tensor([[2.0, 80.0]]))
    # Concatenated (1, 3), 0, 0, (20, 80): the first row adds the outer two, the second the rest.
    torch.testing.assert_close(weighed, torch.tensor([[[[21.0, 83.0]], [[5.0, 5.0]]]]))


def test_the_light_variant_takes_any_sides_and_the_full_one_sees_places() -> None:
    light, full = small(None), small(16)
    for network, height, width in ((light, 20, 28), (light, 16, 16), (full, 16, 16)):
        slices = drawn(2, 1, height, width).tanh()
        translated, logits = network(slices)
        assert translated.shape == slices.shape
        assert logits.shape == (2, 2)
        assert translated.abs().max() <= 1
    features = drawn(1, 32, 4, 4).relu()
    for network, same in ((light, True), (full, False)):
        scale, _ = network.modulation(features)
        turned, _ = network.modulation(features.flip(3))
        assert torch.allclose(scale, turned, rtol=1e-4, atol=1e-6) is same


def test_shares_begin_at_the_papers_and_are_clipped() -> None:
    """0.9 in the residual blocks, 0 where sides are doubled; never outside of [0, 1]."""
    generator = small(None)
    blocks = [norm for block in generator.decoder for norm in block.norms]
    doubled = [m for m in generator.head.modules() if isinstance(m, MixedNorm)]
    assert len(blocks) == 2
    assert len(doubled) == 2
    assert all((norm.rho == 0.9).all() for norm in blocks)
    assert all((norm.rho == 0).all() for norm in doubled)
    with torch.no_grad():
        blocks[0].rho.add_(0.5)
        doubled[1].rho.sub_(0.5)
        doubled[0].rho.add_(0.25)
    generator.clip_shares()
    assert (blocks[0].rho == 1).all()
    assert (doubled[1].rho == 0).all()
    assert (doubled[0].rho == 0.25).all()


def test_a_spectral_norm_is_the_largest_singular_value_and_iterates_on_demand_alone() -> None:
    weight = drawn(6, 2, 3, 3)
    with seeded(0):
        norm = SpectralNorm(weight)
    before = norm.left.clone()
    norm.train()(weight)
    assert torch.equal(norm.left, before)
    for _ in range(300):
        norm.iterate(weight)
    largest = torch.linalg.matrix_norm(weight.flatten(1), 2)
    torch.testing.assert_close(norm(weight), weight / largest, rtol=1e-4, atol=1e-5)


def test_discriminators_judge_the_patches_that_their_layers_see() -> None:
    """7 layers halve five times and 5 three times; the last two take a pixel each.

    So of 160 pixels 160 / 32 - 2 = 3 and 160 / 8 - 2 = 18 logits are left, of 96 pixels 1 and 10.
    """
    with seeded(0):
        judges = UgatitDiscriminators(width=2)
    shapes = [tuple(logits.shape) for logits in judges(drawn(2, 1, 160, 96).tanh())]
    assert shapes == [(2, 1, 3, 1), (2, 2), (2, 1, 18, 10), (2, 2)]


def test_every_layer_of_a_discriminator_but_the_mixing_has_the_norm_1() -> None:
    with seeded(0):
        judges = UgatitDiscriminators(width=4, global_layers=4, local_layers=3)
    for _ in range(300):
        judges.iterate_norms()
    layers = {n: m for n, m in judges.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert len(layers) == 4 + 3 + 3 + 3  # convolutions; of each attention two classifiers, a mixer
    for name, layer in layers.items():
        value = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
        assert (value == pytest.approx(1, rel=1e-3)) is ("mix" not in name), name


def test_a_flat_slice_stays_flat() -> None:
    """Reflected borders add no edge, whatever the weights are; zeros would."""
    translated, _ = small(None)(torch.full((1, 1, 24, 24), 0.5))
    assert translated.std() < 1e-3
