"""Results with known numbers, for tests of what is done with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from i2igalip_cli.engine.evaluator.results import CaseResult, Results
from i2igalip_cli.evaluation.measures import Measure, Score
from i2igalip_cli.evaluation.protocols import ProtocolScores, hash_settings

PSNR = Measure(
    name="psnr",
    unit="dB",
    better="higher",
    definition="PSNR, said by a test",
    dimensions=2,
    data_range=(0.0, 900.0),
    region="whole slices",
)
MAE = Measure(name="mae", unit="HU", better="lower", definition="MAE", dimensions=3, region="body")
BONE = Measure(
    name="mae",
    unit="HU",
    better="lower",
    definition="MAE",
    dimensions=3,
    region="bone",
    main=False,
)
MEAN = Measure(
    name="mean", unit="HU", better="neither", definition="mean", dimensions=3, region="body"
)
REFERENCE_MEAN = Measure(
    name="reference_mean",
    unit="HU",
    better="neither",
    definition="mean of the reference",
    dimensions=3,
    region="body",
)
MEASURES = {m.key: m for m in (PSNR, MAE, BONE, MEAN, REFERENCE_MEAN)}


def made_hash(protocol: str = "fixed") -> str:
    """The hash of what `made_results` says of a protocol."""
    return hash_settings({"protocol": protocol, "version": 1})


def made_case(
    name: str,
    values: Mapping[str, float | None],
    *,
    subject: str | None = None,
    target: str = "T2",
    protocol: str = "fixed",
    hash: str | None = None,
    **changes,
) -> CaseResult:
    """A case whose measures have these values, by key."""
    scores = ProtocolScores(
        protocol=protocol,
        hash=hash or made_hash(protocol),
        scores=tuple(Score(measure=MEASURES[key], value=v) for key, v in values.items()),
        slices=9,
        empty=1,
    )
    settings = {
        "case": name,
        "subject": subject or name,
        "target": target,
        "prediction": Path("pred") / f"{name}.nii.gz",
        "reference": Path("gt") / f"{name}.nii.gz",
        "scores": {protocol: scores},
    }
    return CaseResult(**{**settings, **changes})


def made_results(cases: Sequence[CaseResult], method: str = "ours", **changes) -> Results:
    """Results of these cases, whose protocols are described by their hashes."""
    protocols = {
        name: {"protocol": name, "version": 1, "hash": scores.hash}
        for case in cases
        for name, scores in case.scores.items()
    }
    settings = {"method": method, "protocols": protocols, "cases": tuple(cases)}
    return Results(**{**settings, **changes})


def by_values(method: str, psnr: Sequence[float], **changes) -> Results:
    """Results with one case a subject, s0, s1 ..., of these PSNRs."""
    cases = [made_case(f"s{n}", {"psnr": value}) for n, value in enumerate(psnr)]
    return made_results(cases, method, **changes)
