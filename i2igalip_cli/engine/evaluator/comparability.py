"""Whether two methods' results can be compared, and what makes a comparison doubtful."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.errors import EvaluationError

_SHOWN = 3  # names in a message


def shared_protocols(a: Results, b: Results, wanted: Sequence[str] | None) -> list[str]:
    """Protocols of both, whose settings are the same.

    Args:
        a: One method's results.
        b: The other's.
        wanted: Names that must be among them; None for all that both have.

    Raises:
        EvaluationError: There is none, one that is wanted isn't there, or settings differ.
    """
    both = [name for name in a.protocols if name in b.protocols]
    shared = list(dict.fromkeys(wanted or both))
    lacking = [name for name in shared if name not in both]
    if lacking or not shared:
        raise EvaluationError(
            f"{a.method} was scored by {', '.join(a.protocols)}, {b.method} by "
            f"{', '.join(b.protocols)}: no {', '.join(lacking) or 'protocol'} in common"
        )
    for name in shared:
        ours, theirs = a.protocols[name], b.protocols[name]
        if ours["hash"] != theirs["hash"]:
            raise EvaluationError(
                f"the protocol {name} isn't the same in {a.method} ({ours['hash']}) and {b.method} "
                f"({theirs['hash']}): {describe_difference(ours, theirs)}; evaluate both alike, or "
                "choose others with --protocol"
            )
    return shared


def describe_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Which settings differ, with both values; of many the first."""
    first, second = dict(_leaves(ours)), dict(_leaves(theirs))
    found = [
        f"{name}: {first.get(name, 'nothing')} and {second.get(name, 'nothing')}"
        for name in dict.fromkeys([*first, *second])
        if name != "hash" and first.get(name, ...) != second.get(name, ...)
    ]
    return "; ".join(found[:_SHOWN]) + (f"; {len(found) - _SHOWN} more" if found[_SHOWN:] else "")


def _leaves(settings: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{name} ")
        else:
            yield place + name, value


def warn_of_differences(a: Results, b: Results, protocols: Sequence[str]) -> tuple[str, ...]:
    """What makes the comparison less than it seems."""
    warnings = []
    for results, other in ((a, b), (b, a)):
        alone = [name for name in results.protocols if name not in other.protocols]
        if alone:
            warnings.append(f"only {results.method} was scored by {', '.join(alone)}")
        targets = [name for name in results.targets if name not in other.targets]
        if targets:
            warnings.append(f"only {results.method} has predictions of {', '.join(targets)}")
        if not results.complete:
            lost = len(results.failures) + len(results.missing) + len(results.extra)
            warnings.append(f"{results.method} is incomplete: {lost} volumes have no score")
        resampled = sum(case.resampled for case in results.scored)
        if resampled:
            warnings.append(f"{resampled} predictions of {results.method} were resampled")
    ours, theirs = _references(a), _references(b)
    differing = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if differing:
        warnings.append(
            f"{len(differing)} subjects were compared with other references in {b.method} than in "
            f"{a.method}: {name_some(differing)}"
        )
    return tuple(warnings)


def _references(results: Results) -> dict[str, list[tuple[str, str]]]:
    """Targets and names of the references of each subject."""
    found: dict[str, list[tuple[str, str]]] = {}
    for case in results.scored:
        found.setdefault(case.subject, []).append((case.target, case.reference.name))
    return {subject: sorted(names) for subject, names in found.items()}


def name_some(names: Sequence[str] | set[str]) -> str:
    """The first names in order, for a message."""
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (" ..." if len(ordered) > _SHOWN else "")
