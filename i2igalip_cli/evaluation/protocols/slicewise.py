"""What protocols over axial slices share: stacks of slices, and means over them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.metrics import peak_signal_to_noise_ratio
from i2igalip_cli.evaluation.similarity import slice_similarities
from i2igalip_cli.volumes.volume import Array

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class AxialPair:
    """Two volumes and a mask as axial slices (N, H, W), along the third axis in RAS+ order."""

    prediction: Array
    reference: Array
    mask: BoolArray | None

    def keep_filled(self, filled: BoolArray) -> "AxialPair":
        """The slices that count: something in the reference, and something of the mask.

        Args:
            filled: Whether each slice of the reference holds anything, (N,).

        Raises:
            EvaluationError: None is left.
        """
        kept = filled if self.mask is None else filled & self.mask.any(axis=(1, 2))
        if not kept.any():
            raise EvaluationError("no slice to compare: the reference or the mask is empty")
        if kept.all():
            return self
        mask = None if self.mask is None else self.mask[kept]
        return AxialPair(
            prediction=self.prediction[kept], reference=self.reference[kept], mask=mask
        )

    def psnr_and_ssim(self) -> tuple[float, float]:
        """Mean PSNR in dB and SSIM in percent over the slices, which have range 1."""
        psnrs = [
            peak_signal_to_noise_ratio(
                self.prediction[k], slice_, 1.0, None if self.mask is None else self.mask[k]
            )
            for k, slice_ in enumerate(self.reference)
        ]
        ssims = slice_similarities(self.prediction, self.reference, 1.0, self.mask)
        return float(np.mean(psnrs)), float(ssims.mean())

    def warn_of_equal(self, psnr: float) -> tuple[str, ...]:
        """Say why a mean PSNR is infinite: one slice that is equal is enough.

        Args:
            psnr: Their mean, in dB.
        """
        if np.isfinite(psnr):
            return ()
        differ = self.prediction != self.reference
        if self.mask is not None:
            differ &= self.mask
        equal = int((~differ.any(axis=(1, 2))).sum())
        return (
            f"PSNR is infinite: {equal} of {len(differ)} slices equal the reference where they "
            "are compared",
        )
