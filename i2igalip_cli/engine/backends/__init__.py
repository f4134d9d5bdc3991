"""Backends: what runs a checkpoint's networks on slices.

A backend is one class and one line in `BACKENDS`. All take the same slices to the same result.
Importing them is cheap: each loads its library when it is made.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.engine.backends.base import (
    PRECISIONS,
    Backend,
    BackendClass,
    NoGraphError,
    Precision,
)
from i2igalip_cli.engine.backends.on_onnxruntime import OnnxRuntimeBackend
from i2igalip_cli.engine.backends.on_openvino import OpenVinoBackend
from i2igalip_cli.engine.backends.on_torch import TorchBackend, find_gpu
from i2igalip_cli.errors import ConfigError

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "BackendClass",
    "Precision",
    "TorchBackend",
    "make_backend",
]

BACKENDS: dict[str, BackendClass] = {
    "onnxruntime": OnnxRuntimeBackend,
    "torch": TorchBackend,
    "openvino": OpenVinoBackend,
}


def make_backend(
    checkpoint: Checkpoint,
    *,
    name: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: Precision = "float32",
    compile: bool = False,
) -> Backend:
    """Make what runs a checkpoint.

    Args:
        checkpoint: What to run.
        name: In `BACKENDS`; None chooses by device and precision.
        device: "cpu", "cuda", ...; None takes the GPU where there is one.
        threads: Of the processor; None takes all that the process may use.
        precision: The arithmetic.
        compile: Let torch compile the networks first.

    Raises:
        ConfigError: An unknown name, one that isn't installed, or a device or an arithmetic that
            it, or this machine, hasn't.
    """
    if name is not None and name not in BACKENDS:
        raise ConfigError(f"unknown backend '{name}': known are {', '.join(BACKENDS)}")
    chosen = name or _choose(device, precision, compile)
    try:
        return BACKENDS[chosen](checkpoint, device, threads, precision, compile)
    except NoGraphError:
        if name is not None:
            raise
        return TorchBackend(checkpoint, device, threads, precision, compile)


def _choose(device: str | None, precision: Precision, compile: bool) -> str:
    """The fastest backend for what is asked for."""
    if compile or precision == "float16" or device not in (None, "cpu"):
        return "torch"
    if device is None and _may_have_gpu() and find_gpu() is not None:
        return "torch"
    if precision == "float32":
        return "onnxruntime"
    return "openvino" if importlib.util.find_spec("openvino") else "torch"


def _may_have_gpu() -> bool:
    """Whether torch is worth its time of loading to look for a GPU."""
    driver = Path("/proc/driver/nvidia/version").exists() or Path("/dev/kfd").exists()
    return driver or sys.platform == "darwin" or shutil.which("nvidia-smi") is not None
