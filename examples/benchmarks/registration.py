"""Known rigid motions of simulated heads: how well registration undoes them, across contrasts.

    python examples/benchmarks/registration.py [--cases 40] [--strangers 10] [--spacing 2]
        [--data FOLDER] [--json]

Held-out subjects of examples/simulate_brains.py, or those of a folder that it wrote (such as
OUT/cohort/test). Each case moves one contrast of a subject by up to 20 mm and 15
degrees, interpolated onto its own grid, and registers it onto another contrast. Strangers are pairs
of two subjects: what is found there must not be kept.

A case is recovered if the motion is kept, and misses the true one by less than half a voxel on
average over the brain and by less than half a degree.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import permutations
from pathlib import Path

import numpy as np

from i2igalip_cli.volumes import Volume, load_volume
from i2igalip_cli.volumes.preprocess.registration import register
from i2igalip_cli.volumes.preprocess.resampling import lay_onto
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform

sys.path.insert(0, str(Path(__file__).parents[1]))
from simulate_brains import FIRST_SEED, FIXED, Anatomy, Subject, coarsen, read_factor

MAX_SHIFT_MM = 20.0
MAX_ANGLE_DEGREES = 15.0
HALF_DEGREE = 0.5
GOAL = 0.95  # of the cases
PAIRS = [*permutations(FIXED, 2)]  # fixed and moving contrast
Heads = Callable[[int, str], Volume]  # number of a subject and contrast


@dataclass(frozen=True, kw_only=True)
class Case:
    """One registration: what was done, what was found, how far apart they are."""

    fixed: str
    moving: str
    stranger: bool
    true_mm: float
    true_degrees: float
    error_mm: float
    error_degrees: float
    half_voxel_mm: float
    before: float
    after: float
    lock: float
    kept: bool
    reason: str
    seconds: float
    recovered: bool = field(init=False)

    def __post_init__(self) -> None:
        near = self.error_mm < self.half_voxel_mm and self.error_degrees < HALF_DEGREE
        object.__setattr__(self, "recovered", self.kept and near)


def simulated_heads(factor: int) -> Heads:
    """Subjects of the simulation's test split, made when they are asked for; the last is kept.

    Args:
        factor: Voxels along each axis that become one.
    """
    anatomy, made = Anatomy(), {}

    def head(number: int, contrast: str) -> Volume:
        if (number, contrast) not in made:
            made.clear()
            subject = Subject(anatomy, FIRST_SEED["test"] + number)
            images = {name: subject.acquire(subject.truth(FIXED[name])) for name in FIXED}
            for name, image in images.items():
                array, affine = coarsen(image, anatomy.affine, factor)
                made[number, name] = Volume(array=array, affine=affine)
        return made[number, contrast]

    return head


def stored_heads(folder: Path) -> Heads:
    """Subjects of a folder with files such as sub-1_T1.nii.gz, again from the first at the end."""
    stems = sorted({path.name.rpartition("_")[0] for path in folder.glob("*_*.nii.gz")})
    if not stems:
        sys.exit(f"{folder}: no files such as sub-40000_T1.nii.gz; see examples/simulate_brains.py")
    return lambda number, contrast: load_volume(
        folder / f"{stems[number % len(stems)]}_{contrast}.nii.gz"
    )


def draw_motion(rng: np.random.Generator, centre: np.ndarray) -> RigidTransform:
    """A turn about the brain's centre and a shift: any direction, any length up to the largest."""
    turn, shift = (vector / np.linalg.norm(vector) for vector in rng.standard_normal((2, 3)))
    turn *= rng.uniform(0, MAX_ANGLE_DEGREES)
    shift *= rng.uniform(0, MAX_SHIFT_MM)
    return RigidTransform.from_degrees(turn, shift, centre)


def run_case(number: int, heads: Heads, stranger: bool = False) -> Case:
    """Move a subject's head, or another's, and register it.

    Args:
        number: Of the case: tells the subject, the pair of contrasts and the motion.
        heads: The subjects.
        stranger: Move the next subject's head.
    """
    names = PAIRS[number % len(PAIRS)]
    fixed = heads(number // len(PAIRS), names[0])
    still = heads(number // len(PAIRS) + stranger, names[1])
    brain = np.argwhere(fixed.array > 0) @ fixed.affine[:3, :3].T + fixed.affine[:3, 3]  # (N, 3)
    true = draw_motion(np.random.default_rng([number, stranger]), brain.mean(axis=0))
    moving = lay_onto(still, still, true.inverse)
    began = time.process_time()
    found = register(moving, fixed)
    seconds = time.process_time() - began
    return Case(
        fixed=names[0],
        moving=names[1],
        stranger=stranger,
        true_mm=float(true.shift_mm(brain).mean()),
        true_degrees=true.angle_degrees,
        error_mm=float(
            np.linalg.norm(found.transform.apply(brain) - true.apply(brain), axis=1).mean()
        ),
        error_degrees=found.transform.then(true.inverse).angle_degrees,
        half_voxel_mm=min(fixed.spacing_mm) / 2,
        before=found.before,
        after=found.after,
        lock=found.lock,
        kept=found.kept,
        reason=found.reason,
        seconds=seconds,
    )


def describe(case: Case) -> str:
    """A case as one line."""
    outcome = "kept" if case.kept else f"flagged ({case.reason})"
    return (
        f"{'another subject, ' if case.stranger else ''}{case.moving} onto {case.fixed}: "
        f"moved {case.true_mm:.1f} mm, {case.true_degrees:.1f} degrees; "
        f"off by {case.error_mm:.2f} mm, {case.error_degrees:.2f} degrees; "
        f"{case.before:.3f} to {case.after:.3f} nats, locks in by {case.lock:.0%}; {outcome}; "
        f"{case.seconds:.1f} s"
    )


def summarise(cases: list[Case]) -> dict[str, float]:
    """Shares and the largest errors."""
    own = [case for case in cases if not case.stranger]
    kept = [case for case in own if case.kept] or own
    return {
        "cases": len(own),
        "recovered": sum(case.recovered for case in own),
        "kept_wrongly": sum(case.kept and not case.recovered for case in own),
        "strangers": len(cases) - len(own),
        "strangers_flagged": sum(case.stranger and not case.kept for case in cases),
        "median_error_mm": statistics.median(case.error_mm for case in kept),
        "largest_error_mm": max(case.error_mm for case in kept),
        "largest_error_degrees": max(case.error_degrees for case in kept),
        "median_seconds": statistics.median(case.seconds for case in cases),
        "largest_seconds": max(case.seconds for case in cases),
    }


def main() -> None:
    """Run the cases and print them; exit with 1 where fewer are recovered than is promised."""
    parser = argparse.ArgumentParser(description="Registration against known motions.")
    parser.add_argument("--cases", type=int, default=40, help="of one subject's contrasts")
    parser.add_argument("--strangers", type=int, default=10, help="pairs of two subjects")
    parser.add_argument(
        "--spacing", type=read_factor, default=1, dest="factor", metavar="MM", help="2, 4, ..."
    )
    parser.add_argument("--data", type=Path, help="folder of subjects, instead of simulating them")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    heads = stored_heads(options.data) if options.data else simulated_heads(options.factor)
    cases = []
    for stranger, count in ((False, options.cases), (True, options.strangers)):
        for number in range(count):
            cases.append(run_case(number, heads, stranger))
            print(describe(cases[-1]), file=sys.stderr, flush=True)
    summary = summarise(cases)
    if options.json:
        print(json.dumps({**summary, "rows": [asdict(case) for case in cases]}))
    else:
        print("\n".join(f"{name}: {value:.4g}" for name, value in summary.items()))
    wrong = summary["kept_wrongly"] or summary["strangers_flagged"] < summary["strangers"]
    sys.exit(1 if wrong or summary["recovered"] < GOAL * summary["cases"] else 0)


if __name__ == "__main__":
    main()
