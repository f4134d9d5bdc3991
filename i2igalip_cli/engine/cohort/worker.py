"""The worker's process: takes a plan from its supervisor, tells it events, dies with it."""

import faulthandler
import os
import pickle
import signal
import struct
import sys
import threading
from typing import TextIO

from i2igalip_cli.engine.cohort.ledger import Ledger, RunFaultError
from i2igalip_cli.engine.cohort.plan import Event, Plan
from i2igalip_cli.engine.cohort.processes import die_with_parent
from i2igalip_cli.engine.cohort.work import DeviceBrokenError, StopWorkError, Worker
from i2igalip_cli.errors import one_line

STOP = b"!"
_LENGTH = struct.Struct("<Q")
_PIECE = 2**20  # bytes read at once


def main() -> None:
    """Work through the plan that comes on stdin; events go to stdout, a line each.

    What libraries print goes to stderr, which the supervisor has tied to the log.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when to stop
    faulthandler.enable()
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    plan = _receive(sys.stdin.fileno())
    assert isinstance(plan, Plan), "only the supervisor writes to this process"
    die_with_parent(plan.parent)
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(sys.stdin.fileno(), stop), daemon=True)
    watch.start()
    work(plan, channel, stop)


def work(plan: Plan, channel: TextIO, stop: threading.Event) -> None:
    """Work through a plan and tell of it.

    Args:
        plan: What to do.
        channel: Gets a line "KIND TEXT" an event.
        stop: Set to drop what is at work and end.
    """
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            channel.write(f"{event.kind} {one_line(event.text)}\n")
            channel.flush()

    try:
        ledger = Ledger(plan.out, Ledger.name_run(), plan.lease, plan.began_ns)
        try:
            Worker(plan, ledger, tell, stop).run()
        finally:
            ledger.close()
    except StopWorkError:
        pass
    except RunFaultError as error:
        tell(Event("fault", str(error)))
    except DeviceBrokenError as error:
        tell(Event("broken", str(error)))
        return
    tell(Event("ended"))


def pack(plan: Plan) -> bytes:
    """A plan as the supervisor sends it: its length, and itself."""
    content = pickle.dumps(plan)
    return _LENGTH.pack(len(content)) + content


def _receive(line: int) -> object:
    """The plan; without Python's buffer, which the watching thread would hold at the end."""
    (length,) = _LENGTH.unpack(_read(line, _LENGTH.size))
    return pickle.loads(_read(line, length))


def _read(line: int, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = os.read(line, min(size - len(content), _PIECE))
        if not piece:
            os._exit(1)  # the supervisor is gone
        content += piece
    return bytes(content)


def _watch(line: int, stop: threading.Event) -> None:
    """Wait for the word to stop; when the supervisor is gone, be gone too."""
    if os.read(line, len(STOP)) == STOP:
        stop.set()
    else:
        os._exit(1)  # no time to put anything in order: what is half done lies in staging
