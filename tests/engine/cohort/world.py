"""A small cohort on the stand-in worker."""

import json
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import stand_in
from cohort_here import work_here
from conftest import make_checkpoint

from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.rows import Row
from i2igalip_cli.engine.cohort.run import run_cohort
from i2igalip_cli.engine.cohort.table import CohortReport
from i2igalip_cli.volumes import FORMATS

AFFINE = np.diag([1.9, 1.9, 3.0, 1.0])


def write_volume(path: Path, seed: int = 0, shape=(8, 8, 4)) -> Path:
    """A tiny volume of positive noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).uniform(1, 100, shape).astype(np.float32)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def outputs(folder: Path) -> dict[str, bytes]:
    """Content of every output by its path, without state and tables."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".i2igalip" not in path.parts and not path.match("summary*.csv")
    }


class World:
    """A folder with inputs in `in`, and what is needed to run cohorts of them into `out`.

    Args:
        folder: An empty one.
        monkeypatch: Of the test.
        here: Whether the worker is this process.
    """

    def __init__(self, folder: Path, monkeypatch, *, here: bool = False) -> None:
        if here:
            work_here(monkeypatch)
            stand_in.keep_journal(folder / "journal", monkeypatch.setattr)
        monkeypatch.setitem(FORMATS, "fragile", stand_in.Fragile())
        monkeypatch.setitem(BACKENDS, "negative", stand_in.Negative)
        self.folder = folder
        self.inputs = folder / "in"
        self.out = folder / "out"
        self.journal = folder / "journal"
        self.weights = folder / "tiny.safetensors"
        self.inputs.mkdir()
        save_checkpoint(make_checkpoint(), self.weights)

    def volume(self, name: str, seed: int = 0, **kwargs) -> Path:
        return write_volume(self.inputs / name, seed, **kwargs)

    def fragile(self, name: str, word: str) -> Path:
        path = self.inputs / f"{name}.fragile"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(word)
        return path

    def values(self, **changes) -> dict:
        """Arguments of `stand_in.make_request`."""
        settings = {"weights": str(self.weights), **changes.pop("settings", {})}
        return {"inputs": [str(self.inputs)], "out": self.out, "settings": settings, **changes}

    def run(self, *, on_progress=None, **changes) -> CohortReport:
        request = stand_in.make_request(self.journal, **self.values(**changes))
        return run_cohort(request, on_progress)

    def rows(self) -> dict[str, Row]:
        """The rows of `out` by the names of their outputs."""
        ledger = Ledger(self.out, "test")
        rows = {row.output: row for row in ledger.rows()}
        ledger.close()
        return rows

    def lines(self, kind: str) -> list[list[str]]:
        """The journal's lines of a kind: key, supervisor, peak memory in bytes."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == kind]

    def leftovers(self) -> list[str]:
        """What lies in the state folder beside the rows."""
        state = self.out / ".i2igalip"
        return sorted(
            path.relative_to(state).as_posix()
            for path in state.rglob("*")
            if path.is_file() and path.parent.name not in ("rows", "shards")
        )


def start(world: World, **values) -> subprocess.Popen:
    """A supervisor in a process group of its own."""
    text = json.dumps(world.values(**values), default=str)
    return subprocess.Popen(
        [sys.executable, stand_in.__file__, "supervise", str(world.journal), text],
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
