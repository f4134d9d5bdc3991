"""Pictures of a case: images and errors in three planes, each column with its colour bar."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from i2igalip_cli.config import PLANES, Plane
from i2igalip_cli.evaluation.report.shown import COLOURS, SIGNED, Shown
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import in_plane_spacing, turn_box, view_slices
from i2igalip_cli.volumes.volume import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What lies left and right, above and below in a slice as radiologists see it.
_MARKS: dict[Plane, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
_INCHES, _DPI = 2.8, 100  # of the widest slice
_BARS = 0.9  # inches that titles and colour bars take


def draw_case(columns: Sequence[Shown], place_mm: Sequence[float]) -> bytes:
    """The bytes of a PNG file: a row a plane, a column a volume.

    Args:
        columns: Volumes on one grid.
        place_mm: Where the three planes meet, RAS+ mm.
    """
    from matplotlib.figure import Figure

    heights = _heights(columns[0].volume)
    figure = Figure(
        figsize=(_INCHES * len(columns), sum(heights) + _BARS),
        facecolor="black",
        layout="constrained",
    )
    grid = figure.subplots(len(PLANES), len(columns), squeeze=False, height_ratios=heights)
    for line, plane in enumerate(PLANES):
        for place, column in enumerate(columns):
            _draw_slice(grid[line, place], column, plane, place_mm)
    for place, column in enumerate(columns):
        grid[0, place].set_title(column.title, color="white", fontsize=10, parse_math=False)
        bar = figure.colorbar(
            grid[-1, place].images[0],
            ax=list(grid[:, place]),
            location="bottom",
            shrink=0.8,
            pad=0.01,
            aspect=24,
        )
        bar.ax.tick_params(colors="white", labelsize=7)
        bar.outline.set_edgecolor("white")
        bar.set_label(column.unit, color="white", fontsize=8, parse_math=False)
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=_DPI, facecolor="black")
    return written.getvalue()


def _heights(volume: Volume) -> list[float]:
    """Inches of each plane's slices where the widest takes `_INCHES`."""
    sizes = [
        np.multiply(
            view_slices(volume.array, volume.affine, plane).shape[1:],
            in_plane_spacing(volume.affine, plane),
        )
        for plane in PLANES
    ]
    widest = max(width for _, width in sizes)
    return [float(_INCHES * height / widest) for height, _ in sizes]


def _draw_slice(axes: "Axes", column: Shown, plane: Plane, place_mm: Sequence[float]) -> None:
    from matplotlib.colors import Colormap, LinearSegmentedColormap

    volume = column.volume
    height, width = in_plane_spacing(volume.affine, plane)
    colours: str | Colormap = COLOURS[column.kind]
    if column.kind == "signed":
        colours = LinearSegmentedColormap.from_list("signed", list(SIGNED))
    axes.imshow(
        choose_slice(volume, plane, place_mm),
        cmap=colours,
        vmin=column.low,
        vmax=column.high,
        aspect=height / width,
        interpolation="antialiased",
    )
    axes.set_axis_off()
    left, right, top, bottom = _MARKS[plane]
    for x, y, mark in (
        (0.02, 0.5, left),
        (0.98, 0.5, right),
        (0.5, 0.97, top),
        (0.5, 0.03, bottom),
    ):
        axes.text(
            x,
            y,
            mark,
            transform=axes.transAxes,
            color="#f2c14e",
            fontsize=8,
            ha="center",
            va="center",
        )


def choose_slice(volume: Volume, plane: Plane, place_mm: Sequence[float]) -> Array:
    """The slice of a plane that a place lies in, or is nearest to, (H, W).

    Args:
        volume: Of any orientation.
        plane: Which.
        place_mm: RAS+ mm.
    """
    voxel = np.linalg.solve(volume.affine, [*place_mm, 1.0])[:3]
    i, j, k = np.clip(np.rint(voxel), 0, np.array(volume.shape) - 1).astype(int)
    one = slice(i, i + 1), slice(j, j + 1), slice(k, k + 1)
    number = turn_box(one, volume.shape, volume.affine, plane)[0].start
    chosen: Array = view_slices(volume.array, volume.affine, plane)[number]
    return chosen


def find_middle(
    weights: Array, affine: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> tuple[float, ...]:
    """The centre of mass of weights in RAS+ mm: where a case is worth a look.

    Args:
        weights: (I, J, K), at least 0; the grid's centre is taken where all are 0.
        affine: Voxels to RAS+ mm.
    """
    total = float(weights.sum(dtype=np.float64))
    if total <= 0:
        centre = (np.array(weights.shape) - 1) / 2
    else:
        sums = [weights.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
        centre = np.array([float((s * np.arange(len(s))).sum() / total) for s in sums])
    return tuple(float(value) for value in (affine @ [*centre, 1.0])[:3])
