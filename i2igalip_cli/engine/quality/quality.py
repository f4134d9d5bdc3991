"""What can be said of a translation without the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from i2igalip_cli.engine.quality.score import INDICATORS
from i2igalip_cli.volumes.volume import Array

_DIGITS = 6
# Of tables and reports, each as `qc_` and its name.
COLUMNS = ("score", "calibrated", *INDICATORS, "looks_like")


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality:
    """How far a translation can be trusted; "of the range" means of the generator's [0, 1].

    Attributes:
        score: Mean absolute error that is to be expected over the foreground, of the range, under
            the scale that fits best (see `score.py`); where the checkpoint isn't calibrated, the
            mean of the disagreements.
        calibrated: Whether it was fitted to true errors.
        cycle: Mean distance of the source from what comes back when the result is translated to
            the source's domain, over the foreground, of the range; None where the method has no
            way back.
        flips: Mean distance of the result from that of mirrored slices, mirrored back; of methods
            that draw samples it holds the spread of these, too.
        planes: Mean distance of each plane's result from their median; None with one plane.
        edges: Agreement of the result's edges with the source's, in [0, 1]; 1 where each edge of
            one lies on one of the other.
        caption_in: How well the source fits the caption of its domain, in [0, 1].
        caption_out: How well the result fits the target's caption, in [0, 1].
        distance: Of the source from the training distribution, where 99 of 100 training volumes
            lie within 1; None where the checkpoint has no reference.
        looks_like: Name of the domain that the source is nearest to; None without a reference.
        map: (I, J, K) on the source's grid, of the range: the mean of the disagreements that a
            voxel has, 0 outside of the foreground's box.
        warnings: What the user should know.
    """

    score: float
    calibrated: bool
    cycle: float | None
    flips: float
    planes: float | None
    edges: float
    caption_in: float
    caption_out: float
    distance: float | None
    looks_like: str | None
    map: Array
    warnings: tuple[str, ...]

    @property
    def indicators(self) -> Mapping[str, float | None]:
        """What the score is made of, by name."""
        return {name: getattr(self, name) for name in INDICATORS}

    def columns(self) -> dict[str, Any]:
        """The figures as a table or a report has them, by `qc_` and their names."""
        found = {name: getattr(self, name) for name in COLUMNS}
        return {
            f"qc_{name}": round(value, _DIGITS) if isinstance(value, float) else value
            for name, value in found.items()
        }

    def describe(self) -> str:
        """The score for people."""
        if self.calibrated:
            return f"expected error {self.score:.1%} of the range"
        return f"disagreement {self.score:.1%} of the range (not calibrated)"
