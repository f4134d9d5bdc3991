"""The projected heads: the paper's size, and samples that don't see each other."""

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
