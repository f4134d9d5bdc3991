"""What every method is: networks that learn from unpaired batches and translate slices."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder


@dataclass(frozen=True, eq=False)
class UnpairedBatch:
    """N pairs of slices that show different people.

    Attributes:
        first: (N, 1, H, W) float32 in [0, 1].
        first_domains: Domain of each, (N,) int64.
        second: As `first`.
        second_domains: As `first_domains`.
    """

    first: Tensor
    first_domains: Tensor
    second: Tensor
    second_domains: Tensor


@dataclass(frozen=True, eq=False)
class StepReport:
    """The losses of one step by name: unweighted scalars, detached."""

    losses: dict[str, Tensor]


class Method(nn.Module, ABC):
    """One unpaired translation method: how it learns and how it translates.

    Args:
        config: The run; `config.generator` already has the domains and the context that fit.
        domains: Order gives the domain indices.
        captions: Embedding of each domain's caption, (D, E) float32, unit length.
        encoder: The frozen text-image encoder; None for a method that only translates.
    """

    exported: nn.ModuleDict  # what translate() needs: EMA and a checkpoint hold only this
    optimizers: dict[str, torch.optim.Optimizer]
    captions: Tensor

    def __init__(
        self,
        config: TrainConfig,
        domains: Sequence[Domain],
        captions: Tensor,
        encoder: TextImageEncoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.domains = tuple(domains)
        self.register_buffer("captions", captions.float(), persistent=False)
        self.encoder = encoder
        self.optimizers = {}

    @abstractmethod
    def step(self, batch: UnpairedBatch) -> StepReport:
        """Update every network once; return named losses for the log."""

    @abstractmethod
    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) in [0, 1] to the target domain; same shape, range and device."""

    def autocast(self) -> torch.autocast:
        """The arithmetic that the run asks for."""
        return torch.autocast(
            self.captions.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"
        )

    def trained_state(self) -> dict[str, Tensor]:
        """State of every network that learns (the encoder is frozen and kept elsewhere)."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("encoder.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trained_state` gave."""
        missing, unexpected = self.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith("encoder.")]
        if missing or unexpected:
            raise RuntimeError(f"state doesn't fit: missing {missing}, unexpected {unexpected}")
