"""What a page is made of: sections of blocks, all of them plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from i2igalip_cli.evaluation.report.viewer import ViewerCase

Cell = str | float | int | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What must not be overlooked: a box with a line each.

    Attributes:
        title: What they are about.
        lines: In their order.
        grave: Whether figures of the page can't be trusted because of it.
    """

    title: str
    lines: Sequence[str]
    grave: bool = False
    kind: Literal["notice"] = "notice"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and what they are, in two columns."""

    rows: Sequence[tuple[str, str]]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table that sorts by each column.

    Attributes:
        caption: What it shows; screen readers say it first.
        columns: Their heads.
        rows: As long as the columns each; numbers are aligned and sorted as numbers.
        digits: Of numbers behind the point.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    digits: int = 3
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture.

    Attributes:
        image: SVG text of our own plots, or the bytes of a PNG file.
        alt: What it shows, for who can't see it.
        caption: Below it.
    """

    image: str | bytes
    alt: str
    caption: str = ""
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Volumes beside each other with one crosshair; at most one a page.

    Attributes:
        cases: To choose from.
        note: What the reader should know of them, such as that they were made coarser.
    """

    cases: Sequence[ViewerCase]
    note: str = ""
    kind: Literal["viewer"] = "viewer"


Block = Text | Notice | Facts | Table | Figure | Viewer


@dataclass(frozen=True, kw_only=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page.

    Attributes:
        title: In the head and in the browser's tab.
        lead: One or two sentences on what it is.
        sections: In their order.
        foot: How it was made, in the footer.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    foot: str

    @property
    def viewer(self) -> Viewer | None:
        """The viewer, if there is one."""
        blocks = [block for section in self.sections for block in section.blocks]
        return next((block for block in blocks if isinstance(block, Viewer)), None)
