"""Room 3, methods: one published translation method a file, behind one interface.

A method is one file and one line here.
"""

from i2igalip_cli.methods.base import Method, StepReport, UnpairedBatch
from i2igalip_cli.methods.galip import Galip

METHODS: dict[str, type[Method]] = {"galip": Galip}

__all__ = ["METHODS", "Method", "StepReport", "UnpairedBatch"]
