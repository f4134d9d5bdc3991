"""The arithmetic of diffusion: how noise is added in steps, and what a step back is.

Ho et al. 2020, "Denoising diffusion probabilistic models"; the continuous schedule is that of Song
et al. 2021, "Score-based generative modeling through stochastic differential equations", cut into
few large steps as Xiao et al. 2022, "Tackling the generative learning trilemma", do.
"""

import torch
from torch import Tensor, nn


def linear_betas(steps: int = 1000, low: float = 1e-4, high: float = 0.02) -> Tensor:
    """Variances that each of many small steps adds (Ho et al. 2020), (steps,) float64.

    They are scaled so that fewer or more steps than 1000 end with as much noise.
    """
    scale = 1000 / steps
    return torch.linspace(scale * low, scale * high, steps, dtype=torch.float64)


def large_betas(steps: int = 4, low: float = 0.1, high: float = 20.0) -> Tensor:
    """Variances that few large steps add, (steps,) float64.

    The signal that is left at a time t in (0, 1] of the variance-preserving process is
    exp(-t low - t^2 (high - low) / 2) of the power (Song et al. 2021, Eq. 33).
    """
    time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    left = torch.exp(-time * low - time**2 * (high - low) / 2)
    before = torch.cat([torch.ones(1, dtype=torch.float64), left[:-1]])
    return 1 - left / before


class Schedule(nn.Module):
    """Noise of each step: step t, from 0, makes of the image after t steps that after t + 1.

    Args:
        betas: Variance that each step adds, (T,).
    """

    beta: Tensor
    left: Tensor
    before: Tensor

    def __init__(self, betas: Tensor) -> None:
        super().__init__()
        left = torch.cumprod(1 - betas, dim=0)
        before = torch.cat([torch.ones(1, dtype=betas.dtype), left[:-1]])
        for name, values in (("beta", betas), ("left", left), ("before", before)):
            self.register_buffer(name, values.float(), persistent=False)

    def __len__(self) -> int:
        """Steps, T."""
        return len(self.beta)

    def add_noise(self, clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """The image after a step, straight from the clean one (Ho et al. 2020, Eq. 4).

        Args:
            clean: (N, 1, H, W) in [-1, 1].
            step: Of each, (N,) int64; -1 leaves it clean.
            noise: Standard normal, as `clean`.
        """
        left = torch.where(step < 0, torch.ones_like(self.left[step]), self.left[step])
        left = left[:, None, None, None]  # (N,) -> (N, 1, 1, 1)
        return left.sqrt() * clean + (1 - left).sqrt() * noise

    def go_on(self, noisy: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """The image after a step, from the one before it (Ho et al. 2020, Eq. 2)."""
        beta = self.beta[step][:, None, None, None]
        return (1 - beta).sqrt() * noisy + beta.sqrt() * noise

    def find_clean(self, noisy: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """The clean image that noise and an image after a step mean."""
        left = self.left[step][:, None, None, None]
        return (noisy - (1 - left).sqrt() * noise) / left.sqrt()

    def step_back(self, clean: Tensor, noisy: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """What the image before a step is, given that after it and the clean one.

        Args:
            clean: What the clean image is taken to be, (N, 1, H, W).
            noisy: The image after the step, (N, 1, H, W).
            step: (N,) int64.

        Returns:
            Mean (N, 1, H, W) and variance (N, 1, 1, 1) of a normal distribution, the latter 0
            before step 0 (Ho et al. 2020, Eq. 6 and 7).
        """
        beta, left, before = (
            values[step][:, None, None, None] for values in (self.beta, self.left, self.before)
        )
        of_clean = before.sqrt() * beta / (1 - left)
        of_noisy = (1 - beta).sqrt() * (1 - before) / (1 - left)
        return of_clean * clean + of_noisy * noisy, beta * (1 - before) / (1 - left)
