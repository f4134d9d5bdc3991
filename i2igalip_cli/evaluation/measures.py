"""What a number is: all that must be equal before two numbers are averaged or compared."""

import math
from dataclasses import dataclass
from typing import Literal

from i2igalip_cli.errors import EvaluationError

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure of one protocol. Two numbers belong together only if their measures are equal.

    Attributes:
        name: `psnr`, `ssim`, `mae` ...
        unit: "dB", "%", "HU", "of the range", "mm", or "" for none.
        better: Which way is good; "neither" for figures that are held against another one.
        definition: One line with its source.
        dimensions: 2 where it is taken slice by slice and averaged, 3 where over the volume.
        data_range: Intensities (low, high) that span its range, in the unit of the files; None
            where no range enters, or each volume sets its own.
        region: Where it is taken: "whole slices", "mask", "foreground", "bone", "label 3" ...
        main: Whether this is the protocol's own region for that name, so that the name is enough.
    """

    name: str
    unit: str
    better: Better
    definition: str
    dimensions: Literal[2, 3]
    data_range: tuple[float, float] | None = None
    region: str
    main: bool = True

    @property
    def key(self) -> str:
        """Its name within a protocol: "mae", or "mae[bone]" away from the main region."""
        return self.name if self.main else f"{self.name}[{self.region}]"

    def describe_range(self) -> str:
        """Its range for people, such as "0 to 1"; "" without one."""
        if self.data_range is None:
            return ""
        low, high = self.data_range
        return f"{low:g} to {high:g}"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measure and its value for one case, or for a set of cases.

    Attributes:
        measure: What was measured.
        value: May be infinite (PSNR of equal images), is never NaN; None where the measure isn't
            defined for the case (no slice between two others, no bone in the field of view).
        spread: Standard deviation over random subsets, of measures that are estimated so.
    """

    measure: Measure
    value: float | None
    spread: float | None = None

    def __post_init__(self) -> None:
        """Refuse NaN: it would turn every mean into NaN.

        Raises:
            EvaluationError: The value or its spread is NaN.
        """
        for number in (self.value, self.spread):
            if number is not None and math.isnan(number):
                raise EvaluationError(
                    f"{self.measure.key} is not a number; say None where it isn't defined"
                )
