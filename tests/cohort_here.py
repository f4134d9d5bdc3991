"""A cohort's worker in the test's own process, for where nothing is to crash."""

import io
import threading
from dataclasses import replace

from i2igalip_cli.engine.cohort.plan import Event
from i2igalip_cli.engine.cohort.supervisor import Supervisor, _Life
from i2igalip_cli.engine.cohort.worker import work


def work_here(monkeypatch) -> None:
    """Let supervisors work themselves."""
    monkeypatch.setattr(Supervisor, "_live", _live)


def _live(supervisor: Supervisor, alone: frozenset[str]) -> _Life:
    told, life = io.StringIO(), _Life()
    work(replace(supervisor.plan, alone=alone), told, threading.Event())
    for line in told.getvalue().splitlines():
        kind, _, text = line.partition(" ")
        supervisor._note(Event(kind, text), life)
    return life
