"""What every method is: networks that learn from unpaired batches and translate slices."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.networks.initialise import seeded
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

Config = TypeVar("Config", bound=TrainConfig)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class UnpairedBatch:
    """N pairs of slices that show different people.

    Attributes:
        first: (N, 1, H, W) float32 in [0, 1].
        first_domains: Domain of each, (N,) int64.
        second: As `first`.
        second_domains: As `first_domains`.
        first_truth: The slices of `first` as they look in the domains of `second`, where the
            dataset has registered volumes; anything elsewhere.
        first_known: For which of `first` that is known, (N,) bool.
        second_truth: As `first_truth`, of `second` in the domains of `first`.
        second_known: As `first_known`.
        seeds: Of the chance that belongs to each pair, (N,) int64: what a method draws is a
            function of them, however a batch is divided.
    """

    first: Tensor
    first_domains: Tensor
    second: Tensor
    second_domains: Tensor
    first_truth: Tensor
    first_known: Tensor
    second_truth: Tensor
    second_known: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        """Pairs in the batch."""
        return len(self.first)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "UnpairedBatch":
        return UnpairedBatch(*(change(getattr(self, field.name)) for field in fields(self)))

    def to(self, device: torch.device) -> "UnpairedBatch":
        """The batch on a device; a copy from pinned memory runs beside the computation."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "UnpairedBatch":
        """The batch in memory that a GPU can fetch by itself."""
        return self._each(Tensor.pin_memory)

    def split(self, size: int) -> list["UnpairedBatch"]:
        """The batch in pieces of `size` pairs, the last one perhaps smaller."""
        return [
            self._each(lambda tensor, at=at: tensor[at : at + size])  # type: ignore[misc]  # at is bound
            for at in range(0, len(self), size)
        ]


@dataclass(frozen=True, eq=False)
class StepReport:
    """What one step says of itself.

    Attributes:
        losses: By name: unweighted scalars, detached.
        change: Mean absolute difference between slices and their translations, a scalar; near 0
            the generator has collapsed to the identity.
    """

    losses: dict[str, Tensor]
    change: Tensor


@dataclass(frozen=True, kw_only=True)
class Part:
    """Networks that do one thing, as Table 3 of the paper counts them.

    Attributes:
        networks: Of one model, one domain or one direction; what two share counts in each.
        each: What there is one for.
    """

    networks: Sequence[nn.Module]
    each: Literal["model", "domain", "direction"]

    @property
    def parameters(self) -> int:
        """How many they have."""
        return sum(p.numel() for network in self.networks for p in network.parameters())

    def times(self, domains: int) -> int:
        """How many there are for all directions between so many domains."""
        return {"model": 1, "domain": domains, "direction": domains * (domains - 1)}[self.each]


class Method(nn.Module, ABC, Generic[Config]):
    """One unpaired translation method: how it learns and how it translates.

    Args:
        config: The run, with the sizes that fit (`TrainConfig.fit`).
        domains: Order gives the domain indices.
        captions: Embedding of each domain's caption, (D, E) float32, unit length.
        tokens: What the generator attends to, (D, M, C) float32; without it the embedding as one
            token.
        encoder: The frozen text-image encoder; None for a method that only translates.

    Raises:
        ConfigError: Settings that don't fit the encoder.
    """

    exported: nn.ModuleDict  # what translate() needs: EMA and a checkpoint hold only this
    optimizers: dict[str, torch.optim.Optimizer]
    captions: Tensor
    tokens: Tensor

    def __init__(
        self,
        config: Config,
        domains: Sequence[Domain],
        captions: Tensor,
        tokens: Tensor | None = None,
        encoder: TextImageEncoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.domains = tuple(domains)
        self.index_of = {domain.name: index for index, domain in enumerate(self.domains)}
        self.register_buffer("captions", captions.float(), persistent=False)
        tokens = captions.unsqueeze(1) if tokens is None else tokens  # (D, E) -> (D, 1, E)
        self.register_buffer("tokens", tokens.float(), persistent=False)
        self.encoder = encoder
        with seeded(config.seed):
            self.build()
        self.optimizers = self.make_optimizers() if self.learns else {}
        # Scaled losses keep the small gradients of float16; in other arithmetic they do nothing.
        self.scaler = torch.amp.GradScaler(
            captions.device.type, enabled=config.precision == "float16"
        )
        self.average_gradients: Callable[[Sequence[nn.Parameter]], None] | None = None

    @property
    def learns(self) -> bool:
        """Whether it is trained, and has what only training needs."""
        return self.encoder is not None

    @abstractmethod
    def build(self) -> None:
        """Make the networks, `exported` among them; what is random in it is the run's seed's."""

    @abstractmethod
    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An optimizer for each of the networks that take turns."""

    @abstractmethod
    def step(self, batch: UnpairedBatch) -> StepReport:
        """Update every network once; return named losses for the log."""

    @abstractmethod
    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) in [0, 1] to the target domain; same shape, range and device."""

    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """Its networks by what they do."""

    def graph(self) -> nn.Module | None:
        """The whole of `translate` as one module, for other runtimes than torch.

        Returns:
            Called with slices (N, 1, H, W) in [0, 1], tokens (1, M, C) and the target's row of the
            table (1,) int64, it gives the translated slices; None where translation isn't one pass.
        """
        return None

    def autocast(self) -> torch.autocast:
        """The arithmetic that the run asks for."""
        return torch.autocast(
            self.captions.device.type,
            _DTYPES[self.config.precision],
            enabled=self.config.precision != "float32",
        )

    def adam(self, rate: float, *networks: nn.Module) -> torch.optim.Adam:
        """An optimizer of networks, with the run's moments and penalty."""
        parameters = [p for network in networks for p in network.parameters()]
        return torch.optim.Adam(
            parameters, lr=rate, betas=self.config.betas, weight_decay=self.config.weight_decay
        )

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own

    def update(self, name: str) -> None:
        """Let an optimizer step on the gradients gathered, over all processes, and clear them."""
        optimizer = self.optimizers[name]
        if self.average_gradients is not None:
            self.average_gradients([p for g in optimizer.param_groups for p in g["params"]])
        self.scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)

    def trained_state(self) -> dict[str, Tensor]:
        """State of every network that learns (the encoder is frozen and kept elsewhere)."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("encoder.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trained_state` gave."""
        missing, unexpected = self.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.startswith("encoder.")]
        if missing or unexpected:
            raise RuntimeError(f"state doesn't fit: missing {missing}, unexpected {unexpected}")

    def run_state(self) -> dict[str, Any]:
        """All that training goes on from: networks, optimizers, loss scale."""
        return {
            "method": self.trained_state(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "scaler": self.scaler.state_dict(),
        }

    def load_run_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `run_state` gave; it may hold more."""
        self.load_trained_state(state["method"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.scaler.load_state_dict(state["scaler"])

    def parameters_by_network(self) -> dict[str, int]:
        """Parameters that learn, by network."""
        counted: dict[str, int] = {}
        for name, parameter in self.named_parameters():
            if not name.startswith("encoder."):
                network = name.removeprefix("exported.").split(".")[0]
                counted[network] = counted.get(network, 0) + parameter.numel()
        return counted
