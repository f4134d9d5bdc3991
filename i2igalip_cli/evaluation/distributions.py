"""Distances between two sets of features: FID and KID, through torchmetrics.

torchmetrics computes both from the output of a network; here the network hands through features
that were computed before, by whatever encoder the caller chose.
"""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn

Features = npt.NDArray[np.floating]
LEAST_ROWS = 2  # a covariance, and an unbiased estimate of MMD, need two
_SEED = 20250710  # of KID's random subsets


def frechet_distance(features_a: Features, features_b: Features) -> float:
    """FID: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017).

    Biased upwards where there are few rows: below the number of columns both covariances are
    singular, and only sets of equal size should be compared.

    Args:
        features_a: (N, C) finite.
        features_b: (M, C) finite.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        EvaluationError: Too few rows, unequal columns, or values that aren't finite.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(features_a, features_b)
    metric = FrechetInceptionDistance(feature=_identity(features_a.shape[1]))
    metric.set_dtype(torch.float64)
    for features, real in ((features_a, False), (features_b, True)):
        metric.update(torch.from_numpy(features.astype(np.float64)), real=real)
    return max(float(metric.compute()), 0.0)  # rounding may leave -1e-12


def kernel_distance(
    features_a: Features, features_b: Features, *, subsets: int = 100, subset_size: int = 1000
) -> tuple[float, float]:
    """KID: unbiased squared MMD with the kernel (x.y / C + 1)^3 (Binkowski et al. 2018).

    Mean over random subsets, which for few rows are smaller: as large as the smaller set. Without
    bias, it may come out slightly below 0 for equal distributions.

    Args:
        features_a: (N, C) finite.
        features_b: (M, C) finite.
        subsets: Random subsets of both sets.
        subset_size: Rows of each at most.

    Returns:
        Mean and standard deviation over the subsets. The deviation tells how much the draw
        matters, and is no standard error: subsets overlap. Where a subset holds all rows of both
        sets there is nothing to draw, and only rounding is left of it.

    Raises:
        EvaluationError: Too few rows, unequal columns, or values that aren't finite.
    """
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    _check(features_a, features_b)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features")
        metric = KernelInceptionDistance(
            feature=_identity(features_a.shape[1]),
            subsets=subsets,
            subset_size=min(subset_size, len(features_a), len(features_b)),
        )
    metric.set_dtype(torch.float64)
    for features, real in ((features_a, False), (features_b, True)):
        metric.update(torch.from_numpy(features.astype(np.float64)), real=real)
    with torch.random.fork_rng(devices=[]):  # it draws from the global generator
        torch.manual_seed(_SEED)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def _identity(width: int) -> "nn.Module":
    """A network that hands features through."""
    import torch
    from torch import nn

    network = nn.Identity()
    network.register_buffer("num_features", torch.tensor(width))  # torchmetrics asks for it
    return network


def _check(features_a: Features, features_b: Features) -> None:
    for features in (features_a, features_b):
        if features.ndim != 2 or len(features) < LEAST_ROWS:
            raise EvaluationError(
                f"features of shape {features.shape}: (slices, features) are needed, "
                f"{LEAST_ROWS} slices at least"
            )
        if not np.isfinite(features).all():
            raise EvaluationError("features that aren't finite: the encoder failed on a slice")
    if features_a.shape[1] != features_b.shape[1]:
        raise EvaluationError(
            f"{features_a.shape[1]} features against {features_b.shape[1]}: "
            "both sets need the same encoder"
        )
