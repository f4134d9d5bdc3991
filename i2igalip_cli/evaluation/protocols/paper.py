"""Protocol `paper`: as the paper's figures were made, each slice divided by its own maximum."""

import numpy as np

from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols.base import Case, Counted, Protocol
from i2igalip_cli.evaluation.protocols.slicewise import AxialPair
from i2igalip_cli.volumes.volume import Array

_OWN = "each axial slice of either volume divided by its own maximum; mean over slices"


class Paper(Protocol):
    """Each slice of either volume divided by its own maximum.

    A prediction that is a scaled copy of its reference therefore has SSIM 100 and an infinite
    PSNR. Kept since published figures are made so; `fixed` says what is lost.
    """

    name = "paper"
    title = "As in the paper: every slice divided by its own maximum, which forgives wrong scales"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """PSNR and SSIM over slices."""
        region = "mask" if self.settings.masked else "whole slices"
        return (
            Measure(
                name="psnr",
                unit="dB",
                better="higher",
                definition=f"PSNR, {_OWN} (protocol of I2I-Galip, MIDL 2025)",
                dimensions=2,
                region=region,
            ),
            Measure(
                name="ssim",
                unit="%",
                better="higher",
                definition="SSIM (Wang et al. 2004; Gaussian of sigma 1.5, population covariance), "
                f"{_OWN}",
                dimensions=2,
                region=region,
            ),
        )

    def measure_case(self, case: Case) -> Counted:
        """PSNR and SSIM, and which slices count."""
        whole = case.axial
        kept = whole.keep_filled(whole.reference.max(axis=(1, 2)) > 0)
        own = AxialPair(
            prediction=_by_own_maximum(kept.prediction),
            reference=_by_own_maximum(kept.reference),
            mask=kept.mask,
        )
        values = own.psnr_and_ssim()
        scores = [Score(measure=m, value=v) for m, v in zip(self.measures, values, strict=True)]
        left_out = len(whole.reference) - len(kept.reference)
        return Counted(scores, len(kept.reference), left_out, own.warn_of_equal(values[0]))


def _by_own_maximum(slices: Array) -> Array:
    """Each slice (N, H, W) divided by its maximum; one without anything above 0 is zeros."""
    tops = slices.max(axis=(1, 2), keepdims=True)
    tops[tops <= 0] = np.inf
    own: Array = slices / tops
    return own
