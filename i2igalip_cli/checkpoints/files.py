"""Checkpoints as files: tensors in safetensors, the rest as JSON in its metadata."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from i2igalip_cli import hub
from i2igalip_cli.checkpoints.calibration import Calibration
from i2igalip_cli.checkpoints.checkpoint import (
    CAPTIONS,
    FILE_NAME,
    TOKENS,
    Checkpoint,
    hash_tensors,
    with_text,
)
from i2igalip_cli.checkpoints.reference import TrainingReference
from i2igalip_cli.config import CropPolicy, IntensityPolicy, from_dict, make_train_config
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import CheckpointError, ConfigError, os_reason

FORMAT = 3
_KEY = "i2igalip"
_REFERENCE = "reference."  # begins the names of the reference's arrays


def save_checkpoint(checkpoint: Checkpoint, path: str | Path, *, half: bool = False) -> None:
    """Write a checkpoint, whole or not at all; an older one of that name is replaced.

    Args:
        checkpoint: What to write.
        path: A .safetensors file.
        half: Store the networks as float16 (they run in float32 either way).

    Raises:
        CheckpointError: The folder is absent, read-only or full.
    """
    path = Path(path)
    kind = np.float16 if half else np.float32
    networks = {name: t.astype(kind) for name, t in checkpoint.tensors.items()}
    tensors = {k: np.ascontiguousarray(v) for k, v in with_text(networks, checkpoint).items()}
    beside, reference = _pack_reference(checkpoint.reference)
    record = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "domains": [asdict(domain) for domain in checkpoint.domains],
        "policy": asdict(checkpoint.policy),
        "crop": asdict(checkpoint.crop),
        "planes": dict(checkpoint.planes),
        "provenance": dict(checkpoint.provenance),
        "sha256": hash_tensors(tensors),
        "reference": reference,
        "calibration": checkpoint.calibration and asdict(checkpoint.calibration),
    }
    content = save({**tensors, **beside}, metadata={_KEY: json.dumps(record)})
    try:
        write_whole(path, content)
    except OSError as error:
        raise CheckpointError(f"can't write {path}: {os_reason(error)}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and bring it to the disk.

    Raises:
        OSError: It can't be written; nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def save_reference(reference: TrainingReference, path: Path) -> None:
    """Write a reference by itself, whole or not at all.

    Raises:
        CheckpointError: The folder is absent, read-only or full.
    """
    arrays, record = _pack_reference(reference)
    try:
        write_whole(path, save(arrays, metadata={_KEY: json.dumps(record)}))
    except OSError as error:
        raise CheckpointError(f"can't write {path}: {os_reason(error)}") from error


def load_reference(path: Path) -> TrainingReference:
    """Read what `save_reference` wrote.

    Raises:
        CheckpointError: Absent or damaged.
    """
    tensors, text = _read(path)
    try:
        reference = _unpack_reference(tensors, json.loads(text), path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its description is damaged ({error})") from error
    if reference is None:
        raise CheckpointError(f"{path}: holds no reference")
    return reference


def _pack_reference(
    reference: TrainingReference | None,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any] | None]:
    """A reference's arrays under their names in the file, and its record with their hash."""
    if reference is None:
        return {}, None
    arrays, record = reference.pack()
    named = {_REFERENCE + name: np.ascontiguousarray(a) for name, a in arrays.items()}
    return named, {**record, "sha256": hash_tensors(named)}


def _unpack_reference(
    tensors: dict[str, npt.NDArray[Any]], record: Mapping[str, Any] | None, path: Path
) -> TrainingReference | None:
    """Take a reference out of a file's tensors."""
    named = {name: tensors.pop(name) for name in list(tensors) if name.startswith(_REFERENCE)}
    if record is None:
        return None
    if hash_tensors(named) != record["sha256"]:
        raise CheckpointError(
            f"{path}: its reference of the training data doesn't fit its SHA-256; fetch it again"
        )
    arrays = {name.removeprefix(_REFERENCE): array for name, array in named.items()}
    return TrainingReference.unpack(arrays, record)


def _find(weights: str | Path | None) -> Path:
    """The file that load_checkpoint's argument means."""
    if weights is None:
        return hub.find_checkpoint()
    path = Path(weights)
    if path.is_file():
        return path
    if path.is_dir() and hub.is_bundle(path):
        return hub.find_checkpoint(weights=path)
    if path.is_dir() and (path / FILE_NAME).is_file():
        return path / FILE_NAME
    if path.is_dir():
        raise CheckpointError(
            f"{weights}: holds neither {FILE_NAME} (a run) nor manifest.json (a bundle)"
        )
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        raise CheckpointError(f"{weights}: no such file or folder")
    return hub.find_checkpoint(str(weights))


def load_checkpoint(weights: str | Path | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        weights: A .safetensors file, the folder of a run, a bundle of download-weights (its default
            checkpoint) or a shipped name; None for the shipped default.

    Raises:
        CheckpointError: Absent, damaged, altered, not ours, or of a newer format.
    """
    path = _find(weights)
    tensors, text = _read(path)
    try:
        record = json.loads(text)
        if record["format"] > FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {record['format']}, this i2igalip reads up to "
                f"{FORMAT}; update it"
            )
        _modernise(record)
        reference = _unpack_reference(tensors, record["reference"], path)
        return _rebuild(path, record, tensors, reference)
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: its description is damaged ({error})") from error


def _read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], str]:
    """A file's tensors and its description."""
    try:
        with safe_open(path, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({error})") from error
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path}: a safetensors file, but not one of i2igalip's; the authors' own checkpoints "
            "load through load_authors_generator"
        )
    return tensors, metadata[_KEY]


def _modernise(record: dict[str, Any]) -> None:
    """Bring an older description to today's."""
    if record["format"] == 1:  # before crops and several planes
        record["crop"] = {"whole": True}
        record["planes"] = {record["plane"]: record["spacing_mm"]}
    if record["format"] < 3:  # before references and calibrations
        record["reference"] = record["calibration"] = None


def _rebuild(
    path: Path,
    record: Mapping[str, Any],
    tensors: dict[str, npt.NDArray[Any]],
    reference: TrainingReference | None,
) -> Checkpoint:
    """The checkpoint that a description and its tensors make."""
    if hash_tensors(tensors) != record["sha256"]:
        raise CheckpointError(f"{path}: its tensors don't fit its SHA-256; fetch it again")
    calibration = record["calibration"]
    return Checkpoint(
        config=make_train_config(record["config"]),
        domains=tuple(from_dict(Domain, row) for row in record["domains"]),
        captions=tensors.pop(CAPTIONS),
        tokens=tensors.pop(TOKENS, None),
        policy=from_dict(IntensityPolicy, record["policy"]),
        crop=from_dict(CropPolicy, record["crop"]),
        planes={plane: tuple(mm) for plane, mm in record["planes"].items()},
        provenance=record["provenance"],
        tensors=tensors,
        reference=reference,
        calibration=None if calibration is None else from_dict(Calibration, calibration),
        name=path.name,
        limits=hub.limits_of(path),
        path=path,
    )
