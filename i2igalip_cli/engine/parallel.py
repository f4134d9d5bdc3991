"""Several processes on one run, as `torchrun` starts them: who am I, averages, agreement."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: Its number; 0 writes.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes.

        A parameter without a gradient here counts as 0; one without a gradient anywhere keeps
        none, so that its optimizer passes it by as in a single process.
        """
        if self.count == 1:
            return
        device = parameters[0].device
        had = torch.tensor([float(p.grad is not None) for p in parameters], device=device)
        dist.all_reduce(had)
        wanted = [p for p, n in zip(parameters, had.tolist(), strict=True) if n > 0]
        if not wanted:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in wanted]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        pieces = torch.split(flat, [p.numel() for p in wanted])
        for parameter, piece in zip(wanted, pieces, strict=True):
            parameter.grad = piece.view_as(parameter).clone()

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes."""
        if self.count > 1:
            dist.all_reduce(values)
            values = values / self.count
        return values

    def any(self, value: bool, device: torch.device) -> bool:
        """Whether it holds in any process: all of them get one answer."""
        if self.count == 1:
            return value
        flag = torch.tensor(float(value), device=device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def join_processes(device: str | None) -> Iterator[tuple[Processes, str | None]]:
    """Join the run that `torchrun` announces in the environment; alone without it.

    Args:
        device: What the user asked for; with several GPUs each process gets its own.

    Yields:
        This process, and the device that it works on (None: let the trainer choose).
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(), device
        return
    on_gpu = torch.cuda.is_available() if device is None else device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
