"""Judges a raw folder or a dataset, and leaves nothing behind but the page that was asked for."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.audit import Audit, Evidence, check_encoder, gather, judge
from i2igalip_cli.engine.dataset import INDEX_NAME
from i2igalip_cli.engine.prepare.run import PrepareReport, prepare
from i2igalip_cli.engine.prepare.splitting import LOCK_NAME, read_lock, write_lock
from i2igalip_cli.engine.reports.audit import write_audit_report
from i2igalip_cli.engine.reports.writing import check_page
from i2igalip_cli.engine.side_by_side import Progress
from i2igalip_cli.engine.stopping import tidy_ends


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a folder was found to be.

    Attributes:
        audit: What is wrong with it.
        warnings: What people should know of how a raw folder was taken, a line each.
    """

    audit: Audit
    warnings: tuple[str, ...] = ()


def check(
    folder: Path,
    settings: PrepareConfig | None = None,
    *,
    report: Path | None = None,
    split_file: Path | None = None,
    encoder: str = "",
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> CheckReport:
    """Judge a prepared dataset as it is, or a raw folder by a dataset made for the moment.

    Args:
        folder: Either of them.
        settings: How a raw folder is prepared.
        report: Page to write.
        split_file: Split by subject, for a raw folder; it isn't changed.
        encoder: Text-image encoder by name or folder; "" takes BiomedCLIP where it is here.
        jobs: Processes.
        on_progress: Called with (done, in all) of each stage in turn.

    Raises:
        GalipError: What `prepare` refuses but for single volumes, which are findings here; a page
            that can't be written.
    """
    if report is not None:
        check_page(report, overwrite=False)
    evidence: Evidence
    if (folder / INDEX_NAME).exists():
        check_encoder(encoder)
        evidence = gather(folder, encoder, jobs, on_progress)
        found = CheckReport(audit=judge(evidence))
    else:
        with tidy_ends(), TemporaryDirectory(prefix="i2igalip-") as place:
            made = _prepare(folder, Path(place), settings, split_file, encoder, jobs, on_progress)
        unknown = split_file is not None and not split_file.exists()
        absent = (f"{split_file} isn't there: subjects are dealt without it",) * unknown
        evidence = made.evidence
        found = CheckReport(audit=made.audit, warnings=(*absent, *made.warnings))
    if report is not None:
        write_audit_report(found.audit, evidence, report)
    return found


def _prepare(
    raw: Path,
    place: Path,
    settings: PrepareConfig | None,
    split_file: Path | None,
    encoder: str,
    jobs: int,
    on_progress: Progress | None,
) -> PrepareReport:
    """Make a dataset in a folder, with a copy of the split file: people's own isn't to change."""
    lock = None
    if split_file is not None and split_file.exists():
        lock = place / LOCK_NAME
        write_lock(lock, read_lock(split_file))
    return prepare(
        raw,
        place / "dataset",
        settings,
        split_file=lock,
        skip_faulty=True,
        encoder=encoder,
        jobs=jobs,
        on_progress=on_progress,
    )
