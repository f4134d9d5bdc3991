"""A whole evaluation: pairs found, scored side by side, and gathered."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from i2igalip_cli.engine.evaluator.extractors import open_extractor
from i2igalip_cli.engine.evaluator.pair_list import read_pairs
from i2igalip_cli.engine.evaluator.pairs import Pairing, Sides, find_pairs
from i2igalip_cli.engine.evaluator.results import CaseResult, Results
from i2igalip_cli.engine.evaluator.scoring import Scoring
from i2igalip_cli.engine.evaluator.sets import SetDistances, compare_sets
from i2igalip_cli.engine.evaluator.workers import score_pairs
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.protocols import Protocol

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What is to be evaluated, and how.

    Attributes:
        pairs: Where the volumes lie: two sides, or a CSV file of pairs.
        scoring: Protocols and their settings; whether masks are given is found out.
        features: Names of feature extractors for FID and KID.
        jobs: Processes.
        method: Name of what made the predictions; None for that of their folder.
    """

    pairs: Sides | Path
    scoring: Scoring = field(default_factory=Scoring)
    features: tuple[str, ...] = ()
    jobs: int = 1
    method: str | None = None


def run_evaluation(request: EvaluationRequest, on_progress: Progress | None = None) -> Results:
    """Score every pair; one that fails is a case with its error.

    Args:
        request: What, and how.
        on_progress: Called with (pairs done, pairs in all); for FID and KID from the start again.

    Raises:
        EvaluationError: Nothing to pair, or settings that don't fit.
        GalipError: A feature extractor isn't on this machine.
    """
    pairing = _find(request)
    extractors = [open_extractor(name) for name in dict.fromkeys(request.features)]
    scoring = request.scoring
    masked = any(pair.mask is not None for pair in pairing.pairs)
    scoring = replace(scoring, settings=replace(scoring.settings, masked=masked))
    described = {name: _describe(protocol) for name, protocol in scoring.build().items()}
    cases = score_pairs(pairing.pairs, scoring, request.jobs, on_progress)
    scored = [case for case in cases if not case.error]
    distances = SetDistances()
    if extractors and scored:
        distances = compare_sets(scored, extractors, scoring.settings, on_progress)
    return Results(
        method=request.method or _name(request.pairs),
        protocols=described,
        cases=cases,
        sets=distances.scores,
        missing=pairing.missing,
        extra=pairing.extra,
        warnings=(*pairing.notes, *_warn_of_unused_labels(scored), *distances.warnings),
    )


def _warn_of_unused_labels(scored: Sequence[CaseResult]) -> list[str]:
    """Say where label maps were given in vain."""
    given = [case for case in scored if case.labels is not None]
    names = {
        score.measure.name for case in given for s in case.scores.values() for score in s.scores
    }
    if not given or "dice" in names:
        return []
    return [
        f"label maps were given, and {', '.join(given[0].scores)} makes no use of them; add a "
        "protocol that does, such as --protocol fixed"
    ]


def _describe(protocol: Protocol) -> dict[str, Any]:
    """What decides on a protocol's numbers, as a file gives it back, with its hash."""
    description: dict[str, Any] = json.loads(json.dumps(protocol.describe()))
    return {**description, "hash": protocol.hash}


def _find(request: EvaluationRequest) -> Pairing:
    """The pairs of a request.

    Raises:
        EvaluationError: There is none.
    """
    if isinstance(request.pairs, Sides):
        return find_pairs(request.pairs)
    if not request.pairs.is_file():
        raise EvaluationError(f"{request.pairs}: no such file")
    return read_pairs(request.pairs)


def _name(pairs: Sides | Path) -> str:
    """What to call a method by where its predictions lie."""
    if isinstance(pairs, Path):
        return pairs.stem
    path = pairs.prediction.resolve()
    return (path if path.is_dir() else path.parent).name or "predictions"
