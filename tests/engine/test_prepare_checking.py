"""What is told before hours are spent, and what `prepare --check` leaves behind: nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from i2igalip_cli import hub
from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.audit import captions, check_encoder
from i2igalip_cli.engine.prepare import check, prepare, work
from i2igalip_cli.engine.stopping import StopRequest, tidy_ends
from i2igalip_cli.errors import CheckpointError

SPLIT = PrepareConfig(split=(3, 1, 1))


def test_a_check_by_a_split_file_that_is_not_there_yet_deals_as_prepare_would(
    raw, tmp_path
) -> None:
    lock = tmp_path / "split.json"
    found = check(raw, SPLIT, split_file=lock)
    assert not lock.exists()
    assert found.warnings[:1] == (f"{lock} isn't there: subjects are dealt without it",)
    assert found.audit.counts["T1"] == {"train": 3, "val": 1, "test": 1}


def test_a_check_tells_what_prepare_would_warn_of(raw, program) -> None:
    result = program("prepare", raw, "--check", "--split", 2, 1, 1)
    assert "1 subjects are in no split" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--check", "--out", "d"), "--check makes no dataset"),
        (("--dry-run", "--report", "p.html"), "with --check"),
        (("--check", "--dry-run"), "one of them"),
    ],
)
def test_what_check_does_not_do_is_refused(raw, program, arguments, message) -> None:
    result = program("prepare", raw, *arguments)
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize("begin", [prepare, check])
def test_an_encoder_that_cannot_be_asked_is_said_before_a_volume_is_read(
    raw, tmp_path, monkeypatch, begin
) -> None:
    monkeypatch.setattr(work, "load_entry", lambda entry: pytest.fail("a volume was read"))
    empty = tmp_path / "encoder"
    empty.mkdir()
    where = {} if begin is check else {"out": tmp_path / "out"}
    with pytest.raises(CheckpointError, match=r"no open_clip_config\.json"):
        begin(raw, settings=SPLIT, encoder=str(empty), **where)


def test_a_damaged_biomedclip_is_not_taken_for_an_absent_one(monkeypatch, tmp_path) -> None:
    check_encoder("")  # absent: nothing is said
    monkeypatch.setattr(captions, "BIOMEDCLIP", "demo")
    check_encoder("")
    assert hub.is_here("demo")
    spoiled = tmp_path / "weights"
    for entry in hub.read_manifest():
        if entry.name == "demo":
            for row, path in zip(entry.files, hub.locate(entry), strict=True):
                (spoiled / row.file).parent.mkdir(parents=True, exist_ok=True)
                (spoiled / row.file).write_bytes(path.read_bytes()[:-1])
    manifest = hub.shipped_folder() / "manifest.json"
    (spoiled / "manifest.json").write_bytes(manifest.read_bytes())
    monkeypatch.setattr("i2igalip_cli.hub.manifest.shipped_folder", lambda: spoiled)
    with pytest.raises(CheckpointError, match=r"SHA-256 .* wanted"):
        check_encoder("")


def test_a_lost_terminal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for lasting in (tidy_ends(), StopRequest()):
            with lasting:
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
                assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_a_check_that_is_stopped_leaves_no_folder(raw, tmp_path, number) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"  # whatever started these tests
        "from i2igalip_cli.engine.prepare import work\n"
        "def wait(entry):\n    print('reading', flush=True)\n    time.sleep(60)\n"
        "work.load_entry = wait\n"
        "from i2igalip_cli import cli\n"
        f"sys.argv = ['i2igalip', 'prepare', {str(raw)!r}, '--check']\n"
        "cli.main()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout.readline() == "reading\n"
    assert list(scratch.iterdir()), "its temporary folder"
    running.send_signal(number)
    begun = time.monotonic()
    _, said = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert time.monotonic() - begun < 20
    assert list(scratch.iterdir()) == []
    assert "Traceback" not in said
