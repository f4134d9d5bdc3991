"""Backends: what runs a checkpoint's generator on slices.

A backend is one class and one line in `BACKENDS`. All take the same slices to the same result.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes.volume import Array

MICRO_BATCH = 4  # slices a network call, always: a result depends on nothing the user asks for


class Backend(Protocol):
    """Runs a generator: (slices (N, 1, H, W) float32 in [0, 1], source, target) -> the same."""

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices into the target domain; same shape, range and order."""


class TorchBackend:
    """PyTorch, eager, channels last, float32.

    Args:
        checkpoint: What to run.
        device: "cpu", "cuda", ...; None takes the GPU where there is one.
        threads: Threads of the processor while it runs; None leaves them as they are.

    Raises:
        ConfigError: No such device.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: str | None = None, threads: int | None = None
    ) -> None:
        import torch

        from i2igalip_cli.methods import METHODS

        self._torch = torch
        self.threads = threads
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            method = METHODS[checkpoint.config.method](
                checkpoint.config,
                checkpoint.domains,
                torch.from_numpy(checkpoint.captions),
                None if checkpoint.tokens is None else torch.from_numpy(checkpoint.tokens),
            )
            tensors = {k: torch.from_numpy(v).float() for k, v in checkpoint.tensors.items()}
            method.exported.load_state_dict(tensors)
            self.method = method.eval().requires_grad_(False).to(self.device)
        except (RuntimeError, AssertionError) as error:
            reason = (str(error).splitlines() or ["unknown"])[0]
            raise ConfigError(
                f"{checkpoint.name} can't run on {device or 'this machine'}: {reason}"
            ) from error
        self.method.exported.to(memory_format=torch.channels_last)

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices (N, 1, H, W) in micro-batches; the last one is filled with zeros."""
        torch = self._torch
        out = np.empty_like(slices)
        before = torch.get_num_threads()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                for start in range(0, len(slices), MICRO_BATCH):
                    piece = slices[start : start + MICRO_BATCH]
                    filled = np.zeros((MICRO_BATCH, *slices.shape[1:]), np.float32)
                    filled[: len(piece)] = piece
                    moved = torch.from_numpy(filled).to(self.device)
                    translated = self.method.translate(moved, source, target)
                    out[start : start + len(piece)] = translated[: len(piece)].cpu().numpy()
        finally:
            if self.threads is not None:
                torch.set_num_threads(before)
        return out


BACKENDS: dict[str, Callable[..., Backend]] = {"torch": TorchBackend}
