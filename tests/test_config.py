import json
from dataclasses import asdict
from pathlib import Path

import pytest

from i2igalip_cli.config import (
    CONFIGS,
    DomainScale,
    GalipConfig,
    GeneratorConfig,
    IntensityPolicy,
    PrepareConfig,
    from_dict,
    load_prepare_config,
    load_train_config,
    make_train_config,
    to_dict,
)
from i2igalip_cli.errors import ConfigError

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_configuration_survives_json() -> None:
    config = GalipConfig(
        batch=3, generator=GeneratorConfig(width=64, multipliers=(1, 2), attention_reductions=(2,))
    )
    assert from_dict(GalipConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("name", CONFIGS)
def test_every_methods_settings_survive_json(name: str) -> None:
    config = make_train_config({"method": name, "batch": 3, "seed": 7})
    assert type(config) is CONFIGS[name]
    again = make_train_config(json.loads(json.dumps(to_dict(config))))
    assert again == config


def test_an_unknown_method_and_a_foreign_setting_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'pix2pix': known are galip, cyclegan"):
        make_train_config({"method": "pix2pix"})
    with pytest.raises(ConfigError, match="CycleGanConfig has no setting heads"):
        make_train_config({"method": "cyclegan", "heads": {"kernel": 3}})
    with pytest.raises(ConfigError, match="these are the settings of galip"):
        GalipConfig(method="cyclegan")


@pytest.mark.parametrize("name", [n for n in CONFIGS if CONFIGS[n].two_domains])
def test_methods_of_two_domains_refuse_another_number(name: str) -> None:
    with pytest.raises(ConfigError, match="translates between two"):
        CONFIGS[name](domains=("T1", "T2", "PD"))
    with pytest.raises(ConfigError, match="distinct_domains"):
        CONFIGS[name](distinct_domains=False)


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError, match=r"epochs = 0.*batch = -1.*precision = 'half'"):
        GalipConfig(epochs=0, batch=-1, precision="half")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = ", "not valid TOML"),
        ("bacth = 2", "no setting bacth"),
        ("batch = 'four'", "is not of the kind int"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("percentile = 0", "percentile = 0: from above 0 to 100"),
        ("least_foreground = -0.1", "least_foreground = -0.1: from 0 to below 1"),
        ("intensity = 3", "intensity = 3 is not of the kind Mapping"),
        ("intensity.T1 = 99", "intensity.T1 = 99 is not of the kind DomainScale"),
        ("intensity.T1.windw = [0, 1]", "DomainScale has no setting windw"),
        ("intensity.T1.window = [0]", r"window = \[0\] is not of the kind"),
        ("intensity.T1.window = [1, 1]", r"window = \[1, 1\]: two numbers, the lower one first"),
        ("intensity.T1.window = [0, inf]", r"window = \[0, inf\]: two numbers"),
        ("intensity.T1.percentile = nan", "percentile = nan: from above 0 to 100"),
        ("[prepare.intensity.T1]", "give either window = .* or percentile"),
        ("steps.mask = true", "mask = True is not of the kind str"),
    ],
)
def test_a_bad_table_of_prepare_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"[prepare]\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        load_prepare_config(path)


def test_a_table_of_prepare_scales_by_domain(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "[prepare]\npercentile = 98\nsteps.mask = 'otsu'\n"
        "[prepare.intensity.T2]\npercentile = 97\n[prepare.intensity.CT]\nwindow = [-1000, 2000]\n"
    )
    config = load_prepare_config(path)
    assert config.intensity == {
        "T2": DomainScale(percentile=97),
        "CT": DomainScale(window=(-1000, 2000)),
    }
    assert (config.policy.percentile, config.steps.mask) == (98, "otsu")
    assert PrepareConfig().policy == IntensityPolicy()
    assert (PrepareConfig().least_foreground, PrepareConfig().steps.mask) == (0.01, "")


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


@pytest.mark.parametrize("name", ["ixi", "pelvis"])
def test_the_presets_are_the_papers_settings(name: str) -> None:
    path = EXAMPLES / f"{name}.toml"
    config = load_train_config(path)
    assert config.encoder == "biomedclip"
    assert (config.epochs, config.steps, config.batch, config.accumulate) == (100, 0, 4, 1)
    assert (config.learning_rate, config.discriminator_rate) == (2e-4, 2e-4)
    assert config.betas == (0.5, 0.99)
    assert config.ema_decay == 0.99
    assert asdict(config.weights) == {
        "adversarial": 1, "cycle": 10, "identity": 1, "clip": 1, "cls": 1, "paired": 0
    }  # fmt: skip
    assert config.heads.blocks == (2, 5, 8, 11)
    assert not (config.crop or config.mirror or config.distinct_domains)
    assert config.generator.width == 32
    assert config.generator.multipliers == (1, 1, 2, 2, 4, 4)
    prepared = load_prepare_config(path).layout
    assert prepared.counts_subjects
    assert prepared.split == {"ixi": (25, 5, 10), "pelvis": (9, 1, 4)}[name]
    assert (
        set(prepared.patterns)
        == {
            "ixi": {"T1", "T2", "PD"},
            "pelvis": {"pelvic-MR", "pelvic-CT"},
        }[name]
    )


def test_changes_lie_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("batch = 3\n[weights]\ncycle = 5\ncls = 2\n")
    changes = ["weights.cls=0", "heads.blocks=[8, 11]", "encoder=demo", "precision='bfloat16'"]
    config = load_train_config(path, changes)
    assert (config.batch, config.weights.cycle, config.weights.cls) == (3, 5, 0)
    assert config.heads.blocks == (8, 11)
    assert (config.encoder, config.precision) == ("demo", "bfloat16")
    assert load_train_config() == GalipConfig()
    assert load_train_config(None, ["start=./runs/a b.safetensors"]).start.endswith(
        "a b.safetensors"
    )
    assert load_train_config(None, ["mirror=true"]).mirror is True
    assert load_train_config(None, ["weights.cycle=5"]).weights.cycle == 5


@pytest.mark.parametrize(
    "change",
    [
        "mirror=False",
        "mirror=1",
        "heads.blocks=[8,11",
        "heads.blocks=8",
        "heads.blocks=[1.5]",
        "weights=5",
        "batch=2.0",
        "batch=true",
        "encoder=3",
        "betas=[0.5]",
        "start",
    ],
)
def test_values_of_another_kind_are_refused(change: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the kind|NAME=VALUE"):
        load_train_config(None, [change])


@pytest.mark.parametrize("change", ["nonsense", "=3", "a b=3", "nosuch=1", "weights.nosuch=1"])
def test_changes_that_are_none_are_refused(change: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME=VALUE|no setting"):
        load_train_config(None, [change])
