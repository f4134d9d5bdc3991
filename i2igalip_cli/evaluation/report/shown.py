"""A volume as it is shown, in pictures and in the viewer alike."""

from dataclasses import dataclass
from typing import Literal

from i2igalip_cli.volumes import Volume

Kind = Literal["image", "signed", "map"]
# Blue below 0, black at 0, orange above: told apart without red against green, and even.
SIGNED = ("#a8d8ff", "#2f7fd0", "#000000", "#c8501e", "#ffd2a0")
COLOURS: dict[Kind, str] = {"image": "gray", "signed": "signed", "map": "inferno"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A volume and how it is shown.

    Attributes:
        title: Above it.
        volume: On the grid of what is shown beside it.
        low: Intensity at the lower end of the colours; of a signed one minus `high`.
        high: At their upper end.
        kind: An image in grey, signed around 0, or a map from 0 upwards.
        unit: Beside the colour bar.
    """

    title: str
    volume: Volume
    low: float
    high: float
    kind: Kind = "image"
    unit: str = ""
