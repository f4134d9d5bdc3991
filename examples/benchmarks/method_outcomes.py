"""One row of a comparison from end to end: trained, translated, evaluated; or why it failed."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from method_runs import Budget, Direction, Trained, Variant, plan_runs, train_apart
from method_translations import (
    PROTOCOLS,
    HeldOut,
    evaluate_variant,
    predicted_path,
    translate_run,
)

from i2igalip_cli.domains import Domain, Modality
from i2igalip_cli.engine.dataset import DatasetIndex
from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.errors import EvaluationError, GalipError, first_line
from i2igalip_cli.evaluation.statistics import Summary, summarize

COPY = "copy"  # the source itself, as a row


@dataclass(frozen=True, kw_only=True)
class World:
    """What all rows of a comparison share.

    Attributes:
        dataset: The prepared dataset.
        index: Its index.
        volumes: Held-out volumes of all directions.
        out: Folder of everything that is made.
        budget: Of every run.
        device: "cpu", "cuda" ...; None takes the GPU where there is one.
        jobs: Processes of the evaluation.
    """

    dataset: Path
    index: DatasetIndex
    volumes: tuple[HeldOut, ...]
    out: Path
    budget: Budget
    device: str | None
    jobs: int

    @property
    def domains(self) -> dict[str, Domain]:
        """By name."""
        return {domain.name: domain for domain in self.index.domains}

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that are compared, in their order."""
        return tuple(dict.fromkeys(volume.direction for volume in self.volumes))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A row.

    Attributes:
        name: Of the variant, or "copy".
        runs: What each took.
        slice_seconds: Time of translating a slice, by direction.
        results: By the targets' modality.
        fault: Why there are no results; "" where there are.
    """

    name: str
    runs: tuple[Trained, ...] = ()
    slice_seconds: Mapping[Direction, float] = field(default_factory=dict)
    results: Mapping[Modality, Results] = field(default_factory=dict)
    fault: str = ""

    @property
    def memory_bytes(self) -> int | None:
        """Of the largest run; None where it isn't known."""
        return max((run.memory_bytes for run in self.runs if run.memory_bytes), default=None)

    @property
    def training_seconds(self) -> float:
        """Of all runs."""
        return sum(run.seconds for run in self.runs)

    @property
    def parameters(self) -> int:
        """That all runs together learned."""
        return sum(sum(run.parameters.values()) for run in self.runs)

    @property
    def inference_seconds(self) -> float | None:
        """Of a slice, mean over directions; None where nothing was translated."""
        times = self.slice_seconds.values()
        return sum(times) / len(times) if times else None

    def quality(
        self, direction: Direction, measure: str, protocol: str | None = None
    ) -> Summary | None:
        """Statistics of a direction over subjects.

        Args:
            direction: Source and target.
            measure: "psnr" or "ssim".
            protocol: None for the one that stands beside the paper's figures.
        """
        target = " to ".join(direction)
        for modality, results in self.results.items():
            if target in results.targets:
                return results.summary(protocol or PROTOCOLS[modality][0], measure, target)
        return None

    def mean_quality(self, modality: Modality, measure: str, protocol: str) -> Summary | None:
        """Statistics over subjects, each the mean of its directions into a modality."""
        results = self.results.get(modality)
        if results is None or not results.scored:
            return None
        return summarize(list(results.by_subject(protocol, measure).values()))


def compare_variant(variant: Variant, world: World) -> Outcome:
    """Train what isn't trained, translate what isn't translated, and evaluate."""
    runs: list[Trained] = []
    seconds: dict[Direction, float] = {}
    folder = world.out / variant.name
    try:
        for run in plan_runs(variant, world.directions, world.out):
            _say(f"{variant.name}: {run.folder.name}")
            runs.append(train_apart(world.dataset, run, world.budget, world.device))
            seconds |= translate_run(run, world.volumes, world.dataset, folder, world.device)
        made = [(volume, predicted_path(volume, folder)) for volume in world.volumes]
        results = _evaluate(variant.name, made, world)
    except GalipError as error:
        fault = str(error)
    except Exception as error:  # whatever a method meets: the other rows go on
        fault = f"{type(error).__name__}: {first_line(error)}"
    else:
        return Outcome(name=variant.name, runs=tuple(runs), slice_seconds=seconds, results=results)
    _say(f"{variant.name} failed: {fault}")
    return Outcome(name=variant.name, runs=tuple(runs), slice_seconds=seconds, fault=fault)


def compare_copy(world: World) -> Outcome:
    """What the source itself comes to, where source and target have one unit."""
    made = [
        (volume, volume.source)
        for volume in world.volumes
        if len({world.domains[name].modality for name in volume.direction}) == 1
    ]
    return Outcome(name=COPY, results=_evaluate(COPY, made, world))


def _evaluate(
    name: str, made: Sequence[tuple[HeldOut, Path]], world: World
) -> dict[Modality, Results]:
    """Results by the targets' modality.

    Raises:
        EvaluationError: A translation can't be scored.
    """
    folder = world.out / name
    results = evaluate_variant(name, made, world.domains, world.index.policy, folder, world.jobs)
    failed = [case.error for found in results.values() for case in found.failures]
    if failed:
        raise EvaluationError(failed[0])
    return results


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
