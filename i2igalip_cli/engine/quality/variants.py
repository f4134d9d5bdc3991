"""The same generator again: mirrored, in other planes, and back to the source's domain."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import Plane
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends import Backend
from i2igalip_cli.engine.laying import LaidVolume
from i2igalip_cli.engine.planes import PlaneSlices
from i2igalip_cli.volumes.volume import Array

_COLUMNS = 3  # axis of (n, 1, H, W) that training mirrors slices along


@dataclass(frozen=True, kw_only=True, eq=False)
class Variants:
    """Runs a generator on what was translated; all results are (I, J, K) of the box, in [0, 1].

    Attributes:
        laid: The volume.
        checkpoint: Knows the planes.
        backend: What runs the generator.
        source: Domain of the volume as the translation had it; None if nothing was said.
        target: Domain of the result.
        step: Slices at a time.
        tell: Called with how many were done.
    """

    laid: LaidVolume
    checkpoint: Checkpoint
    backend: Backend
    source: Domain | None
    target: Domain
    step: int
    tell: Callable[[int], None]

    def mirrored(self) -> Array:
        """The target from mirrored slices of the first plane, mirrored back."""

        def run(slices: Array) -> Array:
            flipped = np.ascontiguousarray(np.flip(slices, _COLUMNS))
            return np.flip(self.backend(flipped, self.source, self.target), _COLUMNS)

        return self._run(self.laid.slices[self.laid.first], self.laid.first, run)

    def of_plane(self, plane: Plane) -> Array:
        """The target from the slices of one plane of the checkpoint's."""

        def run(slices: Array) -> Array:
            return self.backend(slices, self.source, self.target)

        return self._run(self.laid.lay(plane, self.checkpoint), plane, run)

    def cycled(self, result: Array, domain: Domain) -> Array:
        """A result (I, J, K) of the box translated back to the domain of its source."""

        def run(slices: Array) -> Array:
            return self.backend(slices, self.target, domain)

        return self._run(self.laid.lay_result(result), self.laid.first, run)

    def _run(self, slices: PlaneSlices, plane: Plane, run: Callable[[Array], Array]) -> Array:
        size = tuple(part.stop - part.start for part in self.laid.box)
        out: Array = np.zeros(size, np.float32, order="F")
        slices.translate(run, self.laid.view(out, plane), self.step, self.tell)
        return out
