"""How much of a lesion's contrast a translation keeps, and what it changes elsewhere.

`lesion_audit.py` runs this for every method and prints the tables. Two translations, of a subject
with and without lesions and equal in everything else, differ by what the method made of them.
Contrast is the mean within a lesion, with it minus without it, in percent of the intensity range.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from lesions import Kind, Patient
from simulate_brains import coarsen

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.engine.directions import find_direction
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """An image that a method made, and the intensities of the range that it is made in."""

    volume: Volume
    span: float


class Translate(Protocol):
    """A method under audit, with the policy by which it scales images."""

    policy: IntensityPolicy

    def translates(self, source: str, target: str) -> bool:
        """Whether it has learned a direction."""

    def __call__(self, volume: Volume, source: str, target: str) -> Made:
        """Translate a volume from one contrast to another."""


class CheckpointTranslation:
    """The method of a checkpoint, run as `options` say; it keeps what runs it."""

    def __init__(self, checkpoint: Checkpoint, options: TranslationOptions | None = None) -> None:
        self.policy = checkpoint.policy
        self._checkpoint, self._options = checkpoint, options
        self._ready: dict[tuple[str, str], Translator] = {}

    def translates(self, source: str, target: str) -> bool:
        """Whether the checkpoint knows both contrasts and learned this direction."""
        try:
            find_direction(self._checkpoint, target, source)
        except ConfigError:
            return False
        return True

    def __call__(self, volume: Volume, source: str, target: str) -> Made:
        """Translate a volume from one contrast to another."""
        if (source, target) not in self._ready:
            self._ready[source, target] = Translator(
                self._checkpoint, target, source, self._options
            )
        made = self._ready[source, target](volume)
        return Made(volume=made.volume, span=made.out_window.high - made.out_window.low)


class CoarseTranslation:
    """A method that sees blocks of voxels as one, as it learned from coarser brains.

    Args:
        method: What translates.
        factor: Voxels along each axis of a block; what fills none is 0 in the image made.
    """

    def __init__(self, method: Translate, factor: int) -> None:
        self.policy = method.policy
        self._method, self._factor = method, factor

    def translates(self, source: str, target: str) -> bool:
        """Whether the method has learned this direction."""
        return self._method.translates(source, target)

    def __call__(self, volume: Volume, source: str, target: str) -> Made:
        """Translate a volume from one contrast to another, on its own grid."""
        array, affine = coarsen(volume.array, volume.affine, self._factor)
        made = self._method(Volume(array=array, affine=affine), source, target)
        fine = made.volume.array
        for axis in range(3):
            fine = fine.repeat(self._factor, axis)
        rest = [(0, whole - side) for whole, side in zip(volume.shape, fine.shape, strict=True)]
        whole = Volume(array=np.pad(fine, rest), affine=volume.affine)
        return Made(volume=whole, span=made.span)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The lesions of one kind and size in one subject; mean contrasts in percent of the range.

    Attributes:
        subject: Its seed.
        kind: Of the lesions.
        radius_mm: Of the lesions.
        source: Contrast in the source.
        seen: That within the range which the method sees: what is brighter is cut.
        truth: Contrast in the true image of the target.
        output: Contrast in the target that the method made.
        cycle: Contrast in the source that it made of that again; None where it knows no way back.
    """

    subject: int
    kind: str
    radius_mm: float
    source: float
    seen: float
    truth: float
    output: float
    cycle: float | None


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Mean absolute change far from all lesions of a kind, in percent of the range.

    That after the cycle is None where a method knows no way back.
    """

    subject: int
    kind: str
    output: float
    cycle: float | None


@dataclass(frozen=True, kw_only=True)
class Control:
    """A place of a lesion without it: how it differs from its surroundings, in percent.

    Attributes:
        subject: Its seed.
        radius_mm: Of the place.
        truth: Mean within minus mean of the white matter about it, in the true image.
        output: The same in the target that the method made.
    """

    subject: int
    radius_mm: float
    truth: float
    output: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What a method made of lesions in one direction."""

    findings: tuple[Finding, ...]
    elsewhere: tuple[Elsewhere, ...]
    controls: tuple[Control, ...]

    @classmethod
    def join(cls, parts: Sequence["Audit"]) -> "Audit":
        """The audits of several subjects as one."""
        return cls(
            findings=tuple(row for part in parts for row in part.findings),
            elsewhere=tuple(row for part in parts for row in part.elsewhere),
            controls=tuple(row for part in parts for row in part.controls),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """The images of one state of a subject, (I, J, K), in percent of the range.

    There is none of the cycle where the method knows no way back.
    """

    source: np.ndarray
    truth: np.ndarray
    output: np.ndarray
    cycle: np.ndarray | None

    def difference(self, other: "Scene") -> dict[str, np.ndarray]:
        """This minus another, by image."""
        return {
            name: image - getattr(other, name)
            for name, image in vars(self).items()
            if image is not None
        }


def view(
    patient: Patient, direction: tuple[str, str], kind: Kind | None, translate: Translate
) -> Scene:
    """Image a subject in both contrasts and translate it there and, where that is known, back.

    True images are measured by the healthy subject's range. What was made is measured by the range
    it was made in: a bright lesion moves that of its source, and with it the units of the output.

    Args:
        patient: The subject.
        direction: Source and target.
        kind: Of its lesions; None for none.
        translate: The method.
    """
    source, target = direction
    true = {contrast: patient.image(contrast, kind).array for contrast in direction}
    for contrast, array in true.items():
        healthy = patient.image(contrast).array
        true[contrast] = 100 * array / find_window(healthy, None, translate.policy).high
    made = translate(patient.image(source, kind), source, target)
    cycle = None
    if translate.translates(target, source):
        back = translate(made.volume, target, source)
        cycle = 100 * back.volume.array / back.span
    return Scene(
        source=true[source],
        truth=true[target],
        output=100 * made.volume.array / made.span,
        cycle=cycle,
    )


def audit_patient(
    patient: Patient,
    seed: int,
    direction: tuple[str, str],
    kinds: Iterable[Kind],
    translate: Translate,
) -> Audit:
    """Put every kind of lesion into one subject and see what becomes of it."""
    healthy = view(patient, direction, None, translate)
    radii = sorted({sphere.radius_mm for sphere in patient.spheres})
    cores = {
        radius: [patient.core(s) for s in patient.spheres if s.radius_mm == radius]
        for radius in radii
    }
    far = patient.elsewhere()
    findings, elsewhere = [], []
    for kind in kinds:
        ill = view(patient, direction, kind, translate)
        change = ill.difference(healthy)
        change["seen"] = np.clip(ill.source, 0, 100) - np.clip(healthy.source, 0, 100)
        for radius, places in cores.items():
            contrasts = {
                name: float(np.mean([array[core].mean() for core in places]))
                for name, array in change.items()
            }
            contrasts.setdefault("cycle", None)
            found = Finding(subject=seed, kind=kind.name, radius_mm=radius, **contrasts)
            findings.append(found)
        output, cycle = (
            float(np.abs(change[name][far]).mean()) if name in change else None
            for name in ("output", "cycle")
        )
        elsewhere.append(Elsewhere(subject=seed, kind=kind.name, output=output, cycle=cycle))
    return Audit(
        findings=tuple(findings),
        elsewhere=tuple(elsewhere),
        controls=tuple(look_where_nothing_is(patient, seed, healthy)),
    )


def look_where_nothing_is(patient: Patient, seed: int, healthy: Scene) -> Iterable[Control]:
    """Measure every place of a lesion in the subject without lesions."""
    for sphere in patient.spheres:
        core, shell = patient.core(sphere), patient.shell(sphere)
        truth, output = (
            float(image[core].mean() - image[shell].mean())
            for image in (healthy.truth, healthy.output)
        )
        yield Control(subject=seed, radius_mm=sphere.radius_mm, truth=truth, output=output)
