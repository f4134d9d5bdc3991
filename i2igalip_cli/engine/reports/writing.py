"""Pages in files, and what all of them say of their making."""

from datetime import datetime
from pathlib import Path

import i2igalip_cli
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.evaluation.report.page import Page
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
        raise VolumeError(f"{path} exists; give another --report or --overwrite")


def save_page(page: Page, path: Path, *, overwrite: bool) -> None:
    """Write a page, whole or not at all.

    Raises:
        VolumeError: The file exists (without `overwrite`), or its folder is absent or full.
    """
    text = render(page)
    with whole_file(path, ".html", overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def made_by() -> str:
    """Program, version and time."""
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return (
        f"Made by i2igalip {i2igalip_cli.__version__}, {now}. This file asks no server for "
        "anything. Synthetic images are not for diagnosis."
    )
