"""Every setting, as frozen dataclasses: TOML in, JSON into the checkpoint.

A configuration checks itself when it is made and reports all of its faults together. Defaults are
the paper's (I2I-Galip, MIDL 2025); `examples/demo.toml` holds those of the shipped checkpoint.
"""

from i2igalip_cli.config.data import (
    ALL_PLANES,
    PLANES,
    CropPolicy,
    IntensityPolicy,
    Plane,
    PrepareConfig,
)
from i2igalip_cli.config.files import (
    from_dict,
    load_prepare_config,
    load_train_config,
    parse_assignments,
    to_dict,
)
from i2igalip_cli.config.networks import GeneratorConfig, HeadConfig, LossWeights
from i2igalip_cli.config.training import CaptionContext, Precision, TrainConfig

__all__ = [
    "ALL_PLANES",
    "PLANES",
    "CaptionContext",
    "CropPolicy",
    "GeneratorConfig",
    "HeadConfig",
    "IntensityPolicy",
    "LossWeights",
    "Plane",
    "Precision",
    "PrepareConfig",
    "TrainConfig",
    "from_dict",
    "load_prepare_config",
    "load_train_config",
    "parse_assignments",
    "to_dict",
]
