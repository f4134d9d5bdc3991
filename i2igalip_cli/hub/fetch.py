"""Fetching weights from the hub into the Hugging Face cache.

A file grows in a part file of our own, is compared with its hash, and only then enters the cache;
`hf_hub_download` links it there. By itself that function checks no hash and (in 2.4) throws away
what a broken call has got, so that a large download would begin anew.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.hub.faults import explain, hub_faults, say_disk_faults
from i2igalip_cli.hub.files import (
    FileReport,
    inspect_file,
    known_sha256,
    locate,
    own_folder,
    read_records,
    records_file,
    require,
)
from i2igalip_cli.hub.manifest import WeightsEntry, WeightsFile

WAITS_S = (1.0, 2.0, 4.0)  # before each further try of what is worth one
LONGEST_WAIT_S = 60.0  # a hub that asks for more is left alone
_ETAG = re.compile(r"[0-9A-Za-z_-]+")


def download(
    entry: WeightsEntry, on_progress: Callable[[int, int], None] | None = None
) -> list[FileReport]:
    """Fetch an entry into the Hugging Face cache; what is there and right isn't fetched again.

    Honours what huggingface_hub does: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN
    and the proxies of the environment. A broken download goes on where it stopped.

    Args:
        entry: Of the shipped manifest; one that ships is only checked.
        on_progress: Called with bytes done and in all, of the files whose size is known.

    Returns:
        One report a file: right, recorded, or new (its hash has just been recorded).

    Raises:
        CheckpointError: The hub, the network or the disk fails, or the bytes are wrong.
    """
    if entry.ships:
        return require(entry)
    reports, done = [], 0
    for row, path in zip(entry.files, locate(entry), strict=True):

        def advance(size: int, before: int = done) -> None:
            if on_progress is not None:
                on_progress(before + size, entry.size)

        reports.append(_keep(row, path) or _fetch(row, advance if row.size else lambda _: None))
        done += row.size or 0
        advance(0, done)
    return reports


def _keep(row: WeightsFile, path: Path | None) -> FileReport | None:
    """The report of a file that is here and right; an altered one is removed, to be fetched."""
    if path is None:
        return None
    report = inspect_file(row, path)
    if report.state != "wrong":
        return _record(report)
    with say_disk_faults(path):
        path.resolve().unlink()  # the content that the link in the snapshot names
        path.unlink(missing_ok=True)
    return None


def _fetch(row: WeightsFile, on_bytes: Callable[[int], None]) -> FileReport:
    """Fetch one file, with some more tries where the hub or the network may recover."""
    for wait in (*WAITS_S, None):
        try:
            with _quiet_hub(), say_disk_faults(own_folder()):
                return _fetch_once(row, on_bytes)
        except hub_faults() as error:
            message, pause = explain(row, error)
            if wait is None or pause is None or pause > LONGEST_WAIT_S:
                raise CheckpointError(f"{row.name}: {message}") from error
            time.sleep(max(wait, pause))
    raise AssertionError("the last try returns or raises")


def _fetch_once(row: WeightsFile, on_bytes: Callable[[int], None]) -> FileReport:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # public, not in __all__

    url = hf_hub_url(row.repo, row.filename, revision=row.revision)
    facts = get_hf_file_metadata(url)
    _check_facts(row, facts.commit_hash, facts.etag, facts.size)
    blob = _blob_path(row, facts.etag or "")
    part = own_folder() / "parts" / hashlib.sha256(row.origin.encode()).hexdigest()[:32]
    part.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(part.with_suffix(".lock")):
        if blob.is_file():  # whole, but no snapshot leads to it yet
            report = _refuse_wrong(row, blob)
        else:
            _fill(part, url, facts.size, on_bytes)
            report = _refuse_wrong(row, part)
            _place(part, blob)
        path = hf_hub_download(row.repo, row.filename, revision=row.revision)
    return _record(replace(report, path=Path(path)))


def _check_facts(row: WeightsFile, commit: str | None, etag: str | None, size: int | None) -> None:
    """Refuse, before any byte is fetched, what can't be the pinned file."""
    from huggingface_hub import constants

    if commit != row.revision or not _ETAG.fullmatch(etag or ""):
        raise CheckpointError(
            f"{row.name}: {constants.ENDPOINT} doesn't answer as a hub does (commit {commit}, "
            f"wanted {row.revision}); check HF_ENDPOINT and the proxies"
        )
    if row.size is not None and size is not None and size != row.size:
        raise CheckpointError(
            f"{row.name}: the hub has {size} bytes, the manifest {row.size}; not fetched, it is "
            "another file than the pinned one"
        )


def _blob_path(row: WeightsFile, etag: str) -> Path:
    """Where the cache keeps the content of a file."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=row.repo, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / folder / "blobs" / etag


class _PartFile(io.BufferedWriter):
    """A file that tells its length as it grows."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.on_bytes = on_bytes

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # narrower
        written = super().write(data)
        self.on_bytes(self.tell())
        return written


def _fill(part: Path, url: str, size: int | None, on_bytes: Callable[[int], None]) -> None:
    """Fetch what a part file lacks."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # as above

    have = part.stat().st_size if part.is_file() else 0
    if size is None or have > size:
        part.unlink(missing_ok=True)
        have = 0
    free = shutil.disk_usage(part.parent).free
    if size is not None and size - have > free:
        raise CheckpointError(
            f"{part.parent}: {(size - have) / 1e6:.0f} MB to fetch, {free / 1e6:.0f} MB free; make "
            "room or set HF_HOME to another disk"
        )
    # Compressed, a broken transfer couldn't go on at a byte of the file.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with _PartFile(part, on_bytes) as file:
        http_get(url, file, resume_size=have, headers=headers, expected_size=size)


def _refuse_wrong(row: WeightsFile, path: Path) -> FileReport:
    """Look at a file that came; one with other bytes than the pinned is removed and refused."""
    report = inspect_file(row, path)
    if report.state == "wrong":
        path.unlink()
        raise CheckpointError(
            f"{row.name}: the hub sent SHA-256 {report.sha256}, wanted {known_sha256(row)}; "
            "nothing of it was kept; try again, and don't trust this hub if it stays so"
        )
    return report


def _place(part: Path, blob: Path) -> None:
    """Move a whole file into the cache, which may lie on another disk."""
    blob.parent.mkdir(parents=True, exist_ok=True)
    staged = blob.with_name(f"{blob.name}.{os.getpid()}.incomplete")
    try:
        shutil.move(part, staged)
        staged.replace(blob)
    finally:
        staged.unlink(missing_ok=True)


def _record(report: FileReport) -> FileReport:
    """Remember the hash of a file that has none in the manifest."""
    if report.state != "unverified":
        return report
    path = records_file()
    with say_disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {**read_records(), report.file.origin: report.sha256}
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    return replace(report, state="new")


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Silence huggingface_hub's bars and warnings: only `cli.py` prints."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, not in __all__
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, had_bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    if had_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bars:
            enable_progress_bars()
