"""Run a backend once on empty slices: python try_backend.py CHECKPOINT NAME PRECISION HxW ...

A process of its own, for a library that crashes takes its process with it.
"""

import sys
from pathlib import Path

import numpy as np

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.engine.backends import make_backend
from i2igalip_cli.errors import ConfigError


def main() -> None:
    """Exit with 0 where it runs, and with a refusal's text otherwise."""
    path, name, precision, *sizes = sys.argv[1:]
    checkpoint = load_checkpoint(Path(path))
    try:
        backend = make_backend(checkpoint, name=name, device="cpu", precision=precision)
    except ConfigError as error:
        sys.exit(str(error))
    for size in sizes:
        height, width = map(int, size.split("x"))
        backend(np.zeros((1, 1, height, width), np.float32), None, checkpoint.domains[0])


if __name__ == "__main__":
    main()
