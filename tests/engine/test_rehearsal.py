"""The tried-out step is undone to the bit and tells what a step takes."""

import copy

import pytest
import torch
from conftest import flatten, tiny_config

from i2igalip_cli.engine.rehearsal import rehearse
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.errors import ConfigError


@pytest.mark.parametrize("steps_before", [0, 2])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_everything_is_as_before(
    dataset, encoder_folder, tmp_path, precision, steps_before
) -> None:
    config = tiny_config(encoder_folder, precision=precision)
    trainer = Trainer(dataset, tmp_path, config, "cpu")
    for step in range(steps_before):
        trainer.train_step(trainer.sampler.draw(step))
    method = trainer.method

    def state():
        optimizers = {name: o.state_dict() for name, o in method.optimizers.items()}
        return copy.deepcopy((method.trained_state(), optimizers, method.scaler.state_dict()))

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    before = state()
    forecast = trainer.rehearse()
    after = state()
    one, two = (dict(flatten(dict(enumerate(parts)))) for parts in (before, after))
    assert one.keys() == two.keys()
    for name, value in one.items():
        same = torch.equal(two[name], value) if torch.is_tensor(value) else two[name] == value
        assert same, name
    assert torch.equal(torch.rand(1), expected)
    assert forecast.seconds_a_step > 0
    assert 50e6 < forecast.memory_bytes < 50e9  # this process, with torch in it
    assert all(p.grad is None for p in method.exported.parameters())


def test_what_doesnt_fit_says_how_it_would(dataset, encoder_folder, tmp_path, monkeypatch) -> None:
    trainer = Trainer(dataset, tmp_path, tiny_config(encoder_folder), "cpu")

    def fail(batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    class Properties:
        total_memory = 24 * 2**30

    monkeypatch.setattr(trainer.method, "step", fail)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    with pytest.raises(ConfigError, match=r"fit into the 24 GiB of cpu: lower batch .* recompute"):
        rehearse(trainer.method, trainer.sampler.draw(0), torch.device("cpu"))
