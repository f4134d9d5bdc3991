"""What methods draw while they learn, and while they translate."""

import torch
from torch import Tensor


class Chance:
    """Random numbers of each pair of a batch, from its own seed.

    A pair draws the same whichever batch and process it falls into; the global random state is
    left as it was.

    Args:
        seeds: Of each pair, (N,) int64.
        device: Where the numbers are made.
    """

    def __init__(self, seeds: Tensor, device: torch.device) -> None:
        self._each = [torch.Generator(device).manual_seed(s) for s in seeds.tolist()]

    def normal(self, *shape: int) -> Tensor:
        """Of a standard normal distribution, (N, *shape)."""
        return torch.stack([torch.randn(shape, generator=g, device=g.device) for g in self._each])

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1), (N, *shape)."""
        return torch.stack([torch.rand(shape, generator=g, device=g.device) for g in self._each])

    def integers(self, count: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to below `count`, (N, *shape) int64."""
        return torch.stack(
            [torch.randint(count, shape, generator=g, device=g.device) for g in self._each]
        )


class Noise:
    """The noise of a translation that draws samples: of one seed, the same for every slice.

    So a result depends neither on how slices are divided into calls nor on their order, and
    neighbouring slices differ by what they show alone.

    Args:
        seed: Of the run.
        device: Where it is needed; it is drawn on the processor, so that it is the same everywhere.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device

    def normal(self, like: Tensor) -> Tensor:
        """Of a standard normal distribution, in the shape of (N, ...), alike for all of N."""
        drawn = torch.randn(1, *like.shape[1:], generator=self._generator)
        return drawn.to(self._device).expand_as(like)
