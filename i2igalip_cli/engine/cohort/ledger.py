"""The state of an output folder: rows, claims, and what is being written.

OUT/.i2igalip/rows/KEY.json     what became of an item; appears whole
OUT/.i2igalip/rows/KEY.older    what is to be overwritten has no row any more, or never had one
OUT/.i2igalip/rows/KEY.begun    from an output's coming to its row: cut off between, it is ours
OUT/.i2igalip/claims/           who works on what, see `claims`
OUT/.i2igalip/staging/KEY.N/    what generation N of a claim has written; renamed to its place
OUT/.i2igalip/runs/             a file a run, written to ask the file system for its time
OUT/.i2igalip/shards/I-of-N.json  which items a shard has
OUT/.i2igalip/slurm/            scripts and logs of submitted jobs
OUT/.i2igalip/log-HOST-PID.txt  tracebacks, and what libraries say
"""

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from i2igalip_cli.engine.cohort.claims import LEASE_SECONDS, Claim, Claims, write_byte
from i2igalip_cli.engine.cohort.items import CohortItem
from i2igalip_cli.engine.cohort.processes import ProcessIdentity
from i2igalip_cli.engine.cohort.rows import Row, hash_content, identify_input
from i2igalip_cli.engine.cohort.settings import Fingerprint
from i2igalip_cli.errors import ConfigError, GalipError, VolumeError, os_reason
from i2igalip_cli.volumes.files import exchange

STATE = ".i2igalip"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE)


class RunFaultError(GalipError):
    """A fault that would meet every other volume too: the run ends."""


class Ledger:
    """Rows and claims of an output folder.

    Args:
        out: The output folder; its state folder is made if it is absent.
        run: Name of this process's file.
        lease: Seconds after which a claim that nobody writes to is dead.
        began_ns: When the run began, if another process began it.

    Attributes:
        claims: Who works on what.
        began_ns: When the run began, by the clock of the file system.

    Raises:
        VolumeError: The folder can't be made or written to.
    """

    def __init__(
        self, out: Path, run: str, lease: float = LEASE_SECONDS, began_ns: int | None = None
    ) -> None:
        self.out = out
        self.state = out / STATE
        self.run_file = self.state / "runs" / run
        try:
            for name in ("rows", "claims", "staging", "runs", "shards"):
                (self.state / name).mkdir(parents=True, exist_ok=True)
            write_byte(self.run_file, b".", create=True)
            now_ns = self.run_file.stat().st_mtime_ns
        except OSError as error:
            raise VolumeError(
                f"can't write {out}: {os_reason(error)}; choose another -o"
            ) from error
        self.began_ns = now_ns if began_ns is None else began_ns
        self.claims = Claims(self.state / "claims", self.run_file, lease)

    @staticmethod
    def name_run() -> str:
        """A name for a run of this process."""
        return f"{socket.gethostname()}-{os.getpid()}"

    @property
    def log(self) -> Path:
        """Where tracebacks go."""
        return self.state / f"log-{self.run_file.name}.txt"

    @property
    def is_case_blind(self) -> bool:
        """Whether the file system takes A and a for one name."""
        return (self.out / STATE.upper()).exists()

    def output(self, item: CohortItem) -> Path:
        """Where an item's output lies."""
        return self.out / item.output

    def map_output(self, item: CohortItem) -> Path:
        """Where the map of an item's output lies, if it has one."""
        return self.out / item.map_output

    def row(self, key: str) -> Row | None:
        """The row of an item; None where there is none, or it is damaged."""
        try:
            return Row.from_json(self._row_path(key).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ConfigError):
            return None

    def look_anew(self) -> None:
        """Forget what the system remembers of the rows.

        The client of a network file system keeps for seconds that there was "no such file"; opening
        the folder makes it ask the server whether that still holds.

        Raises:
            OSError: The folder is gone.
        """
        os.scandir(self.state / "rows").close()

    def rows(self) -> Iterator[Row]:
        """All rows of the folder, in order of their outputs."""
        keys = [path.stem for path in (self.state / "rows").glob("*.json")]
        found = [row for row in map(self.row, keys) if row is not None]
        yield from sorted(found, key=lambda row: row.output)

    def is_newer(self, key: str) -> bool:
        """Whether an item's row was written after this run began."""
        try:
            return self._row_path(key).stat().st_mtime_ns > self.began_ns
        except OSError:
            return False

    def is_final(
        self,
        item: CohortItem,
        fingerprint: Fingerprint,
        *,
        overwrite: bool,
        quality: bool = False,
    ) -> bool:
        """Whether nothing is left to do for an item in this run.

        An output is finished when its row says so, settings and source are those of the row, and
        its content is what was written; where `quality` is asked for, it was judged and has its
        map. A failure is final for the run that met it.
        """
        row = self.row(item.key)
        if row is None or row.fingerprint != fingerprint or not _is_of(row, item):
            return False
        if (row.status != "done" or overwrite) and not self.is_newer(item.key):
            return False
        if row.input_identity != identify_input(item.entry):
            return False
        if row.status != "done":
            return True
        if quality and not (row.qc_score is not None and self.map_output(item).exists()):
            return False
        return hash_content(self.output(item)) == row.output_sha256

    def differences(self, row: Row, item: CohortItem, fingerprint: Fingerprint) -> str:
        """In what a row isn't of an item with these settings; "" where it is, or made nothing."""
        found = fingerprint.differences(row.fingerprint)
        if not found and row.status == "done" and not _is_of(row, item):
            found = f"another volume of {item.entry.path}: {row.series or row.volume}"
        return found

    def set_aside(self, item: CohortItem) -> None:
        """Let what is there of an item count for nothing from now on, in whatever run.

        Raises:
            VolumeError: The folder can't be written to.
        """
        older = self._older_path(item.key)
        try:
            if self._row_path(item.key).exists():
                self._row_path(item.key).replace(older)
            elif self.output(item).exists():
                older.touch()
        except OSError as error:
            raise VolumeError(f"can't write {older}: {os_reason(error)}") from error

    def may_replace(self, key: str) -> bool:
        """Whether an output without a row is ours, or to be overwritten."""
        return self._older_path(key).exists() or self._begun_path(key).exists()

    def put_back(self, key: str) -> None:
        """Let what was set aside count again, unless it was redone."""
        older = self._older_path(key)
        with contextlib.suppress(OSError):  # it wasn't set aside, or can't be: then it is redone
            if older.stat().st_size == 0:
                older.unlink()
            elif not self._row_path(key).exists():
                older.replace(self._row_path(key))

    def staging(self, claim: Claim) -> Path:
        """A new empty folder for what the holder of a claim writes; those of the dead are removed.

        Raises:
            OSError: It can't be made.
        """
        self.clear_staging(claim)
        path = self._staging_path(claim.key, claim.generation)
        path.mkdir()
        return path

    def clear_staging(self, claim: Claim) -> None:
        """Remove what a claim's holder, or a dead one before it, has left."""
        for generation in range(1, claim.generation + 1):
            shutil.rmtree(self._staging_path(claim.key, generation), ignore_errors=True)

    def write_row(self, row: Row, claim: Claim) -> None:
        """Write an item's row, whole or not at all, in its claim's staging folder first.

        Raises:
            OSError: The disk is full, or the folder is gone.
        """
        folder = self._staging_path(claim.key, claim.generation)
        folder.mkdir(exist_ok=True)
        temporary = folder / "row.json"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(row.to_json())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._row_path(claim.key))
        self._begun_path(claim.key).unlink(missing_ok=True)

    def publish(self, folder: Path, place: Path, claim: Claim) -> None:
        """Rename what lies in a staging folder to its places; what is older there gives way.

        Should the run be cut off before the row is written, the output still counts as ours.

        Args:
            folder: Holds an output by its final name, and what belongs beside it.
            place: The output's; it is the last to come.
            claim: Of the output's item.

        Raises:
            OSError: The place is on another file system, or can't be written to.
        """
        self._begun_path(claim.key).touch()
        place.parent.mkdir(parents=True, exist_ok=True)
        for written in sorted(folder.iterdir(), key=lambda path: path.name == place.name):
            target = place.with_name(written.name)
            if target.is_dir():
                exchange(written, target, folder / ".older")
            else:
                written.replace(target)

    def run_fault(self, error: BaseException) -> RunFaultError | None:
        """The fault of the whole run behind an error; None where it is the volume's own."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _FULL:
                return RunFaultError(
                    f"can't write {self.out}: {os.strerror(cause.errno)}; make room and run the "
                    "same command with --resume"
                )
            cause = cause.__cause__ or cause.__context__
        if not (self.state / "rows").is_dir():
            return RunFaultError(f"{self.out} was taken away while it was written to")
        return None

    def close(self) -> None:
        """Remove this process's file and its log if that is empty; those of dead ones, too."""
        for path in (self.state / "runs").glob("*"):
            if path == self.run_file or _is_of_dead(path.name):
                path.unlink(missing_ok=True)
                log = self.state / f"log-{path.name}.txt"
                with contextlib.suppress(OSError):  # there may be none
                    if log.stat().st_size == 0:
                        log.unlink()

    def _row_path(self, key: str) -> Path:
        return row_path(self.out, key)

    def _older_path(self, key: str) -> Path:
        return self._row_path(key).with_suffix(".older")

    def _begun_path(self, key: str) -> Path:
        return self._row_path(key).with_suffix(".begun")

    def _staging_path(self, key: str, generation: int) -> Path:
        return self.state / "staging" / f"{key}.{generation}"


def row_path(out: Path, key: str) -> Path:
    """Where the row of an item lies."""
    return out / STATE / "rows" / f"{key}.json"


def _is_of(row: Row, item: CohortItem) -> bool:
    """Whether a row tells of the same volume of its file."""
    return (row.series, row.volume) == (item.entry.series, item.entry.volume)


def _is_of_dead(run: str) -> bool:
    """Whether a run's name is that of a process of this machine that is no more."""
    host, _, pid = run.rpartition("-")
    identity = ProcessIdentity.of(os.getpid())
    if host != identity.host or not pid.isdecimal():
        return False
    return replace(identity, pid=int(pid), started="").is_provably_dead()
