"""The manifest: which weights there are, what they are made of, and their hashes."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from i2igalip_cli.config import from_dict
from i2igalip_cli.errors import CheckpointError, ConfigError

FORMAT = 2
MANIFEST = "manifest.json"
Kind = Literal["checkpoint", "encoder"]


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One file of an entry.

    Attributes:
        file: Relative to the weights folder, with forward slashes.
        sha256: Of that file; None where nobody told us: then the first download records it.
        size: Bytes; None where it isn't known.
        repo: Repository on the hub; empty for a file that ships.
        revision: Commit of that repository.
        filename: Name of the file in it.
        recorded: SHA-256 that the first download found, carried by a bundle.
    """

    file: str
    sha256: str | None = None
    size: int | None = None
    repo: str = ""
    revision: str = ""
    filename: str = ""
    recorded: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.file).name

    @property
    def origin(self) -> str:
        """Where it comes from, to a byte: repository, commit and name."""
        return f"{self.repo}@{self.revision}/{self.filename}"


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """One row of the manifest.

    Attributes:
        name: What `--weights` or `--encoder` takes.
        kind: "checkpoint" or "encoder" (an open_clip folder).
        license: SPDX name.
        description: One line for people.
        files: A checkpoint's file, or everything of an encoder that is read.
        limits: What it can't do, told with each use; "" where its card says all.
        default: Used when no name is given; one checkpoint and one encoder have it.
    """

    name: str
    kind: Kind
    license: str
    description: str
    files: tuple[WeightsFile, ...]
    limits: str = ""
    default: bool = False

    @property
    def ships(self) -> bool:
        """Whether it comes with the package."""
        return not any(row.repo for row in self.files)

    @property
    def size(self) -> int:
        """Bytes of the files whose size is known."""
        return sum(row.size or 0 for row in self.files)

    @property
    def label(self) -> str:
        """Name, size and licence."""
        return f"{self.name} ({self.size / 1e6:.0f} MB, {self.license})"

    @property
    def sources(self) -> tuple[str, ...]:
        """Its repositories as REPOSITORY@REVISION."""
        return tuple(dict.fromkeys(f"{row.repo}@{row.revision}" for row in self.files if row.repo))


def shipped_folder() -> Path:
    """The weights folder: inside an installed package, beside it in a source tree."""
    package = Path(__file__).parents[1]
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def read_manifest(folder: Path | None = None) -> list[WeightsEntry]:
    """Read which weights there are.

    Args:
        folder: A bundle; default the package's own weights folder.

    Raises:
        CheckpointError: The manifest is absent, damaged, or of a newer format.
    """
    path = (folder or shipped_folder()) / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise CheckpointError(f"{path}: made by a newer i2igalip; update this one")
        return [_read_entry(row) for row in values["entries"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        way_out = "reinstall i2igalip" if folder is None else "a bundle of download-weights has one"
        raise CheckpointError(f"{path}: absent or damaged ({error}); {way_out}") from error


def _read_entry(row: dict[str, object]) -> WeightsEntry:
    files = row["files"]
    if not isinstance(files, list) or not files:
        raise ConfigError("an entry without files")
    return from_dict(WeightsEntry, {**row, "files": [from_dict(WeightsFile, one) for one in files]})


def limits_of(path: Path) -> str:
    """What the manifest says that a checkpoint can't do; "" for one that isn't in it.

    Args:
        path: A checkpoint's file, wherever it lies: its size and hash tell which it is.
    """
    size = path.stat().st_size
    for entry in read_manifest():
        for row in entry.files:
            if entry.limits and row.size == size:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                return entry.limits if digest == row.sha256 else ""
    return ""


def choose(entries: Iterable[WeightsEntry], names: Iterable[str]) -> list[WeightsEntry]:
    """Pick entries by name.

    Raises:
        ConfigError: No entry has that name.
    """
    by_name = {entry.name: entry for entry in entries}
    for name in names:
        if name not in by_name:
            raise ConfigError(f"unknown weights '{name}': the manifest has {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)]


def is_bundle(folder: Path) -> bool:
    """Whether a folder is one that `download-weights --to` writes."""
    return (folder / MANIFEST).is_file()
