"""Run a command; tell its wall time and peak memory in a line of JSON.

    python examples/benchmarks/watch.py COMMAND ...

What the command prints goes to stderr. This has a process of its own because the kernel counts what
the starting process holds towards the peak of the started one; here that is all but nothing.
"""

import json
import os
import subprocess
import sys
import time

from i2igalip_cli.engine.memory import RUSAGE_BYTES


def main() -> None:
    """Run, wait, tell."""
    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "processor_seconds": used.ru_utime + used.ru_stime,
                "peak_bytes": RUSAGE_BYTES * used.ru_maxrss,
            }
        )
    )
    if process.returncode < 0:
        sys.exit(f"ended by signal {-process.returncode}")
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
