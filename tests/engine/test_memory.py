"""Freed memory stays with the process: a step's large tensors cost no page faults again."""

import subprocess
import sys

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
