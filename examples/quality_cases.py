"""Translations of known error, for `calibrate_quality.py`: held-out subjects, imaged worse.

A case is one subject in one direction under one severity: noise and receive field stronger than in
training by chance, and lesions that training's subjects don't have. Its truth is the target's
signal without noise and receive field, lesions included.

MR has no scale of its own: what is bright is bright against the rest of the image. The error to be
ranked is therefore the one that is left under the scale that fits the truth best; nothing that is
looked at without the truth could tell its scale. The error with the scales that the volumes' own
percentiles set stands beside it.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from lesions import Sphere
from scipy import ndimage
from simulate_brains import FIXED, SPACING_MM, TISSUES, Anatomy, Subject

from i2igalip_cli import evaluate
from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.engine.quality.judge import QualityJudge
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window

FIRST_SEED = 50_000  # of subjects that no other script uses
DIRECTIONS = (("T1", "T2"), ("T1", "PD"), ("T2", "T1"))
NOISE = (1.0, 6.0)  # times what the simulator draws, log-uniform
FIELD = (0.0, 3.0)  # likewise, uniform
LESIONS = 40  # at most
RADII_MM = (2.0, 8.0)
RELAXATION = (0.6, 1.6)  # factors of a lesion's T1 and T2, log-uniform
HU = {"csf": 8.0, "grey": 37.0, "white": 28.0, "lesion": 25.0}  # ordinary values of head CT
AIR_HU, SKULL_HU, SCALP_HU, NOISE_HU = -1000.0, 900.0, -50.0, 5.0
SKULL_MM, SCALP_MM = 6.0, 12.0  # from the brain's surface


@dataclass(frozen=True, kw_only=True)
class Case:
    """One translation whose error is known.

    Attributes:
        seed: Of the subject.
        source: Contrast.
        target: Contrast.
        severity: Which of the subject's severities in this direction.
    """

    seed: int
    source: str
    target: str
    severity: int

    @property
    def direction(self) -> str:
        """Such as "T1 to T2"."""
        return f"{self.source} to {self.target}"

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.seed}_{self.source}_{self.target}_{self.severity}.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found of a case.

    Attributes:
        case: Which.
        noise: Times the simulator's.
        field: Times the simulator's.
        lesions: That were added.
        error: Mean absolute error over the brain, of the range, under the scale that fits best.
        fixed_error: Mean absolute error by the protocol `fixed`, each volume under its own scale.
        indicators: Of quality, by name.
        warnings: That the source got.
    """

    case: Case
    noise: float
    field: float
    lesions: int
    error: float
    fixed_error: float
    indicators: dict[str, float | None]
    warnings: list[str]


def list_cases(subjects: int, rounds: int) -> Iterator[Case]:
    """All cases: each subject once a round, in another direction than in the one before."""
    for turn in range(rounds):
        severity, shift = divmod(turn, len(DIRECTIONS))
        for number in range(subjects):
            source, target = DIRECTIONS[(number + shift) % len(DIRECTIONS)]
            yield Case(seed=FIRST_SEED + number, source=source, target=target, severity=severity)


def add_lesions(subject: Subject, count: int, rng: np.random.Generator) -> Subject:
    """The subject with spheres of a relaxation of their own in its white matter."""
    changed = copy.copy(subject)
    csf, grey, white, lesion = subject.tissues
    places = np.argwhere(white > 0.9)
    share = np.zeros_like(white)
    for place in places[rng.integers(len(places), size=count)]:
        i, j, k = (int(n) for n in place)
        sphere = Sphere(centre=(i, j, k), radius_mm=float(rng.uniform(*RADII_MM)))
        share = np.maximum(share, sphere.share(white.shape))
    changed.tissues = np.stack([csf, grey, white * (1 - share), lesion + white * share])
    factors = np.exp(rng.uniform(*np.log(RELAXATION), 2))
    changed.relaxation = subject.relaxation.copy()
    changed.relaxation[TISSUES.index("lesion"), :2] *= factors
    return changed


def as_volume(array: np.ndarray, subject: Subject) -> Volume:
    """An array on the subject's grid, in the arbitrary units of a scanner."""
    scaled = (array * (1000 / array.max())).astype(np.float32)
    return Volume(array=scaled, affine=subject.affine)


def acquire(
    subject: Subject, contrast: str, rng: np.random.Generator, noise: float = 1, field: float = 1
) -> Volume:
    """An image of the subject, its noise and receive field times what the simulator draws."""
    drawn = copy.copy(subject)
    drawn.rng = rng
    signal = subject.truth(FIXED[contrast])
    scan = drawn.draw_scan(signal)
    worse = replace(
        scan,
        field=np.maximum(scan.field * field, -0.8),  # a coil sees something everywhere
        real=scan.real * noise,
        imaginary=scan.imaginary * noise,
    )
    return as_volume(worse.image(signal), subject)


def scan_by_ct(subject: Subject, rng: np.random.Generator) -> Volume:
    """A phantom of head CT in HU: the subject's brain in a skull and a scalp."""
    margin = 8
    tissues = np.pad(subject.tissues, ((0, 0), *[(margin, margin)] * 3))
    inside = ndimage.binary_closing(tissues.sum(0) > 0.5, iterations=3)
    depth_mm = ndimage.distance_transform_edt(~inside) * SPACING_MM
    soft = sum(HU[name] * share for name, share in zip(TISSUES, tissues, strict=True))
    zones = [depth_mm == 0, depth_mm <= SKULL_MM, depth_mm <= SCALP_MM]
    array = np.select(zones, [soft, SKULL_HU, SCALP_HU], AIR_HU)
    array += rng.normal(0, NOISE_HU, array.shape)
    affine = subject.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, margin)
    return Volume(array=array.astype(np.float32), affine=affine)


def scale_free_error(made: np.ndarray, wanted: np.ndarray) -> float:
    """Mean |g made - wanted| under the factor g that makes it least, of intensities from 0 up.

    That g is the median of wanted / made with the weights `made`.
    """
    made, wanted = made.astype(np.float64), wanted.astype(np.float64)
    if made.max() <= 0:
        return float(wanted.mean())
    ratios = wanted[made > 0] / made[made > 0]
    order = np.argsort(ratios)
    weights = np.cumsum(made[made > 0][order])
    factor = ratios[order][np.searchsorted(weights, weights[-1] / 2)]
    return float(np.abs(factor * made - wanted).mean())


class Bench:
    """Runs cases, each of them once: what was found lies in files.

    Args:
        checkpoint: What translates, with its reference.
        judge: What judges translations.
        folder: Of the files.
    """

    def __init__(self, checkpoint: Checkpoint, judge: QualityJudge, folder: Path) -> None:
        self.checkpoint, self.folder = checkpoint, folder
        self.translators = {
            direction: Translator(checkpoint, direction[1], direction[0], judge=judge)
            for direction in DIRECTIONS
        }
        self.subjects: dict[int, Subject] = {}
        self.anatomy: Anatomy | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def subject(self, seed: int) -> Subject:
        """A subject, bent once."""
        self.anatomy = self.anatomy or Anatomy()
        if seed not in self.subjects:
            self.subjects[seed] = Subject(self.anatomy, seed)
        return self.subjects[seed]

    def run(self, case: Case) -> Outcome:
        """What is found of a case."""
        path = self.folder / case.name
        if not path.exists():
            found = self._translate(case)
            path.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
        values = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(**{**values, "case": Case(**values["case"])})

    def _translate(self, case: Case) -> Outcome:
        direction = (case.source, case.target)
        rng = np.random.default_rng((case.seed, case.severity, DIRECTIONS.index(direction)))
        noise, field = float(np.exp(rng.uniform(*np.log(NOISE)))), float(rng.uniform(*FIELD))
        lesions = int(rng.integers(LESIONS + 1))
        subject = add_lesions(self.subject(case.seed), lesions, rng)
        made = self.translators[direction](acquire(subject, case.source, rng, noise, field))
        truth = as_volume(subject.truth(FIXED[case.target]) * subject.brain, subject)
        window = find_window(truth.array, None, self.checkpoint.policy)
        unit, wanted = made.out_window.to_unit(made.volume.array), window.to_unit(truth.array)
        assert made.quality is not None, "the translators have a judge"
        return Outcome(
            case=case,
            noise=noise,
            field=field,
            lesions=lesions,
            error=scale_free_error(unit[subject.brain], wanted[subject.brain]),
            fixed_error=evaluate(made.volume, truth, protocols=("fixed",))["fixed"]["mae"],
            indicators=dict(made.quality.indicators),
            warnings=list(made.quality.warnings),
        )
