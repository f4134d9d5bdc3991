"""Calibrate `translate --qc` for a checkpoint: how its indicators tell the true error.

    python examples/calibrate_quality.py WORK [--weights CHECKPOINT] [--dataset DATASET]
                                         [--subjects 12] [--rounds 5] [--write FILE]

Subjects of `simulate_brains.py` that no training has seen are translated under noise, receive
fields and lesions that may be worse than training's (`quality_cases.py`). The score is fitted on
every other subject and judged on the rest: Spearman's correlation with the true error, overall and
by direction, and that of each indicator by itself. The true error is the one under the scale that
fits best. Then sources that aren't what they are said to be are shown to the check of inputs: how
many are found, and how many good ones are blamed.

WORK keeps what was found of each case, so that the same command goes on where it was stopped.
--dataset is what the checkpoint was trained on, prepared; it is needed where the checkpoint has no
reference of its training data yet. --write puts reference and calibration into a new checkpoint.
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from quality_cases import Bench, Outcome, acquire, list_cases, scan_by_ct

from i2igalip_cli import GalipError, load_checkpoint
from i2igalip_cli.checkpoints import Checkpoint, load_reference, save_checkpoint, save_reference
from i2igalip_cli.engine.encoders import open_encoder_of
from i2igalip_cli.engine.laying import lay_volume
from i2igalip_cli.engine.quality.fitting import KnownError, calibrate, rank_correlation
from i2igalip_cli.engine.quality.inputs import InputJudgement, judge_input
from i2igalip_cli.engine.quality.judge import QualityJudge
from i2igalip_cli.engine.quality.reference import make_reference
from i2igalip_cli.engine.quality.score import INDICATORS, expected_error, log_disagreement
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder
from i2igalip_cli.volumes import Volume

CONTRASTS = ("T1", "T2", "PD")
MADE_FROM = "simulated brains of unused seeds; noise 1-6 x, receive field 0-3 x, 0-40 lesions"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def with_reference(
    checkpoint: Checkpoint, dataset: Path | None, encoder: TextImageEncoder, work: Path
) -> Checkpoint:
    """The checkpoint with what it remembers of its training data: its own, or made once."""
    kept = work / "reference.safetensors"
    if checkpoint.reference is not None and dataset is None:
        return checkpoint
    if not kept.exists():
        if dataset is None:
            raise GalipError(f"{checkpoint.name} has no reference: give its --dataset")
        save_reference(make_reference(dataset, checkpoint, encoder), kept)
    return replace(checkpoint, reference=load_reference(kept))


def known_error(outcome: Outcome) -> KnownError:
    """What the fit takes of an outcome."""
    return KnownError(
        subject=str(outcome.case.seed),
        direction=outcome.case.direction,
        indicators=outcome.indicators,
        error=outcome.error,
    )


def correlation_table(cases: Sequence[KnownError], scores: dict[str, float], overall: float) -> str:
    """Rank correlation with the true error, overall and by direction: indicators and score."""
    directions = list(dict.fromkeys(case.direction for case in cases))
    rows = []
    for name in INDICATORS:
        groups = [cases, *([c for c in cases if c.direction == d] for d in directions)]
        rows.append([name, *(f"{correlation_of(name, group):.2f}" for group in groups)])
    rows.append(["score", f"{overall:.2f}", *(f"{scores[d]:.2f}" for d in directions)])
    counts = [sum(case.direction == d for case in cases) for d in directions]
    heads = [f"{d} ({n})" for d, n in zip(directions, counts, strict=True)]
    return table(["", f"overall ({len(cases)})", *heads], rows)


def correlation_of(name: str, cases: Sequence[KnownError]) -> float:
    """Rank correlation of what an indicator objects with the true error."""
    pairs = [(c.indicators[name], c.error) for c in cases if c.indicators.get(name) is not None]
    objections = [log_disagreement(name, value) for value, _ in pairs if value is not None]
    return rank_correlation(objections, [error for _, error in pairs])


def false_inputs(bench: Bench, seed: int) -> Iterator[tuple[str, Volume, str, bool]]:
    """Sources of a subject: what each is, what it is called, and whether that is wrong."""
    subject = bench.subject(seed)
    rng = np.random.default_rng((seed, 99))
    images = {contrast: acquire(subject, contrast, rng) for contrast in CONTRASTS}
    for is_, image in images.items():
        for called in CONTRASTS:
            yield f"{is_} as {called}", image, called, is_ != called
        turned = np.ascontiguousarray(image.array[:, :, ::-1])
        yield f"{is_} upside down", image.with_array(turned), is_, True
    yield "head CT as T1", scan_by_ct(subject, rng), "T1", True


def judge(
    volume: Volume, called: str, checkpoint: Checkpoint, encoder: TextImageEncoder
) -> InputJudgement:
    """What the check of inputs says of a volume."""
    (source,) = [domain for domain in checkpoint.domains if domain.name == called]
    plane = next(iter(checkpoint.planes))
    laid = lay_volume(volume, source, checkpoint, (plane,))
    unit = laid.straight.with_array(laid.inner.to_unit(laid.straight.array))
    slices = laid.slices[plane]
    return judge_input(unit, slices.read(slices.filled), checkpoint, encoder, source)


def detection_table(
    bench: Bench, seeds: Iterable[int], checkpoint: Checkpoint, encoder: TextImageEncoder
) -> str:
    """How many sources are warned of, and the first of the warnings."""
    found: dict[tuple[str, bool], list[tuple[str, ...]]] = {}
    for seed in seeds:
        for what, volume, called, wrong in false_inputs(bench, seed):
            warnings = judge(volume, called, checkpoint, encoder).warnings
            found.setdefault((what, wrong), []).append(warnings)
    rows = [
        [what, "yes" if wrong else "no", f"{sum(map(bool, told))} of {len(told)}", example(told)]
        for (what, wrong), told in found.items()
    ]
    return table(["source", "wrong", "warned of", "such as"], rows)


def example(told: Sequence[tuple[str, ...]]) -> str:
    """One of the warnings, if there is any."""
    return next((warnings[0] for warnings in told if warnings), "")


def main() -> None:
    """Run the cases, fit, print the tables and write the checkpoint."""
    parser = argparse.ArgumentParser(description="Calibrate quality without ground truth.")
    parser.add_argument("work", type=Path, help="folder that keeps what was found")
    parser.add_argument("--weights", help="checkpoint; by default the shipped one")
    parser.add_argument("--dataset", type=Path, help="what it was trained on, prepared")
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5, help="translations of each subject")
    parser.add_argument("--write", type=Path, help="checkpoint to write, in half precision")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    checkpoint = load_checkpoint(options.weights)
    encoder = open_encoder_of(checkpoint)
    checkpoint = with_reference(checkpoint, options.dataset, encoder, options.work)
    bench = Bench(checkpoint, QualityJudge(encoder), options.work)
    outcomes = []
    cases = list(list_cases(options.subjects, options.rounds))
    for case in cases:
        outcomes.append(bench.run(case))
        print(f"case {len(outcomes)} of {len(cases)}: error {outcomes[-1].error:.4f}", flush=True)
    known = [known_error(outcome) for outcome in outcomes]
    fitted, held_out = ([c for c in known if int(c.subject) % 2 == half] for half in (0, 1))
    found = calibrate(fitted, held_out, MADE_FROM)
    print(f"\nRank correlation with the true error, {found.held_out_subjects} held-out subjects\n")
    print(correlation_table(held_out, dict(found.spearman_by_direction), found.spearman))
    with_scale = [replace(known_error(o), error=o.fixed_error) for o in outcomes]
    fixed = [case for case in with_scale if int(case.subject) % 2 == 1]
    scores = [expected_error(case.indicators, found)[0] for case in fixed]
    print(
        "\nof the same score with the error under the volumes' own scales (protocol fixed): "
        f"{rank_correlation(scores, [case.error for case in fixed]):.2f}"
    )
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in found.weights.items())
    print(f"\nMean error {math.exp(found.log_error):.4f} of the range; weights: {weights}\n")
    print(detection_table(bench, sorted({o.case.seed for o in outcomes}), checkpoint, encoder))
    if options.write is not None:
        save_checkpoint(replace(checkpoint, calibration=found), options.write, half=True)
        print(f"\n{options.write}: {options.write.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
