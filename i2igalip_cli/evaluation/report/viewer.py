"""Volumes as a page embeds them: small NIfTI files in base64, one crosshair for all of a case."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from i2igalip_cli.evaluation.report.shown import COLOURS, Shown
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.volume import Array

LEVELS = 250  # of a shown intensity; the eye tells about a tenth of them apart
_LEAST_BYTES = 0.1  # of base64 a voxel, even of a volume that is mostly air
_LEAST_SPAN = 1e-30  # of a volume that shows nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewerCase:
    """Volumes on one grid that are looked at side by side."""

    title: str
    panels: Sequence[Shown]


@dataclass(frozen=True, kw_only=True)
class EmbeddedPanel:
    """A volume as the page holds it; the names are those of its script."""

    title: str
    nifti: str
    low: float
    high: float
    colours: str


def embed(panel: Shown, stride: int) -> EmbeddedPanel:
    """A volume in base64.

    Args:
        panel: What to show.
        stride: Every how many voxels along each axis one is kept, the mean of its block.
    """
    coarse, affine = _coarsen(panel.volume, stride)
    span = max(panel.high - panel.low, _LEAST_SPAN)
    levels = np.clip((coarse - panel.low) / span, 0, 1) * LEVELS
    stored = np.rint(levels - LEVELS / 2 if panel.kind == "signed" else levels).astype(np.int16)
    return EmbeddedPanel(
        title=panel.title,
        nifti=base64.b64encode(_nifti(stored, affine, panel, span)).decode("ascii"),
        low=panel.low,
        high=panel.high,
        colours=COLOURS[panel.kind],
    )


def _nifti(
    stored: np.ndarray[tuple[int, ...], np.dtype[np.int16]],
    affine: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    panel: Shown,
    span: float,
) -> bytes:
    """A gzipped NIfTI file whose scale gives the intensities back."""
    import nibabel as nib

    kind = np.int16 if panel.kind == "signed" else np.uint8
    image = nib.Nifti1Image(stored.astype(kind), affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(span / LEVELS, 0.0 if panel.kind == "signed" else panel.low)
    return gzip.compress(image.to_bytes(), compresslevel=9, mtime=0)


def _coarsen(
    volume: Volume, stride: int
) -> tuple[Array, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Means of blocks, and the affine of their centres; what fills no block is left out."""
    if stride == 1:
        return volume.array, volume.affine
    steps = [min(stride, n) for n in volume.shape]
    counts = [n // step for n, step in zip(volume.shape, steps, strict=True)]
    cut = volume.array[tuple(slice(0, c * s) for c, s in zip(counts, steps, strict=True))]
    split = [part for c, s in zip(counts, steps, strict=True) for part in (c, s)]
    means: Array = cut.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)
    scale = np.eye(4)
    scale[[0, 1, 2], [0, 1, 2]] = steps
    scale[:3, 3] = (np.array(steps) - 1) / 2
    return means, volume.affine @ scale


def embed_within(
    cases: Sequence[ViewerCase], budget: int
) -> tuple[list[tuple[str, list[EmbeddedPanel]]], int]:
    """All cases, made coarser together until they fit.

    Args:
        cases: What to embed.
        budget: Bytes of base64 text in all.

    Returns:
        Title and panels of each case, and the stride that was needed.
    """
    voxels = sum(panel.volume.array.size for case in cases for panel in case.panels)
    longest = max(max(p.volume.shape) for case in cases for p in case.panels)
    room = max(budget, 1)
    stride = max(1, int((_LEAST_BYTES * voxels / room) ** (1 / 3)))
    while True:
        embedded = [(case.title, [embed(panel, stride) for panel in case.panels]) for case in cases]
        size = sum(len(panel.nifti) for _, panels in embedded for panel in panels)
        if size <= budget or stride >= longest:
            return embedded, stride
        stride = min(
            longest, max(stride + 1, int(stride * (size / room) ** (1 / 3)))
        )  # of three axes
