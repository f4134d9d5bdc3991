"""MS-SSIM: Wang's against MONAI, and both kinds against loops written from their definitions."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve

from i2igalip_cli.evaluation.multiscale import ms_ssim, ms_ssim_synthrad2025

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SHAPE = (17, 20, 6)  # filled up to 97 a side: 40, 38 and 45 voxels before it, 40, 39 and 46 after


def volumes(seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two similar volumes and a ragged mask that holds the one place that all five scales see."""
    rng = np.random.default_rng(seed)
    smooth = np.add.outer(np.sin(np.arange(17)), np.cos(np.arange(20)))[..., None] + np.arange(6)
    reference = (smooth - smooth.min()) / np.ptp(smooth)
    prediction = np.clip(0.9 * reference + 0.05 * rng.standard_normal(SHAPE), 0, 1)
    mask = np.zeros(SHAPE, bool)
    mask[3:14, 4:16, 1:5] = rng.random((11, 12, 4)) > 0.3
    mask[8, 10, 3] = True  # 48 in every axis after filling up: 3 at the fifth scale
    return prediction, reference, mask


def fill_up(image: np.ndarray) -> np.ndarray:
    missing = [97 - size for size in image.shape]
    return np.pad(image, [(m // 2, m - m // 2) for m in missing], mode="edge")


def masked_mean(
    prediction: np.ndarray,
    reference: np.ndarray,
    mask: np.ndarray,
    value: Callable[[np.ndarray, np.ndarray], float],
) -> float:
    """Mean of a figure over the windows of 7 x 7 x 7 around the mask's voxels, one by one."""
    values = []
    for place in np.argwhere(mask):
        if all(3 <= i < size - 3 for i, size in zip(place, mask.shape, strict=True)):
            window = tuple(slice(i - 3, i + 4) for i in place)
            values.append(value(prediction[window].ravel(), reference[window].ravel()))
    return float(np.mean(values))


def slow_synthrad2025(prediction, reference, mask, data_range) -> float:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    c3 = c2 / 2
    ours, theirs, where = (fill_up(image) for image in (prediction, reference, mask))
    result = 1.0
    for weight in WEIGHTS:

        def voxel(p, r, weight=weight) -> float:
            (own, both), (_, other) = np.cov(p, r, ddof=1)
            l = (2 * p.mean() * r.mean() + c1) / (p.mean() ** 2 + r.mean() ** 2 + c1)  # noqa: E741
            c = (2 * np.sqrt(own * other) + c2) / (own + other + c2)
            s = (both + c3) / (np.sqrt(own * other) + c3)
            return max(l, 0) ** weight * max(c, 0) ** weight * max(s, 0) ** weight

        result *= np.clip(masked_mean(ours, theirs, where, voxel), 0, 1)
        box = np.full((2, 2, 2), 1 / 8)
        ours, theirs = (fftconvolve(i, box, mode="same")[::2, ::2, ::2] for i in (ours, theirs))
        where = where[::2, ::2, ::2]
    return float(result)


def slow_wang(prediction, reference, mask, data_range) -> float:
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    ours, theirs, where = (fill_up(image) for image in (prediction, reference, mask))
    result = 1.0
    for scale, weight in enumerate(WEIGHTS):

        def voxel(p, r, last=scale == 4) -> float:
            (own, both), (_, other) = np.cov(p, r, ddof=0)
            l = (2 * p.mean() * r.mean() + c1) / (p.mean() ** 2 + r.mean() ** 2 + c1)  # noqa: E741
            return (2 * both + c2) / (own + other + c2) * (l if last else 1)

        result *= max(masked_mean(ours, theirs, where, voxel), 0) ** weight
        even = [np.pad(i, [(0, n % 2) for n in i.shape], mode="edge") for i in (ours, theirs)]
        n = even[0].shape[0] // 2
        ours, theirs = (i.reshape(n, 2, n, 2, n, 2).mean(axis=(1, 3, 5)) for i in even)
        where = where[::2, ::2, ::2]
    return float(result)


def test_synthrad2025_equals_a_loop_over_voxels() -> None:
    prediction, reference, mask = volumes()
    blank = [np.where(mask, 4024 * image, 0) for image in (prediction, reference)]
    got = ms_ssim_synthrad2025(*blank, 4024, mask)
    assert got == pytest.approx(slow_synthrad2025(*blank, mask, 4024), abs=1e-6)
    assert 0.5 < got < 0.999


def test_wang_equals_a_loop_over_voxels() -> None:
    prediction, reference, mask = volumes(1)
    got = ms_ssim(prediction, reference, 1.0, mask)
    assert got == pytest.approx(slow_wang(prediction, reference, mask, 1.0), abs=1e-6)
    assert 0.5 < got < 0.999


@pytest.mark.slow  # MONAI takes 5 s
def test_wang_equals_monai() -> None:
    from monai.metrics import MultiScaleSSIMMetric

    rng = np.random.default_rng(0)
    reference = np.cumsum(rng.standard_normal((112, 112, 112)), axis=1)
    reference = (reference - reference.min()) / np.ptp(reference)
    prediction = np.clip(reference + 0.1 * rng.standard_normal(reference.shape), 0, 1)
    reference[:40] = prediction[:40] = 0  # air, of which ours computes nothing
    metric = MultiScaleSSIMMetric(3, data_range=1.0, kernel_type="uniform", kernel_size=7)
    monai = metric(*(torch.from_numpy(image)[None, None] for image in (prediction, reference)))
    # MONAI computes in float32, whose variances are good to about 1e-5.
    assert ms_ssim(prediction, reference, 1.0) == pytest.approx(float(monai), abs=2e-5)


def test_luminance_counts_at_every_scale_for_synthrad2025_alone() -> None:
    _, reference, mask = volumes()
    brighter = np.where(mask, reference + 0.5, 0)
    reference = np.where(mask, reference, 0)
    c1 = 1e-4
    once = ms_ssim(brighter, reference, 1.0, mask)
    always = ms_ssim_synthrad2025(brighter, reference, 1.0, mask)
    assert always < once
    # Two constants have contrast and structure 1: luminance alone is left, by hand.
    half, one = np.full(SHAPE, 0.5), np.ones(SHAPE)
    everywhere = np.ones(SHAPE, bool)
    level = (2 * 0.5 + c1) / (0.25 + 1 + c1)
    assert ms_ssim(half, one, 1.0, everywhere) == pytest.approx(level ** WEIGHTS[-1], abs=1e-9)
    assert ms_ssim(half, one, 1.0) == pytest.approx(level ** WEIGHTS[-1], abs=1e-9)


def test_equal_volumes_are_1_and_a_mask_no_scale_sees_is_none() -> None:
    _, reference, mask = volumes()
    assert ms_ssim(reference, reference, 1.0) == pytest.approx(1)
    assert ms_ssim_synthrad2025(reference, reference, 1.0, mask) == pytest.approx(1)
    mask[8, 10, 3] = False
    assert ms_ssim(reference, reference, 1.0, mask) is None
    assert ms_ssim_synthrad2025(reference, reference, 1.0, mask) is None
