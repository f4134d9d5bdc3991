"""What a run will take: one step is tried out, timed and undone before training begins."""

import copy
import time
from dataclasses import dataclass
from typing import Any

import torch

from i2igalip_cli.engine.memory import peak_bytes
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import Method, UnpairedBatch


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What was measured in the rehearsal.

    Attributes:
        seconds_a_step: Wall time of a step, without reading slices.
        memory_bytes: Peak of the GPU's memory, or of the whole process without one; None where the
            system doesn't tell.
    """

    seconds_a_step: float
    memory_bytes: int | None


def rehearse(method: Method[Any], batch: UnpairedBatch, device: torch.device) -> Forecast:
    """Try out a step and put everything back as it was, to the bit.

    Args:
        method: What will be trained.
        batch: A batch of the run.
        device: Where the method stands.

    Raises:
        ConfigError: A step doesn't fit into the GPU's memory.
    """
    kept = _copy_to_cpu(method.run_state())
    on_gpu = device.type == "cuda"
    try:
        moved = batch.to(device)
        if on_gpu:  # the first step there also loads and tunes kernels
            torch.cuda.reset_peak_memory_stats(device)
            method.step(moved)  # of its memory, too: some methods do more in some steps
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        method.step(moved)
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    except torch.cuda.OutOfMemoryError as error:
        total = torch.cuda.get_device_properties(device).total_memory
        raise ConfigError(
            f"a step doesn't fit into the {total / 2**30:.0f} GiB of {device}: lower batch and "
            "raise accumulate, or, where the method has it, set recompute = true"
        ) from error
    finally:
        for optimizer in method.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        method.load_run_state(kept)
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else peak_bytes()
    return Forecast(seconds_a_step=seconds, memory_bytes=memory)


def _copy_to_cpu(state: Any) -> Any:  # noqa: ANN401 (nested as torch's states are)
    """A state whose tensors are copies that take none of the GPU's memory."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copy_to_cpu(value) for key, value in state.items()}
    return copy.deepcopy(state)
