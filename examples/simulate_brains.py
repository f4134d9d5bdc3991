"""Simulate paired T1, T2 and PD brain MRI from the ICBM 2009a tissue maps.

    python examples/simulate_brains.py OUT [--train 72] [--paired 12] [--val 2] [--test 6]
        [--spacing 2]

Anatomy: the grey- and white-matter probability maps of ICBM 152 2009a (Fonov et al. 2011) that
nilearn ships; CSF is what is left of its brain mask. Every subject is that one anatomy, bent by
its own smooth warp, with its own ventricle size, cortical thickness, and sometimes lesions.

Relaxation: T1, T2, T2* in ms and proton density at 1.5 T as in BrainWeb (Kwan, Evans and Pike,
IEEE TMI 18, 1999; Collins et al., IEEE TMI 17, 1998), each with a spread of 5 % between
subjects (the order of the spread between healthy adults in Steen et al., JMRI 1997, and
Stanisz et al., MRM 2005).

Signal: spin echo, PD (1 - exp(-TR/T1)) exp(-TE/T2), and spoiled gradient echo,
PD sin(a) (1 - E1) / (1 - cos(a) E1) exp(-TE/T2*), E1 = exp(-TR/T1) (Haacke et al., "Magnetic
Resonance Imaging", 1999). Sequence ranges cover BrainWeb's and the published IXI protocols.
Receive field and noise: a smooth factor of up to +-20 % (BrainWeb offers 20 and 40 % in all) and
Rician noise (Gudbjartsson and Patz, MRM 1995) of 1-4 % of the mean brain signal. Like after skull
stripping, everything outside the brain is 0.

Written below OUT (float32 NIfTI at 2 mm, or means of its voxels at a multiple of that):
    cohort/train/   one contrast a subject, so that no subject is seen in two domains (unpaired)
    cohort/val/     all contrasts; cohort/test/ likewise, unseen seeds; each contrast has one fixed
                    protocol in both
    paired/         subjects of training's distribution in all contrasts, for the lookup table
    truth/          the test subjects without noise and receive field
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn import datasets
from scipy import ndimage

SPACING_MM = 2
TISSUES = ("csf", "grey", "white", "lesion")
# T1, T2, T2* in ms and proton density relative to water (Kwan et al. 1999, table of tissues).
RELAXATION = {
    "csf": (2569.0, 329.0, 58.0, 1.00),
    "grey": (833.0, 83.0, 69.0, 0.86),
    "white": (500.0, 70.0, 61.0, 0.77),
    "lesion": (752.0, 237.0, 204.0, 0.76),
}
SPREAD = 0.05  # standard deviation between subjects, relative
NOISE = (0.01, 0.04)  # of the mean brain signal
RECEIVE_FIELD = (0.05, 0.20)  # largest deviation from 1
LESION_CARRIERS = 0.4  # share of the subjects
FIRST_SEED = {"train": 10_000, "paired": 20_000, "val": 30_000, "test": 40_000}


@dataclass(frozen=True)
class Sequence:
    """One acquisition: kind, TR and TE in ms, flip angle in degrees (gradient echo)."""

    kind: str
    tr: float
    te: float
    angle: float = 90.0

    def signal(self, t1: float, t2: float, t2_star: float, density: float) -> float:
        """Magnitude of a tissue in this sequence, relative to fully relaxed water."""
        e1 = np.exp(-self.tr / t1)
        if self.kind == "spin echo":
            return float(density * (1 - e1) * np.exp(-self.te / t2))
        a = np.deg2rad(self.angle)
        steady = np.sin(a) * (1 - e1) / (1 - np.cos(a) * e1)
        return float(density * steady * np.exp(-self.te / t2_star))


FIXED = {
    "T1": Sequence("gradient echo", 20, 5, 25),
    "T2": Sequence("spin echo", 6500, 100),
    "PD": Sequence("spin echo", 6500, 12),
}
RANGES = {  # TR, TE, flip angle
    "T1": ("gradient echo", (15, 25), (4, 10), (20, 30)),
    "T2": ("spin echo", (5000, 8200), (80, 110), (90, 90)),
    "PD": ("spin echo", (5000, 8200), (8, 20), (90, 90)),
}


def sample_sequence(contrast: str, rng: np.random.Generator) -> Sequence:
    """A sequence of the contrast, uniform in its ranges."""
    kind, *ranges = RANGES[contrast]
    return Sequence(kind, *(float(rng.uniform(*bounds)) for bounds in ranges))


def smooth_field(shape: tuple[int, ...], knots: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random field of unit order: cubic interpolation of normal values at knots."""
    coarse = rng.standard_normal((knots, knots, knots))
    places = np.meshgrid(*(np.linspace(0, knots - 1, n) for n in shape), indexing="ij")
    return ndimage.map_coordinates(coarse, places, order=3, mode="nearest").astype(np.float32)


class Anatomy:
    """The tissue maps that every subject is bent from; (I, J, K) float32 probabilities."""

    def __init__(self) -> None:
        mask = datasets.load_mni152_brain_mask(resolution=SPACING_MM)
        self.affine = mask.affine
        brain = ndimage.gaussian_filter(mask.get_fdata(dtype=np.float32), 0.4)
        grey = datasets.load_mni152_gm_template(resolution=SPACING_MM).get_fdata(dtype=np.float32)
        white = datasets.load_mni152_wm_template(resolution=SPACING_MM).get_fdata(dtype=np.float32)
        # Grey and white are cut to the brain; what they leave of it is CSF.
        excess = np.maximum((grey + white) / np.maximum(brain, 1e-6), 1)
        grey, white = np.clip(grey, 0, 1) / excess, np.clip(white, 0, 1) / excess
        csf = np.clip(brain - grey - white, 0, 1)
        self.tissues = np.stack([csf, grey, white])  # (3, I, J, K)
        depth = ndimage.distance_transform_edt(brain > 0.5) * SPACING_MM
        inner = ndimage.binary_opening((csf > 0.5) & (depth > 22))
        labels, _ = ndimage.label(inner)
        largest = 1 + np.argmax(np.bincount(labels.ravel())[1:])
        self.to_ventricles = ndimage.distance_transform_edt(labels != largest) * SPACING_MM
        away = np.stack(np.gradient(ndimage.gaussian_filter(self.to_ventricles, 2.0)))
        self.away = away / np.maximum(np.linalg.norm(away, axis=0), 1e-3)  # (3, I, J, K)


def bend(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The tissues of a new subject, (4, I, J, K): csf, grey, white, lesion; sums to the brain."""
    shape = anatomy.tissues.shape[1:]
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
    centre = np.array(shape, np.float32).reshape(3, 1, 1, 1) / 2
    angles = np.deg2rad(rng.uniform(-6, 6, 3))
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [a for a in range(3) if a != axis]
        plane = np.eye(3)
        plane[[i, j], [i, j]] = np.cos(angle)
        plane[i, j], plane[j, i] = -np.sin(angle), np.sin(angle)
        turn = turn @ plane
    size = turn @ np.diag(rng.uniform(0.95, 1.10, 3))  # above 1 samples wider: a smaller head
    places = np.tensordot(size, grid - centre, 1) + centre + rng.uniform(-1, 1, (3, 1, 1, 1))
    for knots, amplitude_mm in ((5, rng.uniform(1, 4)), (9, rng.uniform(0.5, 1.5))):
        for axis in range(3):
            places[axis] += smooth_field(shape, knots, rng) * amplitude_mm / SPACING_MM
    # Ventricles: sampling nearer to them (negative) widens them, fading over 15 mm.
    shift_mm = rng.uniform(-4, 1.5)
    places += anatomy.away * shift_mm / SPACING_MM * np.exp(-anatomy.to_ventricles / 15)
    tissues = np.stack(
        [ndimage.map_coordinates(t, places, order=1, mode="constant") for t in anatomy.tissues]
    )
    return add_lesions(change_cortex(tissues, rng), rng)


def change_cortex(tissues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thicken or thin the cortex: shift the odds of grey against white and of CSF against grey."""
    brain = tissues.sum(axis=0)
    parts = np.clip(tissues / np.maximum(brain, 1e-6), 1e-4, 1)
    odds = np.log(parts)
    odds[0] += rng.uniform(-0.5, 0.8)
    odds[2] += rng.uniform(-0.6, 0.6)
    parts = np.exp(odds) / np.exp(odds).sum(axis=0)
    # Pure voxels stay pure: the shift acts where tissues meet.
    pure = tissues.max(axis=0) > 0.98 * brain
    return np.where(pure, tissues, parts * brain).astype(np.float32)


def add_lesions(tissues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some subjects carry white-matter lesions of 2-6 mm radius; appends their map."""
    csf, grey, white = tissues
    lesion = np.zeros_like(white)
    if rng.random() < LESION_CARRIERS:
        candidates = np.argwhere(white > 0.9)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in white.shape), indexing="ij"))
        for centre in candidates[rng.integers(len(candidates), size=rng.integers(3, 16))]:
            radius = rng.uniform(2, 6) / SPACING_MM
            stretch = rng.uniform(0.7, 1.4, 3).reshape(3, 1, 1, 1)
            distance = np.linalg.norm((grid - centre.reshape(3, 1, 1, 1)) * stretch, axis=0)
            lesion = np.maximum(lesion, np.clip(radius + 0.5 - distance, 0, 1))
    lesion = lesion * white
    return np.stack([csf, grey, white - lesion, lesion]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Scan:
    """What one acquisition does to a signal; all (I, J, K): field, both parts of noise, brain."""

    field: np.ndarray
    real: np.ndarray
    imaginary: np.ndarray
    brain: np.ndarray

    def image(self, truth: np.ndarray) -> np.ndarray:
        """The signal under this field and this noise, skull-stripped, (I, J, K) float32."""
        signal = truth * (1 + self.field)
        return (np.hypot(signal + self.real, self.imaginary) * self.brain).astype(np.float32)


class Subject:
    """One simulated person: tissues and relaxation, imaged in any sequence."""

    def __init__(self, anatomy: Anatomy, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.affine = anatomy.affine
        self.tissues = bend(anatomy, self.rng)
        factors = 1 + SPREAD * np.clip(self.rng.standard_normal((len(TISSUES), 4)), -2, 2)
        self.relaxation = np.array([RELAXATION[name] for name in TISSUES]) * factors
        # Tissue is never uniform: a smooth factor of about 3 % in each.
        self.texture = [
            1 + 0.03 * np.clip(smooth_field(self.tissues.shape[1:], 12, self.rng), -2, 2)
            for _ in TISSUES
        ]

    def truth(self, sequence: Sequence) -> np.ndarray:
        """Signal without noise and receive field, (I, J, K) float32."""
        signals = [sequence.signal(*constants) for constants in self.relaxation]
        parts = zip(signals, self.tissues, self.texture, strict=True)
        return np.sum([s * t * x for s, t, x in parts], axis=0).astype(np.float32)

    @property
    def brain(self) -> np.ndarray:
        """What skull stripping leaves, (I, J, K) bool."""
        return self.tissues.sum(axis=0) > 0.5

    def draw_scan(self, truth: np.ndarray) -> Scan:
        """A receive field and Rician noise for one image, drawn anew; noise goes by `truth`."""
        rng, brain = self.rng, self.brain
        field = smooth_field(truth.shape, 4, rng)
        field *= rng.uniform(*RECEIVE_FIELD) / np.abs(field[brain]).max()
        sigma = rng.uniform(*NOISE) * truth[brain].mean()
        real, imaginary = sigma * rng.standard_normal((2, *truth.shape))
        return Scan(field, real, imaginary, brain)

    def acquire(self, truth: np.ndarray) -> np.ndarray:
        """The truth under a receive field and Rician noise, skull-stripped."""
        return self.draw_scan(truth).image(truth)


def coarsen(array: np.ndarray, affine: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of blocks of factor^3 voxels, and their affine; what fills no block is left out."""
    sides = [side // factor for side in array.shape]
    kept = array[tuple(slice(side * factor) for side in sides)]
    blocks = kept.reshape([n for side in sides for n in (side, factor)])
    to_fine = np.diag([factor, factor, factor, 1.0])
    to_fine[:3, 3] = (factor - 1) / 2  # a block's centre
    return blocks.mean(axis=(1, 3, 5)), affine @ to_fine


def write(array: np.ndarray, affine: np.ndarray, path: Path, scale: float, factor: int) -> None:
    """Write a volume in arbitrary units, some of its voxels as one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array, affine = coarsen(array, affine, factor)
    image = nib.Nifti1Image((array * np.float32(scale)).astype(np.float32), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def simulate(
    out: Path, split: str, number: int, anatomy: Anatomy, factor: int = 1
) -> dict[str, object]:
    """Simulate and write one subject of a split, some of its voxels as one; returns its record."""
    seed = FIRST_SEED[split] + number
    subject = Subject(anatomy, seed)
    contrasts = [list(FIXED)[number % 3]] if split == "train" else list(FIXED)
    sequences = {}
    for contrast in contrasts:
        fixed = split in ("val", "test")
        sequence = FIXED[contrast] if fixed else sample_sequence(contrast, subject.rng)
        sequences[contrast] = asdict(sequence)
        truth = subject.truth(sequence)
        scale = 1000 / truth.max()  # scanners' units are arbitrary
        name = f"sub-{seed}_{contrast}.nii.gz"
        if split == "test":
            write(truth * subject.brain, subject.affine, out / "truth" / name, scale, factor)
        folder = out / "paired" if split == "paired" else out / "cohort" / split
        write(subject.acquire(truth), subject.affine, folder / name, scale, factor)
    return {"split": split, "seed": seed, "sequences": sequences}


def read_factor(text: str) -> int:
    """Voxels along each axis that become one, from the spacing in mm of a command line."""
    factor, rest = divmod(int(text), SPACING_MM)
    if factor < 1 or rest:
        raise argparse.ArgumentTypeError(f"{text}: a multiple of {SPACING_MM}")
    return factor


def main() -> None:
    """Simulate the cohort that the command line asks for."""
    parser = argparse.ArgumentParser(description="Simulate T1, T2 and PD brain MRI.")
    parser.add_argument("out", type=Path)
    for split, count in (("train", 72), ("paired", 12), ("val", 2), ("test", 6)):
        parser.add_argument(f"--{split}", type=int, default=count, metavar="N")
    parser.add_argument(
        "--spacing", type=read_factor, default=1, dest="factor", metavar="MM", help="2, 4, ..."
    )
    options = parser.parse_args()
    anatomy = Anatomy()
    records = []
    for split in FIRST_SEED:
        for number in range(getattr(options, split)):
            records.append(simulate(options.out, split, number, anatomy, options.factor))
            print(f"{split} {number + 1}/{getattr(options, split)}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "subjects.json").write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
