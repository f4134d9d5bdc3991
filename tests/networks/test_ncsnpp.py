"""NCSN++: the paper's size, its blocks by hand, and what its guess depends on."""

import pytest
import torch
import torch.nn.functional as F

from i2igalip_cli.networks.ncsnpp import (
    AdaptiveGroupNorm,
    Attention,
    NcsnPP,
    ResidualBlock,
    count_groups,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shake(network: torch.nn.Module, seed: int = 3) -> torch.nn.Module:
    """Away from the zeros with which it begins."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def small() -> NcsnPP:
    return NcsnPP(8, (1, 2, 2), 1, (2,), latent=5, style=6)


def inputs(number: int = 3, sides=(8, 12)) -> dict[str, torch.Tensor]:
    return {
        "noisy": draw(number, 1, *sides, seed=1),
        "source": draw(number, 1, *sides, seed=2),
        "step": torch.arange(number) % 4,
        "latent": draw(number, 5, seed=3),
    }


def test_the_papers_size() -> None:
    """39.7 M in Table 3."""
    with torch.device("meta"):
        network = NcsnPP()
    assert sum(p.numel() for p in network.parameters()) // 100_000 == 397


@pytest.mark.parametrize(
    ("channels", "groups"), [(4, 1), (12, 3), (64, 16), (128, 32), (384, 32), (200, 25), (7, 1)]
)
def test_groups_have_four_channels_at_least_and_are_32_at_most(channels, groups) -> None:
    assert count_groups(channels) == groups


def test_a_norm_by_a_style_is_its_formula() -> None:
    norm = shake(AdaptiveGroupNorm(8, 6))
    x, style = draw(2, 8, 3, 5), draw(2, 6, seed=1)
    grouped = x.reshape(2, 2, -1)  # two groups of four channels
    mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, correction=0)
    normed = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
    affine = style @ norm.affine.weight.T + norm.affine.bias
    scale, shift = affine[:, :8, None, None], affine[:, 8:, None, None]
    torch.testing.assert_close(norm(x, style), (1 + scale) * normed + shift)


def test_attention_is_its_formula() -> None:
    layer = shake(Attention(8))
    x = draw(2, 8, 3, 5)
    h = F.group_norm(x, 2, layer.norm.weight, layer.norm.bias, 1e-6).flatten(2)  # (N, C, HW)

    def through(dense: torch.nn.Conv2d, tokens: torch.Tensor) -> torch.Tensor:
        return dense.weight[:, :, 0, 0] @ tokens + dense.bias[:, None]

    query, key, value = (through(d, h) for d in (layer.query, layer.key, layer.value))
    weights = torch.softmax(query.transpose(1, 2) @ key / 8**0.5, dim=2)
    out = through(layer.out, value @ weights.transpose(1, 2)).reshape(x.shape)
    torch.testing.assert_close(layer(x), (x + out) / 2**0.5)


@pytest.mark.parametrize(("direction", "factor"), [("none", 1), ("down", 0.5), ("up", 2)])
def test_a_block_changes_sides_and_width(direction, factor) -> None:
    out = ResidualBlock(8, 16, 4, 6, direction)(draw(2, 8, 6, 10), draw(2, 4), draw(2, 6))
    assert out.shape == (2, 16, 6 * factor, 10 * factor)


def test_the_first_guess_is_grey() -> None:
    assert torch.equal(small()(**inputs()), torch.zeros(3, 1, 8, 12))


@pytest.mark.parametrize("sides", [(4, 4), (8, 12), (20, 4)])
def test_any_sides_that_the_levels_halve(sides) -> None:
    guess = shake(small())(**inputs(2, sides))
    assert guess.shape == (2, 1, *sides)
    assert guess.abs().max() < 1


def test_every_input_counts_and_each_slice_alone() -> None:
    network, given = shake(small()), inputs()
    together = network(**given)
    for name, values in given.items():
        other = network(**{**given, name: values.flip(0)})
        assert not torch.allclose(other[0], together[0], atol=1e-4), name
        # The middle slice was left as it is.
        torch.testing.assert_close(other[1], together[1], rtol=1e-4, atol=1e-5)


def test_a_latents_direction_counts_and_not_its_length() -> None:
    network, given = shake(small()), inputs()
    longer = network(**{**given, "latent": 3 * given["latent"]})
    torch.testing.assert_close(longer, network(**given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [2, 3])
def test_flipped_kernels_see_flipped_slices_alike(axis: int) -> None:
    """So nothing is shifted on the way down and up."""
    network, given = shake(small()), inputs()
    expected = network(**given).flip(axis)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.flip(axis)
    flipped = {n: v.flip(axis) if v.dim() == 4 else v for n, v in given.items()}
    torch.testing.assert_close(network(**flipped), expected, rtol=1e-4, atol=1e-5)
