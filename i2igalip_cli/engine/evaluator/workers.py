"""Pairs scored side by side: processes of one thread each, results in the order of the pairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from i2igalip_cli.engine.evaluator.pairs import Pair
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.engine.evaluator.scoring import Scoring, score_pair
from i2igalip_cli.engine.side_by_side import work_side_by_side

_WORTH_A_PROCESS = 4 * 2**20  # bytes of predictions: a process takes a second to start


def score_pairs(
    pairs: Sequence[Pair],
    scoring: Scoring,
    jobs: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[CaseResult, ...]:
    """Score pairs in up to `jobs` processes, the same whatever their number.

    Args:
        pairs: In the order of the results.
        scoring: How.
        jobs: Processes; with 1, or little to read, everything happens in this one.
        on_progress: Called with (pairs done, pairs in all).
    """
    tell = on_progress or (lambda done, total: None)
    jobs = min(jobs, len(pairs))
    if jobs <= 1 or _are_small(pairs):
        results = []
        for pair in pairs:
            results.append(score_pair(pair, scoring))
            tell(len(results), len(pairs))
        return tuple(results)
    score = partial(score_pair, scoring=scoring)
    found = work_side_by_side(score, dict(enumerate(pairs)), jobs, tell)
    for number, pair in enumerate(pairs):
        if number not in found:  # a process died, perhaps of another pair
            alone = work_side_by_side(score, {number: pair}, 1, lambda done, total: None)
            found[number] = alone.get(number) or _killed(pair, scoring)
            tell(len(found), len(pairs))
    return tuple(found[number] for number in range(len(pairs)))


def _are_small(pairs: Sequence[Pair]) -> bool:
    """Whether there is little to read; what isn't there fails at once."""
    if any(pair.prediction.is_dir() for pair in pairs):
        return False
    files = [pair.prediction for pair in pairs if pair.prediction.is_file()]
    return sum(file.stat().st_size for file in files) < _WORTH_A_PROCESS


def _killed(pair: Pair, scoring: Scoring) -> CaseResult:
    reason = "its process was killed, perhaps out of memory; try fewer --jobs"
    fault = f"{pair.prediction} against {pair.reference}: {reason}"
    return score_pair(replace(pair, fault=fault), scoring)
