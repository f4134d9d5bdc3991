"""Checkpoints: one safetensors file that alone rebuilds its model.

The tensors are the method's exported networks and the embedded captions; the rest is JSON in the
file's metadata under "i2igalip". Reading needs no torch. `load_authors_generator` reads what the
authors' program writes.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from i2igalip_cli import hub
from i2igalip_cli.config import (
    CropPolicy,
    GeneratorConfig,
    IntensityPolicy,
    Plane,
    TrainConfig,
    from_dict,
)
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from i2igalip_cli.networks.unet import Generator

FORMAT = 2
FILE_NAME = "checkpoint.safetensors"  # in the folder of a run
UNKNOWN_PSNR = 40.0  # dB: better than translations between contrasts are
_KEY = "i2igalip"
_CAPTIONS = "captions"
_TOKENS = "caption_tokens"
Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A trained model and everything its use needs.

    Attributes:
        config: The whole run; names the method and the sizes of its networks.
        domains: Known domains, in the order of the network's table.
        captions: Their captions' embeddings, (D, E) float32, unit length.
        tokens: What the generator attends to for each domain, (D, M, C) float32; None where that is
            the caption's embedding as one token.
        policy: How volumes were brought to [0, 1].
        crop: How the field of view was cut to the foreground.
        planes: Planes of the training slices, each with the median distances between its rows and
            its columns in mm; translations take the first unless told otherwise.
        provenance: Where it comes from: version, dataset, encoder, steps.
        tensors: The exported networks' state by name.
        name: File name, for reports.
        limits: What it can't do, as the manifest says; told with each translation.
        path: The file it was read from.
    """

    config: TrainConfig
    domains: tuple[Domain, ...]
    captions: npt.NDArray[np.float32]
    policy: IntensityPolicy
    crop: CropPolicy
    planes: Mapping[Plane, tuple[float, float]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tensors: Tensors
    tokens: npt.NDArray[np.float32] | None = None
    name: str = ""
    limits: str = ""
    path: Path | None = None

    @property
    def psnr(self) -> float:
        """PSNR in dB that its best validation had; without one a high figure, to be careful."""
        return float(self.provenance.get("psnr", UNKNOWN_PSNR))

    @cached_property
    def sha256(self) -> str:
        """Hash over every tensor: the identity of the model."""
        return _hash(_with_text(self.tensors, self))


def _with_text(tensors: Tensors, checkpoint: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """Tensors and the captions beside them."""
    text = {_CAPTIONS: checkpoint.captions}
    if checkpoint.tokens is not None:
        text[_TOKENS] = checkpoint.tokens
    return {**tensors, **text}


def _hash(tensors: Tensors) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


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
    tensors = {k: np.ascontiguousarray(v) for k, v in _with_text(networks, checkpoint).items()}
    record = {
        "format": FORMAT,
        "config": asdict(checkpoint.config),
        "domains": [asdict(domain) for domain in checkpoint.domains],
        "policy": asdict(checkpoint.policy),
        "crop": asdict(checkpoint.crop),
        "planes": dict(checkpoint.planes),
        "provenance": dict(checkpoint.provenance),
        "sha256": _hash(tensors),
    }
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(save(tensors, metadata={_KEY: json.dumps(record)}))
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"can't write {path}: {error.strerror}") from error


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
    try:
        record = json.loads(metadata[_KEY])
        if record["format"] == 1:  # before crops and several planes
            record["crop"] = {"whole": True}
            record["planes"] = {record["plane"]: record["spacing_mm"]}
        if record["format"] > FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {record['format']}, this i2igalip reads up to "
                f"{FORMAT}; update it"
            )
        if _hash(tensors) != record["sha256"]:
            raise CheckpointError(f"{path}: its tensors don't fit its SHA-256; fetch it again")
        return Checkpoint(
            config=from_dict(TrainConfig, record["config"]),
            domains=tuple(from_dict(Domain, row) for row in record["domains"]),
            captions=tensors.pop(_CAPTIONS),
            tokens=tensors.pop(_TOKENS, None),
            policy=from_dict(IntensityPolicy, record["policy"]),
            crop=from_dict(CropPolicy, record["crop"]),
            planes={plane: tuple(mm) for plane, mm in record["planes"].items()},
            provenance=record["provenance"],
            tensors=tensors,
            name=path.name,
            limits=hub.limits_of(path),
            path=path,
        )
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: its description is damaged ({error})") from error


def load_authors_generator(path: str | Path) -> "Generator":
    """Read a generator that the authors' program saved with torch.save.

    Sizes are read off the tensors. The file is unpickled for tensors only: it can't run code.

    Args:
        path: The file; a plain state or one under a key, with or without a "module." prefix.

    Returns:
        Module called as `generator(slices, tokens, domain_index)`, in evaluation mode.

    Raises:
        CheckpointError: Absent, holds more than tensors, or other tensors than a generator's.
    """
    import pickle

    import torch

    from i2igalip_cli.networks.unet import Generator

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: holds more than tensors; refused, it could run code") from (
            error
        )
    except Exception as error:  # torch's reader of pickles meets garbage with any error at all
        reason = (str(error).splitlines() or ["empty"])[0]
        raise CheckpointError(f"{path}: not a file of torch.save ({reason})") from error
    if isinstance(state, dict) and "label_emb.weight" not in state:
        inner = [v for v in state.values() if isinstance(v, dict)]
        state = inner[0] if len(inner) == 1 else state
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no state of a generator")
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    attended = [name for name in state if name.endswith("attn2.to_k.weight")]
    if "label_emb.weight" not in state or not attended:
        raise CheckpointError(f"{path}: holds no generator of I2I-Galip (no label_emb or attn2)")
    config = GeneratorConfig(
        domains=state["label_emb.weight"].shape[0], context=state[attended[0]].shape[1]
    )
    generator = Generator(config)
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: other tensors than the paper's generator has ({str(error).splitlines()[1]})"
        ) from error
    return generator.eval()
