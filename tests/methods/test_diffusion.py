"""Laws of diffusion in steps: closed forms, Bayes, and Song's continuous process in its limit."""

import math

import pytest
import torch

from i2igalip_cli.methods.diffusion import Schedule, large_betas, linear_betas

SCHEDULES = [linear_betas(), linear_betas(50), large_betas(), large_betas(1), large_betas(7, 1, 9)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def all_steps(schedule: Schedule) -> torch.Tensor:
    return torch.arange(len(schedule))


def test_small_steps_grow_evenly_from_the_papers_first_to_its_last() -> None:
    betas = linear_betas()
    assert betas[0] == pytest.approx(1e-4)
    assert betas[-1] == pytest.approx(0.02)
    torch.testing.assert_close(betas.diff(), torch.full((999,), 0.0199 / 999, dtype=betas.dtype))


def test_fewer_small_steps_end_with_about_as_much_noise() -> None:
    """The mean of the betas is 0.01005, so about exp(-10.05) of the power is left."""
    for steps in (1000, 500, 250):
        left = torch.prod(1 - linear_betas(steps))
        assert -math.log(left) == pytest.approx(10.05, rel=0.05)


def test_four_large_steps_leave_the_signal_that_song_says() -> None:
    """exp(-0.1 t - 9.95 t^2) at t = 1/4, 1/2, 3/4 and 1."""
    left = torch.cumprod(1 - large_betas(), dim=0)
    exponents = [0.025 + 0.621875, 0.05 + 2.4875, 0.075 + 5.596875, 0.1 + 9.95]
    torch.testing.assert_close(left.log(), -torch.tensor(exponents, dtype=left.dtype))


def test_many_large_steps_are_the_small_ones() -> None:
    """Ho's betas from 1e-4 to 0.02 are Song's process from 0.1 to 20, cut into 1000."""
    torch.testing.assert_close(large_betas(1000), linear_betas(), rtol=0, atol=2.5e-4)


@pytest.mark.parametrize("betas", SCHEDULES, ids=len)
def test_noise_at_once_is_noise_in_steps(betas) -> None:
    """One step further: the signal and the noise's variance are those of the closed form."""
    schedule = Schedule(betas)
    step = all_steps(schedule)
    clean, noise = torch.ones(len(step), 1, 1, 1), torch.ones(len(step), 1, 1, 1)
    nothing = torch.zeros_like(clean)
    before = schedule.add_noise(clean, step - 1, nothing)
    signal = schedule.add_noise(clean, step, nothing)
    torch.testing.assert_close(schedule.go_on(before, step, nothing), signal)
    old = schedule.go_on(schedule.add_noise(nothing, step - 1, noise), step, nothing)
    new = schedule.go_on(nothing, step, noise)
    added = schedule.add_noise(nothing, step, noise)
    torch.testing.assert_close(old**2 + new**2, added**2, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(signal**2 + added**2, torch.ones_like(added))


def test_before_the_first_step_a_slice_is_clean() -> None:
    clean = draw(3, 1, 4, 5)
    noisy = Schedule(large_betas()).add_noise(clean, torch.tensor([-1, 0, -1]), draw(3, 1, 4, 5))
    assert torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[2], clean[2])
    assert not torch.allclose(noisy[1], clean[1], atol=0.1)


def test_each_slice_has_its_own_step() -> None:
    schedule = Schedule(large_betas())
    clean, noise, step = draw(3, 1, 4, 5), draw(3, 1, 4, 5, seed=1), torch.tensor([2, 0, 3])
    together = schedule.add_noise(clean, step, noise)
    for n in range(3):
        one = slice(n, n + 1)
        alone = schedule.add_noise(clean[one], step[one], noise[one])
        torch.testing.assert_close(alone, together[one])


def test_known_noise_gives_the_clean_slice_back() -> None:
    schedule = Schedule(linear_betas(200))
    clean, noise = draw(3, 1, 4, 5), draw(3, 1, 4, 5, seed=1)
    step = torch.tensor([0, 60, 120])
    noisy = schedule.add_noise(clean, step, noise)
    torch.testing.assert_close(schedule.find_clean(noisy, step, noise), clean, rtol=0, atol=1e-4)


@pytest.mark.parametrize("betas", SCHEDULES, ids=len)
def test_a_step_back_is_what_bayes_says(betas) -> None:
    """The product of two normal densities: precisions add up, and means by precision."""
    schedule = Schedule(betas)
    step = all_steps(schedule)[1:]
    clean, noisy = draw(len(step), 1, 2, 3), draw(len(step), 1, 2, 3, seed=1)
    mean, variance = schedule.step_back(clean, noisy, step)
    exact = betas[1:, None, None, None]
    left = torch.cumprod(1 - betas, dim=0)[:-1, None, None, None]
    known, seen = 1 / (1 - left), (1 - exact) / exact  # precisions of what was before the step
    expected = known * left.sqrt() * clean + seen * noisy / (1 - exact).sqrt()
    torch.testing.assert_close(variance, (1 / (known + seen)).float(), rtol=2e-3, atol=1e-7)
    torch.testing.assert_close(mean, (expected / (known + seen)).float(), rtol=2e-3, atol=1e-4)


def test_the_last_step_back_gives_the_clean_slice_itself() -> None:
    schedule = Schedule(large_betas())
    clean = draw(2, 1, 4, 5)
    mean, variance = schedule.step_back(clean, draw(2, 1, 4, 5, seed=1), torch.tensor([0, 0]))
    torch.testing.assert_close(mean, clean)
    assert torch.equal(variance, torch.zeros(2, 1, 1, 1))


@pytest.mark.parametrize("betas", SCHEDULES, ids=len)
def test_steps_back_from_noise_end_in_the_distribution_of_steps_forth(betas) -> None:
    """For a known clean slice: its mean and variance before each step, from those after it."""
    schedule = Schedule(betas)
    step = all_steps(schedule)
    clean, nothing = torch.ones(len(step), 1, 1, 1), torch.zeros(len(step), 1, 1, 1)
    noisy = schedule.add_noise(clean, step, nothing)
    mean, variance = schedule.step_back(clean, noisy, step)
    expected = schedule.add_noise(clean, step - 1, nothing)
    torch.testing.assert_close(mean, expected, rtol=2e-3, atol=1e-5)
    of_noisy = schedule.step_back(nothing, clean, step)[0]
    after = schedule.add_noise(nothing, step, clean) ** 2
    before = schedule.add_noise(nothing, step - 1, clean) ** 2
    torch.testing.assert_close(of_noisy**2 * after + variance, before, rtol=2e-3, atol=1e-6)


def test_a_schedule_is_no_state() -> None:
    assert not Schedule(large_betas()).state_dict()
