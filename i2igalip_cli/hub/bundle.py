"""Bundles: folders of real files that a machine without a network loads."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from i2igalip_cli.errors import CheckpointError, os_reason
from i2igalip_cli.hub.files import FileReport, file_sha256, require
from i2igalip_cli.hub.manifest import FORMAT, MANIFEST, WeightsEntry, WeightsFile


def check_bundle_folder(to: Path) -> None:
    """Refuse a place where a bundle can't be made, before anything is fetched.

    Raises:
        CheckpointError: Something is there already.
    """
    if to.is_dir() and not any(to.iterdir()):
        return
    if to.exists():
        raise CheckpointError(f"{to}: exists; name a new or empty folder for the bundle")


def write_bundle(entries: Iterable[WeightsEntry], to: Path) -> Path:
    """Copy entries that are on this machine into a folder, whole or not at all.

    Args:
        entries: Of the shipped manifest.
        to: New or empty folder; `--weights` takes it.

    Returns:
        The folder.

    Raises:
        CheckpointError: An entry isn't here or is altered, or the folder can't be written.
    """
    check_bundle_folder(to)
    found = [(entry, require(entry)) for entry in entries]
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as temporary:
            staged = Path(temporary) / to.name
            staged.mkdir()
            rows = [_copy_entry(entry, reports, staged) for entry, reports in found]
            text = json.dumps({"format": FORMAT, "entries": rows}, indent=2)
            (staged / MANIFEST).write_text(text + "\n", encoding="utf-8")
            staged.replace(to)
    except OSError as error:
        raise CheckpointError(f"can't write {error.filename or to}: {os_reason(error)}") from error
    return to


def _copy_entry(entry: WeightsEntry, reports: list[FileReport], to: Path) -> dict[str, Any]:
    """Copy the files and return the entry as a row of the bundle's manifest."""
    files = tuple(_copy_file(report, to) for report in reports)
    return asdict(replace(entry, files=files))


def _copy_file(report: FileReport, to: Path) -> WeightsFile:
    row, copy = report.file, to / report.file.file
    assert report.path is not None, "require() lets no absent file through"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(report.path, copy)
    if file_sha256(copy) != report.sha256:
        raise CheckpointError(
            f"{copy}: the copy has other bytes than {report.path}; check the disk"
        )
    return row if row.sha256 is not None else replace(row, recorded=report.sha256)
