"""Damaged files by the thousand: python tests/fuzz/storm.py [--files 20000] [--seed 0]

A child process reads them one after the other and translates every fiftieth through the command
line. What must not happen: a traceback, a crash, more than 10 s, more than 2 GiB, or anything
written for a file that was refused.
"""

import argparse
import collections
import contextlib
import io
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from i2igalip_cli.engine.memory import peak_bytes

sys.path.insert(0, str(Path(__file__).parents[1]))

SECONDS, BYTES, TRANSLATE_EVERY = 10, 2 * 2**30, 50


class TooSlowError(BaseException):
    """Not an Exception: nothing on the way may catch it."""


def main() -> None:
    """Run children until all files have been read; print what was found."""
    parser = argparse.ArgumentParser(description="Read damaged files.")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.child:
        read_files(options.child, options.first, options.files, options.seed)
        return
    report = fuzz(options.files, options.seed)
    print(json.dumps(report, indent=2))  # noqa: T201 (a program of its own)
    sys.exit(bool(report["faults"]))


def fuzz(files: int, seed: int) -> dict[str, object]:
    """Read damaged files in child processes.

    Returns:
        Counts of refusals and readings by kind, peak memory, the slowest file, and all faults.
    """
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = 0
        while first < files:
            command = [sys.executable, __file__, "--child", str(folder), "--first", str(first)]
            command += ["--files", str(files), "--seed", str(seed)]
            child = subprocess.run(command, capture_output=True, text=True, check=False)
            if child.returncode == 0:
                break
            if not (folder / "number").exists():
                raise RuntimeError(f"no child can start: {child.stderr}")
            done = int((folder / "number").read_text())
            said = (child.stderr.strip().splitlines() or [""])[-1]
            faults.append(f"file {done}: the process ended with {child.returncode}: {said}")
            first = done + 1
        lines = (folder / "log").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    faults += [
        f"file {row['number']} ({row['kind']}): {row['fault']}" for row in rows if row["fault"]
    ]
    return {
        "files": len(rows),
        "refused": dict(collections.Counter(r["kind"] for r in rows if not r["read"])),
        "read": dict(collections.Counter(r["kind"] for r in rows if r["read"])),
        "translated": sum(row["translated"] for row in rows),
        "slowest_seconds": max(row["seconds"] for row in rows),
        "peak_bytes": max(row["peak_bytes"] for row in rows),
        "faults": faults[:50],
    }


def read_files(folder: Path, first: int, files: int, seed: int) -> None:
    """What a child does: damage, read and judge files, one line of the log each."""
    from conftest import make_checkpoint
    from fuzz.damage import damage, whole_files

    from i2igalip_cli.checkpoints import save_checkpoint

    warnings.simplefilter("ignore")
    logging.disable()
    signal.signal(signal.SIGALRM, _give_up)
    with tempfile.TemporaryDirectory() as name:
        whole = whole_files(Path(name))
        save_checkpoint(make_checkpoint(), Path(name) / "tiny.safetensors")
        _translate(Path(name) / "none.nii", Path(name))  # everything is imported before the limit
        _limit_memory()
        kinds = sorted(whole)
        for number in range(first, files):
            (folder / "number").write_text(str(number))
            rng = np.random.default_rng([seed, number])
            kind = kinds[number % len(kinds)]
            place = Path(name) / "place"
            place.mkdir()
            damaged = next(iter(whole[kind]))
            for file, content in whole[kind].items():
                content = damage(content, rng, file) if file == damaged else content
                (place / file).write_bytes(content)
            path = place if kind.startswith("dicom") and len(whole[kind]) > 1 else place / damaged
            row = _judge(path, place, Path(name), number % TRANSLATE_EVERY < 2)
            row |= {"number": number, "kind": kind}
            with (folder / "log").open("a") as log:
                log.write(json.dumps(row) + "\n")
            shutil.rmtree(place)


def _limit_memory() -> None:
    """Let no allocation succeed that brings the process 2 GiB above what it holds now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))


def _give_up(*_: object) -> None:
    raise TooSlowError


def _judge(path: Path, place: Path, folder: Path, translate: bool) -> dict[str, object]:
    from i2igalip_cli.errors import VolumeError
    from i2igalip_cli.volumes import list_volumes, load_entry

    before = sorted(file.name for file in place.rglob("*"))
    began, fault, read = time.monotonic(), "", False
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        for entry in list_volumes(path):
            load_entry(entry, "resample")
            read = True
    except VolumeError as error:
        if "\n" in str(error):
            fault = f"more than one line: {error}"
        if _lacked_memory(error):
            fault = f"asked for more than 2 GiB: {error}"
    except TooSlowError:
        fault = f"more than {SECONDS} s"
    except BaseException as error:
        fault = "".join(traceback.format_exception(error))[-1500:]
    signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.monotonic() - began
    if translate and not fault:
        fault = _translate(path, folder)
    left = sorted(file.name for file in place.rglob("*"))
    if not fault and left != before:
        fault = f"left behind: {sorted(set(left) - set(before))}"
    return {
        "read": read,
        "fault": fault,
        "seconds": round(seconds, 3),
        "translated": translate,
        "peak_bytes": peak_bytes(),
    }


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether a refusal came of the limit: without it, the memory would have been taken."""
    while error is not None:
        if isinstance(error, MemoryError) or re.search("bad_alloc|n.t allocate", str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _translate(path: Path, folder: Path) -> str:
    """Translate through the command line; what is wrong with what it did."""
    from i2igalip_cli import cli

    out = folder / "out.nii.gz"
    said = io.StringIO()
    command = ["i2igalip", "translate", str(path), "--to", "T2", "-o", str(out)]
    sys.argv = [*command, "--weights", str(folder / "tiny.safetensors")]
    code: object = 0
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException as error:
        return "".join(traceback.format_exception(error))[-1500:]
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("Warning:")]
    written = out.exists()
    out.unlink(missing_ok=True)
    if code == 0 and written:
        return ""
    if code == 1 and len(lines) == 1 and lines[0].startswith("Error:") and not written:
        return ""
    return f"exit code {code}, written: {written}, said: {said.getvalue()[-800:]}"


if __name__ == "__main__":
    main()
