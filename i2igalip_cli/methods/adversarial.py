"""Methods of two domains whose generators and discriminators learn in turns."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from i2igalip_cli.config import AdversarialConfig
from i2igalip_cli.methods.base import Method, StepReport, UnpairedBatch
from i2igalip_cli.methods.pair import Pair, to_unit

Config = TypeVar("Config", bound=AdversarialConfig)
Terms = dict[str, tuple[float, Tensor]]  # a loss by name: its weight, and a scalar


@dataclass(frozen=True, eq=False, kw_only=True)
class Made:
    """What generators made of a pair, cut off from them: (N, 1, H, W) in [-1, 1].

    Attributes:
        second: The first slices, translated to the second domain.
        first: The second slices, translated to the first; None in a method of one way.
    """

    second: Tensor
    first: Tensor | None = None


@contextmanager
def frozen(networks: Sequence[nn.Module]) -> Iterator[None]:
    """While this lasts, gradients flow through networks and teach them nothing."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class AdversarialMethod(Method[Config]):
    """Generators in `optimizers["generators"]` against those of `optimizers["discriminators"]`.

    A subclass says what each side learns; turns, pieces of a batch and the log are here.
    """

    @abstractmethod
    def judges(self) -> Sequence[nn.Module]:
        """The discriminators, which the generators' losses leave as they are."""

    def learners(self) -> Sequence[nn.Module]:
        """What learns in the generators' turn."""
        return (self.exported,)

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each side."""
        return {
            "generators": self.adam(self.config.learning_rate, *self.learners()),
            "discriminators": self.adam(self.config.discriminator_rate, *self.judges()),
        }

    @abstractmethod
    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """The losses of the generators, and what they made."""

    @abstractmethod
    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """The losses of the discriminators."""

    def step(self, batch: UnpairedBatch) -> StepReport:
        """A turn of the generators, then one of the discriminators on what those made.

        Above `config.batch` pairs each turn goes through them in pieces of that size; the
        gradients are averaged.
        """
        pieces = batch.split(self.config.batch)
        pairs = [Pair.of(piece) for piece in pieces]
        shares = [len(piece) / len(batch) for piece in pieces]
        losses: dict[str, Tensor] = {}
        made: list[Made] = []
        with frozen(self.judges()):
            for pair, share in zip(pairs, shares, strict=True):
                with self.autocast():
                    terms, one = self.teach_generators(pair)
                self._gather(terms, share, losses)
                made.append(one)
        self.update("generators")
        for pair, one, share in zip(pairs, made, shares, strict=True):
            with self.autocast():
                terms = self.teach_discriminators(pair, one)
            self._gather(terms, share, losses)
        self.update("discriminators")
        self.scaler.update()
        changes = [
            share * (to_unit(one.second) - to_unit(pair.first)).abs().mean()
            for pair, one, share in zip(pairs, made, shares, strict=True)
        ]
        return StepReport(losses=losses, change=torch.stack(changes).sum())

    def _gather(self, terms: Terms, share: float, losses: dict[str, Tensor]) -> None:
        """Add the gradients of weighted losses, and each loss to the log."""
        total = torch.stack([weight * term for weight, term in terms.values()]).sum()
        self.backward(share * total)
        for name, (_, term) in terms.items():
            losses[name] = losses.get(name, 0) + share * term.detach()
