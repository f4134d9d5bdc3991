"""Protocols `synthrad2023` and `synthrad2025`: the image metrics of these challenges, for CT."""

from abc import abstractmethod
from functools import cached_property
from typing import ClassVar

import numpy as np

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Better, Measure, Score
from i2igalip_cli.evaluation.metrics import mean_absolute_error, peak_signal_to_noise_ratio
from i2igalip_cli.evaluation.multiscale import ms_ssim_synthrad2025
from i2igalip_cli.evaluation.protocols.base import (
    Case,
    Counted,
    Protocol,
    modality_of,
)
from i2igalip_cli.evaluation.protocols.regions import label_scores, mean_measures, mean_values
from i2igalip_cli.evaluation.protocols.slicewise import BoolArray
from i2igalip_cli.evaluation.similarity import volume_similarity
from i2igalip_cli.evaluation.tissues import OUTLINE_ABOVE, SYNTHRAD_MARGIN, outline_body
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array
from i2igalip_cli.volumes.voxels import AIR_BELOW_HU

LOW, HIGH = -1024.0, 3000.0  # HU


class SynthRAD(Protocol):
    """What both challenges share: HU, the mask, MAE and PSNR."""

    source: ClassVar[str]  # the challenge's own program and its version
    similarity: ClassVar[str]
    similarity_rule: ClassVar[str]

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """MAE, PSNR, the challenge's similarity, and the means in the mask."""
        region = "mask" if self.settings.masked else "computed outline"
        where = "the mask given"
        if not self.settings.masked:
            where = (
                f"no mask given: outline of the reference above {OUTLINE_ABOVE:g} HU, largest "
                f"piece, filled slice by slice, widened by {SYNTHRAD_MARGIN} voxels in the axial "
                "plane"
            )
        rules: tuple[tuple[str, str, Better, str], ...] = (
            ("mae", "HU", "lower", "mean absolute error, HU as they are, not cut"),
            ("psnr", "dB", "higher", "PSNR over the voxels of the mask, cut to the range"),
            (self.similarity, "", "higher", self.similarity_rule),
        )
        main = tuple(
            self._measure(name, unit, better, f"{rule} ({self.source}); {where}", region)
            for name, unit, better, rule in rules
        )
        return *main, *mean_measures(region, "HU", f"HU as they are; {where}", main=True)

    @abstractmethod
    def measure_similarity(
        self, prediction: Array, reference: Array, mask: BoolArray
    ) -> float | None:
        """The challenge's similarity of volumes (I, J, K) from 0 to the range, 0 off the mask."""

    @staticmethod
    def _measure(name: str, unit: str, better: Better, definition: str, region: str) -> Measure:
        return Measure(
            name=name,
            unit=unit,
            better=better,
            definition=definition,
            dimensions=3,
            data_range=None if name == "mae" else (LOW, HIGH),
            region=region,
        )

    def measure_case(self, case: Case) -> Counted:
        """The scores, and how many axial slices hold any of the mask.

        Raises:
            EvaluationError: The reference is MR or in no Hounsfield units, or the mask is empty.
        """
        self._check_unit(case)
        mask = self._find_mask(case)
        ours, theirs = case.prediction.array, case.reference.array
        blank_ours, blank_theirs = (_blank(array, mask) for array in (ours, theirs))
        values = (
            mean_absolute_error(ours, theirs, mask),
            peak_signal_to_noise_ratio(blank_ours, blank_theirs, HIGH - LOW, mask),
            self.measure_similarity(blank_ours, blank_theirs, mask),
            *mean_values(ours, theirs, mask),
        )
        scores = [Score(measure=m, value=v) for m, v in zip(self.measures, values, strict=True)]
        scores += label_scores(case)
        filled = view_slices(mask, case.reference.affine).any(axis=(1, 2))
        return Counted(scores, int(filled.sum()), int((~filled).sum()))

    def _check_unit(self, case: Case) -> None:
        """Refuse MR, and what neither says that it is CT nor looks like it."""
        modality = modality_of(case, self.settings)
        if modality == "MR":
            raise EvaluationError(
                f"protocol {self.name} is for CT in Hounsfield units and the reference is MR; "
                "take fixed or paper"
            )
        lowest = float(case.reference.array.min())
        if modality is None and lowest > AIR_BELOW_HU:
            raise EvaluationError(
                f"protocol {self.name} is for CT in Hounsfield units; the reference doesn't say "
                f"that it is CT and has no air: nothing below {lowest:g}; if it is CT, give "
                "--modality CT"
            )

    def _find_mask(self, case: Case) -> BoolArray:
        if case.mask is not None:
            if not case.mask.any():
                raise EvaluationError("the mask is empty: nothing of it is above 0")
            return case.mask
        outline = outline_body(case.reference.array, case.reference.affine, SYNTHRAD_MARGIN)
        if not outline.any():
            raise EvaluationError(
                f"nothing of the reference is above {OUTLINE_ABOVE:g} HU; give a mask, or check "
                "its unit"
            )
        return outline


class SynthRAD2023(SynthRAD):
    """Image metrics of the SynthRAD2023 challenge."""

    name = "synthrad2023"
    title = "SynthRAD2023: CT in HU within the mask, SSIM of volumes"
    source = "SynthRAD2023/metrics at 3200007"
    similarity = "ssim"
    similarity_rule = (
        "SSIM of volumes, cut to the range, its lower end off the mask, shifted to 0; windows of "
        "7 x 7 x 7 equal weights, covariance of a sample; mean over the mask without 3 voxels of "
        "border"
    )

    def measure_similarity(
        self, prediction: Array, reference: Array, mask: BoolArray
    ) -> float | None:
        """SSIM in [-1, 1]."""
        return volume_similarity(prediction, reference, HIGH - LOW, mask)


class SynthRAD2025(SynthRAD):
    """Image metrics of the SynthRAD2025 challenge, its departure from Wang's MS-SSIM included."""

    name = "synthrad2025"
    title = "SynthRAD2025: CT in HU within the mask, MS-SSIM as the challenge computes it"
    source = "SynthRAD2025/metrics at 0beef65"
    similarity = "ms_ssim_synthrad2025"
    similarity_rule = (
        "MS-SSIM as the challenge's program computes it: luminance weighted at all 5 scales, "
        "where Wang et al. 2003 have it at the last alone, exponents at every voxel"
    )

    def measure_similarity(
        self, prediction: Array, reference: Array, mask: BoolArray
    ) -> float | None:
        """MS-SSIM in [0, 1]."""
        return ms_ssim_synthrad2025(prediction, reference, HIGH - LOW, mask)


def _blank(array: Array, mask: BoolArray) -> Array:
    """Cut to the range, its lower end outside of the mask, shifted so that this is 0."""
    cut: Array = np.where(mask, np.clip(array, LOW, HIGH) - np.float32(LOW), np.float32(0))
    return cut
