"""SIGTERM, a lost terminal and Ctrl-C as requests to stop in order."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)

_Handlers = dict[signal.Signals, Any]


def _listen(numbers: Sequence[signal.Signals], handler: Callable[..., None]) -> _Handlers:
    """Handle signals; what did so before. A lost terminal that `nohup` ignores stays ignored."""
    hangup = getattr(signal, "SIGHUP", None)
    return {
        number: signal.signal(number, handler)
        for number in numbers
        if number != hangup or signal.getsignal(number) is not signal.SIG_IGN
    }


def _forget(before: _Handlers) -> None:
    """Give signals back to what handled them; None is what Python doesn't know."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def leave_signals_to_the_parent(worker: int) -> None:
    """Let a loader's process ignore what a terminal or a cluster sends to all of a job's."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class StopRequest:
    """While this lasts, the first signal is only noted; a second Ctrl-C interrupts as usual.

    Outside the main thread, where Python can't listen for signals, nothing is noted.

    Attributes:
        signal: The one that came, if any.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: _Handlers = {}

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells have it."""
        return 128 + (self.signal or signal.SIGTERM)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = _listen(_SIGNALS, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _forget(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def tidy_ends() -> Iterator[None]:
    """While this lasts, SIGTERM and a lost terminal unwind the program, as Ctrl-C does.

    What is open is closed, and what lies in temporary folders goes. Outside the main thread, where
    Python can't listen for signals, nothing changes.

    Raises:
        SystemExit: With 128 and the signal's number, as shells have it.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = [number for number in _SIGNALS if number != signal.SIGINT]
    before = _listen(ends, leave)
    try:
        yield
    finally:
        _forget(before)
