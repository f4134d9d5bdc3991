"""PyTorch: GPUs, and every method on every device."""

import contextlib
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends.base import (
    CALLS_A_WORKER,
    Precision,
    count_threads,
    refuse_precision,
    run_in_pieces,
)
from i2igalip_cli.errors import ConfigError, first_line
from i2igalip_cli.volumes.volume import Array

if TYPE_CHECKING:
    import torch

    from i2igalip_cli.methods import Method

GPU_BATCH = 16  # slices a call, always: a result depends on nothing the user asks for
CUDA_WORKERS = 2  # one copies while the other computes; other GPUs don't stand two threads


def rebuild_method(checkpoint: Checkpoint) -> "Method[Any]":
    """The method of a checkpoint with its networks in float32, ready to translate."""
    import torch

    from i2igalip_cli.methods import METHODS

    method = METHODS[checkpoint.config.method](
        checkpoint.config,
        checkpoint.domains,
        torch.from_numpy(checkpoint.captions),
        None if checkpoint.tokens is None else torch.from_numpy(checkpoint.tokens),
    )
    tensors = {k: torch.from_numpy(v).float() for k, v in checkpoint.tensors.items()}
    method.exported.load_state_dict(tensors)
    return method.eval().requires_grad_(False)


class TorchBackend:
    """PyTorch, channels last on GPUs.

    On the processor a slice a call and a thread a call, several calls at a time; on a GPU
    micro-batches, two at a time, so that one is copied while the other is computed.

    Args:
        checkpoint: What to run.
        device: "cpu", "cuda", "mps", ...; None takes the GPU where there is one.
        threads: Of the processor; None takes all that the process may use.
        precision: "float32"; "bfloat16" where the processor or the GPU has it; "float16" on GPUs.
        compile: Let torch compile the networks for a GPU first, which takes minutes.

    Raises:
        ConfigError: No such device, or arithmetic that it hasn't; compiling for the processor,
            where that made it slower.
    """

    name = "torch"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        import torch

        self.precision = precision
        self.warnings: list[str] = []
        try:
            self.device = torch.device(device or find_gpu() or "cpu")
            self.method = rebuild_method(checkpoint).to(self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"{checkpoint.name} can't run on {device or 'this machine'}: {first_line(error)}"
            ) from error
        refuse_precision(f"torch on {self.device}", precision, _precisions(self.device))
        on_processor = self.device.type == "cpu"
        # On the processor the order of memory stays: torch's GroupNorm of channels-last maps takes
        # a variance as the difference of two sums, and loses it where a map lies far from 0.
        self.layout = torch.contiguous_format if on_processor else torch.channels_last
        self.method.exported.to(memory_format=self.layout)
        if compile and on_processor:
            raise ConfigError("compiling is for GPUs: on the processor it takes minutes and loses")
        if compile:
            for network in self.method.exported.values():
                network.compile(dynamic=True)  # crops come in many sizes
        self.batch = 1 if on_processor else GPU_BATCH
        self.workers = count_threads(threads) if on_processor else 1
        if self.device.type == "cuda":
            self.workers = CUDA_WORKERS
        self.chunk = CALLS_A_WORKER * self.batch * self.workers
        self._halved = False
        self._streams: SimpleQueue[torch.cuda.Stream] = SimpleQueue()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the networks are there, for every stream
            for _ in range(self.workers):
                self._streams.put(torch.cuda.Stream(self.device))  # type: ignore[no-untyped-call]  # torch's own

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices (N, 1, H, W); once, a smaller micro-batch is tried if memory ends.

        On CUDA, last bits may differ between the two sizes.

        Raises:
            ConfigError: Memory isn't enough even then.
        """

        def run(piece: Array) -> Array:
            with self._settings():
                translated = self.method.translate(self._send(piece), source, target)
                return translated.float().cpu().numpy()

        try:
            with _threads_kept(), self._arithmetic_kept():
                return run_in_pieces(run, slices, self.batch, self.workers)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            self._halve(error)
        return self(slices, source, target)

    def _arithmetic_kept(self) -> contextlib.AbstractContextManager[None]:
        """Convolutions on CUDA in the arithmetic asked for: cuDNN's own choice is TF32."""
        import torch

        if self.device.type != "cuda":
            return contextlib.nullcontext()
        kept: contextlib.AbstractContextManager[None] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return kept

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        """What torch keeps for each thread: one processor thread, no gradients, the arithmetic."""
        import torch

        torch.set_num_threads(1)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.precision != "float32":
                kind = getattr(torch, self.precision)
                stack.enter_context(torch.autocast(self.device.type, kind))
            if self.device.type == "cuda":
                stream = self._streams.get()
                stack.callback(self._streams.put, stream)
                stack.enter_context(torch.cuda.stream(stream))
            yield

    def _send(self, piece: Array) -> "torch.Tensor":
        """A piece on the device; to CUDA from memory that it fetches by itself."""
        import torch

        tensor = torch.from_numpy(piece)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True, memory_format=self.layout)

    def _halve(self, error: Exception) -> None:
        """Go on with half the micro-batch, and say so.

        Raises:
            ConfigError: It was halved before, or is a single slice.
        """
        import torch

        if self.batch == 1 or self._halved:
            raise ConfigError(
                f"out of memory on {self.device} with {self.batch} slices at a time "
                f"({first_line(error)}); end what else runs there, or take --device cpu"
            ) from error
        self._halved = True
        self.batch //= 2
        self.warnings.append(f"out of memory on {self.device}; now {self.batch} slices at a time")
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it says so; MPS has no type of its own for it."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """Give the caller its number of threads back: torch has one number for all new threads."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_gpu() -> str | None:
    """The GPU that torch can use, if there is one: "cuda" or "mps"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _precisions(device: "torch.device") -> tuple[str, ...]:
    """The arithmetic that a device has."""
    import torch

    if device.type == "cuda":
        whole = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("float32", "float16", "bfloat16") if whole else ("float32", "float16")
    if device.type == "mps":
        return ("float32", "float16")
    if torch.cpu._is_avx512_bf16_supported():
        return ("float32", "bfloat16")
    return ("float32",)
