"""Freed memory stays with the process: the next large block costs no page faults."""

import subprocess
import sys

import pytest

# Page faults of writing to eight blocks of 64 MB, made and freed one after the other.
CODE = """
import resource, torch
from i2igalip_cli.engine.memory import keep_freed_memory
{call}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.empty(64 * 2**20, dtype=torch.uint8).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    code = CODE.format(call=call)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(out.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_was_freed_is_used_again() -> None:
    assert faults("keep_freed_memory()") < faults("") / 4


def test_another_system_is_left_alone(monkeypatch) -> None:
    from i2igalip_cli.engine import memory

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("no glibc there"))
    memory.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")

    def missing(name: str) -> None:
        raise OSError

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    memory.keep_freed_memory()
