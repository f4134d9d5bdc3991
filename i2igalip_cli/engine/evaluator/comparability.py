"""Whether two methods' results can be compared, and what makes a comparison doubtful."""

from collections.abc import Iterator, Sequence

from i2igalip_cli.engine.evaluator.results import Results, describe_difference
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


def warn_of_differences(a: Results, b: Results, protocols: Sequence[str]) -> tuple[str, ...]:
    """What makes the comparison less than it seems."""
    warnings = []
    for results, other in ((a, b), (b, a)):
        alone = [name for name in results.protocols if name not in other.protocols]
        if alone:
            warnings.append(f"only {results.method} was scored by {', '.join(alone)}")
        for measures in _only_in(results, other, protocols):
            warnings.append(f"only {results.method} has {measures}")
        targets = [name for name in results.targets if name not in other.targets]
        if targets:
            warnings.append(f"only {results.method} has predictions of {', '.join(targets)}")
        if not results.complete:
            lost = len(results.failures) + len(results.missing) + len(results.extra)
            warnings.append(f"{results.method} is incomplete: {lost} volumes have no score")
        resampled = sum(case.resampled for case in results.scored)
        if resampled:
            warnings.append(f"{resampled} predictions of {results.method} were resampled")
    both = [name for name in a.sets if name in b.sets]
    if both:
        warnings.append(
            f"distances of whole sets ({', '.join(both)}) aren't compared: no subjects to pair by"
        )
    ours, theirs = _grounds(a), _grounds(b)
    differing = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if differing:
        warnings.append(
            f"{len(differing)} subjects were compared with other references, masks or label maps "
            f"in {b.method} than in {a.method}: {name_some(differing)}"
        )
    return tuple(warnings)


def _only_in(results: Results, other: Results, protocols: Sequence[str]) -> Iterator[str]:
    """What a comparison leaves out, as the other has no such measure."""
    for protocol in protocols:
        known = other.keys(protocol)
        keys = [key for key in results.keys(protocol) if key not in known]
        if keys:
            yield f"{', '.join(keys)} ({protocol})"
    for name, scores in results.sets.items():
        if name not in other.sets:
            yield f"{', '.join(score.measure.key for score in scores)} ({name})"


def _grounds(results: Results) -> dict[str, list[tuple[str, str]]]:
    """Targets of each subject, and what its predictions were compared with."""
    found: dict[str, list[tuple[str, str]]] = {}
    for case in results.scored:
        grounds = case.grounds or case.reference.name
        found.setdefault(case.subject, []).append((case.target, grounds))
    return {subject: sorted(names) for subject, names in found.items()}


def name_some(names: Sequence[str] | set[str]) -> str:
    """The first names in order, for a message."""
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (" ..." if len(ordered) > _SHOWN else "")
