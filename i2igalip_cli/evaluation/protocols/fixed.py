"""Protocol `fixed`: one scale a volume, none a slice; for CT errors in Hounsfield units, too."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

import numpy as np

from i2igalip_cli.evaluation.measures import Better, Measure, Score
from i2igalip_cli.evaluation.metrics import (
    FOREGROUND,
    mean_absolute_error,
    normalized_mean_squared_error,
    through_plane_jump,
)
from i2igalip_cli.evaluation.protocols.base import Case, Counted, Protocol, ProtocolSettings
from i2igalip_cli.evaluation.protocols.hounsfield import hounsfield_measures, hounsfield_scores
from i2igalip_cli.evaluation.protocols.regions import label_scores, mean_measures, mean_values
from i2igalip_cli.evaluation.protocols.scaling import Scaling
from i2igalip_cli.evaluation.protocols.slicewise import AxialPair

Row = tuple[str, str, Better, str, Literal[2, 3], str]  # as Measure's fields, in their order


class Fixed(Protocol):
    """One scale a volume: a common range, or each volume's own percentile of its foreground."""

    name = "fixed"
    title = "One scale for a whole volume: wrong scales of slices count"

    def __init__(self, settings: ProtocolSettings) -> None:
        super().__init__(settings)
        self.scaling = Scaling(settings)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The main measures, and those of CT unless the references are MR."""
        if self.settings.modality == "MR":
            return self._main
        return *self._main, *hounsfield_measures(masked=self.settings.masked)

    @cached_property
    def _main(self) -> tuple[Measure, ...]:
        """The measures of `_values`, in their order."""
        unit, rule = self.scaling.unit, f"{self.scaling.rule}; {self._where}"
        measures = tuple(
            Measure(
                name=name,
                unit=unit_,
                better=better,
                definition=definition,
                dimensions=dimensions,
                data_range=self.scaling.value_range,
                region=region,
            )
            for name, unit_, better, definition, dimensions, region in self._rows()
        )
        return *measures, *mean_measures(self._region, unit, rule, main=True)

    def _rows(self) -> Iterator[Row]:
        scale, unit = self.scaling.rule, self.scaling.unit
        slices = f"axial slices, {scale}; mean over slices"
        ssim = "SSIM (Wang et al. 2004; Gaussian of sigma 1.5, population covariance)"
        mask = "mask" if self.settings.masked else ""
        yield "psnr", "dB", "higher", f"PSNR of {slices}", 2, mask or "whole slices"
        yield "ssim", "%", "higher", f"{ssim} of {slices}", 2, mask or "whole slices"
        yield (
            *("mae", unit, "lower"),
            *(f"mean absolute error, {scale}; {self._where}", 3, self._region),
        )
        nmse = f"|p - r|^2 / |r|^2 (as fastMRI; Zbontar et al. 2018), {scale}"
        yield "nmse", "", "lower", nmse, 3, mask or "whole volume"
        for name, whose in (("", "prediction"), ("reference_", "reference")):
            jump = (
                f"mean |s[k] - (s[k-1] + s[k+1]) / 2| of the {whose}'s axial slices where they "
                f"are above {FOREGROUND:g}, {scale}"
            )
            yield f"{name}through_plane_jump", "of the range", "neither", jump, 3, "foreground"

    @property
    def _region(self) -> str:
        return "mask" if self.settings.masked else "foreground"

    @property
    def _where(self) -> str:
        above = "where the scaled reference is above its mean"
        return "the mask given" if self.settings.masked else above

    def choices(self) -> dict[str, Any]:
        """How volumes are scaled."""
        return self.scaling.choices()

    def measure_case(self, case: Case) -> Counted:
        """All scores of a case, and which slices count."""
        pair = self.scaling.to_unit(case.axial)
        kept = pair.keep_filled(pair.reference.max(axis=(1, 2)) > 0)
        psnr, ssim = kept.psnr_and_ssim()
        values = [psnr, ssim, *self._values_of_volume(pair)]
        scores = [Score(measure=m, value=v) for m, v in zip(self._main, values, strict=True)]
        if self.scaling.is_hounsfield(case):
            scores += hounsfield_scores(case)
        scores += label_scores(case)
        left_out = len(pair.reference) - len(kept.reference)
        return Counted(scores, len(kept.reference), left_out, kept.warn_of_equal(psnr))

    def _values_of_volume(self, pair: AxialPair) -> Iterator[float | None]:
        """Values of the measures after PSNR and SSIM, in their order."""
        ours, theirs, mask = pair.prediction, pair.reference, pair.mask
        where = theirs > theirs.mean(dtype=np.float64) if mask is None else mask
        low, high = self.scaling.value_range or (0.0, 1.0)
        yield (high - low) * mean_absolute_error(ours, theirs, where)
        yield normalized_mean_squared_error(ours, theirs, mask)
        yield through_plane_jump(ours)
        yield through_plane_jump(theirs)
        for mean in mean_values(ours, theirs, where):
            yield None if mean is None else low + (high - low) * mean
