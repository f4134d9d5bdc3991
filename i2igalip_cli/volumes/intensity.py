"""Intensities of a domain to [0, 1] and back, with the record that undoes it."""

from dataclasses import dataclass

import numpy as np

from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import EmptyVolumeError, VolumeError
from i2igalip_cli.volumes.volume import Array


@dataclass(frozen=True, kw_only=True)
class IntensityWindow:
    """The intensities that map to 0 and to 1, in the unit of the volume."""

    low: float
    high: float

    def to_unit(self, array: Array) -> Array:
        """Map intensities to [0, 1]; what lies outside the window is cut."""
        scaled = array - np.float32(self.low)
        scaled /= np.float32(self.high - self.low)  # in place, as what follows
        cut: Array = np.clip(scaled, 0, 1, out=scaled).astype(np.float32, copy=False)
        return cut

    def from_unit(self, array: Array, out: Array | None = None) -> Array:
        """Map [0, 1] to intensities of the window; into `out`, which may be `array` itself."""
        scaled = np.multiply(array, np.float32(self.high - self.low), out=out, dtype=np.float32)
        return np.add(scaled, np.float32(self.low), out=scaled)


UNIT = IntensityWindow(low=0.0, high=1.0)  # of what is in [0, 1] already


def find_percentile(domain: Domain | None, policy: IntensityPolicy) -> float:
    """The percentile of a volume's foreground that becomes 1: the domain's own, or the policy's."""
    if domain is None or domain.percentile is None:
        return policy.percentile
    return domain.percentile


def find_window(array: Array, domain: Domain | None, policy: IntensityPolicy) -> IntensityWindow:
    """The window of a volume: the domain's fixed one, or one from its own foreground.

    Args:
        array: Intensities of the whole volume, any shape, finite.
        domain: Its domain; None or a domain without a window goes by percentile.
        policy: The percentile of the foreground that becomes 1, unless the domain has its own.

    Raises:
        EmptyVolumeError: The volume is constant.
        VolumeError: It has no positive foreground to scale by.
    """
    if array.min() == array.max():
        value = array.flat[0]
        raise EmptyVolumeError(f"constant: every voxel is {value:g}, there is nothing to scale")
    if domain is not None and domain.window is not None:
        low, high = domain.window
        return IntensityWindow(low=low, high=high)
    foreground = array[array > array.mean(dtype=np.float64)]
    high = float(np.percentile(foreground, find_percentile(domain, policy), overwrite_input=True))
    if high <= 0:
        raise VolumeError("no positive intensities: magnitude MR is expected (CT needs --from)")
    return IntensityWindow(low=0.0, high=high)
