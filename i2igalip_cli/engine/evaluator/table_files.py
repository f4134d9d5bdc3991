"""Tables in files: CSV, JSON or Parquet, by the suffix; whole or not at all."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from i2igalip_cli.errors import EvaluationError, first_line, os_reason
from i2igalip_cli.volumes.files import whole_file

Row = dict[str, Any]
Columns = Mapping[str, type]  # str, float, int or bool by name
_BOOLEANS = {"true": True, "false": False}  # spreadsheets write them in capitals
_INFINITE = "Infinity"  # what JSON has no number for


def check_table(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a table that can't be written, before anything is computed.

    Raises:
        EvaluationError: Another suffix, a file in the way, no such folder, or no pyarrow.
    """
    if path.suffix.lower() not in _WRITERS:
        raise EvaluationError(f"{path}: a table ends in {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet":
        _import_parquet()
    if not path.parent.is_dir():
        raise EvaluationError(f"can't write {path}: no folder {path.parent}; make it first")
    if path.exists() and not overwrite:
        raise EvaluationError(f"{path} exists; give another -o or --overwrite")


def write_table(
    rows: Sequence[Row],
    columns: Columns,
    path: Path,
    *,
    beside: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write rows in the format of the suffix.

    Args:
        rows: With every column; None where a cell is empty.
        columns: Their names and types, in order.
        path: Where to.
        beside: What JSON has beside "rows".
        overwrite: Replace an existing file.

    Raises:
        EvaluationError: As of `check_table`.
        VolumeError: The folder is read-only or full.
    """
    check_table(path, overwrite=overwrite)
    with whole_file(path, path.suffix, overwrite=overwrite) as temporary:
        _WRITERS[path.suffix.lower()](rows, columns, temporary, beside or {})


def read_table(path: Path, columns: Columns) -> list[Row]:
    """Read the rows that `write_table` wrote.

    Raises:
        EvaluationError: No such file, another suffix, or no such table.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise EvaluationError(f"{path}: a table ends in {', '.join(_READERS)}")
    try:
        return [_typed(row, columns) for row in reader(path)]
    except OSError as error:
        raise EvaluationError(f"{path}: {os_reason(error)}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:  # pyarrow's are ValueErrors
        raise EvaluationError(f"{path}: no table of evaluate ({first_line(error)})") from error


def plain(value: Any) -> Any:  # noqa: ANN401 (a cell of any type)
    """A value that JSON can hold: an infinite number is the text "Infinity"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{'-' if value < 0 else ''}{_INFINITE}"
    return value


def _typed(row: Mapping[str, Any], columns: Columns) -> Row:
    """A row whose numbers are numbers, also where the file has texts; None for empty cells."""
    found: Row = {}
    for name, kind in columns.items():
        value = row[name]
        if value is None or value == "":
            found[name] = None
        else:
            found[name] = _BOOLEANS[str(value).casefold()] if kind is bool else kind(value)
    return found


def _write_csv(
    rows: Sequence[Row], columns: Columns, path: Path, beside: Mapping[str, Any]
) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def _write_json(
    rows: Sequence[Row], columns: Columns, path: Path, beside: Mapping[str, Any]
) -> None:
    table = [{name: plain(row[name]) for name in columns} for row in rows]
    text = json.dumps({**beside, "rows": table}, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_json(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def _write_parquet(
    rows: Sequence[Row], columns: Columns, path: Path, beside: Mapping[str, Any]
) -> None:
    arrow, parquet = _import_parquet()
    kinds = {
        str: arrow.string(),
        float: arrow.float64(),
        int: arrow.int64(),
        bool: arrow.bool_(),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema), path)


def _read_parquet(path: Path) -> list[Row]:
    _, parquet = _import_parquet()
    rows: list[Row] = parquet.read_table(path).to_pylist()
    return rows


def _import_parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise EvaluationError(
            "Parquet needs pyarrow: pip install 'i2igalip[parquet]', or write .csv or .json"
        ) from error
    return pyarrow, pyarrow.parquet


_Writer = Callable[[Sequence[Row], Columns, Path, Mapping[str, Any]], None]
_WRITERS: dict[str, _Writer] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
_READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
