"""One scale for a whole volume: a common range, or each volume's own percentile."""

from dataclasses import asdict, dataclass
from typing import Any

from i2igalip_cli.evaluation.protocols.base import Case, ProtocolSettings, modality_of
from i2igalip_cli.evaluation.protocols.slicewise import AxialPair
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.volume import Array
from i2igalip_cli.volumes.voxels import AIR_BELOW_HU

CT_RANGE = (-1024.0, 3000.0)  # HU, where the user says CT and gives no range


@dataclass(frozen=True)
class Scaling:
    """How intensities come to [0, 1], by the settings of a protocol."""

    settings: ProtocolSettings

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Intensities that span the range of both volumes; None for each volume's own."""
        if self.settings.value_range is None and self.settings.modality == "CT":
            return CT_RANGE
        return self.settings.value_range

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.value_range is not None:
            return "cut to the range"
        percentile = self.settings.policy.percentile
        return f"each volume from 0 to percentile {percentile:g} of its voxels above its mean"

    @property
    def unit(self) -> str:
        """Unit of errors in the files' intensities, or of the range where each has its own."""
        if self.value_range is None:
            return "of the range"
        return "HU" if self._says_hounsfield else ""

    @property
    def _says_hounsfield(self) -> bool:
        """Whether the settings alone say CT: a range that begins at air is none of MR."""
        below = self.value_range is not None and self.value_range[0] <= AIR_BELOW_HU
        return self.settings.modality == "CT" or (self.settings.modality is None and below)

    def is_hounsfield(self, case: Case) -> bool:
        """Whether a case is CT, by the settings or by what its reference says of itself."""
        return self._says_hounsfield or modality_of(case, self.settings) == "CT"

    def choices(self) -> dict[str, Any]:
        """The range, or the policy that finds one; what is taken for CT. JSON-ready."""
        return {
            "value_range": self.value_range,
            "policy": None if self.value_range is not None else asdict(self.settings.policy),
            "modality": self.settings.modality or "as each reference says",
        }

    def to_unit(self, pair: AxialPair) -> AxialPair:
        """Both stacks in [0, 1]; an empty prediction counts as zeros.

        Raises:
            EmptyVolumeError: A volume is constant.
            VolumeError: A volume has nothing above 0 to scale by.
        """
        reference = self.scale_reference(pair.reference)
        prediction = self.scale_prediction(pair.prediction)
        return AxialPair(prediction=prediction, reference=reference, mask=pair.mask)

    def scale_reference(self, array: Array) -> Array:
        """A whole reference, any shape, in [0, 1]; errors as of `to_unit`."""
        return self._find_window(array).to_unit(array)

    def scale_prediction(self, array: Array) -> Array:
        """A whole prediction likewise; one that is 0 throughout stays so without a range."""
        if self.value_range is None and not array.any():
            return array
        return self._find_window(array).to_unit(array)

    def _find_window(self, array: Array) -> IntensityWindow:
        if self.value_range is None:
            return find_window(array, None, self.settings.policy)
        return IntensityWindow(low=self.value_range[0], high=self.value_range[1])
