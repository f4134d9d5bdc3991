"""The projected heads: the paper's size, and samples that don't see each other."""

import pytest
import torch

from i2igalip_cli.config import HeadConfig
from i2igalip_cli.networks.discriminator import Discriminator


def test_the_papers_size_a_domain() -> None:
    heads = Discriminator(1, 768, 512, HeadConfig())
    assert sum(p.numel() for p in heads.parameters()) == 23_939_584


def small(domains: int = 3) -> Discriminator:
    return Discriminator(domains, 12, 6, HeadConfig(blocks=(0, 1), kernel=3, projection=4), seed=1)


def inputs(number: int):
    draw = torch.Generator().manual_seed(0)
    patches = [torch.randn(number, 9, 12, generator=draw) for _ in range(2)]
    return patches, torch.randn(number, 6, generator=draw)


def test_each_slice_is_judged_alone_by_its_own_domain_in_its_own_place() -> None:
    heads = small().eval()
    patches, captions = inputs(5)
    domains = torch.tensor([2, 0, 1, 0, 2])
    together = heads(patches, captions, domains)
    assert together.shape == (5, 2 * 9)
    for n in range(5):
        alone = heads([p[n : n + 1] for p in patches], captions[n : n + 1], domains[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone)
    other = heads(patches, captions, torch.tensor([1, 0, 1, 0, 2]))
    assert not torch.allclose(other[0], together[0])
    torch.testing.assert_close(other[1:], together[1:])


def test_turning_the_tokens_in_a_circle_turns_the_logits() -> None:
    heads = small().eval()
    patches, captions = inputs(2)
    domains = torch.tensor([0, 1])
    first = heads(patches, captions, domains).reshape(2, 2, 9)
    turned = heads([p.roll(2, dims=1) for p in patches], captions, domains).reshape(2, 2, 9)
    torch.testing.assert_close(turned, first.roll(2, dims=2))


def test_the_caption_decides() -> None:
    heads = small().eval()
    patches, captions = inputs(1)
    domains = torch.tensor([0])
    one = heads(patches, captions, domains)
    assert not torch.allclose(one, heads(patches, captions + 1, domains))


def test_four_heads_on_a_grid_of_patches_judge_each_slice_alone() -> None:
    """ViT-B/16's 14 x 14 patches and four blocks, in a sixteenth of its width."""
    heads = Discriminator(2, 48, 32, HeadConfig(), seed=1)
    draw = torch.Generator().manual_seed(0)
    patches = [torch.randn(5, 196, 48, generator=draw) for _ in range(4)]
    captions, domains = torch.randn(5, 32, generator=draw), torch.tensor([1, 0, 1, 1, 0])
    together = heads(patches, captions, domains)
    assert together.shape == (5, 4 * 196)
    for n in range(5):
        alone = heads([p[n : n + 1] for p in patches], captions[n : n + 1], domains[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


def by_hand(head: torch.nn.Module, patches: torch.Tensor, caption: torch.Tensor) -> torch.Tensor:
    """Logits (L,) of one slice's patches (L, C): StyleGAN-T's head written as formulas."""

    def convolve(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        weight = layer.parametrizations.weight.original  # (C', C, K)
        u, v = (getattr(layer.parametrizations.weight[0], name) for name in ("_u", "_v"))
        weight = weight / (u @ weight.flatten(1) @ v)
        half = weight.shape[2] // 2
        turned = [x.roll(half - k, dims=0) @ weight[:, :, k].T for k in range(weight.shape[2])]
        return sum(turned) + layer.bias  # token l sees l - half .. l + half, in a circle

    def block(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        x = convolve(layers[0], x)
        x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()  # over this slice's tokens
        x = x * layers[1].weight + layers[1].bias
        return torch.where(x > 0, x, 0.2 * x)

    x = block(head.entry, patches)
    x = (block(head.residual, x) + x) / 2**0.5
    key = head.caption.weight @ caption + head.caption.bias
    return convolve(head.features, x) @ key / len(key) ** 0.5


@pytest.mark.parametrize("kernel", [1, 3, 9])
def test_a_head_is_its_formula(kernel: int) -> None:
    """Spectral norm, circular convolution, statistics of one slice, caption's projection."""
    config = HeadConfig(blocks=(0,), kernel=kernel, projection=4)
    heads = Discriminator(1, 12, 6, config, seed=2).double()
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    patches = torch.randn(3, 17, 12, generator=draw, dtype=torch.float64)
    captions = torch.randn(3, 6, generator=draw, dtype=torch.float64)
    head = heads.sets[0][0]
    judged = head(patches, captions)
    for n in range(3):
        torch.testing.assert_close(judged[n], by_hand(head, patches[n], captions[n]))


def test_gradients_are_those_of_finite_differences() -> None:
    """Of the tokens and of every weight of a head, in float64, the norms' vectors held still."""
    head = small().double().sets[0][0]
    draw = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 5, 12, generator=draw, dtype=torch.float64, requires_grad=True)
    captions = torch.randn(2, 6, generator=draw, dtype=torch.float64)
    names = [name for name, _ in head.named_parameters()]

    def judge(tokens: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        state = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(head, state, (tokens, captions))

    weights = [parameter.detach().clone().requires_grad_() for parameter in head.parameters()]
    assert torch.autograd.gradcheck(judge, [patches, *weights])


def test_gradients_of_grouped_slices_are_those_of_each_alone() -> None:
    heads = small()
    patches, captions = inputs(4)
    domains = torch.tensor([1, 0, 1, 2])
    tokens = [p.requires_grad_() for p in patches]
    together = torch.autograd.grad(heads(tokens, captions, domains).square().sum(), tokens)
    for n in range(4):
        one = [p[n : n + 1] for p in tokens]
        judged = heads(one, captions[n : n + 1], domains[n : n + 1])
        alone = torch.autograd.grad(judged.square().sum(), one)
        for grouped, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(grouped[n : n + 1], expected, rtol=1e-4, atol=1e-5)


def test_the_norms_iterate_on_demand_alone_and_find_the_largest_singular_value() -> None:
    heads = small()
    layer = heads.sets[0][0].residual[0]
    before = layer.parametrizations.weight[0]._u.clone()
    patches, captions = inputs(2)
    heads.train()(patches, captions, torch.tensor([0, 1]))
    assert torch.equal(layer.parametrizations.weight[0]._u, before)
    for _ in range(200):
        heads.iterate_norms()
    largest = torch.linalg.matrix_norm(layer.parametrizations.weight.original.flatten(1), 2)
    norm = layer.parametrizations.weight[0]
    found = norm._u @ layer.parametrizations.weight.original.flatten(1) @ norm._v
    torch.testing.assert_close(found, largest)
