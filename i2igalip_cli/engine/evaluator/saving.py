"""Results in files and for machines."""

from pathlib import Path
from typing import Any

import i2igalip_cli
from i2igalip_cli.engine.evaluator.long_table import COLUMNS, from_rows, to_rows
from i2igalip_cli.engine.evaluator.results import CaseResult, Results
from i2igalip_cli.engine.evaluator.table_files import Row, plain, read_table, write_table
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Score


def save_results(results: Results, path: Path, *, overwrite: bool = False) -> None:
    """Write results: the long table, in the format of the suffix (.csv, .json, .parquet).

    JSON has the table as "rows", and beside it what `to_dict` has.

    Raises:
        EvaluationError: Another suffix, a file in the way, no such folder, or no pyarrow.
        VolumeError: The folder is read-only or full.
    """
    write_table(to_rows(results), COLUMNS, path, beside=to_dict(results), overwrite=overwrite)


def load_results(path: Path) -> Results:
    """Read results that `save_results` wrote.

    Raises:
        EvaluationError: No such file, another suffix, or no results.
    """
    rows = read_table(path, COLUMNS)
    try:
        return from_rows(rows)
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error


def to_dict(results: Results) -> dict[str, Any]:
    """Results for machines: statistics over subjects, the cases by name, and what is missing.

    A number that is infinite is the text "Infinity"; one that isn't defined is null.
    """
    return {
        "program": f"i2igalip {i2igalip_cli.__version__}",
        "method": results.method,
        "protocols": {name: dict(settings) for name, settings in results.protocols.items()},
        "summary": summary_rows(results),
        "cases": [_case(case) for case in results.cases],
        "sets": {name: [_set(score) for score in scores] for name, scores in results.sets.items()},
        "missing": list(results.missing),
        "extra": list(results.extra),
        "complete": results.complete,
        "warnings": list(results.warnings),
    }


def summary_rows(results: Results) -> list[Row]:
    """Statistics over subjects, a row for each protocol, target and measure."""
    rows = []
    for protocol, settings in results.protocols.items():
        for target in results.targets:
            for key in results.keys(protocol):
                summary = results.summary(protocol, key, target)
                if summary is None:
                    continue
                measure = results.measure(protocol, key)
                rows.append(
                    {
                        "protocol": protocol,
                        "hash": settings["hash"],
                        "target": target,
                        "key": key,
                        "measure": measure.name,
                        "unit": measure.unit,
                        "better": measure.better,
                        "dimensions": measure.dimensions,
                        "range": None if measure.data_range is None else [*measure.data_range],
                        "region": measure.region,
                        "subjects": summary.count,
                        "mean": plain(summary.mean),
                        "deviation": plain(summary.deviation),
                        "median": plain(summary.median),
                        "low": plain(summary.low),
                        "high": plain(summary.high),
                        "infinite": summary.infinite,
                    }
                )
    return rows


def _case(case: CaseResult) -> dict[str, Any]:
    return {
        "case": case.case,
        "subject": case.subject,
        "target": case.target,
        "prediction": str(case.prediction),
        "reference": str(case.reference),
        "mask": None if case.mask is None else str(case.mask),
        "resampled": case.resampled,
        "grounds": case.grounds,
        "error": case.error,
        "warnings": list(case.warnings),
        "scores": {
            name: {score.measure.key: plain(score.value) for score in scores.scores}
            for name, scores in case.scores.items()
        },
    }


def _set(score: Score) -> dict[str, Any]:
    return {
        "measure": score.measure.name,
        "region": score.measure.region,
        "value": plain(score.value),
        "spread": plain(score.spread),
        "definition": score.measure.definition,
    }
