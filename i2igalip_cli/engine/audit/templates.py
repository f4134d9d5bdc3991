"""What the other subjects' volumes look like: medians, which a few wrong ones don't rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from i2igalip_cli.engine.audit.portraits import Portrait
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
        cubes: dict[str, list[Array]] = {}
        for one in portraits:
            cubes.setdefault(one.domain, [])
            if self._fold_of[one.shard.subject] != fold:
                cubes[one.domain].append(one.cube)
        return {
            name: np.median(of_domain, axis=0)
            for name, of_domain in cubes.items()
            if len(of_domain) >= LEAST_SUBJECTS - 1
        }

    def judge_lies(self, portraits: Sequence[Portrait]) -> dict[str, Lie]:
        """By name, how volumes lie against the other subjects; of domains that have enough."""
        return {
            one.name: judge_lie(one.cube, around)
            for one in portraits
            if one.domain in (around := self.around(one))
        }

    def around(self, one: Portrait) -> Mapping[str, Array]:
        """Medians of the other subjects by domain, (24, 24, 24) each; of those that have enough."""
        return self._by_fold[self._fold_of[one.shard.subject]]
