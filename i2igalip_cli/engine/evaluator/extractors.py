"""What turns slices into features for distances between sets: an encoder, or Inception."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.volumes.volume import Array

if TYPE_CHECKING:
    from torch import Tensor

INCEPTION = "inception"
_INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_INCEPTION_SHA256 = "6726825d"  # how it begins
_INCEPTION_LAYER = "2048"
_BATCH = 32  # slices looked at together

Features = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extractor:
    """Features of slices.

    Attributes:
        name: As the user said it.
        identity: Which one exactly, for people: name and hash, or the file of its weights.
        extract: Slices (N, h, w) in [0, 1] -> features (N, C).
    """

    name: str
    identity: str
    extract: Callable[[Array], Features]


def open_extractor(name: str) -> Extractor:
    """Open a feature extractor; nothing is downloaded.

    Args:
        name: "inception", or an encoder: a folder, or a name that `download-weights --list` shows.

    Raises:
        EvaluationError: torch-fidelity or its weights aren't on this machine.
        CheckpointError: The encoder isn't, or can't be loaded.
    """
    return _open_inception() if name == INCEPTION else _open_encoder(name)


def _open_encoder(name: str) -> Extractor:
    import torch

    from i2igalip_cli.engine.encoders import open_encoder

    encoder = open_encoder(name)

    def look(slices: Array) -> "Tensor":
        batch = torch.from_numpy(np.ascontiguousarray(slices))
        embedding: Tensor = encoder(batch[:, None]).embedding
        return embedding

    identity = f"image embedding of {name} ({encoder.fingerprint()[:12]})"
    return Extractor(name=name, identity=identity, extract=partial(_in_batches, look))


def _open_inception() -> Extractor:
    import torch

    weights = Path(torch.hub.get_dir()) / "checkpoints" / _INCEPTION_FILE
    if not weights.is_file():
        raise EvaluationError(
            f"--features inception needs torch-fidelity's weights at {weights}; put the file "
            f"{_INCEPTION_FILE} of its releases there, or give an encoder such as demo"
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise EvaluationError(
            "--features inception needs torch-fidelity: pip install 'i2igalip[inception]'"
        ) from error
    with weights.open("rb") as file:  # other files are never unpickled
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(_INCEPTION_SHA256):
        raise EvaluationError(f"{weights}: damaged or another file (SHA-256 {found[:12]})")
    network = FeatureExtractorInceptionV3(
        INCEPTION, [_INCEPTION_LAYER], feature_extractor_weights_path=str(weights)
    ).eval()

    def look(slices: Array) -> "Tensor":
        grey = torch.from_numpy(np.round(255 * slices)).to(torch.uint8)
        features: Tensor
        (features,) = network(grey[:, None].expand(-1, 3, -1, -1))  # (N, 3, h, w)
        return features

    identity = f"torch-fidelity's Inception v3, layer {_INCEPTION_LAYER} ({_INCEPTION_FILE})"
    return Extractor(name=INCEPTION, identity=identity, extract=partial(_in_batches, look))


def _in_batches(look: Callable[[Array], "Tensor"], slices: Array) -> Features:
    """Features of slices (N, h, w), of a batch at a time."""
    import torch

    with torch.no_grad():
        found = [
            look(slices[start : start + _BATCH]).double().numpy()
            for start in range(0, len(slices), _BATCH)
        ]
    return np.concatenate(found)
