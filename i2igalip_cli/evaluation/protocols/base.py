"""What a protocol is: the one way in which a study turns two volumes into numbers.

A protocol fixes scale, range, region and definitions together. Its hash covers all of them, so
numbers of unequal hashes are never averaged or compared.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols.slicewise import AxialPair, BoolArray
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Volume

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One prediction and what it is held against; nothing of it is ever changed.

    Attributes:
        prediction: Intensities (I, J, K) on the reference's grid.
        reference: The truth.
        mask: Where to look, (I, J, K).
        predicted_labels: Label map found in the prediction, (I, J, K), 0 for none.
        labels: Label map found in the reference.
    """

    prediction: Volume
    reference: Volume
    mask: BoolArray | None = None
    predicted_labels: IntArray | None = None
    labels: IntArray | None = None

    def __post_init__(self) -> None:
        """Refuse arrays of unequal shape.

        Raises:
            EvaluationError: A shape differs, or one label map came without the other.
        """
        for what, shape in (
            ("the prediction", self.prediction.shape),
            ("the mask", None if self.mask is None else self.mask.shape),
            ("a label map", None if self.labels is None else self.labels.shape),
            ("a label map", None if self.predicted_labels is None else self.predicted_labels.shape),
        ):
            if shape is not None and shape != self.reference.shape:
                raise EvaluationError(
                    f"{what} has shape {shape}, the reference {self.reference.shape}; resample it"
                )
        if (self.labels is None) != (self.predicted_labels is None):
            raise EvaluationError(
                "one label map of two: give that of the prediction and of the reference"
            )

    @cached_property
    def axial(self) -> AxialPair:
        """The case as axial slices that lie together in memory; made once for all protocols."""
        affine = self.reference.affine
        mask = self.mask if self.mask is None else view_slices(self.mask, affine)
        return AxialPair(
            prediction=np.ascontiguousarray(view_slices(self.prediction.array, affine)),
            reference=np.ascontiguousarray(view_slices(self.reference.array, affine)),
            mask=mask if mask is None else np.ascontiguousarray(mask),
        )


@dataclass(frozen=True, kw_only=True)
class ProtocolSettings:
    """What a user may choose of a protocol.

    Attributes:
        value_range: Intensities (low, high) that span the range of the fixed protocol for both
            volumes; None scales each volume by the policy.
        policy: Percentile scaling of arbitrary units.
        modality: Of the references; None goes by what each says of itself.
        masked: Whether every case comes with a mask.
    """

    value_range: tuple[float, float] | None = None
    policy: IntensityPolicy = field(default_factory=IntensityPolicy)
    modality: Modality | None = None
    masked: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no range; equal numbers of other types are made equal in the hash, too.

        Raises:
            EvaluationError: The high end isn't above the low one, or one of them isn't finite.
        """
        percentile = float(self.policy.percentile)
        object.__setattr__(self, "policy", replace(self.policy, percentile=percentile))
        if self.value_range is None:
            return
        low, high = map(float, self.value_range)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise EvaluationError(f"range {low:g} to {high:g}: give two finite intensities")
        if not low < high:
            raise EvaluationError(f"range {low:g} to {high:g}: the second must be the larger")
        object.__setattr__(self, "value_range", (low, high))


@dataclass(frozen=True, kw_only=True)
class ProtocolScores:
    """What one protocol says of one case.

    Attributes:
        protocol: Its name.
        hash: Of all that decides on its numbers.
        scores: One a measure.
        slices: Slices counted.
        empty: Slices left out: nothing in the reference, or nothing of the mask.
        warnings: What the user should know of the scores; follows from the data, no part of them.
    """

    protocol: str
    hash: str
    scores: tuple[Score, ...]
    slices: int
    empty: int
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __getitem__(self, key: str) -> float | None:
        """The value of a measure by its key, such as "psnr" or "mae[bone]".

        Raises:
            KeyError: The protocol doesn't measure that, or not in this case.
        """
        for score in self.scores:
            if score.measure.key == key:
                return score.value
        known = ", ".join(score.measure.key for score in self.scores)
        raise KeyError(f"{key}: protocol {self.protocol} has {known}")

    def get(self, key: str) -> float | None:
        """The value of a measure; None also where the protocol doesn't measure that."""
        return next((s.value for s in self.scores if s.measure.key == key), None)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def keys(self) -> tuple[str, ...]:
        """The keys of all measures, in order."""
        return tuple(score.measure.key for score in self.scores)


def hash_settings(settings: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 over the canonical JSON of a protocol's description."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Counted(NamedTuple):
    """What a protocol measured in a case.

    Attributes:
        scores: One a measure.
        slices: Slices counted.
        empty: Slices left out.
        warnings: What the user should know.
    """

    scores: Sequence[Score]
    slices: int
    empty: int
    warnings: tuple[str, ...] = ()


class Protocol(ABC):
    """Turns cases into scores.

    Args:
        settings: What the user chose.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raised when numbers change though no definition does
    title: ClassVar[str]  # one sentence for people

    def __init__(self, settings: ProtocolSettings) -> None:
        self.settings = settings

    @property
    @abstractmethod
    def measures(self) -> tuple[Measure, ...]:
        """Every measure that can be told before a case is seen; labels add theirs."""

    @abstractmethod
    def measure_case(self, case: Case) -> Counted:
        """The scores of a case, slices counted, slices left out."""

    def choices(self) -> dict[str, Any]:
        """Settings that enter the numbers, JSON-ready."""
        return {}

    def describe(self) -> dict[str, Any]:
        """All that decides on the numbers, JSON-ready."""
        measures = {measure.key: asdict(measure) for measure in self.measures}
        return {
            "protocol": self.name,
            "version": self.version,
            "title": self.title,
            "mask": "given" if self.settings.masked else "none given",
            "measures": measures,
            **self.choices(),
        }

    @cached_property
    def hash(self) -> str:
        """12 hex digits of the SHA-256 over the canonical JSON of `describe`."""
        return hash_settings(self.describe())

    def score(self, case: Case) -> ProtocolScores:
        """Measure one case.

        Raises:
            EvaluationError: A mask where the settings say none (or the other way round), a
                modality that the protocol isn't for, or nothing to compare.
            VolumeError: A volume can't be scaled.
        """
        if (case.mask is not None) != self.settings.masked:
            said = "needs a mask" if self.settings.masked else "takes no mask"
            raise EvaluationError(f"protocol {self.name}, as set, {said}: masks change figures")
        # Threads cost ten times what they save in the small products of windowed means.
        with _linear_algebra().limit(limits=1, user_api="blas"):
            found = self.measure_case(case)
        return ProtocolScores(
            protocol=self.name,
            hash=self.hash,
            scores=tuple(found.scores),
            slices=found.slices,
            empty=found.empty,
            warnings=found.warnings,
        )


@cache
def _linear_algebra() -> "ThreadpoolController":
    """NumPy's own library of products; found once, for that takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def modality_of(case: Case, settings: ProtocolSettings) -> Modality | None:
    """What the reference is: as the user says, else as it says itself, else None."""
    return settings.modality or case.reference.modality
