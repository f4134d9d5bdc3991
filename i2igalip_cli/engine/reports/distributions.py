"""Measures over subjects as pictures: what pages of one method and of two have in common."""

import math
from collections.abc import Iterator, Sequence

from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.evaluation.report.page import Figure
from i2igalip_cli.evaluation.report.plots import Distribution, draw_distributions

PLOTTED = 12  # measures: what more there are stand in the table


def finite_values(results: Results, protocol: str, key: str, target: str) -> list[float]:
    """One value a subject that can be drawn."""
    values = results.by_subject(protocol, key, target).values()
    return [value for value in values if math.isfinite(value)]


def draw_panels(panels: Sequence[Distribution], alt: str) -> Iterator[Figure]:
    """The picture of some measures; none where there is nothing to draw."""
    if any(values for panel in panels for values in panel.groups.values()):
        yield Figure(
            image=draw_distributions(panels),
            alt=alt,
            caption="A dot a subject; the box spans the quartiles, its line is the median.",
        )
