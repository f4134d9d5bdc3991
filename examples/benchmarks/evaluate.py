"""What evaluating many volumes takes, against only reading them.

    python examples/benchmarks/evaluate.py [--pairs 200] [--side 128] [--jobs N] [--protocol NAME]

Pairs of .nii.gz are made on the spot: a noisy head of 16-bit integers in air, as MR mostly is; with
--ct in Hounsfield units. Printed are the wall time of an evaluation, the time that as many
processes need to only read the same files, and one pair's profile by stage in one process.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np

from i2igalip_cli import load_volume
from i2igalip_cli.engine.cores import usable_cores
from i2igalip_cli.engine.evaluator.pairs import Sides, find_pairs
from i2igalip_cli.engine.evaluator.reading import read_on_grid
from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
from i2igalip_cli.engine.evaluator.scoring import DEFAULT_PROTOCOLS, Scoring, make_case
from i2igalip_cli.engine.side_by_side import one_thread_each
from i2igalip_cli.evaluation.protocols import PROTOCOLS, ProtocolSettings

AIR, RANGE = -1024, (-1024.0, 3000.0)  # HU
KINDS = 8  # different noises: files of one noise would lie in a cache of the processor


def write_pairs(folder: Path, count: int, side: int, *, ct: bool) -> None:
    """Write predictions and references."""
    axes = [np.linspace(-1.15, 1.15, side)] * 3
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    tissue = np.where(radius < 1, 500 + 300 * np.cos(9 * radius), 0)
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    for number in range(count):
        for name, seed in (("reference", number % KINDS), ("prediction", KINDS + number % KINDS)):
            (folder / name).mkdir(exist_ok=True)
            noise = 20 * np.random.default_rng(seed).standard_normal(tissue.shape)
            array = np.where(radius < 1, tissue + noise, 0) + (AIR if ct else 0)
            image = nib.Nifti1Image(array.round().astype(np.int16), affine)
            nib.save(image, folder / name / f"sub-{number:04}_T2w.nii.gz")


def read_pair(paths: tuple[Path, Path]) -> float:
    """Read two volumes; the number keeps them from being left out."""
    return sum(float(load_volume(path).array[0, 0, 0]) for path in paths)


def time_reading(pairs: Sequence[tuple[Path, Path]], jobs: int) -> float:
    """Seconds that `jobs` processes take to read all pairs, their start included."""
    started = time.perf_counter()
    if jobs == 1:
        for pair in pairs:
            read_pair(pair)
        return time.perf_counter() - started
    context = multiprocessing.get_context("spawn")
    with one_thread_each(), ProcessPoolExecutor(jobs, context) as pool:
        list(pool.map(read_pair, pairs))
    return time.perf_counter() - started


def clock(action: Callable[[], object], repeats: int) -> float:
    """Median seconds of an action."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def profile(paths: tuple[Path, Path], scoring: Scoring, repeats: int) -> dict[str, float]:
    """Seconds of each stage of one pair, in this process."""
    reference = load_volume(paths[1])
    found = read_on_grid(paths[0], reference, "prediction", resample=False)
    case = make_case(found.volume, reference, {})
    stages = {"read both": clock(lambda: read_pair(paths), repeats)}
    for name, protocol in scoring.build().items():
        stages[name] = clock(lambda protocol=protocol: protocol.score(case), repeats)
    return stages


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="Time evaluation against reading.")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--side", type=int, default=128, help="voxels along each axis")
    parser.add_argument("--jobs", type=int, default=usable_cores())
    parser.add_argument("--protocol", action="append", choices=list(PROTOCOLS))
    parser.add_argument("--ct", action="store_true", help="Hounsfield units")
    parser.add_argument("--repeats", type=int, default=5, help="of the profile")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    ct = {"value_range": RANGE, "modality": "CT"} if options.ct else {}
    scoring = Scoring(
        protocols=tuple(options.protocol or DEFAULT_PROTOCOLS), settings=ProtocolSettings(**ct)
    )
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_pairs(folder, options.pairs, options.side, ct=options.ct)
        sides = Sides(prediction=folder / "prediction", reference=folder / "reference")
        pairs = [(pair.prediction, pair.reference) for pair in find_pairs(sides).pairs]
        request = EvaluationRequest(pairs=sides, scoring=scoring, jobs=options.jobs)
        time_reading(pairs, options.jobs)  # so that all files are in the system's memory
        reading = time_reading(pairs, options.jobs)
        started = time.perf_counter()
        results = run_evaluation(request)
        seconds = time.perf_counter() - started
        stages = profile(pairs[0], scoring, options.repeats)
    assert results.complete
    report = {
        "pairs": options.pairs,
        "side": options.side,
        "jobs": options.jobs,
        "protocols": list(scoring.protocols),
        "seconds": seconds,
        "reading_seconds": reading,
        "ratio": seconds / reading,
        "stages": stages,
    }
    print(
        f"{options.pairs} pairs of {options.side}^3, {', '.join(scoring.protocols)}, "
        f"{options.jobs} jobs: {seconds:.1f} s, {options.pairs / seconds:.1f} pairs a second\n"
        f"only reading them, {options.jobs} processes: {reading:.1f} s; "
        f"the whole takes {seconds / reading:.2f} times that\n"
    )
    print("| one pair, one process | ms | of reading |\n|---|---|---|")
    for name, taken in stages.items():
        print(f"| {name} | {1000 * taken:.0f} | {taken / stages['read both']:.2f} |")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
