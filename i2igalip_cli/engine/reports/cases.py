"""One case for the eye: prediction, truth and error in three planes and in the viewer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from i2igalip_cli.engine.evaluator.reading import read_on_grid
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.evaluation.protocols import ProtocolSettings
from i2igalip_cli.evaluation.protocols.scaling import Scaling
from i2igalip_cli.evaluation.report.page import Figure
from i2igalip_cli.evaluation.report.panels import draw_case, find_middle
from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import UNIT, IntensityWindow
from i2igalip_cli.volumes.volume import freeze

_CT_WINDOW = IntensityWindow(low=-200.0, high=300.0)  # HU: soft tissue, with bone still told apart
_CT_ERROR = 200.0  # HU
_ERROR_SHARE = 0.25  # of the range: errors beyond are shown like this


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """How the images of a case are shown.

    Attributes:
        shown: Images on one grid by title, in the unit of `unit`.
        window: What of them is black and white.
        error: Prediction minus truth.
        largest: Error at the end of the colour bar.
        unit: Of all.
    """

    shown: Mapping[str, Volume]
    window: IntensityWindow
    error: Volume
    largest: float
    unit: str


def look_at(case: CaseResult, settings: Mapping[str, Any]) -> Look:
    """Read a case again, scaled as the fixed protocol does.

    Args:
        case: Scored.
        settings: What the fixed protocol says of itself; {} where it wasn't asked for.

    Raises:
        GalipError: A file can't be read any more.
    """
    prediction, truth = case.load()
    value_range = settings.get("value_range")
    is_ct = truth.modality == "CT" or settings.get("modality") == "CT"
    if is_ct or value_range is not None:
        window = _CT_WINDOW if is_ct else IntensityWindow(low=value_range[0], high=value_range[1])  # type: ignore[index]  # mypy doesn't follow the or
        ours, theirs, unit = prediction, truth, "HU" if is_ct else ""
        largest = _CT_ERROR if is_ct else _ERROR_SHARE * (window.high - window.low)
    else:
        ours, theirs = _to_unit(prediction), _to_unit(truth)
        window, unit = UNIT, "of the range"
        largest = _ERROR_SHARE
    shown = {"prediction": ours, "truth": theirs}
    if case.source is not None:
        source = read_on_grid(case.source, truth, "source", resample=True).volume
        shown = {"source": _to_window(source, window), **shown}
    error = truth.with_array(freeze(ours.array - theirs.array))
    return Look(shown=shown, window=window, error=error, largest=largest, unit=unit)


def _to_unit(volume: Volume) -> Volume:
    """Scaled by its own percentile; an empty volume stays empty."""
    return volume.with_array(freeze(Scaling(ProtocolSettings()).scale_prediction(volume.array)))


def _to_window(volume: Volume, window: IntensityWindow) -> Volume:
    """A source, whose unit is another one, in the window of the others."""
    unit = _to_unit(volume)
    return replace(unit, array=freeze(window.from_unit(unit.array)))


def show(look: Look) -> list[Shown]:
    """The volumes of a case and its error, as they are shown."""
    images = [
        Shown(title=name, volume=one, low=look.window.low, high=look.window.high, unit=look.unit)
        for name, one in look.shown.items()
    ]
    error = Shown(
        title="prediction - truth",
        volume=look.error,
        low=-look.largest,
        high=look.largest,
        kind="signed",
        unit=look.unit,
    )
    return [*images, error]


def draw(look: Look, title: str) -> Figure:
    """The picture of a case, through the middle of its errors."""
    names = ", ".join([*look.shown, "prediction minus truth"])
    return Figure(
        image=draw_case(show(look), find_middle(np.abs(look.error.array), look.error.affine)),
        alt=f"{title}: axial, coronal and sagittal slices of {names}",
        caption=title,
    )
