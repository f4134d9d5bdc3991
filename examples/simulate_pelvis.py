"""Simulate CT, T1 and T2 of male pelves, on one anatomy each, laid as the Gold Atlas lays its own.

    python examples/simulate_pelvis.py OUT [--subjects 4] [--spacing 3] [--seed 0]

Anatomy: shapes known by their distance (`pelvis_shapes.py`): body and thighs under subcutaneous
fat, muscle, ilium, acetabulum, pubis and ischium, femora, sacrum, bladder, prostate, rectum and
bowel. Sigmoid on the left and caecum on the right tell the sides apart, as in people. Every subject
has his own sizes, filling, fat and smooth warp.

CT: Hounsfield units as they are usual for these tissues, noise of 15-30 HU, int16.
MR: spin echo (`simulate_brains.Sequence`) from T1 and T2 at 3 T of fat, muscle, marrow of L4 and
prostate (de Bazelaire et al., Radiology 230, 2004), and hydrogen by volume relative to water from
the compositions of ICRU report 44 (1989); bone's cortex gives next to no signal at these echo
times. Protocols of the atlas (Nyholm et al., Medical Physics 45, 2018) as Ozbey et al. report them
(IEEE TMI 42, 2023): T1 with TR 500-600, TE 7.2 ms; T2 with TR 6000-6600, TE 97 ms. A smooth receive
field of up to +-30 % and Rician noise.

Written below OUT: a folder a subject, such as 2_01_P of hospital 2, with T1.nii.gz, T2.nii.gz and
CT.nii.gz. They show the same body; CT has a wider field of view than MR, on a grid of its own.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from pelvis_shapes import Points, body, ellipsoid, femur, hip, sacrum, tube
from scipy import ndimage
from simulate_brains import Sequence

HOSPITALS = 3
EXTENT_MM = (384.0, 288.0, 144.0)  # field of view of MR, along R, A and S
WIDER_MM = (24.0, 24.0, 0.0)  # of CT
CENTRE_MM = (0.0, -6.0, 4.0)  # of both
AIR_HU = -1000.0
TISSUES: dict[str, tuple[float, float, float, float]] = {
    # HU; T1, T2 in ms; hydrogen relative to water
    "fat": (-100, 382, 68, 0.97),
    "muscle": (55, 898, 29, 0.96),
    "cortex": (950, 220, 0.4, 0.58),
    "marrow": (220, 586, 49, 1.00),
    "organ": (40, 1597, 74, 0.97),
    "urine": (5, 4000, 1500, 1.00),  # as free water
    "stool": (30, 800, 60, 0.70),  # assumed: half of it solid
}
NAMES = ("air", *TISSUES)
SEQUENCES = {"T1": ((500, 600), 7.2), "T2": ((6000, 6600), 97.0)}  # range of TR; TE

Brush = Callable[[str, np.ndarray], None]  # paints a tissue where a distance is negative


class Grid(NamedTuple):
    """Where voxels lie."""

    affine: np.ndarray
    shape: tuple[int, ...]

    @property
    def points(self) -> Points:
        """Centres of all voxels, (3, I, J, K) in mm of RAS+."""
        indices = np.indices(self.shape, dtype=np.float64)
        turned = np.tensordot(self.affine[:3, :3], indices, 1)
        return turned + self.affine[:3, 3].reshape(3, 1, 1, 1)


def make_grid(extent_mm: Iterable[float], spacing_mm: float) -> Grid:
    """The grid of a field of view around the pelvis; stored towards L and P, as scanners do."""
    shape = tuple(round(side / spacing_mm) for side in extent_mm)
    signs = np.array([-1.0, -1.0, 1.0])
    affine = np.diag([*signs * spacing_mm, 1.0])
    affine[:3, 3] = CENTRE_MM - signs * spacing_mm * (np.array(shape) - 1) / 2
    return Grid(affine, shape)


class Pelvis:
    """One simulated man: shapes of his own, seen by any scanner."""

    def __init__(self, seed: int) -> None:
        """Draw what differs between people."""
        self.seed = seed
        rng = np.random.default_rng([seed, 0])
        self.size = rng.uniform(0.93, 1.06, 3)
        self.fat_mm = rng.uniform(12, 26)
        self.shift_mm = rng.uniform(-6, 6, 3)
        self.turn = np.deg2rad(rng.uniform(-4, 4))  # rolled to one side
        self.knots = rng.standard_normal((3, 5, 5, 5)) * rng.uniform(2, 4.5)
        self.marbling = rng.standard_normal((40, 32, 14))
        self.bladder = rng.uniform(26, 44)
        self.prostate = rng.uniform(17, 27)
        self.gas = rng.uniform([4, 9], [12, 15])  # in rectum and caecum
        self.cortex_mm = rng.uniform(2.5, 4)
        self.loops = rng.uniform([-46, -24, 30], [42, 46, 84], (14, 3))
        spread = np.clip(rng.standard_normal((len(TISSUES), 4)), -2, 2)
        self.constants = np.array(list(TISSUES.values())) * (1 + 0.04 * spread)

    def bend(self, points: Points) -> Points:
        """Where in the common anatomy the points of this man lie."""
        moved = points - self.shift_mm.reshape(3, 1, 1, 1)
        x, y, z = moved / self.size.reshape(3, 1, 1, 1)
        sine, cosine = np.sin(self.turn), np.cos(self.turn)
        straight = np.stack([cosine * x + sine * y, cosine * y - sine * x, z])
        return straight + np.stack([sample(knots, points) for knots in self.knots])

    def tissues(self, grid: Grid) -> np.ndarray:
        """Share of each of NAMES in every voxel, (8, I, J, K); they sum to 1."""
        edge = float(np.cbrt(abs(np.linalg.det(grid.affine[:3, :3]))))
        points = self.bend(grid.points)
        shares = np.zeros((len(NAMES), *grid.shape))
        shares[0] = 1

        def paint(name: str, distance: np.ndarray) -> None:
            inside = np.clip(0.5 - distance / edge, 0, 1)
            shares[:] *= 1 - inside
            shares[NAMES.index(name)] += inside

        self._paint_flesh(points, paint)
        self._paint_organs(points, paint)
        mirrored = np.stack([np.abs(points[0]), *points[1:]])
        shaft = np.clip(-(points[2] + 15) / 50, 0, 1)  # thick below, thin at the joint
        paint("organ", ellipsoid(mirrored, (88, 0, 0), (29, 29, 29)))  # cartilage
        for bone, part in (
            (hip(mirrored), 0.8),
            (sacrum(points), 0.7),
            (femur(mirrored), 0.5 + 1.2 * shaft),
        ):
            paint("cortex", bone)
            paint("marrow", bone + self.cortex_mm * part)
        return shares

    def _paint_flesh(self, points: Points, paint: Brush) -> None:
        """Fat below the skin, muscle in it, and the fat between muscles and around organs."""
        x, y, z = points
        aside = np.stack([np.abs(x), y, z])
        paint("organ", body(points, 0))  # the skin
        paint("fat", body(points, 2))
        fibres = sample(self.marbling, points)
        paint("muscle", np.maximum(body(points, self.fat_mm), 6 * (fibres - 1.3)))
        # Between the gluteal muscles, in the groin, around the organs and beside the rectum.
        flat = np.stack([aside[0], y, np.zeros_like(z)])
        gluteal = [(44, -88, 0), (84, -72, 0), (118, -48, 0), (150, -10, 0)]
        paint("fat", tube(flat, gluteal, [4, 3, 3, 4]))
        paint("fat", tube(aside, [(30, 70, 70), (62, 74, 0), (70, 66, -100)], [3, 12, 13]))
        paint("fat", ellipsoid(points, (0, -6, 22), (66, 62, 78)))
        paint("fat", tube(aside, [(20, -74, -10), (28, -66, -70)], [16, 24]))
        paint("muscle", tube(aside, [(58, -4, 100), (76, 26, 40), (88, 38, -6)], [24, 21, 15]))
        paint("muscle", tube(aside, [(54, 8, 14), (52, -26, 2), (44, -4, -36)], [9, 10, 12]))
        vessels = tube(aside, [(36, -8, 100), (48, 24, 44), (62, 62, -6), (66, 54, -100)], [6] * 4)
        paint("organ", vessels)

    def _paint_organs(self, points: Points, paint: Brush) -> None:
        """Bowel, bladder, prostate and rectum."""
        for centre in self.loops:
            paint("organ", ellipsoid(points, tuple(centre), (17, 12, 12)))
            paint("stool", ellipsoid(points, tuple(centre), (13, 8, 8)))
        colon = [(0, -54, -64), (-3, -50, -30), (-8, -60, 8), (-16, -58, 36), (-52, -24, 56)]
        paint("organ", tube(points, [*colon, (-84, 6, 110)], [13, 16, 17, 16, 15, 15]))
        paint("stool", tube(points, colon[1:], [6, 12, 11, 10]))
        gas = [(place[0], place[1] + 4, place[2]) for place in colon[1:4]]  # it rises in who lies
        paint("air", tube(points, gas, [self.gas[0] * part for part in (0.4, 0.8, 0.6)]))
        paint("organ", ellipsoid(points, (70, 34, 66), (25, 25, 30)))
        paint("stool", ellipsoid(points, (70, 34, 66), (21, 21, 26)))
        high = self.gas[1]
        paint("air", ellipsoid(points, (70, 46 - high / 2, 68), (high * 1.5, high, 20)))
        full = self.bladder
        centre = (2.0, 22.0, full * 0.62 - 12)
        paint("organ", ellipsoid(points, centre, (full * 1.15, full * 0.85, full * 0.8)))
        inside = (full * 1.15 - 4, full * 0.85 - 4, full * 0.8 - 4)
        paint("urine", ellipsoid(points, centre, inside))
        paint("organ", ellipsoid(points, (0, 4, -30), (self.prostate * 1.15, self.prostate, 18)))

    def image(self, contrast: str, spacing_mm: float) -> tuple[np.ndarray, Grid]:
        """CT, T1 or T2 in its own field of view, and where that lies."""
        if contrast == "CT":
            grid = make_grid(np.add(EXTENT_MM, WIDER_MM), spacing_mm)
            return self.ct(grid), grid
        grid = make_grid(EXTENT_MM, spacing_mm)
        return self.mr(contrast, grid), grid

    def ct(self, grid: Grid) -> np.ndarray:
        """CT in HU, (I, J, K) int16."""
        rng = np.random.default_rng([self.seed, 1])
        levels = [AIR_HU, *self.constants[:, 0]]
        clean = np.tensordot(levels, self.tissues(grid), 1)
        noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape), (0.6, 0.6, 0))
        noisy = clean + noise / noise.std() * rng.uniform(15, 30)
        return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)

    def mr(self, contrast: str, grid: Grid) -> np.ndarray:
        """T1 or T2 in arbitrary units, (I, J, K) int16."""
        rng = np.random.default_rng([self.seed, 2 + list(SEQUENCES).index(contrast)])
        (shortest, longest), echo = SEQUENCES[contrast]
        sequence = Sequence("spin echo", rng.uniform(shortest, longest), echo)
        signals = [0.0, *(sequence.signal(t1, t2, t2, n) for _, t1, t2, n in self.constants)]
        truth = np.tensordot(signals, self.tissues(grid), 1)
        field = sample(rng.standard_normal((4, 4, 4)), grid.points)
        field *= rng.uniform(0.1, 0.3) / np.abs(field).max()
        present = truth[truth > 0.05 * truth.max()]
        real, imaginary = (
            rng.uniform(0.02, 0.04) * present.mean() * rng.standard_normal((2, *grid.shape))
        )
        image = np.hypot(truth * (1 + field) + real, imaginary)
        gain = rng.uniform(600, 1800) / np.percentile(image, 99.5)  # units are arbitrary
        return np.clip(np.rint(image * gain), 0, 32767).astype(np.int16)


def sample(knots: np.ndarray, points: Points) -> np.ndarray:
    """A smooth field given at knots over the space of any scanner here, at some points."""
    reach = 260.0
    places = [
        (axis + reach) / (2 * reach) * (n - 1) for axis, n in zip(points, knots.shape, strict=True)
    ]
    return ndimage.map_coordinates(knots, places, order=3, mode="nearest")


def name_subject(number: int) -> str:
    """The folder of a subject, dealt to the hospitals in turn: 1_01_P, 2_01_P, 3_01_P, 1_02_P."""
    return f"{number % HOSPITALS + 1}_{number // HOSPITALS + 1:02d}_P"


def write(array: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a volume in scanner coordinates."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, grid.affine)
    image.header.set_xyzt_units("mm")
    for place in (image.set_qform, image.set_sform):
        place(grid.affine, code=1)
    nib.save(image, path)


def simulate(folder: Path, seed: int, spacing_mm: float) -> list[Path]:
    """Write CT, T1 and T2 of one subject into a folder; returns the files."""
    pelvis = Pelvis(seed)
    paths = []
    for contrast in ("T1", "T2", "CT"):
        paths.append(folder / f"{contrast}.nii.gz")
        write(*pelvis.image(contrast, spacing_mm), paths[-1])
    return paths


def main() -> None:
    """Simulate the subjects that the command line asks for."""
    parser = argparse.ArgumentParser(description="Simulate CT, T1 and T2 of the pelvis.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=4, metavar="N")
    parser.add_argument("--spacing", type=float, default=3.0, metavar="MM")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for number in range(options.subjects):
        folder = options.out / name_subject(number)
        simulate(folder, options.seed + number, options.spacing)
        print(f"{folder} {number + 1}/{options.subjects}", flush=True)


if __name__ == "__main__":
    main()
