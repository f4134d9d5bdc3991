"""Raw volumes for the benchmark of the store: smooth heads of two contrasts, no two alike."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

CONTRASTS = ("T1", "T2")
FIELD_MM = (256.0, 256.0, 160.0)  # along R, A and S; of it the head takes four fifths
GRAIN = 8  # smooth blobs a side of the field of view
NOISE = 0.02  # of the brightest tissue


def write_heads(folder: Path, subjects: int, shape: tuple[int, int, int], seed: int = 0) -> None:
    """Write a volume of each contrast of every subject, on one grid: sub-0000_T1.nii.gz.

    Args:
        folder: Is made.
        subjects: How many.
        shape: Voxels of a volume; their size fills `FIELD_MM`.
        seed: Of the first subject; the next ones follow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spacing = np.divide(FIELD_MM, shape)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    for number in range(subjects):
        rng = np.random.default_rng(seed + number)
        inside, tissue = draw_anatomy(shape, rng)
        for contrast, bright in zip(CONTRASTS, (tissue, 1.1 - tissue), strict=True):
            noise = NOISE * rng.standard_normal(shape, np.float32)
            array = np.where(inside, 1000 * np.clip(bright + noise, 0, None), 0)
            image = nib.Nifti1Image(array.round().astype(np.int16), affine)
            image.header.set_xyzt_units("mm")
            nib.save(image, folder / f"sub-{seed + number:04}_{contrast}.nii.gz")


def draw_anatomy(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where a head is, (I, J, K) bool, and its tissue from 0.1 to 1, smooth but for two steps."""
    axes = [np.linspace(-1.25, 1.25, side, dtype=np.float32) for side in shape]
    stretch = rng.uniform(0.9, 1.1, 3)
    squares = [(axis / size) ** 2 for axis, size in zip(axes, stretch, strict=True)]
    radius = np.sqrt(sum(np.meshgrid(*squares, indexing="ij", sparse=True)))
    blobs = ndimage.zoom(
        rng.standard_normal([GRAIN] * 3).astype(np.float32), np.divide(shape, GRAIN), order=1
    )
    tissue = 0.3 + 0.1 * blobs + 0.3 * (blobs + 2 * radius > 1.2) + 0.1 * (radius < 0.3)
    return radius < 1, np.clip(tissue, 0.1, 1)
