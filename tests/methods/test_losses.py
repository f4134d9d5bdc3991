"""Losses have the values that their formulas give by hand."""

import pytest
import torch

from i2igalip_cli.methods import losses

UNIT = torch.eye(4)


@pytest.mark.parametrize(("logit", "expected"), [(1.0, 0.0), (0.0, 1.0), (3.0, 4.0)])
def test_the_generator_wants_its_slices_judged_one(logit, expected) -> None:
    assert losses.adversarial_generator(torch.full((2, 5), logit)) == expected


@pytest.mark.parametrize(
    ("real", "fake", "expected"), [(1.0, 0.0, 0.0), (0.0, 1.0, 2.0), (0.5, 0.5, 0.5)]
)
def test_the_discriminator_wants_one_and_zero(real, fake, expected) -> None:
    value = losses.adversarial_discriminator(torch.full((2, 5), real), torch.full((2, 5), fake))
    assert value == expected


@pytest.mark.parametrize("loss", [losses.cycle_consistency, losses.identity_preservation])
def test_l1_losses_are_the_mean_absolute_difference(loss) -> None:
    slices = torch.rand(2, 1, 4, 4)
    assert loss(slices, slices) == 0
    assert loss(slices + 0.25, slices) == pytest.approx(0.25)


@pytest.mark.parametrize(("other", "expected"), [(UNIT, -1.0), (-UNIT, 1.0), (UNIT.roll(1, 0), 0)])
def test_clip_alignment_is_minus_the_cosine(other, expected) -> None:
    assert losses.clip_alignment(UNIT, other) == expected


@pytest.mark.parametrize(("other", "expected"), [(3 * UNIT, 0), (-UNIT, 2), (UNIT.roll(1, 0), 1)])
def test_class_token_distance_is_one_minus_the_cosine(other, expected) -> None:
    assert losses.class_token_distance(UNIT, other) == pytest.approx(expected)


def test_the_paired_loss_counts_known_partners_only() -> None:
    slices, truth = torch.rand(4, 1, 3, 3), torch.rand(4, 1, 3, 3)
    truth[1] = slices[1] + 0.5
    truth[2] = slices[2] - 0.25
    known = torch.tensor([False, True, True, False])
    assert losses.paired_translation(slices, truth, known) == pytest.approx(0.75 / 4)
    assert losses.paired_translation(slices, truth, ~known & known) == 0


def logits(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


def test_adversarial_losses_by_hand() -> None:
    fake, real = logits([2.0, -1.0], [0.5, 1.0]), logits([0.0, 3.0])
    # ((2-1)^2 + (-1-1)^2 + (0.5-1)^2 + 0^2) / 4 = (1 + 4 + 0.25) / 4
    assert losses.adversarial_generator(fake) == pytest.approx(1.3125)
    # real: ((0-1)^2 + (3-1)^2) / 2 = 2.5; fake: (4 + 1 + 0.25 + 1) / 4 = 1.5625
    assert losses.adversarial_discriminator(real, fake) == pytest.approx(4.0625)


@pytest.mark.parametrize("loss", [losses.cycle_consistency, losses.identity_preservation])
def test_l1_losses_by_hand(loss) -> None:
    made = torch.tensor([[[[0.1, 0.9], [0.5, 0.0]]]])
    given = torch.tensor([[[[0.3, 0.4], [0.5, 1.0]]]])
    # (0.2 + 0.5 + 0 + 1) / 4
    assert loss(made, given) == pytest.approx(0.425)


def test_the_paired_loss_by_hand() -> None:
    made = torch.tensor([[0.1, 0.9], [0.2, 0.4]]).reshape(2, 1, 1, 2)
    truth = torch.tensor([[0.3, 0.4], [0.0, 0.0]]).reshape(2, 1, 1, 2)
    # slice 1: (0.2 + 0.5) / 2 = 0.35; slice 2 has no partner and counts as 0: 0.35 / 2
    known = torch.tensor([True, False])
    assert losses.paired_translation(made, truth, known) == pytest.approx(0.175)


def test_cosine_losses_by_hand() -> None:
    one, two = torch.tensor([[0.6, 0.8], [1.0, 0.0]]), torch.tensor([[0.8, 0.6], [0.6, -0.8]])
    # cosines: 0.48 + 0.48 = 0.96 and 0.6; their mean is 0.78
    assert losses.clip_alignment(one, two) == pytest.approx(-0.78)
    # class tokens have any length: 5 x the first rows, 2 x the second
    assert losses.class_token_distance(5 * one, 2 * two) == pytest.approx(0.22)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


KNOWN = torch.tensor([True, False])


@pytest.mark.parametrize(
    ("loss", "shape", "tensors"),
    [
        (losses.adversarial_generator, (2, 5), 1),
        (losses.adversarial_discriminator, (2, 5), 2),
        (losses.cycle_consistency, (2, 1, 3, 4), 2),
        (losses.identity_preservation, (2, 1, 3, 4), 2),
        (lambda made, truth: losses.paired_translation(made, truth, KNOWN), (2, 1, 3, 4), 2),
        (losses.clip_alignment, (2, 6), 2),
        (losses.class_token_distance, (2, 6), 2),
    ],
    ids=["generator", "discriminator", "cycle", "identity", "paired", "clip", "cls"],
)
def test_gradients_are_those_of_finite_differences(loss, shape, tensors) -> None:
    """In float64; random tensors stay away from the kinks of the L1 distance."""
    assert torch.autograd.gradcheck(loss, [draw(*shape, seed=n) for n in range(tensors)])
