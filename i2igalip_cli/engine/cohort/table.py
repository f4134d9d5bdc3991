"""The summary of a cohort: a table with one row an output, and what became of how many."""

import csv
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from i2igalip_cli.engine.cohort.items import key_of
from i2igalip_cli.engine.cohort.ledger import STATE, Ledger, row_path
from i2igalip_cli.engine.cohort.rows import Row, Status
from i2igalip_cli.engine.cohort.shards import ShardRecord, read_records
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.files import whole_file

TABLE = "summary.csv"
QUALITY_MARK = "qc_"  # what columns of quality begin with
COLUMNS = tuple(one.name for one in dataclasses.fields(Row))


@dataclass(frozen=True, kw_only=True)
class CohortReport:
    """What a cohort came to.

    Attributes:
        out: The output folder.
        table: Its summary.
        rows: Of the volumes and targets of this run, in order of their outputs.
        seconds: Wall time.
    """

    out: Path
    table: Path
    rows: tuple[Row, ...]
    seconds: float

    def count(self, status: Status) -> int:
        """How many volumes are "done", "failed" or "skipped"."""
        return sum(row.status == status for row in self.rows)

    @property
    def failures(self) -> tuple[str, ...]:
        """A line for each volume that failed."""
        return tuple(row.error for row in self.rows if row.status == "failed")

    @property
    def warned(self) -> int:
        """How many volumes have warnings in the table."""
        return sum(bool(row.warnings) for row in self.rows)

    def describe(self) -> str:
        """One line: counts, time, and the table's name."""
        counts = ", ".join(f"{self.count(status)} {status}" for status in get_args(Status))
        return f"{self.out}: {counts} in {self.seconds:.0f} s; {self.table.name}"

    def to_dict(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "output": str(self.out),
            "table": str(self.table),
            "done": self.count("done"),
            "failed": self.count("failed"),
            "skipped": self.count("skipped"),
            "seconds": round(self.seconds, 3),
            "volumes": [
                {
                    "input": row.input,
                    "target": row.target,
                    "output": str(self.out / row.output),
                    "status": row.status,
                    "error": row.error,
                    "row": str(row_path(self.out, key_of(row.output))),
                }
                for row in self.rows
            ],
        }


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write a table, whole or not at all; an older one gives way.

    Args:
        path: A .csv file. A field of several values has them apart by "x" (shape, spacing), by a
            space (windows), or by " | " (warnings).
        rows: One line each. Columns of quality are left out where none of them was judged.

    Raises:
        VolumeError: The folder is gone, read-only or full.
    """
    found = list(rows)
    judged = any(row.qc_score is not None for row in found)
    columns = [name for name in COLUMNS if judged or not name.startswith(QUALITY_MARK)]
    with (
        whole_file(path, overwrite=True) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(name, getattr(row, name)) for name in columns] for row in found)


def _cell(name: str, value: object) -> object:
    if value is None:
        return ""
    if not isinstance(value, tuple):
        return value
    separator = {"warnings": " | ", "shape": "x", "spacing_mm": "x"}.get(name, " ")
    return separator.join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)


def merge_tables(out: Path) -> CohortReport:
    """Gather the rows of all shards into one table.

    Args:
        out: The output folder of all of them.

    Raises:
        VolumeError: No shards, one hasn't begun or ended, or a volume has no row.
    """
    if not (out / STATE).is_dir():
        raise VolumeError(f"{out}: not an output folder of translate (no {STATE} in it)")
    ledger = Ledger(out, Ledger.name_run())
    try:
        records = read_records(ledger.state / "shards")
        _refuse_incomplete(out, records)
        found = {key: ledger.row(key) for record in records for key in record.keys}
        missing = sum(row is None for row in found.values())
        if missing:
            parts = [str(r.shard) for r in records if any(found[key] is None for key in r.keys)]
            raise VolumeError(
                f"{out}: {missing} of {len(found)} volumes have no row; run again with --resume: "
                f"--shard {', '.join(parts)}"
            )
        rows = sorted((row for row in found.values() if row), key=lambda row: row.output)
    finally:
        ledger.close()
    write_table(out / TABLE, rows)
    seconds = sum(row.seconds for row in rows)
    return CohortReport(out=out, table=out / TABLE, rows=tuple(rows), seconds=seconds)


def _refuse_incomplete(out: Path, records: Sequence[ShardRecord]) -> None:
    if not records:
        raise VolumeError(f"{out}: no shards here; a run without --shard writes {TABLE} by itself")
    count = records[0].shard.count
    begun = {record.shard.index for record in records}
    absent = [index for index in range(count) if index not in begun]
    absent += [r.shard.index for r in records if not (out / r.shard.table).is_file()]
    if absent:
        listed = ", ".join(f"{index}/{count}" for index in sorted(absent))
        raise VolumeError(f"{out}: {len(absent)} of {count} shards have no table yet: {listed}")
    if len({record.plan for record in records}) > 1:
        sizes = sorted({record.items for record in records})
        raise VolumeError(
            f"{out}: its shards were given different volumes or targets ("
            f"{', '.join(map(str, sizes))} in all); run all of them again with --resume"
        )
