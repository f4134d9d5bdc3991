"""Settings of every method: one dataclass a file, and one line here."""

from i2igalip_cli.config.methods.cut import CutConfig
from i2igalip_cli.config.methods.cyclegan import CycleGanConfig
from i2igalip_cli.config.methods.egsde import EgsdeConfig
from i2igalip_cli.config.methods.galip import GalipConfig
from i2igalip_cli.config.methods.syndiff import SynDiffConfig
from i2igalip_cli.config.methods.ugatit import UgatitConfig
from i2igalip_cli.config.methods.unit import UnitConfig
from i2igalip_cli.config.training import TrainConfig

CONFIGS: dict[str, type[TrainConfig]] = {
    "galip": GalipConfig,
    "cyclegan": CycleGanConfig,
    "syndiff": SynDiffConfig,
    "ugatit": UgatitConfig,
    "cut": CutConfig,
    "egsde": EgsdeConfig,
    "unit": UnitConfig,
}
