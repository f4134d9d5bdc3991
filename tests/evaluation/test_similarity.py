"""SSIM of slices and of volumes equals scikit-image's, at awkward shapes, masks and empty air."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity as scikit_image

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.similarity import (
    slice_similarities,
    structural_similarity,
    volume_similarity,
)


def stack(shape, seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.random(shape).astype(np.float32)
    noisy = np.clip(reference + 0.2 * rng.standard_normal(shape), 0, 1).astype(np.float32)
    return noisy, reference, rng.random(shape) > 0.4


def expected(ours, theirs, mask=None, data_range=1.0) -> float:
    mean, full = scikit_image(
        ours.astype(float),
        theirs.astype(float),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return 100 * float(mean if mask is None else full[mask].mean())


def test_ssim_of_two_constants_by_hand() -> None:
    # Without variance SSIM is its luminance term (2ab + C1) / (a^2 + b^2 + C1), C1 = 0.01^2.
    a, b, c1 = 0.5, 0.25, 1e-4
    one, two = np.full((16, 16), a, np.float32), np.full((16, 16), b, np.float32)
    by_hand = 100 * (2 * a * b + c1) / (a * a + b * b + c1)
    assert structural_similarity(one, two, 1.0) == pytest.approx(by_hand, rel=1e-6)
    inside = np.zeros((16, 16), bool)
    inside[4:9, 4:9] = True
    assert structural_similarity(one, two, 1.0, inside) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("shape", [(5, 17, 19), (2, 11, 11), (1, 70, 12), (3, 33, 97)])
@pytest.mark.parametrize("masked", [False, True])
def test_slices_equal_scikit_image(shape, masked) -> None:
    ours, theirs, mask = stack(shape)
    got = slice_similarities(ours, theirs, 1.0, mask if masked else None)
    for k in range(shape[0]):
        by_scikit = expected(ours[k], theirs[k], mask[k] if masked else None)
        assert got[k] == pytest.approx(by_scikit, abs=1e-9)


@pytest.mark.parametrize("box", [(0, 3, 0, 19), (14, 17, 17, 19), (8, 9, 9, 10), (0, 17, 4, 5)])
def test_air_is_not_computed_and_changes_nothing(box) -> None:
    ours, theirs, mask = stack((2, 17, 19))
    tissue = np.zeros(ours.shape, bool)
    tissue[0, box[0] : box[1], box[2] : box[3]] = True
    ours, theirs = np.where(tissue, ours, 0), np.where(tissue, theirs, 0)
    theirs[0, 2, 15] = 0.4  # in the reference alone
    assert slice_similarities(ours, theirs, 1.0)[1] == 100  # nothing in either
    got = slice_similarities(ours, theirs, 1.0, mask)[0]
    assert got == pytest.approx(expected(ours[0], theirs[0], mask[0]), abs=1e-9)
    got = slice_similarities(ours, theirs, 1.0)[0]
    assert got == pytest.approx(expected(ours[0], theirs[0]), abs=1e-9)


def test_the_range_counts_and_the_data_stay() -> None:
    ours, theirs, _ = stack((1, 17, 19))
    ours, theirs = 4024 * ours, 4024 * theirs
    before = ours.copy(), theirs.copy()
    got = structural_similarity(ours[0], theirs[0], 4024)
    assert got == pytest.approx(expected(ours[0], theirs[0], data_range=4024), abs=1e-9)
    np.testing.assert_array_equal(ours, before[0])
    np.testing.assert_array_equal(theirs, before[1])


def test_slices_below_the_window_are_refused() -> None:
    with pytest.raises(EvaluationError, match="at least 11"):
        structural_similarity(np.zeros((9, 20), np.float32), np.zeros((9, 20), np.float32), 1.0)


@pytest.mark.parametrize("shape", [(17, 19, 9), (7, 7, 7), (41, 12, 8)])
def test_volumes_equal_scikit_image(shape) -> None:
    ours, theirs, mask = stack(shape)
    mask[3, 3, 3] = True
    mask[: shape[0] // 2, -4:] = False
    _, full = scikit_image(ours.astype(float), theirs.astype(float), data_range=1.0, full=True)
    inner = tuple(slice(3, size - 3) for size in shape)
    by_scikit = full[inner][mask[inner]].mean()
    assert volume_similarity(ours, theirs, 1.0, mask) == pytest.approx(by_scikit, abs=1e-9)


def test_a_mask_without_a_whole_window_has_no_similarity() -> None:
    ours, theirs, mask = stack((17, 19, 9))
    mask[3:-3, 3:-3, 3:-3] = False
    assert volume_similarity(ours, theirs, 1.0, mask) is None
    assert volume_similarity(*stack((17, 19, 5))[:2], 1.0, np.ones((17, 19, 5), bool)) is None
