"""I2I-Galip: translate medical image volumes between domains with one text-conditioned generator.

    from i2igalip_cli import translate, load_volume, save_volume, load_checkpoint, evaluate

The public functions are imported when they are first used: importing the package is instant. They
print nothing and raise `GalipError` on input that can't be used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from i2igalip_cli.errors import GalipError

if TYPE_CHECKING:
    from i2igalip_cli.checkpoints import load_checkpoint
    from i2igalip_cli.engine.api import translate
    from i2igalip_cli.engine.evaluator.api import evaluate
    from i2igalip_cli.volumes import load_volume, save_volume

__version__ = "0.1.0"
_HOME = {
    "evaluate": "i2igalip_cli.engine.evaluator.api",
    "load_checkpoint": "i2igalip_cli.checkpoints",
    "load_volume": "i2igalip_cli.volumes",
    "save_volume": "i2igalip_cli.volumes",
    "translate": "i2igalip_cli.engine.api",
}
__all__ = ["GalipError", "evaluate", "load_checkpoint", "load_volume", "save_volume", "translate"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the module holds)
    """Import a public function at its first use."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
