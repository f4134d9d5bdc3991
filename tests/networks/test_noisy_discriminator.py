"""The discriminator of steps: the paper's size, and slices that don't see each other."""

import pytest
import torch

from i2igalip_cli.networks.noisy_discriminator import NoisyDiscriminator, append_deviation


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(levels: int = 3) -> NoisyDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NoisyDiscriminator(width=2, levels=levels, time=8)


def inputs(sides=(17, 12)) -> dict[str, torch.Tensor]:
    before, noisy = (draw(3, 1, *sides, seed=seed) for seed in (1, 2))
    return {"before": before, "noisy": noisy, "step": torch.tensor([0, 1, 3])}


def test_the_papers_size() -> None:
    """27.7 M in Table 3."""
    with torch.device("meta"):
        network = NoisyDiscriminator()
    assert sum(p.numel() for p in network.parameters()) // 100_000 == 277


def test_every_input_counts_and_each_slice_alone() -> None:
    network, given = small(), inputs()
    together = network(**given)
    assert together.shape == (3,)
    for name, values in given.items():
        other = network(**{**given, name: values.flip(0)})
        assert not torch.allclose(other[0], together[0], rtol=1e-3), name
        torch.testing.assert_close(other[1], together[1])
    alone = torch.cat([network(**{k: v[n : n + 1] for k, v in given.items()}) for n in range(3)])
    torch.testing.assert_close(alone, together)


@pytest.mark.parametrize("sides", [(1, 1), (2, 24), (32, 24), (5, 3)])
def test_six_levels_stop_where_a_side_is_one(sides) -> None:
    assert small(levels=6)(**inputs(sides)).isfinite().all()


def test_halving_is_told_by_the_last_map() -> None:
    """32 x 24 is 4 x 3 after three levels, and stays 2 x 1 after five and more."""
    for levels, expected in ((3, (4, 3)), (5, (2, 1)), (6, (2, 1))):
        network = small(levels)
        seen = []
        network.last.register_forward_hook(lambda m, given, out, seen=seen: seen.append(out.shape))
        network(**inputs((32, 24)))
        assert tuple(seen[0][2:]) == expected


def test_the_deviation_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).reshape(1, 2, 1, 2)
    # channels: deviations 1 and 0; their mean is 0.5 (and sqrt(1e-8) / 2 for the second)
    with_channel = append_deviation(torch.cat([x, 3 * x]))
    torch.testing.assert_close(with_channel[:, :2], torch.cat([x, 3 * x]))
    expected = torch.tensor([0.5, 1.5])[:, None, None].expand(2, 1, 2)
    torch.testing.assert_close(with_channel[:, 2], expected, rtol=1e-3, atol=0)
