"""Pictures of slices: labelled panels as PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from i2igalip_cli.errors import GalipError, os_reason
from i2igalip_cli.volumes.intensity import IntensityWindow
from i2igalip_cli.volumes.slicing import in_plane_spacing, view_slices
from i2igalip_cli.volumes.volume import Array, Volume

_GAP, _TITLE, _LEFT = 4, 22, 4


def draw_panel(
    rows: Sequence[Sequence[Array]],
    titles: Sequence[str],
    labels: Sequence[str] = (),
    scale: float = 1.0,
    aspect: float = 1.0,
) -> Image.Image:
    """Draw slices in a grid under column titles.

    Args:
        rows: Slices (H, W) in [0, 1] as radiologists see them; every row as long as `titles`.
        titles: One a column.
        labels: One a row, written into its first slice.
        scale: Pixels of the picture a row of a slice.
        aspect: Width of a slice's pixel over its height.
    """
    height = max(slice_.shape[0] for row in rows for slice_ in row)
    width = max(slice_.shape[1] for row in rows for slice_ in row)
    tall, wide = round(height * scale), round(width * scale * aspect)
    canvas = Image.new(
        "L",
        (_LEFT + len(titles) * (wide + _GAP), _TITLE + len(rows) * (tall + _GAP)),
        color=0,
    )
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=14)
    for column, title in enumerate(titles):
        x = _LEFT + column * (wide + _GAP)
        draw.text((x + wide // 2, _TITLE // 2), title, fill=255, font=font, anchor="mm")
        for line, row in enumerate(rows):
            pixels = np.round(np.clip(row[column], 0, 1) * 255).astype(np.uint8)
            size = (round(pixels.shape[1] * scale * aspect), round(pixels.shape[0] * scale))
            picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
            y = _TITLE + line * (tall + _GAP)
            canvas.paste(picture, (x + (wide - size[0]) // 2, y + (tall - size[1]) // 2))
    for line, label in enumerate(labels):
        draw.text((_LEFT + 3, _TITLE + line * (tall + _GAP) + 2), label, fill=200, font=font)
    return canvas


def draw_comparison(
    columns: Sequence[tuple[str, Volume, IntensityWindow]],
    places: Sequence[float] = (0.4, 0.5, 0.65),
) -> Image.Image:
    """Draw axial slices of volumes on one grid beside each other.

    Args:
        columns: Title, volume, and the window in which it is shown.
        places: Which slices: 0 the lowest with foreground in the first volume, 1 the highest.
    """
    stacks = [view_slices(volume.array, volume.affine) for _, volume, _ in columns]
    windows = [window for _, _, window in columns]
    filled = [k for k, slice_ in enumerate(stacks[0]) if windows[0].to_unit(slice_).any()]
    chosen = [filled[round(place * (len(filled) - 1))] for place in places]
    rows = [
        [window.to_unit(stack[k]) for stack, window in zip(stacks, windows, strict=True)]
        for k in chosen
    ]
    height, width = in_plane_spacing(columns[0][1].affine, "axial")
    tall = stacks[0].shape[1]
    return draw_panel(
        rows,
        [title for title, _, _ in columns],
        scale=max(1.0, 224 / tall),
        aspect=width / height,
    )


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG.

    Raises:
        GalipError: The folder is absent, read-only or full.
    """
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise GalipError(f"can't write {path}: {os_reason(error)}") from error
