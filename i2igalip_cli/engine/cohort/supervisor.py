"""Looks after the worker's process: a crash costs one volume, not the run.

The volumes at work when a process dies are done again alone, one by one, by a fresh process. One
that ends its process twice while it is alone gets a failed row, for each target that is left. Where
several were given up so and the next process dies too, with nothing translated in between, it isn't
the volumes' fault.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast, get_args

from i2igalip_cli.engine.cohort.ledger import Ledger, RunFaultError
from i2igalip_cli.engine.cohort.plan import Event, Kind, Plan
from i2igalip_cli.engine.cohort.processes import describe_exit
from i2igalip_cli.engine.cohort.work import Worker
from i2igalip_cli.engine.cohort.worker import STOP, pack
from i2igalip_cli.engine.stopping import StopRequest
from i2igalip_cli.errors import os_reason

COMMAND = (sys.executable, "-P", "-m", "i2igalip_cli.engine.cohort")
DEATHS = 2  # of processes that had one volume alone: then it is that volume's fault
GIVEN_UP = 3  # volumes in a row, after which another death ends the run
_LOOK_SECONDS = 0.2  # at signals
_STOP_SECONDS = 20.0  # that a worker has to drop its volumes


@dataclass
class _Life:
    """What one worker process did.

    Attributes:
        claimed: Keys of items it was at when it ended.
        finished: Keys of items that have their row.
        fault: Of the whole run.
        broken: What is wrong with the device.
        whole: Whether it ended by itself.
        code: How it ended.
    """

    claimed: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)
    fault: str = ""
    broken: str = ""
    whole: bool = False
    code: int = 0


class Supervisor:
    """Runs a plan in worker processes until every item has its row.

    Args:
        plan: What to do.
        ledger: Of the output folder.
        stop: Whether a signal came.
        on_progress: Called with (volumes done, volumes in all).
        command: What starts a worker.
        on_notice: Called with a sentence for people, such as whom the run waits for.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        stop: StopRequest,
        on_progress: Callable[[int, int], None] | None = None,
        command: Sequence[str] = COMMAND,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.stop = stop
        self.command = command
        self._on_progress = on_progress or (lambda done, total: None)
        self._on_notice = on_notice or (lambda text: None)
        self._finished: set[str] = set()
        self._origins = {item.key: item.origin for item in plan.items}
        self._deaths: Counter[str] = Counter()  # by origin
        self._given_up: set[str] = set()  # origins, since the last translation

    @property
    def finished(self) -> int:
        """How many items need nothing more."""
        return len(self._finished)

    def run(self) -> None:
        """Run workers one after the other until all is done or a signal came.

        Raises:
            RunFaultError: A fault that meets every volume.
        """
        self._on_progress(0, len(self.plan.items))
        suspects: frozenset[str] = frozenset()
        idle_deaths = 0
        while self._left() and not self.stop.signal:
            life = self._live(suspects)
            if life.fault:
                raise RunFaultError(life.fault)
            if self.stop.signal:
                return
            if life.whole:
                assert not self._left(), "a worker ends by itself when all have their row"
                return
            how = life.broken or describe_exit(life.code)
            idle_deaths = 0 if life.claimed or life.finished else idle_deaths + 1
            if idle_deaths == DEATHS:
                raise RunFaultError(
                    f"the worker ended before its work ({how}); see {self.plan.log}"
                )
            if len(self._given_up) >= GIVEN_UP:
                raise RunFaultError(
                    f"{len(self._given_up)} volumes in a row ended their process, then another one "
                    f"did ({how}), and none was translated in between; see {self.plan.log}"
                )
            suspects = self._judge(life, suspects, how)

    def _left(self) -> list[str]:
        return [item.key for item in self.plan.items if item.key not in self._finished]

    def _judge(self, life: _Life, suspects: frozenset[str], how: str) -> frozenset[str]:
        """Who is to be alone next; who ended too many processes while alone gets its rows."""
        self._deaths.update({self._origins[key] for key in life.claimed & suspects})
        suspected = {self._origins[key] for key in suspects | life.claimed}
        suspects = frozenset(key for key in self._left() if self._origins[key] in suspected)
        for key in sorted(suspects):
            if self._deaths[self._origins[key]] >= DEATHS and self._give_up(key, how):
                suspects -= {key}
        return suspects

    def _give_up(self, key: str, how: str) -> bool:
        """Enter a volume that ends its processes as failed; False if another run is at it."""
        item = next(item for item in self.plan.items if item.key == key)
        reason = f"the process died ({how}), {DEATHS} times with this volume alone"
        if not Worker(self.plan, self.ledger, self._ignore, threading.Event()).refuse(item, reason):
            return False
        self._given_up.add(item.origin)
        self._count(key)
        return True

    def _count(self, key: str) -> None:
        self._finished.add(key)
        self._on_progress(len(self._finished), len(self.plan.items))

    def _live(self, alone: frozenset[str]) -> _Life:
        """Run one worker to its end."""
        items = tuple(item for item in self.plan.items if item.key not in self._finished)
        plan = replace(self.plan, items=items, alone=alone)
        life = _Life()
        child = self._start()
        try:
            _send(child, pack(plan))
            for event in self._listen(child):
                self._note(event, life)
            life.code = child.wait()
        finally:
            child.kill()
            child.wait()
            assert child.stdin is not None, "it is a pipe"
            with contextlib.suppress(OSError):  # what was never taken off it
                child.stdin.close()
            if self.stop.signal:
                self._tidy(life)
        return life

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            with self.plan.log.open("ab") as log:
                return subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
        except OSError as error:
            raise RunFaultError(
                f"can't start a process for the work: {os_reason(error)}"
            ) from error

    def _listen(self, child: subprocess.Popen[bytes]) -> Iterator[Event]:
        """The events of a worker; a signal's wish to stop is passed on to it."""
        heard: queue.Queue[Event | None] = queue.Queue()
        threading.Thread(target=_hear, args=(child, heard), daemon=True).start()
        last_moment: float | None = None
        while True:
            if self.stop.signal and last_moment is None:
                last_moment = time.monotonic() + _STOP_SECONDS
                _send(child, STOP)
            if last_moment is not None and time.monotonic() > last_moment:
                child.kill()
            try:
                event = heard.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if event is None:
                return
            yield event

    def _tidy(self, life: _Life) -> None:
        """Remove what a worker that was stopped too late has left half done."""
        for key in life.claimed:
            with contextlib.suppress(OSError):
                claim = self.ledger.claims.take(key)
                if claim is not None:
                    self.ledger.clear_staging(claim)
                    self.ledger.claims.release(claim)

    def _note(self, event: Event, life: _Life) -> None:
        if event.kind == "claimed":
            life.claimed.add(event.text)
        elif event.kind == "dropped":
            life.claimed.discard(event.text)
        elif event.kind == "finished":
            life.claimed.discard(event.text)
            life.finished.add(event.text)
            self._count(event.text)
        elif event.kind == "translated":
            self._given_up.clear()
        elif event.kind == "waits":
            self._on_notice(event.text)
        elif event.kind == "fault":
            life.fault = event.text
        elif event.kind == "broken":
            life.broken = event.text
        else:
            life.whole = True

    def _ignore(self, event: Event) -> None:
        """What happens to a volume that was given up is known here."""


def _send(child: subprocess.Popen[bytes], message: bytes) -> None:
    assert child.stdin is not None, "it is a pipe"
    with contextlib.suppress(OSError):  # it has ended: that is seen when it is waited for
        child.stdin.write(message)
        child.stdin.flush()


def _hear(child: subprocess.Popen[bytes], heard: "queue.Queue[Event | None]") -> None:
    """Pass on a worker's events, and None when its line ends."""
    assert child.stdout is not None, "it is a pipe"
    with child.stdout:
        for line in child.stdout:
            kind, _, text = line.decode("utf-8", errors="replace").rstrip("\n").partition(" ")
            if kind in get_args(Kind):
                heard.put(Event(cast(Kind, kind), text))
    heard.put(None)
