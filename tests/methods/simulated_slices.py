"""Small simulated brains in three contrasts, on which a method learns in minutes."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SIDE, DEPTH = 32, 6
LEVELS = {  # background, fluid, grey, white
    "T1": (0.0, 0.15, 0.55, 0.95),
    "T2": (0.0, 1.00, 0.60, 0.35),
    "PD": (0.0, 1.00, 0.85, 0.70),
}
TRAINING, HELD_OUT = 64, 4  # subjects: of each contrast, and in both


def draw_tissues(seed: int) -> np.ndarray:
    """Labels of a brain, (SIDE, SIDE, DEPTH): fluid without and within, wavy cortex, white.

    Brains lie anywhere and are large or small: no one image is near to all of them.
    """
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(*[np.linspace(-1.1, 1.1, SIDE)] * 2, indexing="ij")
    left, down = rng.uniform(-0.3, 0.3, 2)
    width, height = rng.uniform(0.6, 0.8, 2)
    x, y = (x[..., None] - left) / width, (y[..., None] - down) / height
    z = np.linspace(-0.5, 0.5, DEPTH)
    waves = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE, DEPTH)), (2, 2, 1))
    waves *= 0.08 / waves.std()
    radius = np.sqrt(x**2 + y**2 + z**2)
    size, apart = rng.uniform(0.12, 0.22), rng.uniform(0.17, 0.28)
    ventricles = np.minimum(
        np.hypot((x - apart) / size, y / (2.5 * size)),
        np.hypot((x + apart) / size, y / (2.5 * size)),
    )
    tissues = np.zeros((SIDE, SIDE, DEPTH), int)
    tissues[radius < 1] = 1
    tissues[radius + waves / 2 < 0.9] = 2
    tissues[radius + 2 * waves < 0.65] = 3
    tissues[(ventricles < 1 + waves) & (radius < 0.8)] = 1
    return tissues


def scan(seed: int, contrast: str) -> np.ndarray:
    """A volume of a subject, with a receive field and noise, 0 outside of the brain."""
    tissues = draw_tissues(seed)
    rng = np.random.default_rng([seed, sum(contrast.encode())])
    clean = ndimage.gaussian_filter(np.array(LEVELS[contrast])[tissues], (0.5, 0.5, 0))
    ramp = np.linspace(-1, 1, SIDE)
    field = 1 + 0.05 * (rng.uniform(-1, 1) * ramp[:, None] + rng.uniform(-1, 1) * ramp)[..., None]
    noisy = clean * field + 0.02 * rng.standard_normal(clean.shape)
    return (1000 * np.where(tissues > 0, np.maximum(noisy, 0), 0)).astype(np.float32)


def write_subjects(folder: Path, source: str, target: str) -> Path:
    """Raw volumes: unpaired for training, both contrasts of the held-out subjects."""
    affine = np.diag([5.0, 5.0, 10.0, 1.0])

    def write(split: str, seed: int, contrast: str) -> None:
        path = folder / split / f"sub-{seed:03d}_{contrast}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(scan(seed, contrast), affine), path)

    for number in range(TRAINING):
        write("train", number, source)
        write("train", TRAINING + number, target)
    for seed in range(2 * TRAINING, 2 * TRAINING + HELD_OUT):
        for contrast in (source, target):
            write("val", seed, contrast)
    return folder
