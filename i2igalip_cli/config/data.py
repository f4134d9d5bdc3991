"""How volumes become slices: intensities, field of view, planes, split."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from i2igalip_cli.config.faults import raise_faults
from i2igalip_cli.config.presets import GENERAL, PRESETS, Preset

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
        raise_faults(self, [_judge_percentile(self.percentile)])


def _judge_percentile(percentile: float) -> tuple[bool, str]:
    """Whether it is none, and what to say then."""
    return not 0 < percentile <= 100, f"percentile = {percentile}: from above 0 to 100"


@dataclass(frozen=True, kw_only=True)
class DomainScale:
    """How the volumes of one domain are brought to [0, 1], over what is done to all.

    Attributes:
        window: Intensities (low, high) in the domain's unit that become 0 and 1.
        percentile: Percentile of the foreground that becomes 1, in percent.
    """

    window: tuple[float, float] | None = None
    percentile: float | None = None

    def __post_init__(self) -> None:
        """Report what is no window, and what says nothing or two things."""
        low, high = self.window or (0.0, 1.0)
        raise_faults(
            self,
            [
                (
                    (self.window is None) == (self.percentile is None),
                    "give either window = [low, high] or percentile",
                ),
                (
                    not (math.isfinite(low) and math.isfinite(high) and low < high),
                    f"window = [{low:g}, {high:g}]: two numbers, the lower one first",
                ),
                *([] if self.percentile is None else [_judge_percentile(self.percentile)]),
            ],
        )


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
class Steps:
    """What is done to volumes before they are cut: nothing, unless it is asked for.

    Attributes:
        bias: Divide MR by its bias field (N4).
        register: The domain onto whose volume a subject's others are laid, rigidly; "" for none.
        reorient: Axes of the array, such as "RAS"; "" leaves them as they are.
        spacing_mm: Distance of voxels along the three axes; () leaves it.
        mask: Empty what lies outside the mask that this finds: "otsu" (head or body by threshold
            and morphology), "synthstrip" or "hd-bet" (brain, by programs of their own); "" for
            none.
    """

    bias: bool = False
    register: str = ""
    reorient: str = ""
    spacing_mm: tuple[float, ...] = ()
    mask: str = ""

    def __post_init__(self) -> None:
        """Report axes and distances that there can't be."""
        letters = {frozenset("RL"), frozenset("AP"), frozenset("SI")}
        named = {pair for pair in letters for letter in self.reorient if letter in pair}
        raise_faults(
            self,
            [
                (
                    bool(self.reorient) and (len(self.reorient) != 3 or len(named) != 3),
                    f"reorient = {self.reorient}: three letters of R or L, A or P, S or I",
                ),
                (
                    bool(self.spacing_mm)
                    and (len(self.spacing_mm) != 3 or min(self.spacing_mm) <= 0),
                    f"spacing_mm = {list(self.spacing_mm)}: three distances above 0",
                ),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a raw folder becomes a dataset: the table [prepare] of a settings file.

    Attributes:
        preset: A public dataset whose layout is known, of `PRESETS`; "" for any other.
        patterns: File-name pattern of each domain, over the preset's; none given and no preset:
            `*NAME*` for T1, T2 and PD.
        captions: Captions by domain: of one that isn't known yet, or over a known one's.
        modalities: "MR" or "CT" by domain, of one that isn't known yet; MR where nothing is said.
        planes: Which planes slices are cut in.
        crop: How the field of view is cut to the foreground.
        steps: What is done to volumes before.
        percentile: Percentile of the foreground that becomes 1, in percent, of volumes without a
            fixed window.
        intensity: By domain: another window or percentile.
        least_foreground: Share of a slice's pixels that must be foreground: slices with less, up
            to the first and after the last with as much, are left out; 0 keeps all.
        split: Subjects for train, val and test: numbers of subjects when all are whole and make
            more than 1, else shares of all of them, which make 1; () is the preset's, or 0.7, 0.1
            and 0.2.
        seed: Of the split.
    """

    preset: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)
    planes: tuple[Plane, ...] = ("axial",)
    crop: CropPolicy = field(default_factory=CropPolicy)
    steps: Steps = field(default_factory=Steps)
    percentile: float = IntensityPolicy.percentile
    intensity: Mapping[str, DomainScale] = field(default_factory=dict)
    least_foreground: float = 0.01
    split: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Report what no split, plane, percentile or share can be."""
        raise_faults(
            self,
            [
                (
                    not self.planes
                    or len(set(self.planes)) < len(self.planes)
                    or not set(self.planes) <= set(PLANES),
                    f"planes = {list(self.planes)}: some of {', '.join(PLANES)}, each once",
                ),
                _judge_percentile(self.percentile),
                (
                    not 0 <= self.least_foreground < 1,
                    f"least_foreground = {self.least_foreground}: from 0 to below 1",
                ),
                (self.seed < 0, f"seed = {self.seed}: from 0"),
                (
                    bool(self.preset) and self.preset not in PRESETS,
                    f"preset = {self.preset}: of {', '.join(PRESETS)}",
                ),
                (
                    bool(self.split)
                    and not (
                        len(self.split) == 3
                        and all(0 <= part < math.inf for part in self.split)
                        and sum(self.split) > 0
                    ),
                    f"split = {list(self.split)}: three numbers from 0, for train, val and test",
                ),
                (
                    any(not float(part).is_integer() for part in self.split)
                    and not math.isclose(sum(self.split), 1, abs_tol=1e-3),
                    f"split = {list(self.split)}: shares that make {sum(self.split):g}, not 1",
                ),
            ],
        )

    @property
    def policy(self) -> IntensityPolicy:
        """How volumes of a domain without a scale of its own are brought to [0, 1]."""
        return IntensityPolicy(percentile=self.percentile)

    @property
    def layout(self) -> Preset:
        """How files lie: the preset's, with these patterns and this split over it."""
        known = PRESETS[self.preset] if self.preset else GENERAL
        patterns = {**known.patterns, **self.patterns}
        if self.patterns and not self.preset:
            patterns = dict(self.patterns)
        split = self.split or known.split
        return replace(known, patterns=patterns, split=split, insisted=tuple(self.patterns))
