"""A worker with a backend of no weight and a format that breaks on request, for the tests.

`python stand_in.py worker JOURNAL` is a worker; `python stand_in.py supervise JOURNAL JSON` a
supervisor of such workers. The journal gets a line for each translation that begins and each row.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.cohort import worker
from i2igalip_cli.engine.cohort.inputs import Choice
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.run import CohortRequest, run_cohort
from i2igalip_cli.engine.cohort.settings import TranslationSettings
from i2igalip_cli.engine.cohort.work import Worker
from i2igalip_cli.engine.memory import peak_bytes
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.errors import StoppedError, VolumeError
from i2igalip_cli.volumes import FORMATS, Volume, VolumeEntry

SUFFIX = ".fragile"
POISON = (61, 61, 60)  # shape of a volume that breaks the device


class Negative:
    """A backend: 1 - x."""

    name, chunk = "negative", 1

    def __init__(
        self, checkpoint, device=None, threads=None, precision="float32", compile=False
    ) -> None:
        self.precision = precision
        self.warnings: list[str] = []
        if device == "nosuch":
            from i2igalip_cli.errors import ConfigError

            raise ConfigError("tiny can't run on nosuch: no such device")

    def __call__(self, slices, source, target):
        if slices.shape[-1] >= min(POISON):
            raise RuntimeError("CUDA error: an illegal memory access\nCompile with ...")
        return 1 - slices


class Fragile:
    """A format whose files say what happens when they are read."""

    suffixes = (SUFFIX,)

    def load(self):
        return self

    def list_volumes(self, path):
        if path.read_text() == "unlistable":
            raise ZeroDivisionError("never seen before\nwith a second line")
        return (VolumeEntry(path=path),)

    def read(self, entry, irregular):
        path = entry.path
        word, _, rest = path.read_text().partition(" ")
        if word == "once":  # breaks the first time only
            path.write_text("whole")
            os.utime(path, ns=(0, 0))
            word = rest
        if word == "segv":
            signal.raise_signal(signal.SIGSEGV)  # of this thread: it reads nothing more
        elif word == "exit":
            os._exit(9)
        elif word == "memory":
            raise MemoryError
        elif word == "bug":
            raise ZeroDivisionError("first line\nsecond line")
        elif word == "damaged":
            raise VolumeError(f"{path}: damaged")
        elif word == "slow":
            time.sleep(float(rest))
        array = np.arange(5 * 6 * 3, dtype=np.float32).reshape(5, 6, 3)
        return Volume(array=array, affine=np.diag([1.9, 1.9, 3, 1]))

    def write(self, volume, path, *, dtype, overwrite=False) -> None:
        path.write_bytes(np.asarray(volume.array, dtype).tobytes())


def register() -> None:
    FORMATS["fragile"] = Fragile()
    BACKENDS["negative"] = Negative


def keep_journal(journal: Path, patch=setattr) -> None:
    """Let the worker's class tell of each translation and each row; slow down on request."""
    translate, write_row = Worker._translate, Ledger.write_row
    pace = journal.with_suffix(".pace")

    def line(*words: object) -> None:
        with journal.open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    def translating(self, job):
        line("translate", job.item.key, os.getppid(), peak_bytes())
        time.sleep(float(pace.read_text()) if pace.exists() else 0)
        return translate(self, job)

    def writing(self, row, claim) -> None:
        write_row(self, row, claim)
        line("row", claim.key, os.getppid(), peak_bytes())

    patch(Worker, "_translate", translating)
    patch(Ledger, "write_row", writing)


def command(journal: Path) -> tuple[str, ...]:
    return (sys.executable, str(Path(__file__).resolve()), "worker", str(journal))


def make_request(journal: Path, **changes) -> CohortRequest:
    """A cohort for the stand-in worker; settings and options by their names."""
    options = {"backend": "negative", **changes.pop("options", {})}
    settings = {"targets": ["T2"], **changes.pop("settings", {})}
    settings["targets"] = tuple(settings["targets"])  # JSON has lists
    choice = changes.pop("choice", {})
    return CohortRequest(
        settings=TranslationSettings(**settings, options=TranslationOptions(**options)),
        choice=Choice(**choice),
        command=command(journal),
        **changes,
    )


def supervise(journal: Path, values: dict) -> int:
    """Run a cohort as the program does; its exit code."""
    values["out"] = Path(values["out"])
    try:
        report = run_cohort(make_request(journal, **values))
    except StoppedError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 3 if report.failures else 0


if __name__ == "__main__":
    register()
    role, journal = sys.argv[1], Path(sys.argv[2])
    if role == "worker":
        keep_journal(journal)
        worker.main()
    else:
        sys.exit(supervise(journal, json.loads(sys.argv[3])))
