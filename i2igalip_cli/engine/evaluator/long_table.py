"""The long table of an evaluation: a row a number, with all that says what it is.

Other kinds of rows hold what no number can: a protocol's settings, a case that failed, what has no
partner, and warnings. Whoever groups the table by measure gets the numbers alone.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2igalip_cli.engine.evaluator.results import CaseResult, Results
from i2igalip_cli.engine.evaluator.table_files import Columns, Row
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols import ProtocolScores, hash_settings

_PATHS = ("prediction", "reference", "mask", "predicted_labels", "labels", "source")
_CASE = ("case", "subject", "target", "resampled", "grounds")
COLUMNS: Columns = {
    **dict.fromkeys(("kind", "method", "case", "subject", "target"), str),
    **dict.fromkeys(("protocol", "hash", "key"), str),
    "value": float,
    "spread": float,
    "measure": str,
    "unit": str,
    "better": str,
    "dimensions": int,
    "range_low": float,
    "range_high": float,
    "region": str,
    "main": bool,
    "definition": str,
    "slices": int,
    "empty": int,
    "resampled": bool,
    "grounds": str,
    **dict.fromkeys(_PATHS, str),
    "text": str,
}
_WARNINGS = "\n"  # between the warnings of a case


def to_rows(results: Results) -> list[Row]:
    """The table of results; every row has every column, None where it doesn't apply."""
    found = [
        *_protocol_rows(results),
        *(row for case in results.cases for row in _case_rows(case)),
        *(_set_row(name, score) for name, scores in results.sets.items() for score in scores),
        *({"kind": "missing", "text": text} for text in results.missing),
        *({"kind": "extra", "text": text} for text in results.extra),
        *({"kind": "warning", "text": text} for text in results.warnings),
    ]
    return [{**dict.fromkeys(COLUMNS), **row, "method": results.method} for row in found]


def _protocol_rows(results: Results) -> Iterator[Row]:
    for name, settings in results.protocols.items():
        text = json.dumps(settings, sort_keys=True, default=list)
        yield {"kind": "protocol", "protocol": name, "hash": settings["hash"], "text": text}


def _case_rows(case: CaseResult) -> Iterator[Row]:
    paths = {name: None if (path := getattr(case, name)) is None else str(path) for name in _PATHS}
    known: Row = {**{name: getattr(case, name) for name in _CASE}, **paths}
    text = case.error or _WARNINGS.join(case.warnings) or None
    yield {"kind": "failed" if case.error else "case", **known, "text": text}
    for name, scores in case.scores.items():
        of_protocol = {
            "protocol": name,
            "hash": scores.hash,
            "slices": scores.slices,
            "empty": scores.empty,
        }
        for score in scores.scores:
            yield {"kind": "score", **known, **of_protocol, **_score_row(score)}


def _set_row(extractor: str, score: Score) -> Row:
    return {"kind": "set", "protocol": extractor, **_score_row(score)}


def _score_row(score: Score) -> Row:
    measure = score.measure
    low, high = measure.data_range or (None, None)
    return {
        "key": measure.key,
        "value": score.value,
        "spread": score.spread,
        "measure": measure.name,
        "unit": measure.unit,
        "better": measure.better,
        "dimensions": measure.dimensions,
        "range_low": low,
        "range_high": high,
        "region": measure.region,
        "main": measure.main,
        "definition": measure.definition,
    }


def from_rows(rows: Iterable[Mapping[str, Any]]) -> Results:
    """The results that a table was made of.

    Args:
        rows: With the columns of `COLUMNS`; None or absent where a column doesn't apply.

    Raises:
        EvaluationError: They are no such table, or one that was changed by hand: a row twice, a
            key that isn't its measure's, a hash that isn't its settings'.
    """
    table = _Table(list(rows))
    try:
        return table.build()
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"no table of results: {type(error).__name__} {error}") from error


@dataclass(frozen=True)
class _Table:
    rows: list[Mapping[str, Any]]

    def build(self) -> Results:
        methods = {str(row["method"]) for row in self.rows}
        if len(methods) != 1:
            raise ValueError(f"it is of {len(methods)} methods")
        sets: dict[str, list[Score]] = {}
        for row in self._of("set"):
            sets.setdefault(str(row["protocol"]), []).append(_read_score(row))
        return Results(
            method=methods.pop(),
            protocols=self._protocols(),
            cases=tuple(self._cases()),
            sets={name: tuple(scores) for name, scores in sets.items()},
            missing=tuple(row["text"] for row in self._of("missing")),
            extra=tuple(row["text"] for row in self._of("extra")),
            warnings=tuple(row["text"] for row in self._of("warning")),
        )

    def _of(self, *kinds: str) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["kind"] in kinds]

    def _protocols(self) -> dict[str, Mapping[str, Any]]:
        rows = self._of("protocol")
        _refuse_repeated([str(row["protocol"]) for row in rows])
        return {str(row["protocol"]): _read_settings(row) for row in rows}

    def _cases(self) -> Iterator[CaseResult]:
        scores: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        for row in self._of("score"):
            scores.setdefault(row["case"], {}).setdefault(row["protocol"], []).append(row)
        _refuse_repeated([row["case"] for row in self._of("case", "failed")])
        for row in self._of("case", "failed"):
            by_protocol = scores.get(row["case"], {})
            yield _read_case(row, {n: _read_scores(n, rows) for n, rows in by_protocol.items()})


def _refuse_repeated(names: list[str]) -> None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"{name} stands in it {count} times")


def _read_settings(row: Mapping[str, Any]) -> Mapping[str, Any]:
    settings: dict[str, Any] = json.loads(row["text"])
    made = hash_settings({name: value for name, value in settings.items() if name != "hash"})
    if not made == settings["hash"] == row["hash"]:
        raise ValueError(f"the hash of {row['protocol']} isn't that of its settings, {made}")
    return settings


def _read_case(row: Mapping[str, Any], scores: Mapping[str, ProtocolScores]) -> CaseResult:
    failed, text = row["kind"] == "failed", row["text"] or ""
    paths = {name: Path(row[name]) for name in _PATHS if row[name] is not None}
    return CaseResult(
        case=row["case"],
        subject=row["subject"] or "",
        target=row["target"] or "",
        prediction=paths["prediction"],
        reference=paths["reference"],
        mask=paths.get("mask"),
        predicted_labels=paths.get("predicted_labels"),
        labels=paths.get("labels"),
        source=paths.get("source"),
        resampled=bool(row["resampled"]),
        grounds=row["grounds"] or "",
        scores=scores,
        warnings=() if failed or not text else tuple(text.split(_WARNINGS)),
        error=text if failed else "",
    )


def _read_scores(protocol: str, rows: list[Mapping[str, Any]]) -> ProtocolScores:
    hashes = {row["hash"] for row in rows}
    if len(hashes) != 1:
        raise ValueError(f"{rows[0]['case']} has numbers of {len(hashes)} hashes under {protocol}")
    _refuse_repeated([f"{row['case']}, {protocol} {row['key']}" for row in rows])
    return ProtocolScores(
        protocol=protocol,
        hash=hashes.pop(),
        scores=tuple(_read_score(row) for row in rows),
        slices=int(rows[0]["slices"]),
        empty=int(rows[0]["empty"]),
    )


def _read_score(row: Mapping[str, Any]) -> Score:
    ranged = row["range_low"] is not None
    measure = Measure(
        name=row["measure"],
        unit=row["unit"] or "",
        better=row["better"],
        definition=row["definition"] or "",
        dimensions=row["dimensions"],
        data_range=(row["range_low"], row["range_high"]) if ranged else None,
        region=row["region"] or "",
        main=bool(row["main"]),
    )
    if measure.key != row["key"]:
        raise ValueError(f"{row['key']} is said to be {measure.key}")
    return Score(measure=measure, value=row["value"], spread=row["spread"])
