"""Work in processes of one thread each, side by side."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from i2igalip_cli.engine.cohort.processes import die_with_parent
from i2igalip_cli.errors import DatasetError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Progress = Callable[[int, int], None]  # (done, total)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def do_each(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    jobs: int,
    tell: Progress,
) -> list[_Result]:
    """What becomes of items, in their order, the same whatever the number of processes.

    Args:
        work: What is done to one.
        items: All.
        jobs: Processes; with 1 this one does it.
        tell: Called with (items done, items in all).

    Raises:
        DatasetError: A process was killed.
    """
    jobs = min(jobs, len(items))
    if jobs <= 1:
        made = []
        for number, item in enumerate(items):
            made.append(work(item))
            tell(number + 1, len(items))
        return made
    found = work_side_by_side(work, dict(enumerate(items)), jobs, tell)
    if len(found) < len(items):
        raise DatasetError(
            f"a process was killed, perhaps out of memory; {len(items) - len(found)} of "
            f"{len(items)} are left: the same command goes on, perhaps with fewer --jobs"
        )
    return [found[number] for number in range(len(items))]


def work_side_by_side(
    work: Callable[[_Item], _Result],
    items: Mapping[int, _Item],
    jobs: int,
    tell: Progress,
) -> dict[int, _Result]:
    """What becomes of items, by number; those that were lost when a process died aren't there.

    Args:
        work: What is done to one, in another process.
        items: By number.
        jobs: Processes.
        tell: Called with (items done, items in all).
    """
    found: dict[int, _Result] = {}
    # Not forked: libraries hold threads and locks that a forked process would wait for.
    context = multiprocessing.get_context("spawn")
    with one_thread_each():
        pool = ProcessPoolExecutor(jobs, context, _begin, (os.getpid(),))
        try:
            with _ctrl_c_later():
                waiting: dict[Future[_Result], int] = {
                    pool.submit(work, item): number for number, item in items.items()
                }
            for future in as_completed(waiting):
                with contextlib.suppress(BrokenProcessPool):
                    found[waiting[future]] = future.result()
                    tell(len(found), len(items))
        except BrokenProcessPool:  # while items were handed in
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
