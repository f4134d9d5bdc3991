"""Weights of losses."""

import dataclasses
from dataclasses import dataclass

from i2igalip_cli.config.faults import raise_faults


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of a method's losses, by their names in its log; each method has its own."""

    def __post_init__(self) -> None:
        """Report negative weights."""
        negative = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) < 0]
        raise_faults(self, [(bool(negative), f"negative weights: {', '.join(negative)}")])
