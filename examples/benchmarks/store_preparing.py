"""What preparing many volumes takes, stage by stage: time, and memory as their number grows.

    python examples/benchmarks/store_preparing.py RAW OUT JOBS

prints one JSON object. It has a process of its own, whose memory is that of preparing alone.
"""

import json
import multiprocessing
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from i2igalip_cli.engine.memory import peak_bytes
from i2igalip_cli.engine.prepare import prepare

MARKS = (0.1, 0.2, 0.5, 1.0)  # of the volumes: where peaks are told
STAGES = ("cut", "looked at", "registered")  # then of suspicious subjects, where there are any


@dataclass
class Watch:
    """Hears of progress: notes the peak of memory after each item, and how long stages take.

    Attributes:
        stages: One of each row of calls that begins anew: (seconds since the start, items done,
            items in all, peak in bytes) of each call.
    """

    began: float = field(default_factory=time.perf_counter)
    stages: list[list[tuple[float, int, int, int]]] = field(default_factory=list)

    def __call__(self, done: int, total: int) -> None:
        """An item is done."""
        if not self.stages or done <= self.stages[-1][-1][1]:
            self.stages.append([])
        self.stages[-1].append((time.perf_counter() - self.began, done, total, largest_peak()))

    def seconds(self) -> dict[str, float]:
        """Of each stage, from the end of the one before."""
        ends = [0.0, *(calls[-1][0] for calls in self.stages)]
        taken = [end - start for start, end in pairwise(ends)]
        names = [*STAGES, *(f"registered {n}" for n in range(2, len(taken)))]
        return dict(zip(names, taken, strict=False))

    def peaks(self, stage: int, volumes_each: int) -> dict[int, int]:
        """Peak in bytes when a part of a stage's volumes was done, by their number."""
        calls = self.stages[stage]
        total = calls[-1][2]
        marks = sorted({max(1, round(share * total)) for share in MARKS})
        return {mark * volumes_each: calls[mark - 1][3] for mark in marks}


def largest_peak() -> int:
    """Peak in bytes of this process or of one at work for it, whichever is the largest.

    Raises:
        OSError: The system doesn't tell.
    """
    peaks = [peak_bytes(), *(peak_bytes(one.pid) for one in multiprocessing.active_children())]
    if peaks[0] is None:
        raise OSError("this system doesn't tell the memory of a process")
    return max(peak for peak in peaks if peak is not None)


def measure_preparing(raw: Path, out: Path, jobs: int) -> dict[str, object]:
    """Prepare a folder in a process of its own.

    Args:
        raw: What `write_heads` wrote.
        out: Of the dataset; a new folder.
        jobs: Processes.
    """
    words = [sys.executable, Path(__file__), raw, out, str(jobs)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def _prepare(raw: Path, out: Path, jobs: int) -> dict[str, object]:
    """Prepare in this process."""
    at_start = largest_peak()
    watch = Watch()
    report = prepare(raw, out, jobs=jobs, on_progress=watch)
    seconds = time.perf_counter() - watch.began
    volumes = len(report.index.shards)
    taken = watch.seconds()
    cutting, looking = (
        watch.peaks(stage, volumes // watch.stages[stage][-1][2]) for stage in (0, 1)
    )
    return {
        "jobs": jobs,
        "volumes": volumes,
        "seconds": seconds,
        "stages": {**taken, "judged and told": seconds - sum(taken.values())},
        "audit_share": 1 - taken["cut"] / seconds,
        "at_start_bytes": at_start,
        "cutting_bytes": cutting,
        "looking_bytes": looking,
        "end_bytes": largest_peak(),
        "growth": {"cutting": _grow(cutting), "looking": _grow(looking)},
    }


def _grow(peaks: dict[int, int]) -> dict[str, float]:
    """How much a peak grows from the first mark to the last: as a share, and bytes a volume."""
    first, last = min(peaks), max(peaks)
    more = peaks[last] - peaks[first]
    return {"share": more / peaks[first], "bytes_a_volume": more / max(last - first, 1)}


if __name__ == "__main__":
    print(json.dumps(_prepare(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
