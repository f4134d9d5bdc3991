"""Checkpoints: one safetensors file that alone rebuilds its model.

The tensors are the method's exported networks and the embedded captions; the rest is JSON in the
file's metadata under "i2igalip". Reading needs no torch. `load_authors_generator` reads what the
authors' program writes.
"""

from i2igalip_cli.checkpoints.authors import load_authors_generator
from i2igalip_cli.checkpoints.calibration import Calibration
from i2igalip_cli.checkpoints.checkpoint import FILE_NAME, UNKNOWN_PSNR, Checkpoint, Tensors
from i2igalip_cli.checkpoints.files import (
    FORMAT,
    load_checkpoint,
    load_reference,
    save_checkpoint,
    save_reference,
)
from i2igalip_cli.checkpoints.reference import Distribution, TrainingReference

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "UNKNOWN_PSNR",
    "Calibration",
    "Checkpoint",
    "Distribution",
    "Tensors",
    "TrainingReference",
    "load_authors_generator",
    "load_checkpoint",
    "load_reference",
    "save_checkpoint",
    "save_reference",
]
