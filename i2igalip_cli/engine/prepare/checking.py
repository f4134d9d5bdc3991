"""Judges a raw folder or a dataset, and leaves nothing behind but the page that was asked for."""

from pathlib import Path
from tempfile import TemporaryDirectory

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.audit import Audit, gather, judge
from i2igalip_cli.engine.dataset import INDEX_NAME
from i2igalip_cli.engine.prepare.run import prepare
from i2igalip_cli.engine.prepare.splitting import LOCK_NAME, read_lock, write_lock
from i2igalip_cli.engine.reports.audit import write_audit_report
from i2igalip_cli.engine.reports.writing import check_page
from i2igalip_cli.engine.side_by_side import Progress


def check(
    folder: Path,
    settings: PrepareConfig | None = None,
    *,
    report: Path | None = None,
    split_file: Path | None = None,
    encoder: str = "",
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> Audit:
    """Judge a prepared dataset as it is, or a raw folder by a dataset made for the moment.

    Args:
        folder: Either of them.
        settings: How a raw folder is prepared.
        report: Page to write.
        split_file: Split by subject, for a raw folder.
        encoder: Text-image encoder by name or folder; "" takes BiomedCLIP where it is here.
        jobs: Processes.
        on_progress: Called with (done, in all) of each stage in turn.

    Raises:
        GalipError: What `prepare` refuses but for single volumes, which are findings here; a page
            that can't be written.
    """
    if report is not None:
        check_page(report, overwrite=False)
    if (folder / INDEX_NAME).exists():
        evidence = gather(folder, encoder, jobs, on_progress)
        audit = judge(evidence)
    else:
        with TemporaryDirectory(prefix="i2igalip-") as place:
            lock = None
            if split_file is not None:
                lock = Path(place) / LOCK_NAME  # a copy, for people's own isn't to change
                write_lock(lock, read_lock(split_file))
            made = prepare(
                folder,
                Path(place) / "dataset",
                settings,
                split_file=lock,
                skip_faulty=True,
                encoder=encoder,
                jobs=jobs,
                on_progress=on_progress,
            )
        evidence, audit = made.evidence, made.audit
    if report is not None:
        write_audit_report(audit, evidence, report)
    return audit
