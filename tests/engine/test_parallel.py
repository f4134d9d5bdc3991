"""Several processes on one run: together they learn what one would from their batches."""

import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from conftest import tiny_config

from i2igalip_cli.engine.parallel import Processes, join_processes
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.methods import METHODS

FEW = ("galip", "cyclegan")  # whose processes meet in the fast tests


def first_gradients(
    name: str, dataset: Path, encoder: Path, out: Path, batch: int, who: Processes
) -> dict:
    """Gradients, averaged over the processes, of a method's first step."""
    config = tiny_config(
        encoder, name, batch=batch, distinct_domains=True, domains=("T1", "T2"), steps=4
    )
    trainer = Trainer(dataset, out, config, "cpu", processes=who)
    found = {}
    average = trainer.method.average_gradients

    def keep(parameters) -> None:
        average(parameters)
        for parameter in parameters:
            gradient = parameter.grad
            found[len(found)] = None if gradient is None else gradient.clone()

    trainer.method.average_gradients = keep
    trainer.train_step(trainer.sampler.draw(0))
    return found


def work(
    rank: int, port: int, names: tuple[str, ...], dataset: Path, encoder: Path, out: Path
) -> None:
    import os

    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with join_processes("cpu") as (who, device):
        assert (who.rank, who.count, who.writes, device) == (rank, 2, rank == 0, "cpu")
        torch.save(
            {
                "gradients": {
                    name: first_gradients(name, dataset, encoder, out / name, 2, who)
                    for name in names
                },
                "any": [
                    who.any(rank == 1, torch.device("cpu")),
                    who.any(False, torch.device("cpu")),
                ],
                "mean": who.mean(torch.tensor([float(rank)])),
            },
            out / f"{rank}.pt",
        )


def compare_gradients(name: str, one: dict, two: dict, whole: dict) -> None:
    """Both processes have the same gradients, and those that one process has of all pairs."""
    assert one.keys() == two.keys() == whole.keys()
    assert sum(gradient is not None for gradient in whole.values()) > 20
    for key, expected in whole.items():
        first, second = one[key], two[key]
        if expected is None:
            assert first is None, f"{name} {key}"
            assert second is None, f"{name} {key}"
            continue
        assert torch.equal(first, second), f"{name} {key}"
        largest = max(1, float(expected.abs().max()))
        assert (first - expected).abs().max() <= 1e-4 * largest, f"{name} {key}"


@pytest.mark.parametrize(
    "names", [FEW, pytest.param(tuple(METHODS), marks=pytest.mark.slow)], ids=["few", "all"]
)
def test_two_processes_average_to_the_gradients_of_one(
    names, wide_dataset, encoder_folder, tmp_path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, names, wide_dataset, encoder_folder, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name in names:
        out = tmp_path / "alone" / name
        whole = first_gradients(name, wide_dataset, encoder_folder, out, 4, Processes())
        compare_gradients(name, one["gradients"][name], two["gradients"][name], whole)
    assert one["any"] == two["any"] == [True, False]
    assert one["mean"] == two["mean"] == 0.5
