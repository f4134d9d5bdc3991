"""How volumes become slices: intensities, plane, split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from i2igalip_cli.config.faults import raise_faults

Plane = Literal["axial", "coronal", "sagittal"]


@dataclass(frozen=True, kw_only=True)
class IntensityPolicy:
    """How a volume of arbitrary units is brought to [0, 1].

    Zero stays zero (no signal), and the percentile of the foreground becomes 1; what lies beyond
    is cut. The foreground is every voxel above the mean of the volume, after Nyul and Udupa's
    observation (1999) that the overall mean separates air from tissue in MR.

    Attributes:
        percentile: Percentile of the foreground that becomes 1, in percent.
    """

    percentile: float = 99.5

    def __post_init__(self) -> None:
        """Report a percentile outside (0, 100]."""
        outside = not 0 < self.percentile <= 100
        raise_faults(self, [(outside, f"percentile = {self.percentile}: from above 0 to 100")])


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a raw folder becomes a dataset: the table [prepare] of a settings file.

    Attributes:
        patterns: File-name pattern of each domain; none given: `*NAME*` for T1, T2 and PD.
        captions: Captions by domain: of one that isn't known yet, or over a known one's.
        plane: Which plane the slices lie in.
        split: Subjects for train, val and test: numbers of subjects when all are whole and one is
            above 1, else shares of all of them.
        seed: Of the split.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    plane: Plane = "axial"
    split: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        """Report what no split or plane can be."""
        raise_faults(
            self,
            [
                (
                    self.plane not in get_args(Plane),
                    f"plane '{self.plane}': one of {', '.join(get_args(Plane))}",
                ),
                (
                    len(self.split) != 3 or min(self.split) < 0 or sum(self.split) <= 0,
                    f"split = {list(self.split)}: three numbers from 0, for train, val and test",
                ),
            ],
        )

    @property
    def counts_subjects(self) -> bool:
        """Whether `split` holds numbers of subjects rather than shares."""
        return max(self.split) > 1 and all(float(part).is_integer() for part in self.split)
