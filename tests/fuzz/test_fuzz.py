"""Damaged files of every format: refused in one line or read, never worse."""

import pytest
from fuzz.storm import BYTES, SECONDS, fuzz


@pytest.mark.parametrize(
    "files", [400, pytest.param(20_000, marks=pytest.mark.slow)], ids=["small", "full"]
)
def test_damaged_files_do_no_harm(files) -> None:
    report = fuzz(files, seed=20 if files == 400 else 0)
    assert report["faults"] == []
    assert report["files"] == files
    assert report["peak_bytes"] < BYTES
    assert report["slowest_seconds"] < SECONDS
    assert len(report["refused"]) == 21, "each kind was damaged beyond reading at least once"
    assert sum(report["read"].values()) > files / 20, "and some damage does no harm"
