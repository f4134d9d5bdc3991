"""Encoders and checkpoints by name: shipped, in a bundle, or in the Hugging Face cache."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.hub.files import FileReport, locate, require
from i2igalip_cli.hub.manifest import is_bundle, read_manifest

TEXT_TOWER = "text_tower"


@dataclass(frozen=True)
class EncoderPaths:
    """Where an encoder lies.

    Attributes:
        folder: With open_clip_config.json and the weights.
        text_tower: Configuration and tokenizer of a Hugging Face text tower, if it has one.
    """

    folder: Path
    text_tower: Path | None = None


def is_here(name: str) -> bool:
    """Whether any file of an encoder of the manifest lies on this machine, be it damaged.

    Args:
        name: Of the manifest.
    """
    return any(
        path is not None
        for entry in read_manifest()
        if (entry.kind, entry.name) == ("encoder", name)
        for path in locate(entry)
    )


def find_encoder(text: str, weights: Path | None = None) -> EncoderPaths | None:
    """Find an encoder on this machine, without the network.

    Args:
        text: A name of the manifest, or else an open_clip folder (write ./NAME for one of the same
            name).
        weights: A bundle, searched before what ships.

    Returns:
        Its folders; None where the text is neither a folder nor a name of ours.

    Raises:
        CheckpointError: A name of ours whose files are absent or altered.
    """
    for folder in (None,) if weights is None or not is_bundle(weights) else (weights, None):
        for entry in read_manifest(folder):
            if entry.kind == "encoder" and entry.name == text:
                return _encoder_paths(require(entry, folder))
    path = Path(text)
    if not path.is_dir():
        return None
    tower = path / TEXT_TOWER
    return EncoderPaths(path, tower if tower.is_dir() else None)


def _encoder_paths(reports: list[FileReport]) -> EncoderPaths:
    """Folders of the two halves; in the Hugging Face cache they lie in two repositories."""
    folders = {
        PurePosixPath(report.file.file).parent.name == TEXT_TOWER: report.path.parent
        for report in reports
        if report.path is not None
    }
    return EncoderPaths(folders[False], folders.get(True))


def find_checkpoint(name: str | None = None, weights: Path | None = None) -> Path:
    """Find a checkpoint's file, its hash checked.

    Args:
        name: Of the entry; None for the default one, or the only one.
        weights: A bundle; default what ships.

    Raises:
        CheckpointError: No such entry, or its file is absent or altered.
    """
    entries = [entry for entry in read_manifest(weights) if entry.kind == "checkpoint"]
    chosen = [e for e in entries if (e.default if name is None else e.name == name)]
    if name is None and len(entries) == 1:
        chosen = entries
    if not chosen:
        known = ", ".join(entry.name for entry in entries) or "none"
        where = "" if weights is None else f"{weights}: "
        raise CheckpointError(
            f"{where}no checkpoint named '{name or 'default'}' nor such a file; known: {known}"
        )
    path = require(chosen[0], weights)[0].path
    assert path is not None, "require() lets no absent file through"
    return path
