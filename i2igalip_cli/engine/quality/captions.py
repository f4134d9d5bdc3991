"""How well slices fit a domain's caption, by the encoder."""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.quality.embedding import Embeddings

SHARPNESS = 100.0  # of cosines; what CLIP's learned temperature is limited to


def share_captions(
    embeddings: Embeddings, captions: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """How well a volume's slices fit each of some captions, against the other ones.

    Each slice's cosines with the captions go through a softmax (Radford et al., ICML 2021, as
    they classify without training); the mean over slices is told.

    Args:
        embeddings: Of the slices, (n, E), unit length.
        captions: Their embeddings, (D, E), unit length.

    Returns:
        (D,) in [0, 1], of sum 1.
    """
    logits = SHARPNESS * embeddings.astype(np.float64) @ captions.T  # (n, D)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = (odds / odds.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def caption_fits(embeddings: Embeddings, checkpoint: Checkpoint) -> dict[str, float]:
    """How well a volume's slices fit each of a checkpoint's captions; see `share_captions`.

    Args:
        embeddings: Of the slices, (n, E), unit length.
        checkpoint: Has the captions.

    Returns:
        In [0, 1] by domain's name; they sum to 1.
    """
    names = [domain.name for domain in checkpoint.domains]
    shares = share_captions(embeddings, checkpoint.captions)
    return dict(zip(names, shares.tolist(), strict=True))


def caption_fit(embeddings: Embeddings, checkpoint: Checkpoint, domain: Domain) -> float:
    """How well a volume's slices fit the caption of a domain, in [0, 1]; see `caption_fits`."""
    return caption_fits(embeddings, checkpoint)[domain.name]
