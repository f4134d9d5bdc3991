"""What an evaluation came to: the scores of every case, and their statistics over subjects.

A number is averaged only with numbers of the same protocol, hash and measure; anything else is
refused.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols import ProtocolScores
from i2igalip_cli.evaluation.statistics import Summary, summarize
from i2igalip_cli.volumes import Volume

_NAMED = 3  # differences in a message


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One prediction against its reference.

    Attributes:
        case: Unique name.
        subject: Whose image it is: statistics are over subjects.
        target: Domain of the prediction; "" if it isn't known.
        prediction: A volume: a file, or a folder of one DICOM series.
        reference: Likewise, as all others.
        mask: Where it was looked; None for the protocol's own choice.
        predicted_labels: Label map made of the prediction.
        labels: Label map of the reference.
        source: What the prediction was made of.
        resampled: Whether the prediction was brought to the reference's grid.
        grounds: 12 hex digits of the SHA-256 over the voxels of reference, mask and label map,
            which files of one name needn't share; "" where the case failed.
        scores: By protocol; empty where the case failed.
        warnings: What the user should know.
        error: Why it failed; "" where it didn't.
    """

    case: str
    subject: str
    target: str
    prediction: Path
    reference: Path
    mask: Path | None = None
    predicted_labels: Path | None = None
    labels: Path | None = None
    source: Path | None = None
    resampled: bool = False
    grounds: str = ""
    scores: Mapping[str, ProtocolScores] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""

    def load(self) -> tuple[Volume, Volume]:
        """The prediction on the reference's grid, and the reference, as they were compared.

        Raises:
            GalipError: They can't be read any more.
        """
        from i2igalip_cli.engine.evaluator.reading import read_on_grid, read_volume

        reference = read_volume(self.reference)
        found = read_on_grid(self.prediction, reference, "prediction", resample=self.resampled)
        return found.volume, reference


@dataclass(frozen=True, kw_only=True)
class Results:
    """Every case's scores, in the order of names, and what has no partner.

    Attributes:
        method: Name of what made the predictions, for comparisons.
        protocols: All that decides on the numbers, with "hash", by protocol.
        cases: Those that failed too.
        sets: Distances between all predictions and all references, by feature extractor.
        missing: References without a prediction.
        extra: Predictions without a reference.
        warnings: What the user should know of the whole.
    """

    method: str
    protocols: Mapping[str, Mapping[str, Any]]
    cases: tuple[CaseResult, ...]
    sets: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse scores of other settings than the protocols say.

        Raises:
            EvaluationError: A case's protocol isn't listed, or its hash is another one.
        """
        for case in self.cases:
            for name, scores in case.scores.items():
                wanted = self.protocols.get(name, {}).get("hash")
                if scores.hash != wanted:
                    raise EvaluationError(
                        f"{case.case}: scored by the protocol {name} with hash {scores.hash}, and "
                        f"these results are of {wanted}; numbers of different settings don't mix"
                    )

    @cached_property
    def _summaries(self) -> dict[tuple[str, str, str | None], Summary | None]:
        """What was asked before: a bootstrap takes a while, and several outputs show it."""
        return {}

    @cached_property
    def _measures(self) -> dict[tuple[str, str], Measure]:
        """What was found before, by protocol and key: every case is looked through for it."""
        return {}

    @property
    def scored(self) -> tuple[CaseResult, ...]:
        """The cases that didn't fail."""
        return tuple(case for case in self.cases if not case.error)

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        """The cases that failed."""
        return tuple(case for case in self.cases if case.error)

    @property
    def complete(self) -> bool:
        """Whether every prediction and every reference has a partner and a score."""
        return not (self.failures or self.missing or self.extra)

    @property
    def targets(self) -> tuple[str, ...]:
        """Domains of the predictions that were scored, in order of their names."""
        return tuple(sorted({case.target for case in self.scored}))

    def keys(self, protocol: str) -> tuple[str, ...]:
        """Keys of the measures that any case has under a protocol, in the protocol's order."""
        lists = [c.scores[protocol].keys() for c in self.scored]
        return tuple(dict.fromkeys(key for keys in sorted(lists, key=len)[::-1] for key in keys))

    def measure(self, protocol: str, key: str) -> Measure:
        """The measure of a key, the same for all cases.

        Raises:
            EvaluationError: No case has it, or cases have different ones.
        """
        if (protocol, key) in self._measures:
            return self._measures[protocol, key]
        found = dict.fromkeys(
            score.measure
            for case in self.scored
            for score in case.scores[protocol].scores
            if score.measure.key == key
        )
        if not found:
            raise EvaluationError(f"no case has {key} under the protocol {protocol}")
        if len(found) > 1:
            raise EvaluationError(
                f"{protocol} {key} means different things for different cases "
                f"({describe_difference(*map(vars, list(found)[:2]))}); evaluate these apart"
            )
        self._measures[protocol, key] = next(iter(found))
        return self._measures[protocol, key]

    def by_subject(self, protocol: str, key: str, target: str | None = None) -> dict[str, float]:
        """Mean of each subject's cases, where the measure is defined.

        Args:
            protocol: Its name.
            key: Of the measure.
            target: Only cases of this domain; None for all.

        Raises:
            EvaluationError: The cases' numbers don't mean the same.
        """
        self.measure(protocol, key)
        values: dict[str, list[float]] = defaultdict(list)
        for case in self.scored:
            value = case.scores[protocol].get(key)
            if value is not None and target in (None, case.target):
                values[case.subject].append(value)
        return {subject: sum(found) / len(found) for subject, found in values.items()}

    def summary(self, protocol: str, key: str, target: str | None = None) -> Summary | None:
        """Statistics over subjects; None where no subject has the measure."""
        asked = (protocol, key, target)
        if asked not in self._summaries:
            values = list(self.by_subject(protocol, key, target).values())
            self._summaries[asked] = summarize(values) if values else None
        return self._summaries[asked]

    def rank(self, protocol: str, key: str) -> list[tuple[float, CaseResult]]:
        """The cases that have a measure of quality, with its value, from the worst on."""
        sign = 1 if self.measure(protocol, key).better == "higher" else -1
        known = [(case.scores[protocol].get(key), case) for case in self.scored]
        found = [(value, case) for value, case in known if value is not None]
        return sorted(found, key=lambda pair: sign * pair[0])


def describe_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Which settings, or parts of two measures, differ, with both values; of many the first."""
    first, second = dict(_leaves(ours)), dict(_leaves(theirs))
    found = [
        f"{name}: {first.get(name, 'nothing')} and {second.get(name, 'nothing')}"
        for name in dict.fromkeys([*first, *second])
        if name != "hash" and first.get(name, ...) != second.get(name, ...)
    ]
    return "; ".join(found[:_NAMED]) + (f"; {len(found) - _NAMED} more" if found[_NAMED:] else "")


def _leaves(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{name} ")
        else:
            yield place + name, value
