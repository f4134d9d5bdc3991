"""One pair under every protocol; a fault is told in its result and ends nothing else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from i2igalip_cli.engine.evaluator.pairs import Pair
from i2igalip_cli.engine.evaluator.reading import as_labels, read_on_grid, read_volume
from i2igalip_cli.engine.evaluator.results import CaseResult
from i2igalip_cli.errors import EvaluationError, GalipError, first_line, os_reason
from i2igalip_cli.evaluation.protocols import PROTOCOLS, Case, Protocol, ProtocolSettings
from i2igalip_cli.evaluation.protocols.scaling import Scaling
from i2igalip_cli.volumes import Volume

DEFAULT_PROTOCOLS = ("paper", "fixed")


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How pairs are scored.

    Attributes:
        protocols: Their names.
        settings: Of all of them.
        resample: Bring predictions, masks and label maps to the reference's grid where they lie
            elsewhere, rather than refuse them.
    """

    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    settings: ProtocolSettings = field(default_factory=ProtocolSettings)
    resample: bool = False

    def __post_init__(self) -> None:
        """Refuse names of no protocol.

        Raises:
            EvaluationError: A name isn't known, stands twice, or there is none.
        """
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        if unknown or not self.protocols:
            raise EvaluationError(
                f"no protocol '{unknown[0] if unknown else ''}': known are {', '.join(PROTOCOLS)}"
            )
        if len(set(self.protocols)) < len(self.protocols):
            raise EvaluationError(f"protocols {', '.join(self.protocols)}: give each once")

    def build(self) -> dict[str, Protocol]:
        """The protocols, by name."""
        return {name: PROTOCOLS[name](self.settings) for name in self.protocols}


def score_pair(pair: Pair, scoring: Scoring) -> CaseResult:
    """Score a pair.

    Returns:
        Its scores, or why it has none.
    """
    result = CaseResult(
        case=pair.case,
        subject=pair.subject,
        target=pair.target,
        prediction=pair.prediction,
        reference=pair.reference,
        mask=pair.mask,
        predicted_labels=pair.predicted_labels,
        labels=pair.labels,
        source=pair.source,
        error=pair.fault,
    )
    if pair.fault:
        return result
    try:
        return _score(result, scoring)
    except GalipError as error:
        reason = str(error)
    except OSError as error:
        reason = os_reason(error)
    except Exception as error:  # whatever a library meets damaged bytes with
        reason = f"{type(error).__name__}: {first_line(error)}"
    return replace(result, error=f"{pair.prediction} against {pair.reference}: {reason}")


def _score(result: CaseResult, scoring: Scoring) -> CaseResult:
    reference = read_volume(result.reference)
    ours = read_on_grid(result.prediction, reference, "prediction", resample=scoring.resample)
    outlines = {
        what: read_on_grid(path, reference, what, resample=scoring.resample, nearest=True)
        for what, path in _outlines(result).items()
        if path is not None
    }
    case = make_case(ours.volume, reference, {what: o.volume for what, o in outlines.items()})
    warnings = [line for read in (ours, *outlines.values()) for line in read.warnings]
    for path, volume in ((result.prediction, ours.volume), (result.reference, reference)):
        warnings += _warn_of_intensities(path, volume, scoring)
    scores = {name: protocol.score(case) for name, protocol in scoring.build().items()}
    for name, found in scores.items():
        warnings += [f"{result.prediction}: {name}: {line}" for line in found.warnings]
    return replace(
        result,
        resampled=ours.resampled,
        grounds=_grounds(case),
        scores=scores,
        warnings=tuple(warnings),
    )


def _grounds(case: Case) -> str:
    """What a prediction is held against, as 12 hex digits: reference, mask and label map."""
    digest = hashlib.sha256()
    for array in (case.reference.array, case.mask, case.labels):
        if array is not None:
            digest.update(f"{array.shape} {array.dtype.str} ".encode())
            digest.update(np.ascontiguousarray(array.T).data)  # no copy of a volume from a file
        digest.update(b";")  # a mask is no label map
    return digest.hexdigest()[:12]


def _outlines(result: CaseResult) -> dict[str, Path | None]:
    return {
        "mask": result.mask,
        "predicted label map": result.predicted_labels,
        "label map": result.labels,
    }


def make_case(prediction: Volume, reference: Volume, outlines: Mapping[str, Volume]) -> Case:
    """What protocols see of volumes on one grid.

    Args:
        prediction: On the reference's grid, as all others.
        reference: What it is compared with.
        outlines: "mask", "predicted label map" and "label map", as there are.

    Raises:
        EvaluationError: A label map holds fractions.
    """
    labels = {
        what: as_labels(volume, f"the {what}")
        for what, volume in outlines.items()
        if what != "mask"
    }
    return Case(
        prediction=prediction,
        reference=reference,
        mask=outlines["mask"].array > 0 if "mask" in outlines else None,
        predicted_labels=labels.get("predicted label map"),
        labels=labels.get("label map"),
    )


def _warn_of_intensities(path: Path, volume: Volume, scoring: Scoring) -> list[str]:
    warnings = []
    if count := volume.nonfinite_voxels:
        warnings.append(f"{path}: {count} voxels were not finite; they count as no signal")
    if volume.array.min() >= 0:
        return warnings
    by_percentile = Scaling(scoring.settings).value_range is None
    for name in ("fixed", "multiscale"):
        if by_percentile and name in scoring.protocols:
            warnings.append(f"{path}: below 0; the {name} protocol cuts there (CT: give --range)")
    if "paper" in scoring.protocols:
        warnings.append(
            f"{path}: below 0; the paper protocol divides by maxima, which means nothing there "
            "(CT: take fixed)"
        )
    return warnings
