"""A cohort from its command to its table."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.cohort.bids import DERIVATIVE, bids_suffix, is_bids, write_descriptions
from i2igalip_cli.engine.cohort.claims import LEASE_SECONDS
from i2igalip_cli.engine.cohort.inputs import Choice, find_volumes
from i2igalip_cli.engine.cohort.items import CohortItem, by_source, plan_items, refuse_twins
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.plan import Plan
from i2igalip_cli.engine.cohort.rows import Row
from i2igalip_cli.engine.cohort.settings import (
    Fingerprint,
    TranslationSettings,
    check_dtype,
    find_targets,
    take_fingerprints,
)
from i2igalip_cli.engine.cohort.shards import Shard, ShardRecord
from i2igalip_cli.engine.cohort.supervisor import COMMAND, Supervisor
from i2igalip_cli.engine.cohort.table import TABLE, CohortReport, write_table
from i2igalip_cli.engine.stopping import StopRequest
from i2igalip_cli.errors import ConfigError, StoppedError, VolumeError


@dataclass(frozen=True, kw_only=True)
class CohortRequest:
    """What to translate, where to, and how.

    Attributes:
        inputs: Files, folders, globs, or one BIDS dataset.
        list_file: More of them, one a line.
        out: The output folder; None for the derivatives of a BIDS dataset.
        choice: Which volumes of a path.
        settings: How to translate.
        resume: Go on where an earlier run stood.
        overwrite: Do again what an earlier run did.
        shard: The share that is this run's; None for all.
        lease: Seconds after which the claim of a process that can't be asked is void.
        command: What starts a worker.
    """

    inputs: Sequence[str]
    list_file: Path | None = None
    out: Path | None = None
    choice: Choice = field(default_factory=Choice)
    settings: TranslationSettings
    resume: bool = False
    overwrite: bool = False
    shard: Shard | None = None
    lease: float = LEASE_SECONDS
    command: Sequence[str] = COMMAND

    @property
    def bids(self) -> Path | None:
        """The BIDS dataset, if that is what is translated."""
        if len(self.inputs) != 1 or self.list_file is not None:
            return None
        path = Path(self.inputs[0])
        return path if is_bids(path) else None


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A cohort that nothing speaks against, before anything is done to it.

    Attributes:
        ledger: Of the output folder.
        sources: The items of each source, those of other shards too.
        own: Those of this run.
        fingerprints: The settings' part that decides on results, by the target's name.
        weights: Name of the checkpoint.
    """

    ledger: Ledger
    sources: Sequence[Sequence[CohortItem]]
    own: Sequence[Sequence[CohortItem]]
    fingerprints: Mapping[str, Fingerprint]
    weights: str


@contextlib.contextmanager
def begin_cohort(request: CohortRequest) -> Iterator[Beginning]:
    """Find what is to be done, and refuse all that can be refused before.

    Args:
        request: What is wanted.

    Raises:
        GalipError: Nothing can start.
    """
    checkpoint = load_checkpoint(request.settings.weights)
    fingerprints = take_fingerprints(request.settings, checkpoint)
    targets = find_targets(request.settings, checkpoint)
    for target in targets:
        check_dtype(request.settings.dtype, target)
    name = checkpoint.name
    source = None
    if request.settings.source is not None:
        source = find_domain(request.settings.source, checkpoint.domains)
    del checkpoint  # the worker has its own
    out = _output_folder(request)
    items = _find_items(request, out, source, targets)
    ledger = Ledger(out, Ledger.name_run(), request.lease)
    try:
        refuse_twins(items, case_blind=ledger.is_case_blind)
        sources = by_source(items)
        own = sources if request.shard is None else request.shard.of(sources)
        _refuse_earlier(request, ledger, own, fingerprints)
        yield Beginning(
            ledger=ledger, sources=sources, own=own, fingerprints=fingerprints, weights=name
        )
    finally:
        ledger.close()


def run_cohort(
    request: CohortRequest,
    on_progress: Callable[[int, int], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> CohortReport:
    """Translate a cohort.

    Args:
        request: What is wanted.
        on_progress: Called with (volumes done, volumes in all).
        on_notice: Called with a sentence for people, such as whom the run waits for.

    Raises:
        StoppedError: A signal came; what is done is in the table.
        GalipError: Nothing could start, or a fault that meets every volume ended the run.
    """
    began = time.monotonic()
    with begin_cohort(request) as beginning:
        ledger = beginning.ledger
        if request.bids is not None:
            write_descriptions(ledger.out, request.bids)
        if request.shard is not None:
            keys = [[item.key for item in source] for source in beginning.sources]
            ShardRecord.of(request.shard, keys).write(ledger.state / "shards")
        plan = Plan(
            out=ledger.out,
            items=tuple(item for source in beginning.own for item in source),
            settings=request.settings,
            fingerprints=beginning.fingerprints,
            weights=beginning.weights,
            overwrite=request.overwrite,
            began_ns=ledger.began_ns,
            shard="" if request.shard is None else str(request.shard),
            lease=request.lease,
            log=ledger.log,
            parent=getpid(),
        )
        rows, table = _work(request, plan, ledger, on_progress, on_notice)
    seconds = time.monotonic() - began
    return CohortReport(out=plan.out, table=table, rows=rows, seconds=seconds)


def _work(
    request: CohortRequest,
    plan: Plan,
    ledger: Ledger,
    on_progress: Callable[[int, int], None] | None,
    on_notice: Callable[[str], None] | None,
) -> tuple[tuple[Row, ...], Path]:
    """Work through a plan; its table is written however that ends.

    Returns:
        The rows of the plan's items, and the table.

    Raises:
        StoppedError: A signal came before all was done.
        RunFaultError: A fault that meets every volume.
    """
    keys = [item.key for item in plan.items]
    table = ledger.out / (TABLE if request.shard is None else request.shard.table)

    def write() -> tuple[Row, ...]:
        found = [row for key in keys if (row := ledger.row(key)) is not None]
        rows = tuple(sorted(found, key=lambda row: row.output))
        # Without shards the table tells of the whole folder, earlier runs' other volumes included.
        write_table(table, ledger.rows() if request.shard is None else rows)
        return rows

    with StopRequest() as stop:
        supervisor = Supervisor(plan, ledger, stop, on_progress, request.command, on_notice)
        try:
            supervisor.run()
        except BaseException:
            with contextlib.suppress(VolumeError):  # of a full disk, too, which is told already
                write()
            raise
        rows = write()
        if stop.signal and supervisor.finished < len(keys):
            raise StoppedError(
                f"stopped by {stop.signal.name}: {supervisor.finished} of {len(keys)} volumes are "
                f"finished, see {table}; the same command with --resume goes on",
                stop.exit_code,
            )
    ledger.claims.clear_dead(keys)
    return rows, table


def _output_folder(request: CohortRequest) -> Path:
    """Where outputs go.

    Raises:
        ConfigError: Nothing says where to.
    """
    if request.out is not None:
        return request.out
    if request.bids is None:
        raise ConfigError("several volumes: say with -o DIR where to write them")
    return request.bids / DERIVATIVE


def _find_items(
    request: CohortRequest, out: Path, source: Domain | None, targets: Sequence[Domain]
) -> tuple[CohortItem, ...]:
    if request.bids is not None and request.settings.format == "dicom":
        raise ConfigError("a BIDS derivative holds NIfTI: leave --format dicom out")
    found = find_volumes(
        request.inputs,
        request.list_file,
        choice=request.choice,
        out=out,
        bids_source=None if source is None else bids_suffix(source),
    )
    return plan_items(found, targets, request.settings.format)


def _refuse_earlier(
    request: CohortRequest,
    ledger: Ledger,
    sources: Sequence[Sequence[CohortItem]],
    fingerprints: Mapping[str, Fingerprint],
) -> None:
    """Refuse to mix with what an earlier run left, unless it is asked for and fits.

    Raises:
        VolumeError: There are rows or outputs and neither `resume` nor `overwrite` was said, or
            files without a row that this version can read.
        ConfigError: The rows are of other settings.
    """
    if request.overwrite:
        return
    there = 0
    foreign: list[Path] = []
    differences: list[str] = []
    statuses: Counter[str] = Counter()
    for item in (item for source in sources for item in source):
        if item.refusal and ledger.row(item.key) is None:
            continue  # nothing will be written to its place
        # In this order: whoever publishes holds a claim until the row is written.
        maps = [ledger.map_output(item)] if request.settings.quality else []
        found = [place for place in (ledger.output(item), *maps) if place.exists()]
        claimed = ledger.claims.exists(item.key)
        row = ledger.row(item.key)
        unknown: list[Path] = []
        there += ledger.output(item) in found
        if row is not None:
            statuses[row.status] += 1
            different = ledger.differences(row, item, fingerprints[item.target])
            differences += filter(None, [different])
            if row.status == "done" and row.qc_score is None:  # then a map is none of ours
                unknown = [place for place in found if place in maps]
        else:
            unknown = found
        if unknown and not claimed and not ledger.may_replace(item.key):
            foreign.append(unknown[0])
    if not request.resume and (there or statuses):
        listed = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items())) or "no rows"
        raise VolumeError(
            f"{ledger.out} holds {there} outputs of these {len(sources)} volumes ({listed}); "
            "--resume goes on with them, --overwrite does them again"
        )
    if differences:
        raise ConfigError(
            f"{ledger.out} holds {len(differences)} outputs of other settings ({differences[0]}); "
            "give another -o, or --overwrite"
        )
    if foreign:
        raise VolumeError(
            f"{len(foreign)} files are not of this version of the program: they have no row that "
            f"it can read ({foreign[0]} the first); give another -o, or --overwrite"
        )
