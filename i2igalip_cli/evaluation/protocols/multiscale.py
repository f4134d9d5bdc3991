"""Protocol `multiscale`: Wang's MS-SSIM of volumes on the scale of `fixed`.

Apart from `fixed` since it alone takes longer than all that `fixed` measures.
"""

from functools import cached_property
from typing import Any

from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.multiscale import ms_ssim
from i2igalip_cli.evaluation.protocols.base import Case, Counted, Protocol, ProtocolSettings
from i2igalip_cli.evaluation.protocols.scaling import Scaling


class Multiscale(Protocol):
    """MS-SSIM in three dimensions, of MR and CT alike."""

    name = "multiscale"
    title = "MS-SSIM of volumes as Wang et al. define it, one scale for a whole volume"

    def __init__(self, settings: ProtocolSettings) -> None:
        super().__init__(settings)
        self.scaling = Scaling(settings)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """MS-SSIM alone."""
        return (
            Measure(
                name="ms_ssim",
                unit="%",
                better="higher",
                definition="MS-SSIM (Wang et al. 2003) of volumes; windows of 7 x 7 x 7 equal "
                "weights, population covariance, luminance at the last of 5 scales alone, axes "
                f"below 97 filled up with their border, {self.scaling.rule}",
                dimensions=3,
                data_range=self.scaling.value_range,
                region="mask" if self.settings.masked else "whole volume",
            ),
        )

    def choices(self) -> dict[str, Any]:
        """How volumes are scaled."""
        return self.scaling.choices()

    def measure_case(self, case: Case) -> Counted:
        """MS-SSIM in percent; all slices count."""
        pair = self.scaling.to_unit(case.axial)
        value = ms_ssim(pair.prediction, pair.reference, 1.0, pair.mask)
        percent = None if value is None else 100 * value
        return Counted([Score(measure=self.measures[0], value=percent)], len(pair.reference), 0)
