"""Pages in files, and what all of them say of their making."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import i2igalip_cli
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.evaluation.report.page import Page, Section
from i2igalip_cli.evaluation.report.render import render
from i2igalip_cli.volumes.files import whole_file


def check_page(path: Path, *, overwrite: bool) -> None:
    """Refuse a page that can't be written, before hours are spent on what it shows.

    Raises:
        VolumeError: The file exists (without `overwrite`), or its folder is absent.
    """
    if not path.parent.is_dir():
        raise VolumeError(f"can't write {path}: no folder {path.parent}; make it or choose another")
    if path.is_dir() or (path.exists() and not overwrite):
        raise VolumeError(f"{path} exists; remove it, or give another --report")


def write_page(
    path: Path,
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    overwrite: bool,
    dated: bool = True,
) -> None:
    """Write a page, whole or not at all.

    Args:
        path: A .html file.
        title: Of the page.
        lead: What it is, in one or two sentences.
        sections: Those without anything in them are left out.
        overwrite: Replace an existing file.
        dated: Say when it was made; without, the same content has the same bytes.

    Raises:
        VolumeError: The file exists (without `overwrite`), or its folder is absent or full.
    """
    told = [section for section in sections if section.blocks]
    text = render(Page(title=title, lead=lead, sections=told, foot=_made_by(dated)))
    with whole_file(path, ".html", overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _made_by(dated: bool) -> str:
    """Program, version and time."""
    now = datetime.now().astimezone().strftime(", %Y-%m-%d %H:%M %Z") if dated else ""
    return (
        f"Made by i2igalip {i2igalip_cli.__version__}{now}. This file asks no server for "
        "anything. Synthetic images are not for diagnosis."
    )
