"""The search for a rigid motion: where it sets out, and how it descends to finer voxels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from i2igalip_cli.config.faults import raise_faults
from i2igalip_cli.errors import EmptyVolumeError, VolumeError, one_line
from i2igalip_cli.volumes.preprocess.mutual_information import BINS, find_window
from i2igalip_cli.volumes.preprocess.resampling import resample
from i2igalip_cli.volumes.preprocess.rigid import Matrix, RigidTransform, from_itk, to_itk
from i2igalip_cli.volumes.preprocess.sitk_image import one_thread, to_image
from i2igalip_cli.volumes.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

MIN_LAYERS = 4  # along each axis; what is thinner can't be smoothed and has no place across it
_COARSE_LAYERS = 8  # thin volumes are made no coarser than this
Pair = tuple[Volume, Volume]  # fixed and moving


@dataclass(frozen=True, kw_only=True)
class RegistrationSettings:
    """How a motion is searched, and when it is believed.

    Attributes:
        levels_mm: Voxels of each resolution, coarsest first; axes with larger voxels keep theirs.
        turn_degrees: Besides the geometry as it is, the search sets out from turns by this about
            each axis, both ways.
        followed: Starts that are followed at the coarsest level; half of them at each finer one.
        samples: Voxels of the fixed volume that a step looks at.
        steps: Steps of a descent, at most.
        step_voxels: Length of its first steps, in voxels of the level; halved where it turns back.
        seed: Of the samples.
        max_angle_degrees: A larger turn isn't believed.
        max_shift_mm: A larger shift of the foreground's centre isn't believed.
        least_overlap: Share of the fixed foreground that the moving field of view must hold.
        least_lock: How firmly details inside the fixed foreground must agree at the place found, 1
            being a volume on itself: outlines fit any other body, too. Within a subject, 142
            places found right had 0.15 to 0.66 (simulated heads, pelves, thick slices and heads
            blurred to 8 mm; FG6692), another subject or noise at most 0.06, mirrored bodies at most
            0.11. Brains of a template that is its own mirror image reach 0.22 mirrored: only the
            header can tell.
    """

    levels_mm: tuple[float, ...] = (8.0, 4.0, 2.0)
    turn_degrees: float = 20.0
    followed: int = 4
    samples: int = 40_000
    steps: int = 60
    step_voxels: float = 0.5
    seed: int = 1
    max_angle_degrees: float = 45.0
    max_shift_mm: float = 100.0
    least_overlap: float = 0.25
    least_lock: float = 1 / 8

    def __post_init__(self) -> None:
        """Report what no search can be made of."""
        levels = self.levels_mm
        falling = all(coarse > fine for coarse, fine in pairwise(levels))
        counts = {name: getattr(self, name) for name in ("followed", "samples", "steps")}
        raise_faults(
            self,
            [
                (
                    not (levels and falling and levels[-1] > 0),
                    f"levels_mm = {levels}: positive, coarsest first",
                ),
                *((n < 1, f"{name} = {n}: from 1") for name, n in counts.items()),
                (not self.step_voxels > 0, f"step_voxels = {self.step_voxels}: above 0"),
            ],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Foreground:
    """Voxels above the mean of a volume: their places (N, 3), middle and radius, RAS+ mm."""

    places: Matrix
    centre: Matrix
    radius: float

    @classmethod
    def of(cls, volume: Volume) -> "Foreground":
        """The foreground of a volume that isn't constant.

        Raises:
            EmptyVolumeError: It is one voxel alone.
        """
        indices = np.argwhere(volume.array > volume.array.mean(dtype=np.float64))
        places = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        centre = places.mean(axis=0)
        radius = float(np.sqrt(((places - centre) ** 2).sum(axis=1).mean()))
        if radius == 0:
            raise EmptyVolumeError("one bright voxel alone: there is nothing to register")
        return cls(places=places, centre=centre, radius=radius)

    def shift_mm(self, motion: RigidTransform) -> float:
        """How far a motion moves the foreground, on average."""
        return float(motion.shift_mm(self.places).mean())

    def share_within(self, volume: Volume, transform: RigidTransform) -> float:
        """Share of the places that lie in the field of view of a volume after a motion."""
        to_index = np.linalg.inv(volume.affine)
        indices = transform.apply(self.places) @ to_index[:3, :3].T + to_index[:3, 3]
        inside = (indices >= -0.5) & (indices <= np.array(volume.shape) - 0.5)
        return float(inside.all(axis=1).mean())


def make_levels(fixed: Volume, moving: Volume, levels_mm: Sequence[float]) -> list[Pair]:
    """Both volumes at each resolution, coarsest first, and none that both already have.

    Raises:
        EmptyVolumeError: A volume is constant.
        VolumeError: It has fewer than four layers along an axis.
    """
    pair = (_cut(fixed), _cut(moving))
    levels: list[Pair] = []
    for step in reversed(levels_mm):
        coarser = (_coarsen(pair[0], step), _coarsen(pair[1], step))
        if not levels or coarser[0] is not pair[0] or coarser[1] is not pair[1]:
            levels.insert(0, coarser)
        pair = coarser
    return levels


def _cut(volume: Volume) -> Volume:
    """A volume without what lies outside its window; thin ones are refused."""
    if min(volume.shape) < MIN_LAYERS:
        raise VolumeError(
            f"{volume.shape} voxels: a volume needs {MIN_LAYERS} layers along each axis to be "
            f"registered; leave it as its header places it"
        )
    return volume.with_array(np.clip(volume.array, *find_window(volume.array)).astype(np.float32))


def _coarsen(volume: Volume, step_mm: float) -> Volume:
    """A volume with voxels of at least a size, as long as enough layers are left."""
    steps = [
        max(own, min(step_mm, own * n / _COARSE_LAYERS))
        for own, n in zip(volume.spacing_mm, volume.shape, strict=True)
    ]
    return resample(volume, (steps[0], steps[1], steps[2]))


def list_starts(fixed: Foreground, moving: Foreground, turn: float) -> list[RigidTransform]:
    """As the headers say, and centre on centre; each straight and turned about each axis."""
    turns = [np.zeros(3), *(turn * np.eye(3)), *(-turn * np.eye(3))]
    return [
        RigidTransform.from_degrees(degrees, shift, fixed.centre)
        for shift in (np.zeros(3), moving.centre - fixed.centre)
        for degrees in turns
    ]


def search(
    levels: Sequence[Pair],
    foreground: Foreground,
    tracks: list[RigidTransform],
    settings: RegistrationSettings,
) -> RigidTransform | None:
    """The best motion at the finest level; None where every descent lost the overlap.

    Args:
        levels: Fixed and moving volume at each resolution, coarsest first.
        foreground: Of the fixed volume.
        tracks: Where to set out.
        settings: How many are followed, and how.
    """
    with one_thread():
        for number, (fixed, moving) in enumerate(levels):
            level = _Level(fixed, moving, foreground, settings)
            if number == 0:
                tracks = sorted(tracks, key=level.measure)
            followed = tracks[: max(1, settings.followed >> number)]
            ends = [end for end in map(level.descend, followed) if end is not None]
            tracks = [
                track
                for _, track in sorted(ends, key=lambda end: end[0])
                if foreground.share_within(moving, track) >= settings.least_overlap
            ]
    return tracks[0] if tracks else None


class _Level:
    """Mutual information at one resolution by ITK (Mattes et al., IEEE TMI 22, 2003), negative.

    ITK sees the foreground's centre as its origin and the foreground's radius as its unit: there, a
    turn by 1 moves the foreground about as far as a shift by 1, and a step has one length.
    """

    def __init__(
        self,
        fixed: Volume,
        moving: Volume,
        foreground: Foreground,
        settings: RegistrationSettings,
    ) -> None:
        self.frame = np.diag([*[1 / foreground.radius] * 3, 1.0])
        self.frame[:3, 3] = -foreground.centre / foreground.radius
        self.back = np.linalg.inv(self.frame)
        self.images = [to_image(replace(v, affine=self.frame @ v.affine)) for v in (fixed, moving)]
        self.step = settings.step_voxels * min(fixed.spacing_mm) / foreground.radius
        self.settings = settings

    def measure(self, motion: RigidTransform) -> float:
        """Minus the mutual information after a motion; infinite where the volumes come apart."""
        method = self._set_out(self._to_itk(motion))
        try:
            return float(method.MetricEvaluate(*self.images))
        except RuntimeError as error:
            _raise_unless_apart(error)
            return math.inf

    def descend(self, start: RigidTransform) -> tuple[float, RigidTransform] | None:
        """Where gradient descent ends, and its value; None where the volumes came apart."""
        motion = self._to_itk(start)
        method = self._set_out(motion)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=self.step,
            minStep=self.step / 32,
            numberOfIterations=self.settings.steps,
            gradientMagnitudeTolerance=1e-8,
        )
        try:
            method.Execute(*self.images)
        except RuntimeError as error:
            _raise_unless_apart(error)
            return None
        found = RigidTransform(matrix=self.back @ from_itk(motion).matrix @ self.frame)
        return float(method.GetMetricValue()), found

    def _to_itk(self, motion: RigidTransform) -> "sitk.Euler3DTransform":
        return to_itk(RigidTransform(matrix=self.frame @ motion.matrix @ self.back))

    def _set_out(self, motion: "sitk.Euler3DTransform") -> "sitk.ImageRegistrationMethod":
        """A search that moves `motion` itself."""
        import SimpleITK as sitk  # noqa: N813

        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(BINS)
        share = self.settings.samples / self.images[0].GetNumberOfPixels()
        if share < 1:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(share, self.settings.seed)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetInitialTransform(motion, inPlace=True)
        return method


def _raise_unless_apart(error: RuntimeError) -> None:
    """Let ITK's complaint pass that too little of the volumes overlaps.

    Raises:
        VolumeError: It complains of something else.
    """
    if "do not sufficiently overlap" not in str(error):
        said = one_line(str(error).strip().splitlines()[-1])
        raise VolumeError(f"can't be registered: {said}") from error
