"""Pairs that the user lists in a CSV file."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.cohort.inputs import stem_of
from i2igalip_cli.engine.evaluator.naming import DERIVED, ImageName, canonical_domain, read_name
from i2igalip_cli.engine.evaluator.pairs import Pair, Pairing
from i2igalip_cli.errors import EvaluationError

_NEEDED = ("prediction", "reference")
_PATHS = (*_NEEDED, "mask", "predicted_labels", "labels", "source")
COLUMNS = (*_PATHS, "case", "subject", "target")


def read_pairs(list_file: Path) -> Pairing:
    """Read pairs from a CSV file with a header.

    Columns: prediction and reference; and, as wanted, mask, predicted_labels, labels, source (what
    the prediction was made of), case, subject, target. Paths are relative to the file's folder. A
    subject or target that isn't given is read from the prediction's name, a subject with the
    folders that tell it from others. A column of masks or label maps is filled in every line or in
    none.

    Raises:
        EvaluationError: It can't be read, has other columns, an empty cell or one too many, or no
            pair.
    """
    rows = _read_rows(list_file)
    header = [name.casefold() for name in rows[0][1]] if rows else []
    _check_header(list_file, header)
    for line, cells in rows[1:]:
        if any(cells[len(header) :]):
            raise EvaluationError(
                f"{list_file}: line {line} has {len(cells)} cells, and there are {len(header)} "
                "columns; put a path that holds a comma in quotes"
            )
    records = [dict(zip(header, cells, strict=False)) for _, cells in rows[1:]]
    if not records:
        raise EvaluationError(f"{list_file}: a header and no pair")
    _check_cells(list_file, records)
    names = [read_name(_without_suffix(record["prediction"])) for record in records]
    subjects = _derive_subjects(records, names)
    pairs = [
        _pair(record, name, subject, list_file.parent)
        for record, name, subject in zip(records, names, subjects, strict=True)
    ]
    return Pairing(
        pairs=tuple(sorted(_unique(pairs), key=lambda pair: pair.case)),
        notes=_warn_of_shared(records, names, pairs),
    )


def _read_rows(list_file: Path) -> list[tuple[int, list[str]]]:
    """The lines that aren't empty, with their numbers."""
    try:
        with list_file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened)
            rows = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV text in UTF-8"
        raise EvaluationError(f"{list_file}: {reason}") from error
    return [(line, cells) for line, cells in rows if any(cells)]


def _check_header(list_file: Path, header: Sequence[str]) -> None:
    """Refuse what could be a slip, and so would be left out without a word."""
    lacking = [name for name in _NEEDED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if lacking or unknown or len(set(header)) < len(header):
        wrong = [f"no column {name}" for name in lacking]
        wrong += [f"unknown column '{name}'" for name in unknown]
        raise EvaluationError(
            f"{list_file}: {', '.join(wrong) or 'a column twice'}; the first line names the "
            f"columns: {', '.join(COLUMNS)}"
        )


def _check_cells(list_file: Path, records: Sequence[Mapping[str, str]]) -> None:
    for column in (*_NEEDED, "mask", "predicted_labels", "labels"):
        empty = [n for n, record in enumerate(records, 1) if not record.get(column)]
        if empty and (column in _NEEDED or len(empty) < len(records)):
            raise EvaluationError(f"{list_file}: pair {empty[0]} has no {column}")


def _derive_subjects(records: Sequence[Mapping[str, str]], names: Sequence[ImageName]) -> list[str]:
    """The subject of each line: as given, or by the prediction's name below the common folder."""
    read = [
        _folders(name)
        for record, name in zip(records, names, strict=True)
        if not record.get("subject")
    ]
    common = 0
    for level in zip(*read, strict=False):
        if len(set(level)) > 1:
            break
        common += 1
    return [
        record.get("subject") or "/".join([*_folders(name)[common:], name.subject])
        for record, name in zip(records, names, strict=True)
    ]


def _folders(name: ImageName) -> list[str]:
    return name.context.split("/") if name.context else []


def _warn_of_shared(
    records: Sequence[Mapping[str, str]], names: Sequence[ImageName], pairs: Sequence[Pair]
) -> tuple[str, ...]:
    """Say where names make one subject of references that nothing else tells apart."""
    references: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for record, name, pair in zip(records, names, pairs, strict=True):
        if not record.get("subject"):
            what = name.identity(DERIVED | {"domain"}, flat=True)
            references[pair.subject, f"{what} {pair.target}"].add(pair.reference)
    shared = sorted({subject for (subject, _), found in references.items() if len(found) > 1})
    if not shared:
        return ()
    return (
        f"several references are counted as one subject by the names of their predictions: "
        f"{', '.join(shared[:3])}{' ...' if shared[3:] else ''}; name subjects in a column "
        "'subject'",
    )


def _pair(record: Mapping[str, str], ours: ImageName, subject: str, folder: Path) -> Pair:
    paths = {name: folder / record[name] for name in _PATHS if record.get(name)}
    theirs = read_name(_without_suffix(record["reference"]))
    target = record.get("target", "")
    return Pair(
        case=record.get("case") or stem_of(paths["prediction"]),
        subject=subject,
        target=canonical_domain(target) or target or ours.domain or theirs.domain,
        prediction=paths["prediction"],
        reference=paths["reference"],
        mask=paths.get("mask"),
        predicted_labels=paths.get("predicted_labels"),
        labels=paths.get("labels"),
        source=paths.get("source"),
    )


def _without_suffix(text: str) -> PurePosixPath:
    return PurePosixPath(text).with_name(stem_of(Path(text)))


def _unique(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs under names that differ: the whole path where the file's name alone doesn't.

    Raises:
        EvaluationError: Two still have one name.
    """
    counts = Counter(pair.case for pair in pairs)
    pairs = [
        replace(pair, case=pair.prediction.as_posix())
        if counts[pair.case] > 1 and pair.case == stem_of(pair.prediction)
        else pair
        for pair in pairs
    ]
    name, count = Counter(pair.case for pair in pairs).most_common(1)[0]
    if count > 1:
        raise EvaluationError(
            f"{count} pairs are called '{name}'; name them apart in a column 'case'"
        )
    return list(pairs)
