"""Every method on one dataset at one budget: the paper's tables 1 to 5 beside the paper's figures.

    python examples/benchmarks/compare_methods.py DATASET --raw RAW --out OUT --steps 20000
        [--method galip-S cyclegan ...] [--direction T1:T2 ...] [--seconds 3600]
        [--size small | --settings FILE.toml] [--ablations] [--encoder NAME] [--json FILE]

DATASET was prepared from RAW. A method of two domains is trained for each two (in both directions
where it learns both), galip-S likewise, galip-M once for all. The budget is a run's. The test
subjects' registered volumes are translated on one device by one backend into
OUT/METHOD/SOURCE_to_TARGET, scored by one protocol, and compared with I2I-Galip's, paired over
subjects, as `i2igalip evaluate --compare` does. The same command goes on where it was stopped.

OUT/report.html and OUT/report.md hold the tables. A method that fails is a row that says why, and
the exit code is 1.
"""

import argparse
import json
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from machine import matrix_rate
from method_outcomes import COPY, Outcome, World, compare_copy, compare_variant
from method_runs import (
    MULTI,
    NAMES,
    OTHER_ENCODER,
    SINGLE,
    Budget,
    Direction,
    Variant,
    ablate,
    make_variants,
)
from method_tables import (
    Comparisons,
    ablation_table,
    compare_with,
    cost_table,
    parameter_table,
    quality_table,
    summary_table,
    to_markdown,
)
from method_translations import find_held_out

from i2igalip_cli.domains import find_domain
from i2igalip_cli.engine.cores import usable_cores
from i2igalip_cli.engine.dataset import DatasetIndex, read_index
from i2igalip_cli.engine.evaluator.comparison_table import comparison_to_dict
from i2igalip_cli.engine.evaluator.long_table import to_rows
from i2igalip_cli.engine.reports.writing import write_page
from i2igalip_cli.errors import ConfigError, GalipError
from i2igalip_cli.evaluation.report.page import Facts, Notice, Section, Table

SIZES = {"paper": None, "small": "compare_small.toml", "tiny": "compare_tiny.toml"}


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare all methods on one dataset.")
    add = parser.add_argument
    add("dataset", type=Path, help="what `i2igalip prepare` made")
    add("--raw", type=Path, required=True, help="the folder that it was made from")
    add("--out", type=Path, required=True, help="folder of runs, translations and reports")
    add("--method", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    add("--direction", nargs="+", metavar="T1:T2", help="default all of the dataset")
    add("--seconds", type=float, help="of training, for each run")
    add("--steps", type=int, help="for each run; default the settings' length")
    add("--size", choices=SIZES, default="paper", help="of the networks")
    add("--settings", type=Path, help="TOML: a table a method, and [all]; in place of --size")
    add("--encoder", help="of all methods, over the settings'")
    add("--ablations", action="store_true", help="table 5 as well")
    add("--other-encoder", default=OTHER_ENCODER, help="of table 5's last row")
    add("--device", help="cpu, cuda ...; default by itself")
    add("--jobs", type=int, default=1, help="processes of the evaluation")
    add("--json", type=Path, help="also write every figure here")
    options = parser.parse_args(arguments)
    if options.steps is not None and options.seconds is not None:
        parser.error("--steps and --seconds: one budget")
    for name in ("steps", "seconds"):
        if getattr(options, name) is not None and getattr(options, name) <= 0:
            parser.error(f"--{name} {getattr(options, name)}: above 0")
    return options


def read_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Tables of settings by method.

    Raises:
        ConfigError: The file can't be read.
    """
    shipped = SIZES[options.size]
    path = options.settings or (shipped and Path(__file__).with_name(shipped))
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error


def read_directions(texts: Sequence[str], index: DatasetIndex) -> list[Direction]:
    """SOURCE:TARGET each, as the dataset calls its domains; all directions for none.

    Raises:
        ConfigError: Another form, or a domain that the dataset hasn't.
    """
    if not texts:
        return list(permutations([domain.name for domain in index.domains], 2))
    found = []
    for text in texts:
        source, _, target = text.partition(":")
        names = [find_domain(name, index.domains, "the dataset").name for name in (source, target)]
        if names[0] == names[1]:
            raise ConfigError(f"--direction {text}: two different domains, such as T1:T2")
        found.append((names[0], names[1]))
    return list(dict.fromkeys(found))


def set_up(options: argparse.Namespace) -> World:
    """What all rows share.

    Raises:
        GalipError: The dataset can't be used, or it hasn't a direction.
    """
    index = read_index(options.dataset)
    directions = read_directions(options.direction or (), index)
    volumes = [v for d in directions for v in find_held_out(index, options.raw, d)]
    return World(
        dataset=options.dataset,
        index=index,
        volumes=tuple(volumes),
        out=options.out,
        budget=Budget(steps=options.steps, seconds=options.seconds),
        device=options.device,
        jobs=options.jobs,
    )


def choose_variants(options: argparse.Namespace, world: World) -> list[Variant]:
    """The rows, ablations last; without names, galip-M only where it is more than galip-S.

    Raises:
        ConfigError: Settings that a method hasn't.
    """
    names = options.method or [n for n in NAMES if n != MULTI or len(world.index.domains) > 2]
    chosen = make_variants(names, read_settings(options), options.encoder)
    if not options.ablations:
        return chosen
    return chosen + [one for v in chosen for one in ablate(v, options.other_encoder)]


def make_tables(
    variants: Sequence[Variant],
    outcomes: Mapping[str, Outcome],
    directions: Sequence[Direction],
    comparisons: Comparisons,
) -> list[Table]:
    """All tables: the whole methods in the first ones, the ablations in the last."""
    reference = find_reference(outcomes)
    whole = [outcomes[name] for name in outcomes if name == COPY or name in NAMES]
    tables = [
        summary_table(whole, reference),
        quality_table(whole, directions, comparisons, reference),
        parameter_table([variant.name for variant in variants if not variant.ablated]),
        cost_table(whole, reference),
    ]
    if any(variant.ablated for variant in variants):
        of = {(variant.of, variant.ablated): outcomes[variant.name] for variant in variants}
        tables.append(ablation_table(of))
    return tables


def find_reference(outcomes: Mapping[str, Outcome]) -> str:
    """The variant of I2I-Galip that the others are compared with."""
    known = [name for name in (SINGLE, MULTI) if name in outcomes and outcomes[name].results]
    return known[0] if known else SINGLE


def describe(world: World, options: argparse.Namespace) -> dict[str, str]:
    """What the figures depend on."""
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    cores = usable_cores()
    budget = world.budget
    length = f"{budget.steps} steps" if budget.steps else "the settings' epochs"
    if budget.seconds:
        length = f"{budget.seconds:g} s"
    subjects = len({volume.subject for volume in world.volumes})
    return {
        "dataset": str(world.dataset),
        "test subjects": str(subjects),
        "budget of a run": length,
        "sizes": str(options.settings or options.size),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "matrix products": f"{matrix_rate(cores) / 1e9:.1f} GFLOP/s in float32 on {cores} cores",
    }


def write_reports(
    tables: Sequence[Table], facts: Mapping[str, str], notices: Sequence[Notice], out: Path
) -> None:
    """Write the tables as HTML and Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- {notice.title}: {line}" for notice in notices for line in notice.lines]
    for table in tables:
        lines += ["", *to_markdown(table)]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sections = [
        Section(title="What was compared", blocks=[*notices, Facts(rows=list(facts.items()))]),
        *(Section(title=f"{table.caption.split(':')[0]}", blocks=[table]) for table in tables),
    ]
    write_page(
        out / "report.html",
        title="Methods compared",
        lead="Every method trained on one dataset for one budget, on held-out subjects, beside the "
        "figures of the paper of I2I-Galip (MIDL 2025).",
        sections=sections,
        overwrite=True,
    )


def find_notices(outcomes: Mapping[str, Outcome], comparisons: Comparisons) -> list[Notice]:
    """What must be known before any figure is read: what failed, and what comparisons warn of."""
    faults = [f"{outcome.name}: {outcome.fault}" for outcome in outcomes.values() if outcome.fault]
    warnings = dict.fromkeys(
        line
        for found in comparisons.values()
        for comparison in found.values()
        for line in comparison.warnings
    )
    notices = [
        Notice(title="Failed", lines=faults, grave=True),
        Notice(title="Warnings", lines=list(warnings)),
    ]
    return [notice for notice in notices if notice.lines]


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """A row for machines."""
    return {
        "fault": outcome.fault,
        "runs": [asdict(run) for run in outcome.runs],
        "slice_seconds": {":".join(d): s for d, s in outcome.slice_seconds.items()},
        "results": {modality: to_rows(found) for modality, found in outcome.results.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print; the exit code."""
    options = read_options(arguments)
    try:
        world = set_up(options)
        variants = choose_variants(options, world)
        outcomes = {COPY: compare_copy(world)}
    except GalipError as error:
        sys.exit(str(error))
    outcomes |= {variant.name: compare_variant(variant, world) for variant in variants}
    comparisons = compare_with(find_reference(outcomes), outcomes)
    tables = make_tables(variants, outcomes, world.directions, comparisons)
    facts = describe(world, options)
    notices = find_notices(outcomes, comparisons)
    write_reports(tables, facts, notices, options.out)
    print((options.out / "report.md").read_text(encoding="utf-8"))
    if options.json is not None:
        found = {
            "facts": facts,
            "methods": {name: to_dict(outcome) for name, outcome in outcomes.items()},
            "comparisons": {
                name: {modality: comparison_to_dict(one) for modality, one in found.items()}
                for name, found in comparisons.items()
            },
            "tables": [asdict(table) for table in tables],
        }
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 1 if any(outcome.fault for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the run in progress stops in order
    sys.exit(main())
