import json
from pathlib import Path

import pytest

from i2igalip_cli.config import GeneratorConfig, TrainConfig, from_dict, load_train_config, to_dict
from i2igalip_cli.errors import ConfigError


def test_a_configuration_survives_json() -> None:
    config = TrainConfig(
        batch=3, generator=GeneratorConfig(width=64, multipliers=(1, 2), attention_reductions=(2,))
    )
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"epochs = 0.*batch = -1.*precision = 'half'"):
        TrainConfig(epochs=0, batch=-1, precision="half")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = ", "not valid TOML"),
        ("bacth = 2", "no setting bacth"),
        ("batch = 'four'", "wrong type"),
        ("[generator]\nwidth = 40", "norm_groups = 32 doesn't divide"),
        ("[weights]\ncycle = -1", "negative weights: cycle"),
        ("[heads]\nkernel = 4", "kernel = 4: an odd number"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_train_config(path)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read the configuration"):
        load_train_config(tmp_path / "none.toml")


def test_a_file_sets_nested_settings(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "batch = 2\n[generator]\nwidth = 64\nmultipliers = [1, 2, 4, 4]\n"
        "attention_reductions = [4, 8]\n"
    )
    config = load_train_config(path)
    assert (config.batch, config.generator.width, config.generator.side_multiple) == (2, 64, 8)
