"""Room 3, methods: one published translation method a file, behind one interface.

A method is one file, one of its settings in `config/methods`, and one line in each registry.
"""

from typing import Any

from i2igalip_cli.methods.base import Method, StepReport, UnpairedBatch
from i2igalip_cli.methods.cut import Cut
from i2igalip_cli.methods.cyclegan import CycleGan
from i2igalip_cli.methods.egsde import Egsde
from i2igalip_cli.methods.galip import Galip
from i2igalip_cli.methods.syndiff import SynDiff
from i2igalip_cli.methods.ugatit import Ugatit
from i2igalip_cli.methods.unit import Unit

# Each takes the settings that `CONFIGS` has under its name.
METHODS: dict[str, type[Method[Any]]] = {
    "galip": Galip,
    "cyclegan": CycleGan,
    "syndiff": SynDiff,
    "ugatit": Ugatit,
    "cut": Cut,
    "egsde": Egsde,
    "unit": Unit,
}

__all__ = ["METHODS", "Method", "StepReport", "UnpairedBatch"]
