"""The receive field of MR evened out: N4 on a coarse grid, its field applied at full resolution.

N4 (Tustison et al., "N4ITK: improved N3 bias correction", IEEE TMI 29, 2010) models an image as
truth times a smooth field, sharpens the histogram of the logarithm and fits a B-spline to what the
sharpening took away, from coarse splines to fine ones. Run over all tissue, it takes for field
what the anatomy makes brighter or darker over a distance, such as a rim of grey matter. So it runs
twice, as with Atropos in Tustison et al. (NeuroImage 99, 2014): over everything, then over the core
of the tissue of which most lies deep, which the first run made easy to tell.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.foreground import Box
from i2igalip_cli.volumes.preprocess.resampling import fill_grid, resample
from i2igalip_cli.volumes.preprocess.sitk_image import from_image, one_thread, to_image
from i2igalip_cli.volumes.volume import Array, Volume, freeze

COARSE_MM = 4.0  # a receive field is smoother than this, and the tissues can still be told apart
# Iterations at each level, and splines a side of the tissue's box at the first; each level doubles
# them. Tustison's default goes from one to eight and stops at a change of 1e-3: eight fit the
# tissues themselves, and his rule ends each level half way.
EVERYTHING = ((20, 20, 20), 1)
CORE = ((30,), 3)
CONVERGED = 1e-7  # coefficient of variation between two fields
LEAST_CORE = 0.05  # share of all tissue: less tells nothing of the field elsewhere
CORE_MM = 4.0  # what lies deeper than this in a tissue has no other one mixed in
MINIMUM_VOXELS = 100  # of the coarse grid: fewer make no histogram

Mask = npt.NDArray[np.bool_]


def correct_bias(volume: Volume, mask: Mask) -> tuple[Volume, Array]:
    """Divide a volume by its receive field.

    Deterministic: on one thread, whatever ITK's number of threads.

    Args:
        volume: MR, its axes at right angles; only positive intensities tell of the field.
        mask: (I, J, K), where there is tissue.

    Returns:
        The corrected volume, whose mean within the mask is as before, and the field (I, J, K),
        float32, positive: the volume is the field times the corrected one.

    Raises:
        VolumeError: CT, a mask of another shape, too little tissue, or tissue of one intensity.
    """
    if volume.modality == "CT":
        raise VolumeError("CT has no receive field: correct the bias of MR only")
    if mask.shape != volume.shape:
        raise VolumeError(f"a mask of shape {mask.shape} doesn't fit the volume {volume.shape}")
    tissue = mask & (volume.array > 0)
    coarse, within = _coarsen(volume, tissue)
    if np.count_nonzero(within) < MINIMUM_VOXELS:
        raise VolumeError(
            f"{np.count_nonzero(mask)} voxels of tissue are too few to find a field in; "
            f"give a larger mask"
        )
    if np.ptp(coarse.array[within]) == 0:
        raise VolumeError(f"the tissue is constant ({coarse.array[within][0]:g}): it has no field")
    first = _spread(_fit_field(coarse, within, *EVERYTHING), coarse, volume)
    deep = _find_core(volume, volume.array / first, tissue)
    core, within = _coarsen(volume, deep)
    # Thin slabs have no core, and where tissues hardly differ, as in PD, it is a corner of them.
    enough = np.count_nonzero(within) >= MINIMUM_VOXELS and deep.sum() >= LEAST_CORE * tissue.sum()
    field = _spread(_fit_field(core, within, *CORE), core, volume) if enough else first
    corrected: Array = volume.array / field
    level = np.float32(_mean(corrected, mask) / _mean(volume.array, mask))
    field *= level
    corrected /= level
    return volume.with_array(freeze(corrected)), field


def _coarsen(volume: Volume, tissue: Mask) -> tuple[Volume, Mask]:
    """The volume on a grid of about `COARSE_MM`, two voxels a side or more, and its tissue.

    Each coarse voxel is the mean of the tissue within its reach, so that air doesn't darken edges.
    """
    i, j, k = (
        min(max(step, COARSE_MM), n * step / 2)
        for n, step in zip(volume.shape, volume.spacing_mm, strict=True)
    )
    weight = tissue.astype(np.float32)
    share = resample(replace(volume, array=weight), (i, j, k))
    total = resample(replace(volume, array=volume.array * weight), (i, j, k))
    within = share.array > 0.5
    mean = np.divide(total.array, share.array, out=np.zeros_like(total.array), where=within)
    return replace(total, array=mean), within


def _find_core(volume: Volume, evened: Array, tissue: Mask) -> Mask:
    """What lies deep in one of three classes of an evened-out volume, (I, J, K).

    In the one of which most lies deep: a thin ribbon, such as grey matter's, has no voxels that are
    free of their neighbours' intensities.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.filters import threshold_multiotsu

    logarithm = np.log(np.where(tissue, evened, 1))
    low, high = np.percentile(logarithm[tissue], (1, 99))
    thresholds = threshold_multiotsu(np.clip(logarithm[tissue], low, high), classes=3)
    classes = np.where(tissue, np.digitize(logarithm, thresholds), 3)
    cores: list[Mask] = [
        distance_transform_edt(classes == one, sampling=volume.spacing_mm) > CORE_MM
        for one in range(3)
    ]
    return max(cores, key=np.count_nonzero)


def _spread(logarithm: Array, coarse: Volume, volume: Volume) -> Array:
    """The field on the volume's own grid from its logarithm on the coarse one."""
    field: Array = np.exp(fill_grid(logarithm, coarse.affine, volume.affine, volume.shape))
    return field


def _fit_field(volume: Volume, within: Mask, iterations: tuple[int, ...], splines: int) -> Array:
    """Logarithm (I, J, K) of the field that N4 finds; beyond the tissue's box as at its faces."""
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

    box, margins = _tissue_box(within)
    boxed = _cut(volume, box)
    inside = boxed.with_array(within[box].astype(np.float32))
    image, mask = to_image(boxed), sitk.Cast(to_image(inside), sitk.sitkUInt8)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(iterations)
    n4.SetNumberOfControlPoints([splines + 3] * 3)  # cubic ones
    n4.SetConvergenceThreshold(CONVERGED)
    with one_thread():
        n4.Execute(image, mask)
    field = from_image(n4.GetLogBiasFieldAsImage(image), like=boxed).array
    return np.pad(field, margins, mode="edge")


def _tissue_box(within: Mask) -> tuple[Box, list[tuple[int, int]]]:
    """The box around the tissue, two layers along each axis at least, and what is around it."""
    bounds = []
    for places, size in zip(np.nonzero(within), within.shape, strict=True):
        start = min(int(places.min()), size - 2)
        bounds.append((start, max(int(places.max()) + 1, start + 2)))
    i, j, k = (slice(start, stop) for start, stop in bounds)
    sizes = zip(bounds, within.shape, strict=True)
    return (i, j, k), [(start, size - stop) for (start, stop), size in sizes]


def _cut(volume: Volume, box: Box) -> Volume:
    """The part of a volume within a box."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return replace(volume, array=volume.array[box], affine=affine)


def _mean(array: Array, mask: Mask) -> float:
    return float(array[mask].mean(dtype=np.float64))
