"""Distances between all predictions and all references: FID and KID, plane by plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from i2igalip_cli.config import Plane
from i2igalip_cli.engine.evaluator.extractors import Extractor, Features
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.errors import GalipError, first_line
from i2igalip_cli.evaluation.distributions import LEAST_ROWS, frechet_distance, kernel_distance
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols import ProtocolSettings
from i2igalip_cli.evaluation.protocols.scaling import Scaling
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import view_slices

_SUBSETS, _SUBSET = 100, 1000  # of KID: how many, and slices of each at most
_PLANES: tuple[Plane, ...] = get_args(Plane)

# By extractor and plane those of the predictions and those of the references, case by case.
FeaturesByPlane = dict[tuple[str, Plane], tuple[list[Features], list[Features]]]


@dataclass(frozen=True, kw_only=True)
class SetDistances:
    """Distances by extractor, and what the user should know of them."""

    scores: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def compare_sets(
    cases: Sequence[CaseResult],
    extractors: Sequence[Extractor],
    settings: ProtocolSettings,
    on_progress: Callable[[int, int], None] | None = None,
) -> SetDistances:
    """FID and KID between the slices of all predictions and those of all references.

    Slices are in [0, 1], scaled as in the fixed protocol. Slices whose scaled reference is empty
    are left out, and so is a pair that can't be read or scaled any more, which is told.

    Args:
        cases: That were scored.
        extractors: Of features.
        settings: Range and policy.
        on_progress: Called with (volume pairs done, volume pairs in all).
    """
    scaling = Scaling(settings)
    warnings: list[str] = []
    features: FeaturesByPlane = {
        (extractor.name, plane): ([], []) for extractor in extractors for plane in _PLANES
    }
    for number, case in enumerate(cases):
        try:
            volumes = _load_scaled(case, scaling)
        except (GalipError, OSError) as error:
            warnings.append(f"FID and KID without {case.case}: {first_line(error)}")
        else:
            _extract(volumes, extractors, features)
        if on_progress is not None:
            on_progress(number + 1, len(cases))
    scores: dict[str, tuple[Score, ...]] = {}
    for extractor in extractors:
        for plane in _PLANES:
            sides = features[extractor.name, plane]
            ours_, theirs_ = (np.concatenate(side) if side else np.empty((0, 0)) for side in sides)
            if len(ours_) < LEAST_ROWS:
                warnings.append(f"FID and KID need {LEAST_ROWS} {plane} slices at least")
                continue
            scores[extractor.name] = (
                *scores.get(extractor.name, ()),
                *_distances(ours_, theirs_, extractor, plane, scaling),
            )
            warnings += _warn_of_few(ours_, extractor, plane)
    return SetDistances(scores=scores, warnings=tuple(warnings))


def _load_scaled(case: CaseResult, scaling: Scaling) -> tuple[Volume, Volume]:
    """Prediction and reference in [0, 1].

    Raises:
        GalipError: They can't be read any more, or not be scaled.
    """
    ours, theirs = case.load()
    return (
        ours.with_array(scaling.scale_prediction(ours.array)),
        theirs.with_array(scaling.scale_reference(theirs.array)),
    )


def _extract(
    volumes: tuple[Volume, Volume], extractors: Sequence[Extractor], features: FeaturesByPlane
) -> None:
    """Add the features of a case's slices whose reference isn't empty."""
    for plane in _PLANES:
        pair = [view_slices(v.array, v.affine, plane) for v in volumes]
        shown = pair[1].any(axis=(1, 2))
        for extractor in extractors:
            for slices, found in zip(pair, features[extractor.name, plane], strict=True):
                if shown.any():
                    found.append(extractor.extract(slices[shown]))


def _distances(
    ours: Features,
    theirs: Features,
    extractor: Extractor,
    plane: Plane,
    scaling: Scaling,
) -> tuple[Score, ...]:
    shared = f"{extractor.identity}; all {plane} slices of all cases, {scaling.rule}"

    def measure(name: str, definition: str) -> Measure:
        return Measure(
            name=name,
            unit="",
            better="lower",
            definition=f"{definition}; {shared}",
            dimensions=2,
            data_range=scaling.value_range,
            region=plane,
        )

    # Subsets of all slices would all be the same, and their spread 0.
    size = max(min(_SUBSET, len(ours) // 2), LEAST_ROWS)
    distance, spread = kernel_distance(ours, theirs, subsets=_SUBSETS, subset_size=size)
    frechet = measure("fid", "Frechet distance of Gaussians (Heusel et al. 2017)")
    subsets = f"mean and deviation over {_SUBSETS} subsets of {size} slices"
    kernel = measure("kid", f"squared MMD, cubic kernel (Binkowski et al. 2018), {subsets}")
    return (
        Score(measure=frechet, value=frechet_distance(ours, theirs)),
        Score(measure=kernel, value=distance, spread=spread),
    )


def _warn_of_few(features: Features, extractor: Extractor, plane: Plane) -> list[str]:
    count, width = features.shape
    if count >= width:
        return []
    return [
        f"FID by {extractor.name}, {plane}: {count} slices for {width} features say little; go by "
        "KID and its spread"
    ]
