"""The memory of a process: how the C library hands it out, and how much it was at most."""

import ctypes
import sys
from pathlib import Path

# Numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
RUSAGE_BYTES = 1 if sys.platform == "darwin" else 1024  # of a unit of ru_maxrss


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it allocates next.

    By default glibc gives every block above 32 MB back to the system, which clears it page by page
    when the next tensor of that size is made: a seventh of the generator's time at full size.
    Anywhere but on Linux with glibc nothing changes.
    """
    if sys.platform != "linux":
        return
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)
    except (OSError, AttributeError):  # another C library
        return


def peak_bytes(process: int | None = None) -> int | None:
    """Largest resident memory of a process that runs, what it shares with others included.

    Linux tells it in `/proc`. `getrusage` is asked elsewhere only: Linux counts there what the
    starting process held towards the peak of the started one.

    Args:
        process: Its id; None for this one.

    Returns:
        Bytes; None where the system doesn't tell, which on others than Linux is so of every other
        process, or where there is no such process.
    """
    status = Path("/proc", "self" if process is None else str(process), "status")
    if sys.platform == "linux":
        try:
            return _read_peak(status.read_text(encoding="utf-8"))
        except OSError:  # it has ended, or there is no /proc
            return None
    return _own_peak() if process is None else None


def _read_peak(status: str) -> int | None:
    """Bytes of the line "VmHWM:  123 kB", which a process that has just ended lacks."""
    _, found, rest = status.partition("VmHWM:")
    return 1024 * int(rest.split()[0]) if found else None


def _own_peak() -> int | None:
    """What `getrusage` tells of this process; None on systems without it."""
    try:
        import resource
    except ImportError:
        return None
    return RUSAGE_BYTES * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
