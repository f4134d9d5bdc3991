"""Lesions of known contrast in simulated brains, for `lesion_audit.py`.

A lesion is a sphere in which a share of the white matter is something else. The subject is imaged
by the signal equations of `simulate_brains.py` with and without it, under the same receive field
and the same noise, so that the difference of two images is the lesion and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal
from simulate_brains import FIXED, SPACING_MM, TISSUES, Anatomy, Subject

from i2igalip_cli import GalipError
from i2igalip_cli.volumes import Volume

PURE = 0.9  # mean share of white matter that a sphere needs
GAP_MM = 12  # between the surfaces of two spheres, and to lesions that the subject has anyway
SHELL_MM = (2, 8)  # what a spot is compared with: white matter this far from its surface
WHITE = TISSUES.index("white")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a lesion is made of.

    Attributes:
        name: For the table.
        tissue: The subject's own tissue whose relaxation it begins from.
        factors: Of T1, T2, T2* and proton density.
        strength: Share of the white matter that it replaces, in (0, 1].
    """

    name: str
    tissue: str
    factors: tuple[float, float, float, float] = (1, 1, 1, 1)
    strength: float = 1


KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="quarter lesion", tissue="lesion", strength=0.25),
        Kind(name="half lesion", tissue="lesion", strength=0.5),
        Kind(name="lesion", tissue="lesion"),  # such as training's subjects may have
        Kind(name="fluid", tissue="csf"),
        # None of these is in the training data; each isn't any one disease.
        Kind(name="short T1 and T2", tissue="white", factors=(0.75, 0.6, 1, 1)),
        Kind(name="short T1 alone", tissue="white", factors=(0.75, 1, 1, 1)),
        Kind(name="long T2 alone", tissue="white", factors=(1, 2, 1, 1)),
    )
}


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """A place for a lesion: its centre in voxels and its radius in mm."""

    centre: tuple[int, int, int]
    radius_mm: float

    def beyond_mm(self, shape: tuple[int, ...]) -> np.ndarray:
        """Distance of every voxel from the surface, negative within; (I, J, K) float64, mm."""
        steps = [
            ((np.arange(n) - c) * SPACING_MM) ** 2 for n, c in zip(shape, self.centre, strict=True)
        ]
        return np.sqrt(sum(np.meshgrid(*steps, indexing="ij", sparse=True))) - self.radius_mm

    def share(self, shape: tuple[int, ...]) -> np.ndarray:
        """How much of each voxel lies within: as the simulator's own lesions fade; (I, J, K)."""
        return np.clip(0.5 - self.beyond_mm(shape) / SPACING_MM, 0, 1)


def place_spheres(
    tissues: np.ndarray, radii_mm: Sequence[float], each: int, rng: np.random.Generator
) -> list[Sphere]:
    """Find places in the white matter, far from each other and from the subject's own lesions.

    Args:
        tissues: (4, I, J, K), as a subject has them.
        radii_mm: Sizes, of which each is placed `each` times.
        each: Spheres of a size.
        rng: Chooses among the places.

    Returns:
        The spheres, the largest first: they are the hardest to place.

    Raises:
        GalipError: There is no room for so many.
    """
    shape = tissues.shape[1:]
    own = tissues[TISSUES.index("lesion")] > 0.05
    to_own = ndimage.distance_transform_edt(~own) * SPACING_MM if own.any() else np.inf
    spheres: list[Sphere] = []
    for radius in sorted(np.repeat(radii_mm, each).tolist(), reverse=True):
        free = (white_share(tissues[WHITE], radius) >= PURE) & (to_own >= radius + GAP_MM)
        for other in spheres:
            free &= other.beyond_mm(shape) >= radius + GAP_MM
        places = np.argwhere(free)
        if not len(places):
            raise GalipError(
                f"no room for {each} spheres of {radius:g} mm in the white matter: "
                "ask for fewer or smaller ones"
            )
        i, j, k = (int(n) for n in places[rng.integers(len(places))])
        spheres.append(Sphere(centre=(i, j, k), radius_mm=radius))
    return spheres


def white_share(white: np.ndarray, radius_mm: float) -> np.ndarray:
    """Mean share of white matter in the sphere about each voxel, (I, J, K)."""
    reach = int(radius_mm / SPACING_MM) + 1
    size = 2 * reach + 1
    ball = Sphere(centre=(reach, reach, reach), radius_mm=radius_mm).share((size, size, size))
    return signal.fftconvolve(white, ball / ball.sum(), mode="same")


class Patient:
    """A held-out subject, imaged again and again under one receive field and one noise a contrast.

    Without a lesion the images are those that `simulate_brains.py` writes of the test subject.

    Args:
        anatomy: What the subject is bent from.
        seed: Of the subject.
        radii_mm: Sizes of the lesions that it may get.
        each: Lesions of a size.

    Attributes:
        spheres: Where lesions are put, all at once.
    """

    def __init__(self, anatomy: Anatomy, seed: int, radii_mm: Sequence[float], each: int) -> None:
        self.subject = Subject(anatomy, seed)
        self._signals, self._scans = {}, {}
        for contrast, sequence in FIXED.items():  # the simulator's order: it draws as it goes
            self._signals[contrast] = self.subject.truth(sequence)
            self._scans[contrast] = self.subject.draw_scan(self._signals[contrast])
        tissues = self.subject.tissues
        self.spheres = place_spheres(tissues, radii_mm, each, np.random.default_rng((seed, each)))
        self._shares = sum(s.share(tissues.shape[1:]) for s in self.spheres)  # they don't overlap

    def signal(self, contrast: str, kind: Kind | None = None) -> np.ndarray:
        """Signal without field and noise, with lesions of a kind or without; (I, J, K) float32."""
        healthy = self._signals[contrast]
        if kind is None:
            return healthy
        subject, sequence = self.subject, FIXED[contrast]
        constants = subject.relaxation[TISSUES.index(kind.tissue)] * kind.factors
        before = sequence.signal(*subject.relaxation[WHITE])
        # White matter's own texture stays: the contrast shall come from the relaxation alone.
        change = kind.strength * (sequence.signal(*constants) - before) * subject.texture[WHITE]
        return (healthy + change * self._shares * subject.tissues[WHITE]).astype(np.float32)

    def image(self, contrast: str, kind: Kind | None = None) -> Volume:
        """The image of a contrast, with lesions of a kind or without."""
        scan, scale = self._scans[contrast], 1000 / self._signals[contrast].max()
        array = scan.image(self.signal(contrast, kind)) * np.float32(scale)
        return Volume(array=array, affine=self.subject.affine, modality="MR")

    def core(self, sphere: Sphere) -> np.ndarray:
        """Voxels that are mostly within a sphere, (I, J, K) bool."""
        return sphere.share(self.subject.brain.shape) >= 0.5

    def shell(self, sphere: Sphere) -> np.ndarray:
        """White matter about a sphere, (I, J, K) bool."""
        beyond = sphere.beyond_mm(self.subject.brain.shape)
        white = self.subject.tissues[WHITE] > PURE
        return white & (beyond >= SHELL_MM[0]) & (beyond <= SHELL_MM[1])

    def elsewhere(self) -> np.ndarray:
        """Brain farther than 8 mm from every sphere, in axial slices with one; (I, J, K) bool."""
        shape = self.subject.brain.shape
        beyond = np.min([sphere.beyond_mm(shape) for sphere in self.spheres], axis=0)
        crossed = (beyond <= 0).any(axis=(0, 1))  # (K,): the simulator's third axis goes up
        return self.subject.brain & (beyond > SHELL_MM[1]) & crossed
