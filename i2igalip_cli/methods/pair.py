"""The slices of a batch as methods of two domains have them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from i2igalip_cli.methods.base import UnpairedBatch
from i2igalip_cli.methods.chance import Chance


def to_signed(slices: Tensor) -> Tensor:
    """Slices in [0, 1] as networks with tanh have them: in [-1, 1]."""
    return 2 * slices - 1


def to_unit(slices: Tensor) -> Tensor:
    """Slices in [-1, 1] in [0, 1]."""
    return (slices + 1) / 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """N slices of the run's first domain and N of its second, which show different people.

    Attributes:
        first: (N, 1, H, W) float32 in [-1, 1].
        second: The same.
        chance: What is drawn for each of N.
    """

    first: Tensor
    second: Tensor
    chance: Chance

    @classmethod
    def of(cls, batch: UnpairedBatch) -> "Pair":
        """The slices of a batch by their domain; each of its pairs has one of either."""
        turned = (batch.first_domains == 1)[:, None, None, None]  # (N,) -> (N, 1, 1, 1)
        return cls(
            first=to_signed(torch.where(turned, batch.second, batch.first)),
            second=to_signed(torch.where(turned, batch.first, batch.second)),
            chance=Chance(batch.seeds, batch.first.device),
        )
