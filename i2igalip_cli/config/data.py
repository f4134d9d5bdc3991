"""How volumes become slices: intensities, field of view, planes, split."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from i2igalip_cli.config.faults import raise_faults

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = get_args(Plane)
ALL_PLANES = "all"  # what people say for these


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
class CropPolicy:
    """How the field of view is cut to the foreground, in training and in translation alike.

    The networks normalise over whole slices: a wide rim of air in one and not in the other would
    shift what they compute.

    Attributes:
        threshold: Intensity in [0, 1] above which a voxel is foreground.
        share: Share of the voxels of a layer that must be foreground for the layer to count, so
            that single bright voxels of noise don't widen the box.
        margin_mm: What is kept around the foreground on each side, in millimetres.
        whole: Keep the whole field of view.
    """

    threshold: float = 0.1
    share: float = 0.002
    margin_mm: float = 10.0
    whole: bool = False

    def __post_init__(self) -> None:
        """Report what no box can be made of."""
        raise_faults(
            self,
            [
                (not 0 <= self.threshold < 1, f"threshold = {self.threshold}: from 0 to below 1"),
                (not 0 <= self.share < 1, f"share = {self.share}: from 0 to below 1"),
                (self.margin_mm < 0, f"margin_mm = {self.margin_mm}: at least 0"),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a raw folder becomes a dataset: the table [prepare] of a settings file.

    Attributes:
        patterns: File-name pattern of each domain; none given: `*NAME*` for T1, T2 and PD.
        captions: Captions by domain: of one that isn't known yet, or over a known one's.
        planes: Which planes slices are cut in.
        crop: How the field of view is cut to the foreground.
        split: Subjects for train, val and test: numbers of subjects when all are whole and one is
            above 1, else shares of all of them.
        seed: Of the split.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    planes: tuple[Plane, ...] = ("axial",)
    crop: CropPolicy = field(default_factory=CropPolicy)
    split: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        """Report what no split or plane can be."""
        raise_faults(
            self,
            [
                (
                    not self.planes
                    or len(set(self.planes)) < len(self.planes)
                    or not set(self.planes) <= set(PLANES),
                    f"planes = {list(self.planes)}: some of {', '.join(PLANES)}, each once",
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
