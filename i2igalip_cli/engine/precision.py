"""What arithmetic of less than 32 bits costs, in the figure by which models are compared."""

import math

import numpy as np

from i2igalip_cli.volumes.volume import Array

LARGEST_LOSS = 0.1  # dB of PSNR; more is refused


def precision_loss(reduced: Array, full: Array, psnr: float) -> float:
    """The decibels of PSNR that reduced arithmetic costs a model.

    A model's mean squared error against the truth is e = 10^(-PSNR / 10) on a scale of 1. Rounding
    adds an error r of its own, the mean squared difference between the two arithmetics. Rounding
    knows nothing of the truth, so the errors are independent and their squares add: the PSNR falls
    from -10 log10(e) to -10 log10(e + r), that is by 10 log10(1 + r / e).

    Args:
        reduced: Translated slices in the reduced arithmetic, (N, 1, H, W) in [0, 1].
        full: The same in float32.
        psnr: Of the model against the truth, in dB.

    Returns:
        The loss in dB, from 0; infinite where the reduced arithmetic gave no numbers.
    """
    rounding = float(np.mean((reduced.astype(np.float64) - full) ** 2))
    if not math.isfinite(rounding):
        return math.inf
    return 10 * math.log10(1 + rounding * 10 ** (psnr / 10))
