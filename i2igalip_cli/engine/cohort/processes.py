"""Who a process is, on which boot of which machine, and whether it still runs."""

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = "ZX"  # ended, though its parent hasn't asked yet
_STATE, _START = 0, 19  # places in /proc/PID/stat after the command's name, see proc(5)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """A process that can't be taken for a later one of the same number.

    Attributes:
        host: Name of its machine.
        boot: Which boot of it, and which namespace of process numbers; "" where that is unknown.
        pid: Its number.
        started: When it started, in ticks since the boot; "" where that is unknown.
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """Identity of a process of this machine that runs now."""
        return cls(host=socket.gethostname(), boot=_boot(), pid=pid, started=_started(pid) or "")

    def is_provably_dead(self) -> bool:
        """Whether it surely runs no more; False where that can't be known from here."""
        if self.host != socket.gethostname() or self.boot != _boot():
            return False
        started = _started(self.pid)
        return started is None or (self.started != "" and started != self.started)


@cache
def _boot() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start of a process, "" where the system doesn't tell; None if it runs no more."""
    if (_PROC / "self/stat").exists():
        try:
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        fields = text.rpartition(")")[2].split()  # the name before may hold anything
        return None if fields[_STATE] in _DEAD_STATES else fields[_START]
    if os.name != "posix":  # where os.kill(pid, 0) would be no question but a kill
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


def die_with_parent(parent: int) -> None:
    """Ask the system to kill this process when its parent ends, however that ends.

    Args:
        parent: Number of the parent; if it is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        import ctypes

        prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.name == "posix" and os.getppid() != parent:  # elsewhere a launcher may stand between
        os._exit(1)


def describe_exit(code: int) -> str:
    """How a process ended, from its return code: a signal's name or a number."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
        return f"{name}, perhaps out of memory" if name == "SIGKILL" else name
    except ValueError:
        return f"signal {-code}"
