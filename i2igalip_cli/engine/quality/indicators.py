"""Numbers that tell of a translation without its truth: how far images differ, and their edges.

Cycle: Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent adversarial
networks": what was translated there and back should be the source. Flips and planes: test-time
augmentation as a measure of uncertainty, Wang et al. 2019, "Aleatoric uncertainty estimation with
test-time augmentation for medical image segmentation". Edges: normalised gradient fields, Haber
and Modersitzki 2006, "Intensity gradient based registration and fusion of multi-modal images".
"""

import numpy as np
import numpy.typing as npt

from i2igalip_cli.evaluation.metrics import FOREGROUND
from i2igalip_cli.volumes.volume import Array

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
EDGE = 0.05  # of the range a mm: gradients well below it are noise, well above it edges
_LAYERS = 16  # that gradients are taken of at once, for memory


def find_foreground(source: Array, result: Array) -> Mask:
    """Where there is something to judge: neither image is dark throughout.

    Fluid that is dark in T1 is bright in T2, and what a generator invents is bright in air.

    Args:
        source: Any shape, in [0, 1].
        result: The same shape, in [0, 1].

    Returns:
        Where one of them is above `FOREGROUND`; everywhere where nothing is.
    """
    found = (source > FOREGROUND) | (result > FOREGROUND)
    return found if found.any() else np.ones(source.shape, bool)


def mean_within(deviation: Array, foreground: Mask) -> float:
    """Mean of a voxel-wise deviation over the foreground (not empty)."""
    return float(deviation.mean(where=foreground, dtype=np.float64))


def edge_agreement(
    source: Array, result: Array, spacing_mm: tuple[float, float, float], foreground: Mask
) -> float:
    """How far two images have their edges at the same places, whatever their contrasts.

    With n = grad I / sqrt(|grad I|^2 + EDGE^2), it is 2 sum (n_s . n_r)^2 over
    sum |n_s|^4 + |n_r|^4: 1 for parallel or opposite gradients of one strength, 0 where edges of
    one have none or a crossing one in the other.

    Args:
        source: (I, J, K) in [0, 1].
        result: The same shape, in [0, 1].
        spacing_mm: Distance between neighbours along I, J, K.
        foreground: (I, J, K), where to look.

    Returns:
        In [0, 1]; 1 where neither image has an edge.
    """
    shared, strength = 0.0, 0.0
    for start in range(0, len(source), _LAYERS):
        stop = min(start + _LAYERS, len(source))
        first, last = max(start - 1, 0), min(stop + 1, len(source))
        inside = slice(start - first, stop - first)
        ours = _edges(source[first:last], spacing_mm)[:, inside]
        theirs = _edges(result[first:last], spacing_mm)[:, inside]
        where = foreground[start:stop]
        shared += float((np.square((ours * theirs).sum(axis=0))[where]).sum())
        for field in (ours, theirs):
            strength += float(np.square(np.square(field).sum(axis=0))[where].sum())
    return 2 * shared / strength if strength > 0 else 1.0


def _edges(image: Array, spacing_mm: tuple[float, float, float]) -> Floats:
    """Normalised gradients (3, I, J, K) of an image (I, J, K); 0 along an axis of one voxel."""
    wide = image.astype(np.float64)
    gradient = np.stack(
        [
            np.gradient(wide, spacing, axis=axis) if wide.shape[axis] > 1 else np.zeros(wide.shape)
            for axis, spacing in enumerate(spacing_mm)
        ]
    )
    length = np.sqrt(np.square(gradient).sum(axis=0) + EDGE**2)
    fields: Floats = gradient / length
    return fields
