"""The weights that ship with the package: their manifest, where they lie, and their hashes."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from i2igalip_cli.config import from_dict
from i2igalip_cli.errors import CheckpointError, ConfigError

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WeightsEntry:
    """One row of the manifest.

    Attributes:
        name: What `--weights` or `--encoder` takes.
        kind: "checkpoint" or "encoder" (an open_clip folder).
        file: The weights, relative to the weights folder.
        sha256: Of that file.
        size: Bytes of that file.
        description: One line for people.
        default: Used when no name is given; one checkpoint and one encoder have it.
    """

    name: str
    kind: Literal["checkpoint", "encoder"]
    file: str
    sha256: str
    size: int
    description: str
    default: bool = False


def shipped_folder() -> Path:
    """The weights folder: inside an installed package, beside it in a source tree."""
    package = Path(__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def read_manifest(folder: Path | None = None) -> list[WeightsEntry]:
    """Read what is shipped.

    Args:
        folder: The weights folder; default the package's own.

    Raises:
        CheckpointError: The manifest is absent, damaged, or of a newer format.
    """
    path = (folder or shipped_folder()) / "manifest.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] > FORMAT:
            raise CheckpointError(f"{path}: made by a newer i2igalip; update this one")
        return [from_dict(WeightsEntry, row) for row in values["entries"]]
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: absent or damaged ({error}); reinstall i2igalip") from error


def find_shipped(kind: str, name: str | None = None, folder: Path | None = None) -> Path:
    """The file of a shipped entry, its hash checked.

    Args:
        kind: "checkpoint" or "encoder".
        name: Of the entry; None for the default one.
        folder: The weights folder; default the package's own.

    Raises:
        CheckpointError: No such entry, or its file is absent or altered.
    """
    folder = folder or shipped_folder()
    entries = [entry for entry in read_manifest(folder) if entry.kind == kind]
    for entry in entries:
        if entry.name == name or (name is None and entry.default):
            verify(entry, folder)
            return folder / entry.file
    known = ", ".join(entry.name for entry in entries) or "none"
    raise CheckpointError(f"no {kind} named '{name or 'default'}' nor such a file; known: {known}")


def verify(entry: WeightsEntry, folder: Path | None = None) -> None:
    """Compare an entry's file with its hash.

    Raises:
        CheckpointError: The file is absent or altered.
    """
    path = (folder or shipped_folder()) / entry.file
    if not path.is_file():
        raise CheckpointError(f"{path}: absent though the manifest lists it; reinstall i2igalip")
    found = file_sha256(path)
    if found != entry.sha256:
        raise CheckpointError(
            f"{path}: SHA-256 {found[:12]}..., the manifest says {entry.sha256[:12]}...; reinstall"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def find_encoder(text: str) -> Path:
    """The open_clip folder of an encoder, by shipped name or as a folder.

    Raises:
        CheckpointError: Neither a folder nor a shipped encoder.
    """
    if Path(text).is_dir():
        return Path(text)
    return find_shipped("encoder", text).parent


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of an encoder folder's files."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin", ".txt"):
            total.update(f"{path.name} {file_sha256(path)}\n".encode())
    return total.hexdigest()
