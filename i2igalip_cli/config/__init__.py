"""Every setting, as frozen dataclasses: TOML in, JSON into the checkpoint.

A configuration checks itself when it is made and reports all of its faults together. Defaults are
the paper's (I2I-Galip, MIDL 2025); `examples/demo.toml` holds those of the shipped checkpoint.
"""

from i2igalip_cli.config.data import (
    ALL_PLANES,
    PLANES,
    CropPolicy,
    DomainScale,
    IntensityPolicy,
    Plane,
    PrepareConfig,
    Steps,
)
from i2igalip_cli.config.files import (
    from_dict,
    load_prepare_config,
    load_train_config,
    make_train_config,
    parse_assignments,
    parse_scales,
    to_dict,
)
from i2igalip_cli.config.methods import CONFIGS
from i2igalip_cli.config.methods.cut import CutConfig
from i2igalip_cli.config.methods.cyclegan import CycleGanConfig
from i2igalip_cli.config.methods.egsde import EgsdeConfig, EnergyWeights, TimedUnetConfig
from i2igalip_cli.config.methods.galip import CaptionContext, GalipConfig, LossWeights
from i2igalip_cli.config.methods.syndiff import SynDiffConfig
from i2igalip_cli.config.methods.two_domains import AdversarialConfig, TwoDomainConfig
from i2igalip_cli.config.methods.ugatit import UgatitConfig
from i2igalip_cli.config.methods.unit import UnitConfig
from i2igalip_cli.config.networks import GeneratorConfig, HeadConfig
from i2igalip_cli.config.training import Precision, TrainConfig

__all__ = [
    "ALL_PLANES",
    "CONFIGS",
    "PLANES",
    "AdversarialConfig",
    "CaptionContext",
    "CropPolicy",
    "CutConfig",
    "CycleGanConfig",
    "DomainScale",
    "EgsdeConfig",
    "EnergyWeights",
    "GalipConfig",
    "GeneratorConfig",
    "HeadConfig",
    "IntensityPolicy",
    "LossWeights",
    "Plane",
    "Precision",
    "PrepareConfig",
    "Steps",
    "SynDiffConfig",
    "TimedUnetConfig",
    "TrainConfig",
    "TwoDomainConfig",
    "UgatitConfig",
    "UnitConfig",
    "from_dict",
    "load_prepare_config",
    "load_train_config",
    "make_train_config",
    "parse_assignments",
    "parse_scales",
    "to_dict",
]
