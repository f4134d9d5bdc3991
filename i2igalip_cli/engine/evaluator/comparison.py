"""Two methods on the same subjects: which is better, by how much, and how surely.

Only numbers of one protocol with one hash are compared; the test is paired over subjects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from i2igalip_cli.engine.evaluator.comparability import (
    name_some,
    shared_protocols,
    warn_of_differences,
)
from i2igalip_cli.engine.evaluator.results import Results, describe_difference
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.measures import Measure
from i2igalip_cli.evaluation.statistics import (
    BlandAltman,
    PairedComparison,
    bland_altman,
    compare_paired,
    holm,
)

SIGNIFICANT = 0.05  # Holm's p below which a difference is called shown
_REFERENCE = "reference_"  # what a measure of the reference is called before its name


@dataclass(frozen=True, kw_only=True)
class MeasureComparison:
    """Two methods by one measure.

    Attributes:
        protocol: Its name.
        target: Domain of the predictions.
        key: Of the measure.
        measure: The same for both.
        mean_a: Of the first method, over the subjects of both.
        mean_b: Of the second.
        paired: Differences A - B over subjects, test and effect.
        p_holm: p corrected for all measures of the comparison.
        verdict: Which is better, in words.
    """

    protocol: str
    target: str
    key: str
    measure: Measure
    mean_a: float
    mean_b: float
    paired: PairedComparison
    p_holm: float = 1.0
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class RegionAgreement:
    """How well a region's mean intensity is reproduced (Bland and Altman 1986).

    Attributes:
        method: Which.
        protocol: Its name.
        target: Domain of the predictions.
        measure: Mean intensity of the prediction in the region.
        agreement: Prediction - reference over subjects.
    """

    method: str
    protocol: str
    target: str
    measure: Measure
    agreement: BlandAltman


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods on the same subjects.

    Attributes:
        a: Name of the first.
        b: Name of the second.
        subjects: How many both have.
        only_a: Subjects that only the first has.
        only_b: Subjects that only the second has.
        measures: In the order of the protocols.
        regions: For both methods.
        hashes: Of the protocols compared.
        warnings: What the user should know.
    """

    a: str
    b: str
    subjects: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    measures: tuple[MeasureComparison, ...]
    regions: tuple[RegionAgreement, ...]
    hashes: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def compare_results(a: Results, b: Results, protocols: Sequence[str] | None = None) -> Comparison:
    """Compare two methods' results.

    Args:
        a: Of the first method.
        b: Of the second, on the same subjects.
        protocols: Which to compare; None for those of both.

    Raises:
        EvaluationError: A protocol has other settings in one, none is in both, or no subject or
            target is.
    """
    a, b = _named_apart(a, b)
    shared = shared_protocols(a, b, protocols)
    ours, theirs = ({case.subject for case in results.scored} for results in (a, b))
    if not ours & theirs:
        raise EvaluationError(
            f"{a.method} and {b.method} have no subject in common: {name_some(ours)} against "
            f"{name_some(theirs)}"
        )
    targets = sorted({*a.targets} & {*b.targets})
    if not targets:
        raise EvaluationError(
            f"{a.method} and {b.method} have no target domain in common: {name_some(a.targets)} "
            f"against {name_some(b.targets)}"
        )
    measures = [
        found
        for protocol in shared
        for target in targets
        for key in a.keys(protocol)
        if (found := _compare(a, b, protocol, key, target)) is not None
    ]
    return Comparison(
        a=a.method,
        b=b.method,
        subjects=len(ours & theirs),
        only_a=tuple(sorted(ours - theirs)),
        only_b=tuple(sorted(theirs - ours)),
        measures=_judge(measures, a.method, b.method),
        regions=tuple(r for results in (a, b) for r in _regions(results, shared, ours & theirs)),
        hashes={protocol: a.protocols[protocol]["hash"] for protocol in shared},
        warnings=(*warn_of_differences(a, b, shared), *_warn_of_few(measures)),
    )


def _named_apart(a: Results, b: Results) -> tuple[Results, Results]:
    if a.method != b.method:
        return a, b
    return replace(a, method=f"{a.method} (A)"), replace(b, method=f"{b.method} (B)")


def _compare(
    a: Results, b: Results, protocol: str, key: str, target: str
) -> MeasureComparison | None:
    """Compare by one measure; None where it isn't one of quality, or one side lacks it."""
    measure = a.measure(protocol, key)
    if measure.better == "neither" or key not in b.keys(protocol):
        return None
    if b.measure(protocol, key) != measure:
        raise EvaluationError(
            f"{protocol} {key} isn't the same in {a.method} and {b.method}: "
            f"{describe_difference(vars(measure), vars(b.measure(protocol, key)))}"
        )
    ours, theirs = (results.by_subject(protocol, key, target) for results in (a, b))
    subjects = sorted(ours.keys() & theirs.keys())
    if not subjects:
        return None
    first, second = ([side[subject] for subject in subjects] for side in (ours, theirs))
    return MeasureComparison(
        protocol=protocol,
        target=target,
        key=key,
        measure=measure,
        mean_a=sum(first) / len(first),
        mean_b=sum(second) / len(second),
        paired=compare_paired(first, second),
    )


def _judge(measures: Sequence[MeasureComparison], a: str, b: str) -> tuple[MeasureComparison, ...]:
    """Correct the p-values for their number, and say what they show."""
    corrected = holm([one.paired.p for one in measures]) if measures else ()
    return tuple(
        replace(one, p_holm=p, verdict=_verdict(one, p, a, b))
        for one, p in zip(measures, corrected, strict=True)
    )


def _verdict(one: MeasureComparison, p: float, a: str, b: str) -> str:
    if p >= SIGNIFICANT:
        return "no difference shown"
    a_is_higher = one.paired.effect > 0  # ranks, not means: what the test is about
    return f"{a if a_is_higher == (one.measure.better == 'higher') else b} is better"


def _regions(
    results: Results, protocols: Sequence[str], subjects: set[str]
) -> list[RegionAgreement]:
    found = []
    for protocol in protocols:
        keys = results.keys(protocol)
        for key in keys:
            if _REFERENCE + key not in keys or results.measure(protocol, key).name != "mean":
                continue
            for target in results.targets:
                ours = results.by_subject(protocol, key, target)
                theirs = results.by_subject(protocol, _REFERENCE + key, target)
                both = sorted(ours.keys() & theirs.keys() & subjects)
                if both:
                    found.append(
                        RegionAgreement(
                            method=results.method,
                            protocol=protocol,
                            target=target,
                            measure=results.measure(protocol, key),
                            agreement=bland_altman(
                                [ours[s] for s in both], [theirs[s] for s in both]
                            ),
                        )
                    )
    return found


def _warn_of_few(measures: Sequence[MeasureComparison]) -> list[str]:
    """Say where subjects are too few for any difference to show."""
    count = max((one.paired.count for one in measures), default=0)
    least = len(measures) * 2.0 ** (1 - count)  # all pairs of one sign, corrected
    if not measures or least < SIGNIFICANT:
        return []
    return [
        f"{count} subjects are too few to show a difference by {len(measures)} measures: Holm's p "
        f"can't fall below {min(least, 1):.2g}; choose fewer with --protocol, or add subjects"
    ]
