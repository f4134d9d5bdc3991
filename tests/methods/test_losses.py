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
