"""The pipeline: everything passes once, in order, at the same time, and never too much of it."""

import gc
import threading
import time
import weakref

import pytest

from i2igalip_cli.engine.cohort.pipeline import flow


class Load:
    """Something whose life can be watched."""

    def __init__(self, number: int) -> None:
        self.number = number


class Watched:
    """Three steps that count what is alive."""

    def __init__(self, drop=()) -> None:
        self.alive: weakref.WeakSet[Load] = weakref.WeakSet()
        self.most = 0
        self.ended: list[int] = []
        self.at_once = 0
        self.busy: set[str] = set()
        self.drop = drop
        self.threads: dict[str, threading.Thread] = {}

    def _step(self, name: str, load: Load) -> Load:
        self.threads[name] = threading.current_thread()
        self.busy.add(name)
        time.sleep(0.002)
        self.at_once = max(self.at_once, len(self.busy))
        self.busy.discard(name)
        self.most = max(self.most, len(self.alive))
        return load

    def read(self, number: int) -> Load | None:
        load = Load(number)
        self.alive.add(load)
        return None if (number, "read") in self.drop else self._step("read", load)

    def translate(self, load: Load) -> Load | None:
        return None if (load.number, "translate") in self.drop else self._step("translate", load)

    def write(self, load: Load) -> None:
        self._step("write", load)
        self.ended.append(load.number)


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_all_pass_in_order_and_no_more_live_than_there_are_slots(slots) -> None:
    steps = Watched(drop={(3, "read"), (5, "translate"), (6, "read")})
    flow(range(25), steps.read, steps.translate, steps.write, slots)
    assert steps.ended == [n for n in range(25) if n not in (3, 5, 6)]
    assert steps.most <= slots
    assert steps.at_once == min(slots, 3) if slots != 2 else steps.at_once >= 2
    assert steps.threads["translate"] is threading.current_thread()
    assert len(set(steps.threads.values())) == 3
    gc.collect()
    assert len(steps.alive) == 0


def test_nothing_is_nothing() -> None:
    steps = Watched()
    flow([], steps.read, steps.translate, steps.write)
    assert steps.ended == []


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("where", ["read", "translate", "write"])
@pytest.mark.parametrize("number", [0, 4, 9])
def test_an_error_ends_the_flow_and_is_raised(where, number, slots) -> None:
    steps = Watched()
    step = getattr(steps, where)

    def broken(thing):
        if (thing.number if isinstance(thing, Load) else thing) == number:
            raise KeyError(where)
        return step(thing)

    setattr(steps, where, broken)
    before = threading.active_count()
    with pytest.raises(KeyError, match=where):
        flow(range(10), steps.read, steps.translate, steps.write, slots)
    assert threading.active_count() == before, "no thread is left behind"
    assert steps.ended == list(range(len(steps.ended)))
    assert len(steps.ended) <= number
    if where == "write":
        assert len(steps.ended) == number


def test_an_interrupt_of_the_main_thread_ends_the_flow() -> None:
    steps = Watched()

    def interrupt(load: Load) -> Load:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow(range(100), steps.read, interrupt, steps.write)
    assert steps.ended == []
