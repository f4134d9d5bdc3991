"""Plots as SVG that takes the colours and the font of the page it stands in."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Panel = TypeVar("_Panel", "Distribution", "Curves", "Agreement")
_INK = "#010203"  # becomes the page's own colour of text
# Told apart without red against green (Okabe and Ito, "Color Universal Design", 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WIDEST = 12.8  # inches of panels beside each other
_SPREAD = 0.16  # how far points of equal values are laid apart, of a column
_MARGINS = (0.7, 0.5, 0.35)  # inches left of, below and above the axes of a panel
_LABEL_WIDTH, _LETTERS = 14, 12  # letters of a group's name in a line; of a title in an inch
_RIGHT, _LEGEND = 0.15, 1.0  # inches to the right, and what a legend takes besides
_LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "i2igalip",  # the same plot has the same text
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # a name with two $ is no formula
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The values of one measure, one a subject, by group.

    Attributes:
        title: Above the panel.
        unit: Beside the axis.
        groups: Finite values by name of the group.
    """

    title: str
    unit: str
    groups: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Figures over steps.

    Attributes:
        title: Above the panel.
        unit: Beside the axis.
        lines: Steps and values by name.
    """

    title: str
    unit: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two measurements of the same subjects (Bland and Altman, Lancet 1986).

    Attributes:
        title: Above the panel.
        unit: Of both.
        means: Of the two, a subject each.
        differences: First minus second.
        bias: Mean of the differences.
        limits: Lower and upper limit of agreement.
    """

    title: str
    unit: str
    means: Sequence[float]
    differences: Sequence[float]
    bias: float
    limits: tuple[float, float]


def draw_distributions(panels: Sequence[Distribution]) -> str:
    """A dot for every subject over a box of the quartiles, a panel a measure."""

    def draw(axes: "Axes", panel: Distribution) -> None:
        rng = np.random.default_rng(0)
        for place, values in enumerate(panel.groups.values()):
            axes.boxplot(
                list(values),
                positions=[place],
                widths=0.5,
                showfliers=False,
                boxprops={"color": _INK},
                whiskerprops={"color": _INK},
                capprops={"color": _INK},
                medianprops={"color": _INK, "linewidth": 1.6},
            )
            across = place + rng.uniform(-_SPREAD, _SPREAD, len(values))
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot(across, list(values), "o", color=colour, alpha=0.7, markersize=4)
        names = [fill(name, _LABEL_WIDTH) for name in panel.groups]
        axes.set_xticks(range(len(panel.groups)), names)
        axes.set_xlim(-0.6, len(panel.groups) - 0.4)
        axes.set_ylabel(panel.unit)

    return _draw(panels, draw, width=2.6, height=2.7)


def draw_curves(panels: Sequence[Curves]) -> str:
    """Lines over the steps of a training, a panel a figure."""

    def draw(axes: "Axes", panel: Curves) -> None:
        for number, (name, (steps, values)) in enumerate(panel.lines.items()):
            colour = (*_COLOURS, _INK)[number % (len(_COLOURS) + 1)]
            axes.plot(steps, values, color=colour, linewidth=1.2, label=name)
        axes.set_xlabel("step")
        axes.set_ylabel(panel.unit)
        if len(panel.lines) > 1:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))

    legend = _LEGEND if any(len(panel.lines) > 1 for panel in panels) else 0.0
    return _draw(panels, draw, width=3.2 + legend, height=2.4, beside=legend)


def draw_agreement(panels: Sequence[Agreement]) -> str:
    """Difference over mean of two measurements, with bias and limits of agreement."""

    def draw(axes: "Axes", panel: Agreement) -> None:
        axes.plot(panel.means, panel.differences, "o", color=_COLOURS[0], alpha=0.7, markersize=4)
        for level, style in ((panel.bias, "-"), *((limit, "--") for limit in panel.limits)):
            axes.axhline(level, color=_COLOURS[1], linewidth=1, linestyle=style)
        axes.set_xlabel(f"mean of both, {panel.unit}" if panel.unit else "mean of both")
        axes.set_ylabel("difference")

    return _draw(panels, draw, width=3.4, height=2.6)


def _draw(
    panels: Sequence[_Panel],
    draw: Callable[["Axes", _Panel], None],
    *,
    width: float,
    height: float,
    beside: float = 0.0,
) -> str:
    """The SVG text of panels in rows, each drawn by a function of axes and panel.

    Args:
        panels: At least one; with a title each.
        draw: Draws one.
        width: Inches of a panel.
        height: Likewise.
        beside: Inches of it to the right of the axes, for a legend.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    across = min(len(panels), max(1, int(_WIDEST / width)))
    down = -(-len(panels) // across)
    with rc_context(_LOOK):
        figure = Figure(figsize=(across * width, down * height))
        grid = figure.subplots(down, across, squeeze=False)
        left, bottom, top = _MARGINS
        right = _RIGHT + beside
        inner_width, inner_height = width - left - right, height - bottom - top
        figure.subplots_adjust(  # a layout that is solved for takes three times as long to draw
            left=left / (across * width),
            right=1 - right / (across * width),
            bottom=bottom / (down * height),
            top=1 - top / (down * height),
            wspace=(left + right) / inner_width,
            hspace=(bottom + top) / inner_height,
        )
        for axes in grid.ravel()[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.ravel(), panels, strict=False):
            draw(axes, panel)
            axes.set_title(fill(panel.title, int(width * _LETTERS)), fontsize=10, loc="left")
        return _to_svg(figure)


def _to_svg(figure: "Figure") -> str:
    written = io.StringIO()
    figure.savefig(
        written, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
    )
    text = written.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
