"""A volume laid out for the generator: straight axes, [0, 1], the foreground's box, its slices."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import Plane
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.planes import Levels, PlaneSlices, fuse, lay_plane
from i2igalip_cli.engine.sources import check_modality, judge_box
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import Box, find_box
from i2igalip_cli.volumes.grid import MAX_SHEAR_DEGREES, resample, shear_degrees, straighten
from i2igalip_cli.volumes.intensity import UNIT, IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array, freeze

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, kw_only=True, eq=False)
class LaidVolume:
    """A volume as the generator gets it.

    Attributes:
        source: The volume as it was read.
        window: What of its intensities is 0 and 1.
        straight: It on an orthogonal grid: the same where its axes are orthogonal.
        inner: What of the straight one's intensities is 0 and 1.
        box: Of its foreground, along I, J, K of the straight one.
        slices: Within the box, for each plane that it is translated in.
        warnings: What straightening it had to do.
        lost: What is to be said of what lies outside of the box.
    """

    source: Volume
    window: IntensityWindow
    straight: Volume
    inner: IntensityWindow
    box: Box
    slices: dict[Plane, PlaneSlices]
    warnings: tuple[str, ...]
    lost: tuple[str, ...]

    @property
    def first(self) -> Plane:
        """The plane whose slices stand for the volume."""
        return next(iter(self.slices))

    @property
    def depth(self) -> int:
        """Slices of the whole volume in the first plane."""
        return len(view_slices(self.straight.array, self.straight.affine, self.first))

    def view(self, boxed: npt.NDArray[_Scalar], plane: Plane | None = None) -> npt.NDArray[_Scalar]:
        """The slices (N, h, w) of a box (I, J, K) in a plane, without a copy."""
        return view_slices(boxed, self.straight.affine, plane or self.first)

    def lay(self, plane: Plane, checkpoint: Checkpoint) -> PlaneSlices:
        """The slices of any plane, one that it isn't translated in, too."""
        if plane in self.slices:
            return self.slices[plane]
        return lay_plane(self.straight, self.inner, self.box, plane, checkpoint)

    def lay_result(self, result: Array, plane: Plane | None = None) -> PlaneSlices:
        """A result (I, J, K) of the box, in [0, 1], as slices of a plane that it was made in."""
        return replace(
            self.slices[plane or self.first], source=self.view(result, plane), window=UNIT
        )

    def translate(
        self, run: Callable[[Array], Array], step: int, tell: Callable[[int], None]
    ) -> tuple[Array, Levels]:
        """Translate the slices, and fuse the results of three planes.

        Args:
            run: Slices (n, 1, H, W) in [0, 1] to the same of the target.
            step: How many at a time.
            tell: Called with how many were done.

        Returns:
            The target in [0, 1] on the straight grid, 0 outside of the box; and where it was
            fused, what each plane came to.
        """
        result: Array = np.zeros(self.straight.shape, np.float32, order="F")
        inside = result[self.box]
        if len(self.slices) == 1:
            self.slices[self.first].translate(run, self.view(inside), step, tell)
            return result, {}
        parts = {plane: np.zeros(inside.shape, np.uint16, order="F") for plane in self.slices}
        for plane, slices in self.slices.items():
            slices.translate(run, self.view(parts[plane], plane), step, tell)
        fuse(list(parts.values()), inside)
        return result, parts

    def put_back(self, array: Array) -> Array:
        """What lies on the straight grid (I, J, K) on the source's grid."""
        if self.straight is self.source:
            return array
        straight, source = self.straight, self.source
        return resample(array, straight.affine, source.affine, source.shape)


def lay_volume(
    volume: Volume, source: Domain | None, checkpoint: Checkpoint, planes: tuple[Plane, ...]
) -> LaidVolume:
    """Lay a volume out for a checkpoint's generator.

    Args:
        volume: The source.
        source: Its domain; None if nothing was said.
        checkpoint: What translates it.
        planes: In which of its planes, at least one.

    Raises:
        EmptyVolumeError: The volume is constant.
        VolumeError: The volume is of another modality than its domain, or has nothing to scale by.
    """
    check_modality(volume, source, checkpoint)
    window = find_window(volume.array, source, checkpoint.policy)
    straight, inner, warnings = _straighten(volume, window)
    box = find_box(straight, inner, checkpoint.crop)
    return LaidVolume(
        source=volume,
        window=window,
        straight=straight,
        inner=inner,
        box=box,
        slices={plane: lay_plane(straight, inner, box, plane, checkpoint) for plane in planes},
        warnings=warnings,
        lost=judge_box(straight, inner, box, checkpoint.crop),
    )


def _straighten(
    volume: Volume, window: IntensityWindow
) -> tuple[Volume, IntensityWindow, tuple[str, ...]]:
    """A volume with orthogonal axes, its window, and warnings: the volume itself where it can be.

    A sheared one is brought to [0, 1] first, for what lies outside of it must be 0.
    """
    if shear_degrees(volume.affine) <= MAX_SHEAR_DEGREES:
        return volume, window, straighten(volume)[1]
    unit = volume.with_array(freeze(window.to_unit(volume.array)))
    straight, warnings = straighten(unit)
    return straight, UNIT, warnings
