"""What is drawn belongs to a pair, or to all slices alike; the global state stays."""

import torch

from i2igalip_cli.methods.chance import Chance, Noise

CPU = torch.device("cpu")


def test_a_pair_draws_the_same_in_any_batch() -> None:
    together = Chance(torch.tensor([5, 6, 7]), CPU)
    alone = [Chance(torch.tensor([seed]), CPU) for seed in (5, 6, 7)]
    for draw in (
        lambda c: c.normal(2, 3),
        lambda c: c.uniform(4),
        lambda c: c.integers(9),
        lambda c: c.normal(2, 3),  # goes on, and doesn't begin again
    ):
        assert torch.equal(draw(together), torch.cat([draw(one) for one in alone]))


def test_draws_have_their_distributions() -> None:
    chance = Chance(torch.tensor([1, 2]), CPU)
    normal, uniform = chance.normal(20_000), chance.uniform(20_000)
    whole = chance.integers(4, 20_000)
    assert normal.mean().abs() < 0.02
    assert abs(normal.std() - 1) < 0.02
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert whole.unique().tolist() == [0, 1, 2, 3]
    assert not torch.equal(normal[0], normal[1])


def test_noise_is_alike_for_all_slices_and_goes_on() -> None:
    like = torch.zeros(3, 1, 4, 5)
    noise, again = Noise(8, CPU), Noise(8, CPU)
    first, second = noise.normal(like), noise.normal(like)
    assert first.shape == like.shape
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first, second)
    assert torch.equal(again.normal(like[:1])[0], first[0])
    assert not torch.equal(Noise(9, CPU).normal(like), first)


def test_the_global_random_state_stays() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Chance(torch.tensor([1]), CPU).normal(5)
    Noise(1, CPU).normal(torch.zeros(1, 2))
    assert torch.equal(torch.rand(2), expected)
