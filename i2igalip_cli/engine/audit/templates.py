"""What the other subjects' volumes look like: medians, which a few wrong ones don't rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from i2igalip_cli.engine.audit.portraits import BODY, Cube, Portrait
from i2igalip_cli.engine.quality.orientation import Lie, judge_lie
from i2igalip_cli.volumes.volume import Array

FOLDS = 8  # a volume is compared with the medians of the other folds' subjects
LEAST_SUBJECTS = 3  # of a domain, for a median that one wrong volume doesn't rule


class Templates:
    """Medians of cubes by domain, for each volume without its own subject.

    Args:
        portraits: All of a dataset.
    """

    def __init__(self, portraits: Sequence[Portrait]) -> None:
        subjects = sorted({one.shard.subject for one in portraits})
        folds = min(FOLDS, len(subjects))
        self._fold_of = {name: number % max(folds, 1) for number, name in enumerate(subjects)}
        self._by_fold = [self._make(portraits, fold) for fold in range(folds)]

    def _make(self, portraits: Sequence[Portrait], fold: int) -> dict[str, Array]:
        """Of the subjects outside a fold; none of domains with too few of them."""
        cubes: dict[str, list[Cube]] = {}
        for one in portraits:
            cubes.setdefault(one.domain, [])
            if self._fold_of[one.shard.subject] != fold:
                cubes[one.domain].append(one.cube)
        return {
            name: _find_median(of_domain)
            for name, of_domain in cubes.items()
            if len(of_domain) >= LEAST_SUBJECTS - 1
        }

    def judge_lies(self, portraits: Sequence[Portrait]) -> dict[str, Lie]:
        """By name, how volumes lie against the other subjects; of domains that have enough."""
        return {
            one.name: judge_lie(one.cube.astype(np.float32), around)
            for one in portraits
            if one.domain in (around := self._around(one))
        }

    def measure_distances(self, portraits: Sequence[Portrait]) -> dict[str, dict[str, float]]:
        """By name, how far volumes are from the other subjects of each domain.

        Returns:
            Mean differences inside the body from the domains' medians, in [0, 1]; of those domains
            that have enough subjects.
        """
        return {one.name: _compare(one.cube, self._around(one)) for one in portraits}

    def _around(self, one: Portrait) -> Mapping[str, Array]:
        """Medians of the other subjects by domain, (24, 24, 24) each; of those that have enough."""
        return self._by_fold[self._fold_of[one.shard.subject]]


def _find_median(cubes: Sequence[Cube]) -> Array:
    """The median of cubes, a layer at a time: many in one array would take much memory."""
    layers = [np.median([cube[i] for cube in cubes], axis=0) for i in range(len(cubes[0]))]
    return np.stack(layers).astype(np.float32)


def _compare(cube: Cube, around: Mapping[str, Array]) -> dict[str, float]:
    inside = np.min(list(around.values()), axis=0) > BODY.threshold if around else np.False_
    if not inside.any():
        return {}
    return {
        name: float(np.abs(cube[inside] - median[inside]).mean()) for name, median in around.items()
    }
