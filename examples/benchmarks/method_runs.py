"""What a comparison trains: variants of methods, their runs, and each run in a process of its own.

A finished run isn't trained again; one that was stopped goes on.
"""

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from i2igalip_cli.config import CONFIGS, GalipConfig, TrainConfig, make_train_config, to_dict
from i2igalip_cli.config.files import DEFAULT_METHOD
from i2igalip_cli.errors import ConfigError, GalipError

SINGLE, MULTI = "galip-S", "galip-M"
ABLATED = ("adversarial", "cls", "cycle", "clip", "identity")  # in table 5's order
OTHER_ENCODER = "ViT-B-16:laion2b_s34b_b88k"
PLAN = "comparison.json"  # in a run's folder
START = "spawn"  # not forked: torch's threads and locks would come along
Direction = tuple[str, str]
NAMES = (SINGLE, MULTI, *(name for name in CONFIGS if name != DEFAULT_METHOD))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long every run trains.

    Attributes:
        steps: Optimisation steps; None where the time or the settings decide.
        seconds: Of training, from which the steps follow by the time of one; None likewise.
    """

    steps: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A row of the comparison.

    Attributes:
        name: For tables and folders.
        config: Without domains and steps.
        of: Name of the variant that it is an ablation of; its own for none.
        ablated: The weight that is 0, or "encoder"; "" for none.
    """

    name: str
    config: TrainConfig
    of: str
    ablated: str = ""

    @property
    def all_domains(self) -> bool:
        """Whether one run learns all directions of the dataset."""
        return self.of == MULTI


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training.

    Attributes:
        config: With its domains; () for all of the dataset.
        directions: Those that are evaluated of it.
        folder: Its run folder.
    """

    config: TrainConfig
    directions: tuple[Direction, ...]
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run took.

    Attributes:
        steps: How many.
        pairs: Of slices in a step.
        seconds: Of training, validations left out.
        memory_bytes: Peak of a step: of the GPU, or of the process without one.
        parameters: By network.
        device: Where.
    """

    steps: int
    pairs: int
    seconds: float
    memory_bytes: int | None
    parameters: Mapping[str, int]
    device: str


def make_variants(
    names: Sequence[str], settings: Mapping[str, Mapping[str, Any]], encoder: str | None
) -> list[Variant]:
    """The variants of a comparison.

    Args:
        names: Of `NAMES`.
        settings: Tables of settings by method, and `all` for what every method has.
        encoder: Over the settings'; None leaves it.

    Raises:
        ConfigError: A table of no method, or a setting that a method hasn't.
    """
    unknown = sorted(set(settings) - {"all", *CONFIGS})
    if unknown:
        raise ConfigError(f"settings for {unknown[0]}: known are all, {', '.join(CONFIGS)}")
    made = []
    for name in names:
        method = DEFAULT_METHOD if name in (SINGLE, MULTI) else name
        values = {**settings.get("all", {}), **settings.get(method, {}), "method": method}
        config = make_train_config(values if encoder is None else {**values, "encoder": encoder})
        made.append(Variant(name=name, config=config, of=name))
    return made


def ablate(variant: Variant, encoder: str) -> list[Variant]:
    """Table 5: each weight of I2I-Galip set to 0 in turn, and another encoder."""
    config = variant.config
    if not isinstance(config, GalipConfig):
        return []
    changed = {
        weight: replace(config, weights=replace(config.weights, **{weight: 0.0}))
        for weight in ABLATED
    }
    changed["encoder"] = replace(config, encoder=encoder)
    names = {what: f"{variant.name}-without-{what}" for what in ABLATED}
    names["encoder"] = f"{variant.name}-other-encoder"
    return [
        replace(variant, name=names[what], config=config, ablated=what)
        for what, config in changed.items()
    ]


def plan_runs(variant: Variant, directions: Sequence[Direction], out: Path) -> list[Run]:
    """The runs that a variant needs for some directions: one, one a pair, or one a direction."""
    groups: dict[tuple[str, ...], list[Direction]] = {}
    for direction in directions:
        back = direction[::-1]
        shared = back in groups and variant.config.translates(1, 0)
        key = () if variant.all_domains else back if shared else direction
        groups.setdefault(key, []).append(direction)
    return [
        Run(
            config=replace(variant.config, domains=domains),
            directions=tuple(learned),
            folder=out / variant.name / f"run_{'_'.join(domains) or 'all'}",
        )
        for domains, learned in groups.items()
    ]


def train_apart(dataset: Path, run: Run, budget: Budget, device: str | None) -> Trained:
    """Train a run in a process of its own, so that its memory is its own, or read what it took.

    Raises:
        GalipError: It can't be trained, its process was killed, or its folder holds another run.
    """
    plan = _read_plan(dataset, run, budget)
    if plan.get("took"):
        return Trained(**plan["took"])
    context = multiprocessing.get_context(START)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train_and_tell, args=(theirs, dataset, run, budget, device))
    process.start()
    theirs.close()  # the child's end alone is left: its death ends the wait
    try:
        told: Trained | str = ours.recv()
    except EOFError as error:
        raise GalipError("the training process was killed: out of memory, perhaps") from error
    finally:
        process.terminate()  # where we are stopped: it saves and stops as well
        process.join()
    if isinstance(told, str):
        raise GalipError(told)
    return told


def _train_and_tell(
    pipe: Connection, dataset: Path, run: Run, budget: Budget, device: str | None
) -> None:
    pipe.send(_train(dataset, run, budget, device))


def _read_plan(dataset: Path, run: Run, budget: Budget) -> dict[str, Any]:
    """What is known of a run: what was asked, its steps and memory once rehearsed, what it took.

    Raises:
        GalipError: The folder holds a run of other settings, another budget or dataset.
    """
    asked = {
        "config": to_dict(run.config),
        "budget": asdict(budget),
        "dataset": str(dataset.resolve()),
    }
    plan: dict[str, Any] = {"asked": json.loads(json.dumps(asked))}  # tuples are lists in the file
    path = run.folder / PLAN
    if not path.is_file():
        return plan
    kept: dict[str, Any] = json.loads(path.read_text())
    if kept["asked"] != plan["asked"]:
        raise GalipError(f"{run.folder} holds another run: give another --out or remove it")
    return kept


def _train(dataset: Path, run: Run, budget: Budget, device: str | None) -> Trained | str:
    """Train a run; what went wrong is told in words, since not every error can be sent."""
    from i2igalip_cli.engine.memory import keep_freed_memory

    keep_freed_memory()  # as `i2igalip train` does
    try:
        return _train_here(dataset, run, budget, device)
    except GalipError as error:
        return str(error)
    except Exception as error:  # whatever a method meets: the others go on
        return f"{type(error).__name__}: {error}"


def _train_here(dataset: Path, run: Run, budget: Budget, device: str | None) -> Trained:
    from i2igalip_cli.engine.trainer import Trainer

    plan, path = _read_plan(dataset, run, budget), run.folder / PLAN
    steps = plan.get("steps", budget.steps)
    config = run.config if steps is None else replace(run.config, steps=steps)
    trainer = Trainer(dataset, run.folder, config, device)
    if "steps" not in plan:
        forecast = trainer.rehearse()
        steps = trainer.steps
        if budget.seconds is not None:
            steps = max(1, int(budget.seconds / forecast.seconds_a_step))
        plan |= {"steps": steps, "memory_bytes": forecast.memory_bytes}
        path.write_text(json.dumps(plan, indent=1))
    if trainer.steps != steps:
        trainer = Trainer(dataset, run.folder, replace(config, steps=steps), device)
    trainer.run()
    trained = Trained(
        steps=trainer.steps,
        pairs=trainer.sampler.pairs_per_step,
        seconds=_seconds_of(run.folder / "log.jsonl"),
        memory_bytes=plan["memory_bytes"],
        parameters=trainer.method.parameters_by_network(),
        device=trainer.device.type,
    )
    path.write_text(json.dumps({**plan, "took": asdict(trained)}, indent=1))
    return trained


def _seconds_of(log: Path) -> float:
    """Time of all steps of a run, however often it was stopped."""
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    paces = {row["step"]: row["seconds_a_step"] for row in rows if "seconds_a_step" in row}
    spans = zip(pairwise([0, *paces]), paces.values(), strict=True)
    return sum(pace * (end - start) for (start, end), pace in spans)
