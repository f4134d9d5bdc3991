"""The work on one item after another: claim, read, translate, write, publish, enter its row.

An error of a volume ends in its own row. Only a fault that would meet every other volume too (a
full disk, no device, an output folder that is gone) ends the run.
"""

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import i2igalip_cli
from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.engine.cohort.claims import Claim
from i2igalip_cli.engine.cohort.items import CohortItem
from i2igalip_cli.engine.cohort.ledger import Ledger, RunFaultError
from i2igalip_cli.engine.cohort.pipeline import OVERLAP, flow
from i2igalip_cli.engine.cohort.plan import Event, Plan
from i2igalip_cli.engine.cohort.products import write_products
from i2igalip_cli.engine.cohort.reading import SourceReader
from i2igalip_cli.engine.cohort.rows import Row, Status, identify_input
from i2igalip_cli.engine.cohort.settings import make_translator, take_fingerprints
from i2igalip_cli.engine.quality.maps import remove_map
from i2igalip_cli.engine.sources import doubt_name
from i2igalip_cli.engine.translation import Translation
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.errors import (
    EmptyVolumeError,
    GalipError,
    VolumeError,
    first_line,
    one_line,
    os_reason,
)
from i2igalip_cli.volumes import Volume

_LOOK_AGAIN_SECONDS = 0.5  # at what other processes hold
_SAY_SECONDS = 5.0  # of nothing but waiting, before it is told


class StopWorkError(Exception):
    """The supervisor asked to stop: what is at work is dropped."""


class DeviceBrokenError(Exception):
    """The accelerator's context is lost: only a new process can go on."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A claimed volume on its way through the steps."""

    item: CohortItem
    claim: Claim
    row: Row
    source: Volume
    result: Translation | None = None


class Worker:
    """Works through a plan.

    Args:
        plan: What to do.
        ledger: Of the output folder.
        tell: Called with each event, from several threads.
        stop: Set to drop what is at work and end.
    """

    def __init__(
        self, plan: Plan, ledger: Ledger, tell: Callable[[Event], None], stop: threading.Event
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.tell = tell
        self.stop = stop
        self._claims: dict[str, Claim] = {}
        self._waiting: list[CohortItem] = []
        self._told = False

    @cached_property
    def translator(self) -> Translator:
        """Checkpoint and backend, loaded once for all targets, when the first volume needs them.

        Raises:
            RunFaultError: The checkpoint, the caption or the device can't be used.
        """
        try:
            return self._make_translator()
        except GalipError as error:
            raise RunFaultError(str(error)) from error
        except Exception as error:  # of a library or a device, before any volume was looked at
            self._log("".join(traceback.format_exception(error)))
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise RunFaultError(
                f"the model can't be set up ({reason}); see {self.plan.log}"
            ) from error

    def _make_translator(self) -> Translator:
        settings = self.plan.settings
        checkpoint = load_checkpoint(settings.weights)
        if take_fingerprints(settings, checkpoint) != self.plan.fingerprints:
            raise RunFaultError("the checkpoint was changed while the run began; start it again")
        made = make_translator(settings, checkpoint)
        _ = made.backend  # what it can't do concerns all volumes
        return made

    def run(self) -> None:
        """Work until every item has its row; items that others hold are looked at again.

        Raises:
            StopWorkError: The supervisor asked to stop.
            RunFaultError: A fault of the whole run.
            DeviceBrokenError: Only a new process can go on.
        """
        left: Sequence[CohortItem] = self.plan.items
        idle_since: float | None = None
        try:
            with self.ledger.claims.beating():
                while left:
                    before, self._waiting = len(left), []
                    self._pass([item for item in left if item.key in self.plan.alone], slots=1)
                    self._pass([item for item in left if item.key not in self.plan.alone], OVERLAP)
                    left = self._waiting
                    idle_since = self._wait(left, None if len(left) < before else idle_since)
        finally:
            for claim in list(self._claims.values()):
                self._release(claim)

    def _wait(self, left: Sequence[CohortItem], idle_since: float | None) -> float:
        """Let others work on what they hold; if that is all for long, tell whom.

        Args:
            left: What they hold.
            idle_since: When nothing but that was left, or None if this pass has done something.

        Returns:
            When nothing but that was left.
        """
        now = time.monotonic()
        if idle_since is None:
            idle_since = now
        elif now - idle_since > _SAY_SECONDS and not self._told:
            self._told = True
            self.tell(Event("waits", self._describe_wait(left)))
        if left:
            self.stop.wait(_LOOK_AGAIN_SECONDS)
        return idle_since

    def _describe_wait(self, left: Sequence[CohortItem]) -> str:
        holders = {self.ledger.claims.holder(item.key) for item in left} - {""}
        number = f"{len(left)} volume{'s' if len(left) > 1 else ''}"
        return f"waits for {number} that other runs hold: {', '.join(sorted(holders))}"

    def refuse(self, item: CohortItem, reason: str) -> bool:
        """Enter a volume as failed; False if another process holds it.

        Raises:
            RunFaultError: The row can't be written.
        """
        claim = self.ledger.claims.take(item.key)
        if claim is not None:
            row = self._begin_row(item, claim)
            self._end(item, claim, row, "failed", reason)
        return claim is not None

    def _pass(self, items: Sequence[CohortItem], slots: int) -> None:
        reader = SourceReader(self.plan.settings.irregular)
        flow(items, lambda item: self._read(item, reader), self._translate, self._write, slots)

    def _read(self, item: CohortItem, reader: SourceReader) -> _Job | None:
        """Claim and read a volume; None if that was all."""
        if self.stop.is_set():
            raise StopWorkError
        try:
            if self._is_final(item):
                self.tell(Event("finished", item.key))
                return None
            claim = self.ledger.claims.take(item.key)
            if claim is None:
                self._waiting.append(item)
                return None
            self._claims[item.key] = claim
            self.ledger.look_anew()
        except OSError as error:
            raise self._run_fault(error) from error
        self.tell(Event("claimed", item.key))
        if self._is_final(item):  # another finished it before the claim
            self._release(claim)
            self.tell(Event("finished", item.key))
            return None
        row = self._begin_row(item, claim)
        if item.refusal:
            self._end(item, claim, row, "skipped" if item.skipped else "failed", item.refusal)
            return None
        try:
            source = reader.read(item, row.input_identity)
        except Exception as error:
            self._fail(item, claim, row, error)
            return None
        return _Job(item=item, claim=claim, row=row, source=source)

    def _translate(self, job: _Job) -> _Job | None:
        translator = self.translator.to(job.item.target)

        def look(done: int, total: int) -> None:
            if self.stop.is_set():
                raise StopWorkError

        try:
            result = doubt_name(translator(job.source, look), job.item.entry.path.name)
            return replace(job, result=result)
        except StopWorkError:
            raise
        except Exception as error:
            if _is_device_broken(error):
                raise DeviceBrokenError(first_line(error)) from error
            self._fail(job.item, job.claim, job.row, error)
            return None

    def _write(self, job: _Job) -> None:
        """Write all that belongs to a volume aside, then rename it to its place."""
        assert job.result is not None, "only translated volumes are written"
        item, claim, settings = job.item, job.claim, self.plan.settings
        try:
            folder = self.ledger.staging(claim)
            row = write_products(folder, item, job.row, settings, job.source, job.result)
            if self.ledger.claims.holds(claim):
                if job.result.quality is None:  # an older output's map is none of the new one
                    remove_map(self.ledger.map_output(item), sidecar=bool(item.bids))
                self.ledger.publish(folder, self.ledger.output(item), claim)
        except Exception as error:
            fault = self.ledger.run_fault(error)
            if fault is not None:
                raise fault from error
            if isinstance(error, OSError):
                error = VolumeError(f"can't write {item.output}: {os_reason(error)}")
            self._fail(item, claim, job.row, error)
            return
        self._enter(item, claim, row)

    def _begin_row(self, item: CohortItem, claim: Claim) -> Row:
        before = self.ledger.row(item.key)
        fingerprint = self.plan.fingerprints[item.target]
        if before is not None and self.ledger.is_newer(item.key):
            different = fingerprint.differences(before.fingerprint)
            if different:
                raise RunFaultError(
                    f"another run writes to {self.ledger.out} with other settings ({different}); "
                    "give this one another -o"
                )
        return Row(
            input=item.source,
            series=item.entry.series,
            volume=item.entry.volume,
            output=str(item.output),
            status="failed",
            **asdict(fingerprint),
            weights=self.plan.weights,
            input_identity=identify_input(item.entry),
            version=i2igalip_cli.__version__,
            host=socket.gethostname(),
            attempt=(0 if before is None else before.attempt) + claim.generation,
            shard=self.plan.shard,
        )

    def _fail(self, item: CohortItem, claim: Claim, row: Row, error: Exception) -> None:
        """Enter an error of a volume in one line; an unexpected one's traceback goes to the log."""
        if isinstance(error, GalipError):
            reason = str(error)
        else:
            lines = str(error).splitlines()
            reason = ": ".join([type(error).__name__, *lines[:1]])
            self._log(f"{item.name}\n{''.join(traceback.format_exception(error))}")
        status: Status = "skipped" if isinstance(error, EmptyVolumeError) else "failed"
        self._end(item, claim, row, status, reason)

    def _end(self, item: CohortItem, claim: Claim, row: Row, status: Status, reason: str) -> None:
        reason = f"{item.name}: {item.entry.say(reason)}"
        if self.ledger.output(item).exists():
            reason += f" (the {item.output} there is of an earlier run)"
        self._enter(item, claim, replace(row, status=status, error=one_line(reason)))

    def _enter(self, item: CohortItem, claim: Claim, row: Row) -> None:
        """Write the row of an item that this process still holds, and give it up."""
        held = self.ledger.claims.holds(claim)
        try:
            if held:
                self.ledger.write_row(row, claim)
        except OSError as error:
            held = self.ledger.claims.holds(claim)
            if held:
                raise self._run_fault(error) from error
        self._release(claim)
        if held:
            if row.status == "done":
                self.tell(Event("translated", item.key))
            self.tell(Event("finished", item.key))
        else:  # it took longer than a lease, and another took over and cleared what was here
            self._waiting.append(item)
            self.tell(Event("dropped", item.key))

    def _release(self, claim: Claim) -> None:
        self.ledger.clear_staging(claim)
        self.ledger.claims.release(claim)
        self._claims.pop(claim.key, None)

    def _is_final(self, item: CohortItem) -> bool:
        fingerprint = self.plan.fingerprints[item.target]
        return self.ledger.is_final(
            item,
            fingerprint,
            overwrite=self.plan.overwrite,
            quality=self.plan.settings.quality,
        )

    def _run_fault(self, error: OSError) -> RunFaultError:
        known = self.ledger.run_fault(error)
        return known or RunFaultError(f"can't write {self.ledger.state}: {os_reason(error)}")

    def _log(self, text: str) -> None:
        with (
            contextlib.suppress(OSError),  # a full disk is met again, and told, at the next row
            self.plan.log.open("a", encoding="utf-8", errors="backslashreplace") as log,
        ):
            log.write(text)


def _is_device_broken(error: Exception) -> bool:
    """Whether an accelerator can't be used by this process any more."""
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
