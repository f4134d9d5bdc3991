"""The cost of reduced arithmetic, by hand and by an experiment."""

import math

import numpy as np
import pytest

from i2igalip_cli.engine.precision import LARGEST_LOSS, precision_loss

ZERO = np.zeros((2, 1, 4, 4), np.float32)


def test_equal_slices_cost_nothing() -> None:
    assert precision_loss(ZERO, ZERO, 30) == 0


def test_an_error_as_large_as_the_models_own_costs_three_decibels() -> None:
    off = ZERO + np.float32(0.1)  # mean squared error 0.01, as at 20 dB
    assert precision_loss(off, ZERO, 20) == pytest.approx(10 * math.log10(2), abs=1e-5)
    assert precision_loss(off, ZERO, 10) == pytest.approx(10 * math.log10(1.1), abs=1e-5)


def test_the_better_the_model_the_more_the_same_error_costs() -> None:
    off = ZERO + np.float32(0.01)
    losses = [precision_loss(off, ZERO, psnr) for psnr in (20, 25, 30, 40)]
    assert losses == sorted(losses)
    assert losses[0] < LARGEST_LOSS < losses[-1]


def test_it_is_the_fall_of_the_psnr_against_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.3, 0.7, (40, 1, 64, 64))
    full = truth + rng.normal(0, 0.05, truth.shape)
    reduced = full + rng.normal(0, 0.02, truth.shape)

    def psnr(image: np.ndarray) -> float:
        return -10 * math.log10(((image - truth) ** 2).mean())

    loss = precision_loss(reduced.astype("f4"), full.astype("f4"), psnr(full))
    assert loss == pytest.approx(psnr(full) - psnr(reduced), abs=0.02)


def test_arithmetic_that_gives_no_numbers_costs_all() -> None:
    for value in (np.nan, np.inf):
        broken = ZERO.copy()
        broken[0, 0, 0, 0] = value
        assert precision_loss(broken, ZERO, 30) == math.inf
