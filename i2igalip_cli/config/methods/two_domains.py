"""What all methods of two domains have in common."""

from dataclasses import dataclass
from typing import ClassVar

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.training import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TwoDomainConfig(TrainConfig):
    """A run between two domains, the first and the second of `domains`.

    Attributes:
        distinct_domains: Always: a pair is a slice of each.
    """

    two_domains: ClassVar[bool] = True
    one_way: ClassVar[bool] = False  # whether only the first is translated to the second

    distinct_domains: bool = True
    ema_decay: float = 0.0

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        return [
            *super().faults(),
            (not self.distinct_domains, f"distinct_domains = false: {self.method} needs both"),
            (
                len(self.domains) not in (0, 2),
                f"domains = {list(self.domains)}: {self.method} translates between two",
            ),
        ]

    def translates(self, source: int, target: int) -> bool:
        """Whether a run translates from one domain (by index) to another."""
        return (source, target) == (0, 1) if self.one_way else source != target


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(TwoDomainConfig):
    """A run of generators against discriminators.

    Attributes:
        discriminator_rate: Learning rate of the discriminators' Adam.
        betas: Of both Adams.
    """

    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)

    @property
    def smallest_side(self) -> int:
        """What the patch discriminator leaves a logit of."""
        return 24

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        return [
            *super().faults(),
            (
                self.discriminator_rate <= 0,
                f"discriminator_rate = {self.discriminator_rate}: above 0",
            ),
        ]
