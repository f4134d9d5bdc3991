"""Jobs of Slurm, and waiting for them."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "examples" / "cluster"
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"}


def slurm(*command: str) -> str:
    """What a command of Slurm prints."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def wait_until(happened: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Fail the test where something doesn't happen in time."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Job:
    """A job, or one task of an array (NUMBER_TASK), and the file of what it says."""

    number: str
    log: Path

    def field(self, name: str) -> str:
        """One of the fields of `scontrol show job`."""
        rows = slurm("scontrol", "--oneliner", "show", "job", self.number).splitlines()
        assert len(rows) == 1, rows
        fields = dict(field.split("=", 1) for field in rows[0].split() if "=" in field)
        return fields[name]

    @property
    def state(self) -> str:
        return self.field("JobState")

    @property
    def restarts(self) -> int:
        return int(self.field("Restarts"))

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait(self, seconds: float = 180) -> str:
        """Its last state."""
        try:
            wait_until(lambda: self.state in ENDED, f"the end of job {self.number}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.state}; it said:\n{self.said()}") from error
        return self.state


def task(array: Job, index: int) -> Job:
    """A task of an array."""
    return Job(f"{array.number}_{index}", array.log.with_suffix(f".{index}"))
