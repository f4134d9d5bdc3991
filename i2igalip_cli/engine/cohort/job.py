"""What a job of Slurm runs: this program, in a process of its own."""

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

_TERMINATED = 128 + signal.SIGTERM


@dataclass
class Job:
    """What a job runs: a program, which is stopped in order before the job is queued again.

    Attributes:
        command: The program and its arguments.
    """

    command: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Run the program to its end.

        Raises:
            SystemExit: With its exit code, if that isn't 0.
        """
        from submitit.core.utils import UncompletedJobError

        # Slurm signals all processes of a job: what warns this one would end the program's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
        try:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            code = self._process.wait()
        except UncompletedJobError:  # its time was up too often; the log says so already
            code = _TERMINATED
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def checkpoint(self) -> "DelayedSubmission":
        """Stop the program in order, when submitit is about to queue the job again."""
        from submitit.helpers import DelayedSubmission

        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):  # it has ended
                # Not process.wait(), which this interrupts and whose lock that holds.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self.command))
