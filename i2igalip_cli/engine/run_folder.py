"""The folder of a training run: its settings, its state, its log.

RUN/config.json              settings, and hashes of dataset and encoder: another run is refused
RUN/log.jsonl, tensorboard/  losses and validations
RUN/reference.safetensors    what checkpoints tell of the training data
RUN/state.pt                 everything to go on from
RUN/checkpoint.safetensors   the averaged networks as they last stood; best.safetensors when best
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from i2igalip_cli.checkpoints import (
    FILE_NAME,
    TrainingReference,
    load_reference,
    save_reference,
)
from i2igalip_cli.errors import CheckpointError, ConfigError, first_line, os_reason
from i2igalip_cli.evaluation.pictures import save_picture

# Settings that a resumed run may have changed: they are how it runs, not what it learns.
CHANGEABLE = ("precision", "recompute", "preview_every", "save_every")


class RunFolder:
    """Reads and writes a run's folder.

    Args:
        path: The folder; made if it is absent.
        writes: Whether this process is the one that writes.

    Raises:
        CheckpointError: It can't be made or written to.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self.path = path
        self.writes = writes
        self._board: Any = None
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"can't write {path}: {os_reason(error)}") from error

    @property
    def checkpoint(self) -> Path:
        """The last averaged networks."""
        return self.path / FILE_NAME

    @property
    def best(self) -> Path:
        """The averaged networks with the best validation."""
        return self.path / "best.safetensors"

    def describe(self, described: Mapping[str, Any]) -> None:
        """Write what the run is, where the folder holds no state of another yet.

        Raises:
            CheckpointError: The folder can't be written to.
        """
        path = self.path / "config.json"
        if not self.writes or (self.path / "state.pt").exists():
            return
        try:
            path.write_text(json.dumps(described, indent=1), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"can't write {path}: {os_reason(error)}") from error

    def compare(self, described: Mapping[str, Any]) -> None:
        """Refuse a run other than the one that the folder holds.

        Raises:
            ConfigError: It holds a run with other settings, dataset or encoder.
            CheckpointError: Its description is damaged.
        """
        path = self.path / "config.json"
        try:
            begun = _flatten(json.loads(path.read_text(encoding="utf-8")))
            now = _flatten(json.loads(json.dumps(described)))  # tuples are lists in the file
            if begun != now:
                raise ConfigError(f"{self.path} holds another run ({_differ(begun, now)})")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); give another --out") from error

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state to resume from, whole or not at all.

        Raises:
            CheckpointError: The disk is full, or the folder was taken away.
        """
        temporary = self.path / "state.pt.new"
        try:
            with temporary.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / "state.pt")
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            raise CheckpointError(
                f"can't write {self.path / 'state.pt'}: {first_line(error)}; make room and "
                "run the same command: it goes on from the last state"
            ) from error

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """The state to resume from; None in a new folder.

        Raises:
            CheckpointError: It is damaged.
        """
        path = self.path / "state.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # torch's reader of pickles meets garbage with any error at all
            raise self.unfit(error) from error
        return state

    def save_reference(self, reference: TrainingReference) -> None:
        """Keep what checkpoints tell of the training data.

        Raises:
            CheckpointError: The folder can't be written to.
        """
        save_reference(reference, self.path / "reference.safetensors")

    def load_reference(self) -> TrainingReference | None:
        """What was kept; None in the folder of a run by an older version.

        Raises:
            CheckpointError: It is damaged.
        """
        path = self.path / "reference.safetensors"
        return load_reference(path) if path.exists() else None

    def unfit(self, error: Exception) -> CheckpointError:
        """What to say of a state that can't be resumed from."""
        return CheckpointError(
            f"{self.path / 'state.pt'}: can't resume from it ({first_line(error)})"
        )

    def open_log(self, step: int) -> None:
        """Go on with the log from a step; what a crash left beyond it or broken is dropped.

        Raises:
            CheckpointError: The folder can't be written to.
        """
        if not self.writes:
            return
        from torch.utils.tensorboard import SummaryWriter

        log = self.path / "log.jsonl"
        try:
            if log.exists():
                rows = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
                temporary = log.with_name("log.jsonl.new")
                kept = "".join(row for row in rows if _step_of(row) <= step)
                temporary.write_text(kept, encoding="utf-8")
                temporary.replace(log)
        except OSError as error:
            raise CheckpointError(f"can't write {log}: {os_reason(error)}") from error
        self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Add a row to log.jsonl and the values to TensorBoard.

        Args:
            step: Steps done.
            kind: "train" or "validation", before the names in TensorBoard.
            values: By name.
        """
        if not self.writes:
            return
        row = {"step": step, **({} if kind == "train" else {"kind": kind}), **values}
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row, allow_nan=False) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def save_preview(self, step: int, panel: Image.Image) -> None:
        """Write a preview as PNG."""
        save_picture(panel, self.path / f"preview_{step:06d}.png")

    def close(self) -> None:
        """Bring the log to the disk."""
        if self._board is not None:
            self._board.close()
            self._board = None


def _step_of(row: str) -> float:
    """The step of a log's row; beyond any for a row that is broken."""
    try:
        return int(json.loads(row)["step"]) if row.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def _flatten(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's description as one table, without what may change on the way."""
    flat = {**{k: v for k, v in run.items() if k != "config"}, **run["config"]}
    return {name: value for name, value in flat.items() if name not in CHANGEABLE}


def _differ(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting in which two runs differ."""
    for name in now:
        if name not in begun:
            return f"of another version of i2igalip, without {name}; give another --out"
        if begun[name] != now[name]:
            return f"{name}: {begun[name]} there, {now[name]} now; give another --out"
    return "settings differ; give another --out"
