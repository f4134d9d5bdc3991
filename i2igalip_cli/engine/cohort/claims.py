"""Who works on what: claim files with leases that outlive a killed process.

A claim is the file `claims/KEY.GENERATION`, created exclusively; the newest generation is the
holder. A holder is dead when its process provably is, or when it hasn't written to its file for a
lease; one that was killed before it wrote who it is, when it hasn't for a beat. A dead holder is
followed by creating the next generation: of many that try, one can.
Ages are differences of modification times on the same file system; no two clocks are compared.
Whoever asks for the time there writes a byte: to set a time might be to set one's own.
"""

import contextlib
import json
import os
import re
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from i2igalip_cli.engine.cohort.processes import ProcessIdentity

LEASE_SECONDS = 60.0
BEATS = 6  # in a lease
_FIRST = b"{"  # byte of a claim, written again by each beat
_NAME = re.compile(r"(?P<key>.+)\.(?P<generation>\d+)")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that this process took.

    Attributes:
        key: Of what.
        generation: 1, or one more than that of the dead holder before.
        token: Tells it from a later claim of the same name.
    """

    key: str
    generation: int
    token: str


class Claims:
    """The claims in a folder that many processes share.

    Args:
        folder: Of the claim files; exists.
        clock: A file of this process on the same file system, written to ask for the time there.
        lease: Seconds after which a claim that nobody writes to is dead.
    """

    def __init__(self, folder: Path, clock: Path, lease: float = LEASE_SECONDS) -> None:
        self.folder = folder
        self.clock = clock
        self.lease = lease
        self._own: set[Claim] = set()
        self._lock = threading.Lock()

    def take(self, key: str) -> Claim | None:
        """Claim something; None if a living process holds it, or was faster.

        Raises:
            OSError: The folder is gone, full or read-only.
        """
        held = self._generations(key)
        dead = None
        if held:
            dead = self._token(key, held[-1])
            if not self._is_dead(key, held[-1]):
                return None
        claim = Claim(key=key, generation=(held or [0])[-1] + 1, token=uuid.uuid4().hex)
        try:
            self._create(claim)
        except FileExistsError:
            return None
        if held and self._token(key, held[-1]) != dead:
            # Another took over, finished and cleared; now the name may be a living holder's.
            self._path(key, claim.generation).unlink(missing_ok=True)
            return None
        with self._lock:
            self._own.add(claim)
        return claim

    def holds(self, claim: Claim) -> bool:
        """Whether a claim of this process is still the newest."""
        return (
            self._token(claim.key, claim.generation) == claim.token
            and not self._path(claim.key, claim.generation + 1).exists()
        )

    def release(self, claim: Claim) -> None:
        """Give a claim up; those of dead holders before it go first, lest one seems the newest."""
        with self._lock:
            self._own.discard(claim)
        if self._token(claim.key, claim.generation) != claim.token:
            return  # taken over, finished and cleared by another
        for generation in self._generations(claim.key):
            if generation <= claim.generation:
                self._path(claim.key, generation).unlink(missing_ok=True)

    def holder(self, key: str) -> str:
        """Who claimed it, for people: "process 17 of node3"; "" where nobody has."""
        held = self._generations(key)
        content = self._content(key, held[-1]) if held else {}
        if not content:
            return ""
        return f"process {content.get('pid', '?')} of {content.get('host', '?')}"

    def exists(self, key: str) -> bool:
        """Whether anyone, dead or alive, has claimed it."""
        return bool(self._generations(key))

    def clear_dead(self, keys: Iterable[str]) -> None:
        """Remove what dead holders left of things that are finished."""
        wanted = set(keys)
        for key in {key for key, _ in self._all() if key in wanted}:
            claim = self.take(key)
            if claim is not None:
                self.release(claim)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Show that this process's claims are alive, in a thread, while the block lasts."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.lease / BEATS):
                self.beat()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def beat(self) -> None:
        """Show it once; a claim that was taken over is left to its new holder."""
        with self._lock:
            own = list(self._own)
        for claim in own:
            # A folder that is gone or read-only is found out when the row is written.
            with contextlib.suppress(OSError):
                if self.holds(claim):
                    write_byte(self._path(claim.key, claim.generation), _FIRST)

    def _path(self, key: str, generation: int) -> Path:
        return self.folder / f"{key}.{generation}"

    def _all(self) -> Iterator[tuple[str, int]]:
        for name in os.listdir(self.folder):  # noqa: PTH208 (names alone, many of them)
            match = _NAME.fullmatch(name)
            if match:
                yield match["key"], int(match["generation"])

    def _generations(self, key: str) -> list[int]:
        return sorted(generation for found, generation in self._all() if found == key)

    def _create(self, claim: Claim) -> None:
        identity = {**asdict(ProcessIdentity.of(os.getpid())), "token": claim.token}
        path = self._path(claim.key, claim.generation)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(identity))
        except BaseException:  # of a full disk, too: an empty claim would hold for a beat
            path.unlink(missing_ok=True)
            raise

    def _content(self, key: str, generation: int) -> dict[str, object]:
        """What a claim says; empty where it is gone or was cut off while it was written."""
        try:
            content = json.loads(self._path(key, generation).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _token(self, key: str, generation: int) -> str:
        return str(self._content(key, generation).get("token", ""))

    def _is_dead(self, key: str, generation: int) -> bool:
        path = self._path(key, generation)
        content = self._content(key, generation)
        try:
            identity = ProcessIdentity(
                host=str(content["host"]),
                boot=str(content["boot"]),
                pid=int(str(content["pid"])),
                started=str(content["started"]),
            )
        except (KeyError, ValueError):
            identity = None
        if identity is not None and identity.is_provably_dead():
            return True
        silence = self.lease if identity is not None else self.lease / BEATS
        write_byte(self.clock, b".", create=True)
        try:
            return self.clock.stat().st_mtime - path.stat().st_mtime > silence
        except FileNotFoundError:
            return False  # just released


def write_byte(path: Path, byte: bytes, *, create: bool = False) -> None:
    """Write the first byte of a file, whose modification time is then that of its file system.

    Args:
        path: The file.
        byte: What is there already, lest the content changes.
        create: Make the file if it is absent.

    Raises:
        OSError: It is absent, or can't be written to.
    """
    descriptor = os.open(path, os.O_WRONLY | (os.O_CREAT if create else 0), 0o666)
    try:
        os.write(descriptor, byte)
    finally:
        os.close(descriptor)
