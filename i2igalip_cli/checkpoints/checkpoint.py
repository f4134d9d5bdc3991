"""What a checkpoint holds."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints.calibration import Calibration
from i2igalip_cli.checkpoints.reference import TrainingReference
from i2igalip_cli.config import CropPolicy, IntensityPolicy, Plane, TrainConfig
from i2igalip_cli.domains import Domain

FILE_NAME = "checkpoint.safetensors"  # in the folder of a run
UNKNOWN_PSNR = 40.0  # dB: better than translations between contrasts are
CAPTIONS = "captions"
TOKENS = "caption_tokens"
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
        reference: What the encoder saw in training; None in files of before format 3.
        calibration: How indicators of quality tell the error; None where nobody measured it.
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
    reference: TrainingReference | None = None
    calibration: Calibration | None = None
    name: str = ""
    limits: str = ""
    path: Path | None = None

    @property
    def psnr(self) -> float:
        """PSNR in dB that its best validation had; without one a high figure, to be careful."""
        return float(self.provenance.get("psnr", UNKNOWN_PSNR))

    @cached_property
    def sha256(self) -> str:
        """Hash over every tensor of networks and captions: the identity of the model.

        What was learned of its quality (`reference`, `calibration`) makes no other model.
        """
        return hash_tensors(with_text(self.tensors, self))


def with_text(tensors: Tensors, checkpoint: Checkpoint) -> dict[str, npt.NDArray[Any]]:
    """Tensors and the captions beside them."""
    text = {CAPTIONS: checkpoint.captions}
    if checkpoint.tokens is not None:
        text[TOKENS] = checkpoint.tokens
    return {**tensors, **text}


def hash_tensors(tensors: Tensors) -> str:
    """SHA-256 over names, types, shapes and values, in the order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()
