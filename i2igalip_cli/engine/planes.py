"""Translation in one plane, or in three whose results are fused.

A 2-D generator knows nothing of a slice's neighbours, so its slices may jump from one to the next.
Along another plane these jumps lie inside of slices; the median of three planes takes the side of
the two that agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import ALL_PLANES, PLANES, Plane
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import Box, foreground_level
from i2igalip_cli.volumes.intensity import IntensityWindow
from i2igalip_cli.volumes.slicing import cut_padding, pad_slices, view_slices
from i2igalip_cli.volumes.volume import Array

Stored = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
Levels = Mapping[Plane, npt.NDArray[np.uint16]]  # (I, J, K) of a box a plane, up to `LEVELS`
LEVELS = 65535  # of a result that waits for the others: half the memory, 0.06 HU apart in CT


def choose_planes(checkpoint: Checkpoint, asked: str | None) -> tuple[Plane, ...]:
    """The planes of a translation.

    Args:
        checkpoint: Knows the planes that it was trained for.
        asked: One plane, "all", or None for the checkpoint's first.

    Raises:
        ConfigError: The checkpoint wasn't trained for it.
    """
    known = tuple(checkpoint.planes)
    if asked is None:
        return known[:1]
    wanted = PLANES if asked == ALL_PLANES else tuple(plane for plane in PLANES if plane == asked)
    strange = [plane for plane in wanted if plane not in known]
    if strange:
        raise ConfigError(
            f"{checkpoint.name} wasn't trained for {' and '.join(strange)} slices, only for "
            f"{' and '.join(known)}: choose --planes {known[0]}"
        )
    return wanted


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneSlices:
    """The slices of a volume in one plane, within the box of its foreground.

    Attributes:
        source: (N, h, w) intensities, a view of the volume.
        window: What of them is 0 and 1.
        multiple: What the sides of the generator's slices must be a multiple of.
        filled: Indices of the slices with foreground; the others needn't be translated.
    """

    source: Array
    window: IntensityWindow
    multiple: int
    filled: npt.NDArray[np.intp]

    def read(self, numbers: npt.NDArray[np.intp]) -> Array:
        """Slices as the generator takes them, (n, 1, H, W) float32 in [0, 1]."""
        return pad_slices(self.window.to_unit(self.source[numbers]), self.multiple)

    def translate(
        self, run: Callable[[Array], Array], out: Stored, step: int, tell: Callable[[int], None]
    ) -> None:
        """Translate the filled slices.

        Args:
            run: Slices (n, 1, H, W) in [0, 1] to the same of the target.
            out: (N, h, w) of zeros, where they go: float32 in [0, 1], or uint16 up to `LEVELS`.
            step: How many at a time.
            tell: Called with how many were done.
        """
        _, height, width = self.source.shape
        for start in range(0, len(self.filled), step):
            chosen = self.filled[start : start + step]
            translated = cut_padding(run(self.read(chosen)), height, width)
            out[chosen] = translated if out.dtype == np.float32 else np.rint(translated * LEVELS)
            tell(len(chosen))


def lay_plane(
    volume: Volume, window: IntensityWindow, box: Box, plane: Plane, checkpoint: Checkpoint
) -> PlaneSlices:
    """The slices of a plane within a box, ready to be translated."""
    source = view_slices(volume.array[box], volume.affine, plane)
    least = foreground_level(window, checkpoint.crop)
    return PlaneSlices(
        source=source,
        window=window,
        multiple=checkpoint.config.side_multiple,
        filled=np.flatnonzero([slice_.max() > least for slice_ in source]),
    )


def fuse(results: Sequence[npt.NDArray[np.uint16]], out: Array) -> None:
    """The median of three planes' results, voxel by voxel.

    Args:
        results: Three of (I, J, K), up to `LEVELS`.
        out: (I, J, K) in [0, 1], where it goes.
    """
    for k in range(out.shape[2]):  # a layer at a time, for memory
        a, b, c = (result[:, :, k] for result in results)
        out[:, :, k] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
        out[:, :, k] /= LEVELS
