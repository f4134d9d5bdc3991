"""Freed memory stays with the process, and a process's peak is its own."""

import resource
import subprocess
import sys

import numpy as np
import pytest

from i2igalip_cli.engine import memory

# Page faults of steps on tensors of 64 MB, after a first one.
CODE = """
import resource, torch
from i2igalip_cli.engine.memory import keep_freed_memory
{call}
x = torch.rand(2, 8, 1024, 1024, requires_grad=True)
before = 0
for step in range(3):
    if step == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    (x * 2).sin().square().mean().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    code = CODE.format(call=call)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(out.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_was_freed_is_used_again() -> None:
    assert faults("keep_freed_memory()") < faults("") / 2


def test_another_system_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("no glibc there"))
    memory.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")

    def missing(name: str) -> None:
        raise OSError

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.keep_freed_memory()


PEAK = "from i2igalip_cli.engine.memory import peak_bytes; {before}print(peak_bytes())"


def peak_of(before: str) -> int:
    """What a new process tells as its peak."""
    command = [sys.executable, "-c", PEAK.format(before=before)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_peak_is_what_was_held_at_most_though_it_is_freed() -> None:
    held, free = peak_of("a = b'x' * 100_000_000; del a; "), peak_of("")
    assert 95e6 < held - free < 110e6


def test_a_peak_is_not_that_of_the_starting_process() -> None:
    held = np.ones(300_000_000, np.uint8)  # ours
    assert 3e6 < peak_of("") < 100e6
    assert held.all()
    assert memory.peak_bytes() > 300e6


@pytest.mark.skipif(sys.platform != "linux", reason="only there others' peaks are told")
def test_the_peak_of_another_process_is_asked_by_its_id() -> None:
    code = "a = b'x' * 100_000_000; print('made', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"made\n"
    assert 100e6 < memory.peak_bytes(other.pid) < 150e6
    other.communicate(b"\n")
    assert memory.peak_bytes(other.pid) is None, "it has ended"


def test_elsewhere_getrusage_is_asked_of_this_process_alone(monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.peak_bytes(1) is None
    told = memory.RUSAGE_BYTES * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert memory.peak_bytes() == told > 1e6
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert memory.peak_bytes() is None
