"""How the C library hands memory to a training step on a processor."""

import ctypes
import sys

# Numbers of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


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
