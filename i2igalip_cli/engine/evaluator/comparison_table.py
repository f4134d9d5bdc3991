"""Comparisons in files and for machines."""

from pathlib import Path
from typing import Any

from i2igalip_cli.engine.evaluator.comparison import (
    Comparison,
    MeasureComparison,
    RegionAgreement,
)
from i2igalip_cli.engine.evaluator.table_files import Columns, Row, plain, write_table
from i2igalip_cli.evaluation.measures import Measure

_TEXTS = ("kind", "protocol", "hash", "target", "key", "measure", "unit", "better", "region")
_METHODS = ("a", "b", "method")
_FIGURES = (
    *("mean_a", "mean_b", "mean_difference", "median_difference", "low", "high", "p", "p_holm"),
    *("effect", "bias", "deviation", "lower_limit", "upper_limit"),
)
COLUMNS: Columns = {
    **dict.fromkeys((*_TEXTS, *_METHODS), str),
    "dimensions": int,
    "subjects": int,
    **dict.fromkeys(_FIGURES, float),
    "verdict": str,
    "definition": str,
}


def save_comparison(comparison: Comparison, path: Path, *, overwrite: bool = False) -> None:
    """Write a comparison: a row a measure, and a row a region and method.

    Raises:
        EvaluationError: Another suffix, a file in the way, no such folder, or no pyarrow.
        VolumeError: The folder is read-only or full.
    """
    rows = [*map(_measure_row, comparison.measures), *map(_region_row, comparison.regions)]
    common = {"a": comparison.a, "b": comparison.b}
    table = [
        {**dict.fromkeys(COLUMNS), **common, "hash": comparison.hashes[row["protocol"]], **row}
        for row in rows
    ]
    beside = comparison_to_dict(comparison)
    write_table(table, COLUMNS, path, beside=beside, overwrite=overwrite)


def comparison_to_dict(comparison: Comparison) -> dict[str, Any]:
    """A comparison for machines; a number that is infinite is the text "Infinity"."""
    return {
        "a": comparison.a,
        "b": comparison.b,
        "subjects": comparison.subjects,
        "only_a": list(comparison.only_a),
        "only_b": list(comparison.only_b),
        "protocols": dict(comparison.hashes),
        "measures": [_plain(_measure_row(one)) for one in comparison.measures],
        "regions": [_plain(_region_row(one)) for one in comparison.regions],
        "warnings": list(comparison.warnings),
    }


def _plain(row: Row) -> Row:
    return {name: plain(value) for name, value in row.items()}


def _measure_row(one: MeasureComparison) -> Row:
    paired = one.paired
    return {
        "kind": "measure",
        **_shared(one.protocol, one.target, one.key, one.measure),
        "subjects": paired.count,
        "mean_a": one.mean_a,
        "mean_b": one.mean_b,
        "mean_difference": paired.mean_difference,
        "median_difference": paired.median_difference,
        "low": paired.low,
        "high": paired.high,
        "p": paired.p,
        "p_holm": one.p_holm,
        "effect": paired.effect,
        "verdict": one.verdict,
    }


def _region_row(one: RegionAgreement) -> Row:
    agreement = one.agreement
    return {
        "kind": "region",
        "method": one.method,
        **_shared(one.protocol, one.target, one.measure.key, one.measure),
        "subjects": agreement.count,
        "bias": agreement.bias,
        "deviation": agreement.deviation,
        "lower_limit": agreement.lower_limit,
        "upper_limit": agreement.upper_limit,
    }


def _shared(protocol: str, target: str, key: str, measure: Measure) -> Row:
    return {
        "protocol": protocol,
        "target": target,
        "key": key,
        "measure": measure.name,
        "unit": measure.unit,
        "better": measure.better,
        "region": measure.region,
        "dimensions": measure.dimensions,
        "definition": measure.definition,
    }
