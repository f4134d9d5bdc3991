"""What the text-image encoder sees in a volume's slices."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.volumes.volume import Array

if TYPE_CHECKING:
    from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

Embeddings = npt.NDArray[np.float32]
AT_MOST = 16  # slices of a volume: more hardly change what is said of the whole
FOREGROUND = 0.1  # of the range
LEAST_SHARE = 0.25  # of the fullest slice's foreground: the ends of a head say little
_BATCH = 16


def choose_slices(
    slices: npt.NDArray[np.floating[Any]], at_most: int = AT_MOST
) -> npt.NDArray[np.intp]:
    """Numbers of slices that stand for their volume: evenly spread over the full ones.

    Args:
        slices: (N, ..., H, W) in [0, 1].
        at_most: How many.

    Returns:
        Increasing numbers, (n,), at least one where there is a slice.
    """
    filled = (slices > FOREGROUND).reshape(len(slices), -1).sum(1)  # (N,)
    full = np.flatnonzero(filled >= LEAST_SHARE * filled.max(initial=0))
    places = (np.arange(min(at_most, full.size)) + 0.5) / max(min(at_most, full.size), 1)
    chosen: npt.NDArray[np.intp] = full[(places * full.size).astype(np.intp)]
    return chosen


def embed_slices(encoder: "TextImageEncoder", slices: Array, at_most: int = AT_MOST) -> Embeddings:
    """Embed a volume's slices, some of them where it has many.

    Args:
        encoder: The encoder that captions were embedded with.
        slices: (N, 1, H, W) in [0, 1].
        at_most: How many to look at.

    Returns:
        (n, E) float32, unit length.
    """
    import torch

    device = encoder.mean.device
    numbers = choose_slices(slices, at_most)
    seen = []
    with torch.inference_mode():
        for start in range(0, len(numbers), _BATCH):
            chosen = np.ascontiguousarray(slices[numbers[start : start + _BATCH]], np.float32)
            batch = torch.from_numpy(chosen).to(device)
            seen.append(encoder(batch).embedding.float().cpu().numpy())
    return np.concatenate(seen)  # (n, E)
