"""Filtered halving and doubling against scipy's convolution, and against each other."""

import numpy as np
import pytest
import torch
from scipy import signal

from i2igalip_cli.networks.fir import Double, Halve, HalvingConvolution

TAPS = np.array([1, 3, 3, 1]) / 8


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filtered(plane: np.ndarray) -> np.ndarray:
    """(H, W) to (H + 3, W + 3), zeros outside."""
    return signal.convolve2d(plane, np.outer(TAPS, TAPS), mode="full")


@pytest.mark.parametrize("sides", [(6, 10), (7, 4), (2, 3)])
def test_halving_takes_every_second_filtered_pixel(sides) -> None:
    x = draw(2, 3, *sides)
    halved = Halve()(x)
    assert halved.shape == (2, 3, sides[0] // 2, sides[1] // 2)
    for n in range(2):
        for c in range(3):
            # A pixel of the half lies between two; the taps reach one further on either side.
            expected = filtered(x[n, c].numpy())[2::2, 2::2]
            cut = expected[: halved.shape[2], : halved.shape[3]]
            np.testing.assert_allclose(halved[n, c].numpy(), cut, atol=1e-6)


def test_doubling_filters_pixels_between_zeros() -> None:
    x = draw(2, 3, 5, 4)
    doubled = Double()(x)
    assert doubled.shape == (2, 3, 10, 8)
    spread = np.zeros((2, 3, 10, 8))
    spread[:, :, ::2, ::2] = x.numpy()
    for n in range(2):
        for c in range(3):
            expected = 4 * filtered(spread[n, c])[1:-2, 1:-2]
            np.testing.assert_allclose(doubled[n, c].numpy(), expected, atol=1e-6)


def test_doubling_is_four_times_the_transpose_of_halving() -> None:
    large, small = draw(1, 2, 8, 12), draw(1, 2, 4, 6, seed=1)
    torch.testing.assert_close((Double()(small) * large).sum(), 4 * (small * Halve()(large)).sum())


def test_levels_stay_away_from_the_border() -> None:
    flat = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(Halve()(flat)[..., 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    torch.testing.assert_close(Double()(flat)[..., 1:-1, 1:-1], torch.ones(1, 2, 14, 14))


def test_a_convolution_that_halves_is_even_in_both_directions() -> None:
    layer = HalvingConvolution(2, 3)
    x = draw(1, 2, 8, 12)
    halved = layer(x)
    assert halved.shape == (1, 3, 4, 6)
    layer.convolution.weight.data = layer.convolution.weight.flip(2, 3)
    torch.testing.assert_close(layer(x.flip(2, 3)), halved.flip(2, 3))


def test_a_filter_is_no_state() -> None:
    assert not Halve().state_dict()
