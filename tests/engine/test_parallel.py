"""Several processes on one run: together they learn what one would from their batches."""

import socket
from pathlib import Path

import torch
import torch.multiprocessing as multiprocessing
from conftest import tiny_config

from i2igalip_cli.engine.parallel import Processes, join_processes
from i2igalip_cli.engine.trainer import Trainer


def first_gradients(dataset: Path, encoder: Path, out: Path, batch: int, who: Processes) -> dict:
    """Gradients, averaged over the processes, of the first step's two updates."""
    config = tiny_config(encoder, batch=batch, distinct_domains=True)
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


def work(rank: int, port: int, dataset: Path, encoder: Path, out: Path) -> None:
    import os

    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with join_processes("cpu") as (who, device):
        assert (who.rank, who.count, who.writes, device) == (rank, 2, rank == 0, "cpu")
        torch.save(
            {
                "gradients": first_gradients(dataset, encoder, out / "run", 2, who),
                "any": [
                    who.any(rank == 1, torch.device("cpu")),
                    who.any(False, torch.device("cpu")),
                ],
                "mean": who.mean(torch.tensor([float(rank)])),
            },
            out / f"{rank}.pt",
        )


def test_two_processes_average_to_the_gradients_of_one(dataset, encoder_folder, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, dataset, encoder_folder, tmp_path), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    whole = first_gradients(dataset, encoder_folder, tmp_path / "alone", 4, Processes())
    assert one["gradients"].keys() == two["gradients"].keys() == whole.keys()
    assert sum(gradient is not None for gradient in whole.values()) > 50
    for key, expected in whole.items():
        first, second = one["gradients"][key], two["gradients"][key]
        if expected is None:
            assert first is None
            assert second is None
            continue
        assert torch.equal(first, second)
        assert (first - expected).abs().max() <= 1e-5 * max(1, float(expected.abs().max())), key
    assert one["any"] == two["any"] == [True, False]
    assert one["mean"] == two["mean"] == 0.5
