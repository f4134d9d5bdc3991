"""What runs an ONNX graph on the processor, by whichever library."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends.base import (
    CALLS_A_WORKER,
    Precision,
    count_threads,
    find_tokens,
    refuse_compile,
    refuse_device,
    run_in_pieces,
)
from i2igalip_cli.volumes.volume import Array


class ProcessorBackend(ABC):
    """One slice a run, one thread a run, as many runs at a time as there are threads.

    So no operation is shared between threads: results don't depend on their number, and none waits
    for the others.

    Args:
        checkpoint: What to run.
        device: "cpu" or None.
        threads: Of the processor; None takes all that the process may use.
        precision: One that the library has here.
        compile: Not here.

    Raises:
        ConfigError: The library isn't installed, another device or arithmetic, or a method that
            has no graph.
    """

    name: str

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        refuse_device(checkpoint, self.name, device)
        refuse_compile(self.name, compile)
        self.checkpoint = checkpoint
        self.precision = precision
        self.threads = count_threads(threads)
        self.chunk = CALLS_A_WORKER * self.threads
        self.warnings: list[str] = []
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Load the library and the checkpoint's model.

        Raises:
            ConfigError: The library isn't installed or hasn't the arithmetic, or there is no graph.
        """

    @abstractmethod
    def _prepare(self, slices: Array, tokens: Array, index: int) -> Callable[[Array], Array]:
        """What translates one slice (1, 1, H, W) of these; called from several threads.

        Args:
            slices: (N, 1, H, W).
            tokens: Of the target's caption, (1, M, C).
            index: The target's row in the networks' table.
        """

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices (N, 1, H, W)."""
        index, tokens = find_tokens(self.checkpoint, target)
        return run_in_pieces(self._prepare(slices, tokens, index), slices, 1, self.threads)
