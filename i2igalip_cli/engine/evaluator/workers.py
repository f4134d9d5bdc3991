"""Pairs scored side by side: processes of one thread each, results in the order of the pairs."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from i2igalip_cli.engine.cohort.processes import die_with_parent
from i2igalip_cli.engine.evaluator.pairs import Pair
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.engine.evaluator.scoring import Scoring, score_pair

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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
    found = _score_in_pool(dict(enumerate(pairs)), scoring, jobs, tell)
    for number, pair in enumerate(pairs):
        if number not in found:  # a process died, perhaps of another pair
            alone = _score_in_pool({number: pair}, scoring, 1, lambda done, total: None)
            found[number] = alone.get(number) or _killed(pair, scoring)
            tell(len(found), len(pairs))
    return tuple(found[number] for number in range(len(pairs)))


def _are_small(pairs: Sequence[Pair]) -> bool:
    """Whether there is little to read; what isn't there fails at once."""
    if any(pair.prediction.is_dir() for pair in pairs):
        return False
    files = [pair.prediction for pair in pairs if pair.prediction.is_file()]
    return sum(file.stat().st_size for file in files) < _WORTH_A_PROCESS


def _score_in_pool(
    pairs: dict[int, Pair], scoring: Scoring, jobs: int, tell: Callable[[int, int], None]
) -> dict[int, CaseResult]:
    """Results by number; without those that were lost when a process died."""
    found: dict[int, CaseResult] = {}
    # Not forked: libraries hold threads and locks that a forked process would wait for.
    context = multiprocessing.get_context("spawn")
    with one_thread_each():
        pool = ProcessPoolExecutor(jobs, context, _begin, (os.getpid(),))
        try:
            with _ctrl_c_later():
                waiting: dict[Future[CaseResult], int] = {
                    pool.submit(score_pair, pair, scoring): number for number, pair in pairs.items()
                }
            for future in as_completed(waiting):
                with contextlib.suppress(BrokenProcessPool):
                    found[waiting[future]] = future.result()
                    tell(len(found), len(pairs))
        except BrokenProcessPool:  # while pairs were handed in
            pass
        finally:  # after Ctrl-C what is at work is finished, and nothing new begun
            pool.shutdown(cancel_futures=True)
    return found


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Hold Ctrl-C back, also in processes that start meanwhile, before they can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """What a process does first: leave Ctrl-C to its parent, and end when that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile use one thread each, for there are as many as cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _killed(pair: Pair, scoring: Scoring) -> CaseResult:
    reason = "its process was killed, perhaps out of memory; try fewer --jobs"
    fault = f"{pair.prediction} against {pair.reference}: {reason}"
    return score_pair(replace(pair, fault=fault), scoring)
