"""Contact sheets: many small pictures with their names, those to look at framed."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_COLUMNS = 4
_GAP, _LABEL = 8, 18  # pixels around a tile, and below it for its name
_FRAME = 3  # pixels
_BACK, _INK, _MARK = (0, 0, 0), (220, 220, 220), (230, 90, 60)
_LETTER = 7  # pixels of one, at most, of the name's font


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A small picture.

    Attributes:
        name: Below it; its end is kept where it is too long.
        picture: (h, w) uint8, all of one sheet of the same size.
        marked: Whether it is one to look at.
    """

    name: str
    picture: npt.NDArray[np.uint8]
    marked: bool = False


def draw_sheet(tiles: Sequence[Tile]) -> bytes:
    """The bytes of a PNG file: tiles in rows of four, in their order.

    Args:
        tiles: At least one.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = tiles[0].picture.shape
    columns = min(_COLUMNS, len(tiles))
    step_x, step_y = width + 2 * _GAP, height + _LABEL + 2 * _GAP
    sheet = Image.new("RGB", (columns * step_x, -(-len(tiles) // columns) * step_y), _BACK)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        x, y = number % columns * step_x + _GAP, number // columns * step_y + _GAP
        sheet.paste(Image.fromarray(tile.picture), (x, y))
        colour = _MARK if tile.marked else _INK
        if tile.marked:
            edge = (x - _FRAME, y - _FRAME, x + width + _FRAME - 1, y + height + _FRAME - 1)
            pen.rectangle(edge, outline=_MARK, width=_FRAME)
        pen.text((x, y + height + 4), _shorten(tile.name, width // _LETTER), colour, font)
    written = io.BytesIO()
    sheet.save(written, format="PNG", optimize=True)
    return written.getvalue()


def _shorten(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"...{name[3 - letters :]}"
