"""Distances between all predictions and all references: FID and KID, plane by plane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from i2igalip_cli.config import IntensityPolicy, Plane
from i2igalip_cli.engine.evaluator.extractors import Extractor, Features
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.evaluation.distributions import LEAST_ROWS, frechet_distance, kernel_distance
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols import ProtocolSettings
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array

_SUBSETS, _SUBSET = 100, 1000  # of KID: how many, and slices of each at most
_PLANES: tuple[Plane, ...] = get_args(Plane)


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

    Slices are in [0, 1]: by the fixed range where one is given, else by each volume's own
    percentile, as in the fixed protocol. Slices whose reference is empty are left out.

    Args:
        cases: That were scored.
        extractors: Of features.
        settings: Range and policy.
        on_progress: Called with (volume pairs done, volume pairs in all).

    Raises:
        GalipError: A volume can't be read any more.
    """
    features: dict[tuple[str, Plane], tuple[list[Features], list[Features]]] = {
        (extractor.name, plane): ([], []) for extractor in extractors for plane in _PLANES
    }
    for number, case in enumerate(cases):
        ours, theirs = (_to_unit(volume, settings) for volume in case.load())
        for plane in _PLANES:
            pair = [view_slices(v.array, v.affine, plane) for v in (ours, theirs)]
            shown = pair[1].any(axis=(1, 2))
            for extractor in extractors:
                for slices, found in zip(pair, features[extractor.name, plane], strict=True):
                    if shown.any():
                        found.append(extractor.extract(slices[shown]))
        if on_progress is not None:
            on_progress(number + 1, len(cases))
    scores: dict[str, tuple[Score, ...]] = {}
    warnings: list[str] = []
    for extractor in extractors:
        for plane in _PLANES:
            sides = features[extractor.name, plane]
            ours_, theirs_ = (np.concatenate(side) if side else np.empty((0, 0)) for side in sides)
            if len(ours_) < LEAST_ROWS:
                warnings.append(f"FID and KID need {LEAST_ROWS} {plane} slices at least")
                continue
            scores[extractor.name] = (
                *scores.get(extractor.name, ()),
                *_distances(ours_, theirs_, extractor, plane, settings),
            )
            warnings += _warn_of_few(ours_, extractor, plane)
    return SetDistances(scores=scores, warnings=tuple(warnings))


def _to_unit(volume: Volume, settings: ProtocolSettings) -> Volume:
    array: Array = volume.array
    if settings.value_range is not None:
        low, high = settings.value_range
        return volume.with_array(IntensityWindow(low=low, high=high).to_unit(array))
    if not array.any():  # an empty prediction counts as it is
        return volume
    return volume.with_array(find_window(array, None, settings.policy).to_unit(array))


def _distances(
    ours: Features,
    theirs: Features,
    extractor: Extractor,
    plane: Plane,
    settings: ProtocolSettings,
) -> tuple[Score, ...]:
    scaled = "by the range given" if settings.value_range else _by_percentile(settings.policy)
    shared = f"{extractor.identity}; all {plane} slices of all cases, scaled {scaled}"

    def measure(name: str, definition: str) -> Measure:
        return Measure(
            name=name,
            unit="",
            better="lower",
            definition=f"{definition}; {shared}",
            dimensions=2,
            data_range=settings.value_range,
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


def _by_percentile(policy: IntensityPolicy) -> str:
    return f"each volume by percentile {policy.percentile:g} of its foreground"


def _warn_of_few(features: Features, extractor: Extractor, plane: Plane) -> list[str]:
    count, width = features.shape
    if count >= width:
        return []
    return [
        f"FID by {extractor.name}, {plane}: {count} slices for {width} features say little; go by "
        "KID and its spread"
    ]
