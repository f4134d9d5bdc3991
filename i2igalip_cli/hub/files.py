"""Where the files of weights lie on this machine, and whether they are what they should be.

A file ships with the package, lies in a bundle, or in the Hugging Face cache, where `fetch.py`
puts it. Nothing here touches the network.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from i2igalip_cli.errors import CheckpointError, os_reason
from i2igalip_cli.hub import manifest
from i2igalip_cli.hub.manifest import WeightsEntry, WeightsFile

State = Literal["right", "recorded", "new", "unverified", "wrong", "absent"]


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What a look at one file found.

    Attributes:
        file: The row of the manifest.
        state: "right" by the manifest's hash, "recorded" by that of the first download, "new" just
            recorded, "unverified" where there is no hash to compare with, "wrong" or "absent".
        path: Where it lies, if it does.
        sha256: As found; empty if absent.
    """

    file: WeightsFile
    state: State
    path: Path | None = None
    sha256: str = ""

    def describe(self) -> str:
        """One line: the file, its hash and what is known of it."""
        said = {
            "right": f"SHA-256 right ({self.sha256[:12]}...)",
            "recorded": f"SHA-256 as at the first download ({self.sha256[:12]}...)",
            "new": f"SHA-256 {self.sha256} (not known beforehand; recorded)",
            "unverified": f"SHA-256 {self.sha256} (unverified: nothing to compare it with)",
            "wrong": f"SHA-256 WRONG ({self.sha256[:12]}...)",
            "absent": "absent",
        }
        return f"{self.path or self.file.file}: {said[self.state]}"


def locate(entry: WeightsEntry, folder: Path | None = None) -> list[Path | None]:
    """Where an entry's files lie, without a look inside; None for one that isn't here.

    Args:
        entry: Looked for in the folder, else in the Hugging Face cache; never in a mix of both.
        folder: A bundle; default the package's own weights folder.
    """
    held = [(folder or manifest.shipped_folder()) / row.file for row in entry.files]
    if entry.ships or any(path.is_file() for path in held):
        return [path if path.is_file() else None for path in held]
    return [_find_cached(row) for row in entry.files]


def _find_cached(row: WeightsFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if not row.repo:
        return None
    found = try_to_load_from_cache(row.repo, row.filename, revision=row.revision)
    return Path(found) if isinstance(found, str) else None


def verify(entry: WeightsEntry, folder: Path | None = None) -> list[FileReport]:
    """Compare each file of an entry with its hash; nothing is raised for a wrong one.

    Args:
        entry: Looked for as `locate` does.
        folder: A bundle; default the package's own weights folder.

    Raises:
        CheckpointError: A file or the record of hashes can't be read.
    """
    places = zip(entry.files, locate(entry, folder), strict=True)
    return [inspect_file(row, path) for row, path in places]


def inspect_file(row: WeightsFile, path: Path | None) -> FileReport:
    """Compare one file with its hash.

    Raises:
        CheckpointError: The file or the record of hashes can't be read.
    """
    if path is None:
        return FileReport(file=row, state="absent")
    found = file_sha256(path)
    state: State
    if row.sha256 is not None:
        state = "right" if found == row.sha256 else "wrong"
    else:
        known = known_sha256(row)
        state = "unverified" if known is None else "recorded" if found == known else "wrong"
    return FileReport(file=row, state=state, path=path, sha256=found)


def require(entry: WeightsEntry, folder: Path | None = None) -> list[FileReport]:
    """Look at an entry's files, which must all be here and unaltered.

    Args:
        entry: Looked for as `locate` does.
        folder: A bundle; default the package's own weights folder.

    Raises:
        CheckpointError: A file is absent or altered; the message says how to mend it.
    """
    reports = verify(entry, folder)
    absent = [report.file.file for report in reports if report.state == "absent"]
    if len(absent) == len(reports) and not entry.ships:
        raise CheckpointError(
            f"the {entry.kind} {entry.label} isn't on this machine; {mend(entry, folder)}"
        )
    if absent:
        raise CheckpointError(f"{entry.name}: {', '.join(absent)} absent; {mend(entry, folder)}")
    for report in reports:
        if report.state == "wrong":
            wanted = known_sha256(report.file) or ""
            raise CheckpointError(
                f"{report.path}: SHA-256 {report.sha256[:12]}..., wanted {wanted[:12]}...; "
                f"{mend(entry, folder)}"
            )
    return reports


def mend(entry: WeightsEntry, folder: Path | None = None) -> str:
    """What to do about an entry whose files are absent or altered."""
    if folder not in (None, manifest.shipped_folder()):
        return f"make the bundle again: i2igalip download-weights {entry.name} --to DIR"
    if entry.ships:
        return "reinstall i2igalip"
    return f"fetch it with: i2igalip download-weights {entry.name}"


def own_folder() -> Path:
    """Where we keep what isn't the hub's: part files and the record of hashes."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "i2igalip"


def records_file() -> Path:
    """The record of the hashes that first downloads found."""
    return own_folder() / "recorded.json"


def read_records() -> dict[str, str]:
    """Recorded SHA-256 by origin of the file.

    Raises:
        CheckpointError: The record is damaged.
    """
    path = records_file()
    if not path.is_file():
        return {}
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); delete it and fetch again") from error


def known_sha256(row: WeightsFile) -> str | None:
    """The hash to compare a file with: the manifest's, a bundle's, or the recorded one.

    Raises:
        CheckpointError: The record is damaged.
    """
    return row.sha256 or row.recorded or (read_records().get(row.origin) if row.repo else None)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    Raises:
        CheckpointError: The file can't be read.
    """
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {os_reason(error)}") from error
