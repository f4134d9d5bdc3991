"""What a translation makes of lesions: how much of their contrast survives, and what it invents.

    python examples/lesion_audit.py [--weights NAME=RUN ...] [--direction T1:T2 ...]
                                    [--subjects 8] [--spacing 2] [--json FILE] [--picture FILE.png]

Lesions of known contrast (`lesions.py`) are put into test subjects of `simulate_brains.py`, which
no training has seen. Everything else of an image stays, down to the noise, so that two
translations, with and without the lesions, differ by what the method made of them
(`lesion_findings.py`).

Survival is the contrast in the output over that in the true image of the target; after the cycle,
there and back, over that in the source. A subject's lesions of one kind and size count as one;
intervals are 95 % over subjects. Methods of the registry without a checkpoint are named, and so are
checkpoints that haven't learned a direction, or the way back from it.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from lesion_findings import (
    Audit,
    CheckpointTranslation,
    CoarseTranslation,
    Finding,
    Translate,
    audit_patient,
    view,
)
from lesions import KINDS, Kind, Patient
from simulate_brains import FIRST_SEED, FIXED, SPACING_MM, Anatomy, read_factor

from i2igalip_cli import load_checkpoint
from i2igalip_cli.evaluation.pictures import draw_panel, save_picture
from i2igalip_cli.methods import METHODS
from i2igalip_cli.volumes.slicing import view_slices

LEAST_CONTRAST = 2.0  # % of the range: a truth with less has nothing that could survive
RADII_MM = (2.0, 4.0, 6.0, 8.0)
Audits = dict[tuple[str, str], dict[str, Audit]]  # by direction, then by method
NO_WAY_BACK = "one way: no cycle"
SHOWN = ("lesion", "fluid", "short T1 and T2")  # in the picture


def survival(findings: Iterable[Finding], made: str, true: str) -> str:
    """A cell of the table: contrast that was made over the true one, of one kind and size.

    Args:
        findings: One a subject.
        made: Field of the contrast that a method made: "output" or "cycle".
        true: Field of what it should be: "truth" or "source".

    Returns:
        Mean and interval in percent; where the truth has next to none, in brackets the contrast
        that was made of nothing, in percent of the range.
    """
    from i2igalip_cli.evaluation.statistics import summarize

    pairs = [(getattr(found, made), getattr(found, true)) for found in findings]
    if abs(np.mean([truth for _, truth in pairs])) < LEAST_CONTRAST:
        return f"({np.mean([output for output, _ in pairs]):+.1f})"
    ratios = summarize([100 * output / truth for output, truth in pairs])
    if ratios.low is None or ratios.high is None:
        return f"{ratios.mean:.0f}"
    return f"{ratios.mean:.0f} [{ratios.low:.0f}, {ratios.high:.0f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def survival_table(
    audits: dict[str, Audit], missing: Mapping[str, str], made: str, true: str
) -> str:
    """Survival of every kind and size by every method, and what changes elsewhere.

    Args:
        audits: By method.
        missing: Why other methods have none.
        made: Field of the contrast that a method made: "output" or "cycle".
        true: Field of what it should be: "truth" or "source".
    """
    rows = []
    radii = sorted({f.radius_mm for audit in audits.values() for f in audit.findings})
    blank = [""] * (len(radii) + 3)
    for method, audit in audits.items():
        if any(getattr(found, made) is None for found in audit.findings):
            rows.append([method, NO_WAY_BACK, *blank])
            continue
        for kind in dict.fromkeys(found.kind for found in audit.findings):
            of_kind = [found for found in audit.findings if found.kind == kind]
            far = np.mean([getattr(e, made) for e in audit.elsewhere if e.kind == kind])
            contrast = {
                name: np.mean([getattr(found, name) for found in of_kind])
                for name in ("source", "seen", "truth")
            }
            source = f"{contrast['source']:+.1f}"
            if abs(contrast["source"] - contrast["seen"]) > 1:
                source += f" (seen {contrast['seen']:+.1f})"
            cells = [
                survival([f for f in of_kind if f.radius_mm == radius], made, true)
                for radius in radii
            ]
            rows.append([method, kind, source, f"{contrast['truth']:+.1f}", *cells, f"{far:.2f}"])
    rows += [[method, reason, *blank] for method, reason in missing.items()]
    sizes = [f"{radius:g} mm" for radius in radii]
    return table(["method", "kind", "in the source", "in the truth", *sizes, "elsewhere"], rows)


def spread(values: Sequence[float]) -> str:
    """A cell of the table: mean and deviation."""
    mean = f"{np.mean(values):+.1f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.1f}"


def control_table(audits: dict[str, Audit]) -> str:
    """What stands out from its surroundings where there is no lesion."""
    rows = []
    for method, audit in audits.items():
        for radius in sorted({control.radius_mm for control in audit.controls}):
            places = [control for control in audit.controls if control.radius_mm == radius]
            errors = [control.output - control.truth for control in places]
            rows.append(
                [
                    method,
                    f"{radius:g} mm",
                    str(len(places)),
                    spread([control.truth for control in places]),
                    spread(errors),
                    f"{max(errors, key=abs):+.1f}",
                ]
            )
    return table(["method", "radius", "places", "in the truth", "error", "largest error"], rows)


def report(direction: tuple[str, str], audits: dict[str, Audit], missing: Mapping[str, str]) -> str:
    """Everything about one direction, as Markdown."""
    source, target = direction
    subjects = {found.subject for audit in audits.values() for found in audit.findings}
    paragraphs = [
        f"### {source} to {target}, {len(subjects)} subjects",
        "Contrast in percent of the intensity range (*seen*: what is brighter is cut). Survival "
        f"in {target} made of {source}, in percent of the true contrast, mean and 95 % interval; "
        "in brackets alone the contrast made where the truth has none. Elsewhere: mean absolute "
        "change far from the lesions, in percent of the range.",
        survival_table(audits, missing, "output", "truth"),
        f"The same in {source}, after {source} to {target} to {source}.",
        survival_table(audits, missing, "cycle", "source"),
        f"The same places without a lesion: how they stand out from the white matter about them in "
        f"the true {target}, and how much more in the one that was made (error), in percent of the "
        "range; mean ± deviation over places.",
        control_table(audits),
    ]
    return "\n\n".join(paragraphs)


def draw(path: Path, patient: Patient, direction: tuple[str, str], translate: Translate) -> None:
    """Draw the largest lesion of some kinds: source, truth, output, differences, cycle."""
    healthy = view(patient, direction, None, translate)
    affine = patient.subject.affine
    core = view_slices(patient.core(patient.spheres[0]), affine)  # the largest comes first
    place = int(core.sum(axis=(1, 2)).argmax())
    rows = []
    back = "one way" if healthy.cycle is None else f"{direction[0]} again"
    for kind in (KINDS[name] for name in SHOWN):
        ill = view(patient, direction, kind, translate)
        arrays = [
            ill.source,
            ill.truth,
            ill.output,
            50 + ill.truth - healthy.truth,
            50 + ill.output - healthy.output,
            np.zeros_like(ill.output) if ill.cycle is None else ill.cycle,
        ]
        rows.append([view_slices(array, affine)[place] / 100 for array in arrays])
    source, target = direction
    made = f"{target} made"
    titles = [source, f"true {target}", made, "true change", "change made", back]
    save_picture(draw_panel(rows, titles, SHOWN, scale=1.8), path)


def read_weights(text: str) -> tuple[str, str | None]:
    """NAME=RUN of the command line."""
    name, found, file = text.partition("=")
    if not (name and found and file):
        raise argparse.ArgumentTypeError(f"{text!r} isn't NAME=RUN")
    return name, file


def read_direction(text: str) -> tuple[str, str]:
    """SOURCE:TARGET of the command line."""
    source, _, target = text.partition(":")
    if source == target or not {source, target} <= set(FIXED):
        raise argparse.ArgumentTypeError(f"{text!r} isn't two of {', '.join(FIXED)}, as T1:T2")
    return source, target


def read_kind(text: str) -> Kind:
    """Name of a kind of lesion of the command line."""
    if text not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(KINDS)}")
    return KINDS[text]


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Audit what translations make of lesions.")
    add = parser.add_argument
    add(
        "--weights",
        nargs="+",
        type=read_weights,
        default=[("galip", None)],
        metavar="NAME=RUN",
        help="run folders or checkpoints, each under the name it gets in the tables; default the "
        "shipped one",
    )
    add("--direction", nargs="+", type=read_direction, default=[("T1", "T2")], metavar="T1:T2")
    add(
        "--kind",
        nargs="+",
        type=read_kind,
        default=list(KINDS.values()),
        metavar="KIND",
        help=f"of {', '.join(KINDS)}; default all",
    )
    add("--radius", nargs="+", type=float, default=RADII_MM, metavar="MM")
    add("--each", type=int, default=2, help="lesions of a size in a subject")
    add("--subjects", type=int, default=8)
    add(
        "--spacing",
        type=read_factor,
        default=1,
        dest="factor",
        metavar="MM",
        help=f"voxels that the weights learned from, a multiple of {SPACING_MM}, its default",
    )
    add("--json", type=Path, help="also write every finding here")
    add("--picture", type=Path, help="draw the first subject here, by the first weights")
    options = parser.parse_args(arguments)
    names = [name for name, _ in options.weights]
    if len(set(names)) < len(names):
        parser.error(f"--weights: each name once, not {' '.join(names)}")
    return options


def audit(options: argparse.Namespace, anatomy: Anatomy, methods: dict[str, Translate]) -> Audits:
    """Audit every method in every direction that it knows, on every subject."""
    parts: dict[tuple[str, str], dict[str, list[Audit]]] = {
        direction: {name: [] for name, known in methods.items() if known.translates(*direction)}
        for direction in options.direction
    }
    for number in range(options.subjects):
        seed = FIRST_SEED["test"] + number
        patient = Patient(anatomy, seed, options.radius, options.each)
        for direction, audits in parts.items():
            for name, found in audits.items():
                found.append(audit_patient(patient, seed, direction, options.kind, methods[name]))
        print(f"subject {number + 1}/{options.subjects}", file=sys.stderr, flush=True)
    return {
        direction: {name: Audit.join(found) for name, found in audits.items()}
        for direction, audits in parts.items()
    }


def find_missing(
    absent: Iterable[str],
    methods: Iterable[str],
    audits: dict[str, Audit],
    direction: Sequence[str],
) -> dict[str, str]:
    """Why methods have no row in a direction.

    Args:
        absent: Methods of the registry without a checkpoint.
        methods: Those with one.
        audits: What there is.
        direction: Source and target.
    """
    unlearned = f"doesn't translate {' to '.join(direction)}"
    found = {name: unlearned for name in methods if name not in audits}
    return {**found, **dict.fromkeys(absent, "no checkpoint given")}


def write_json(audits: Audits, missing: Sequence[str], path: Path) -> None:
    """Write every finding."""
    directions = {
        ":".join(direction): {name: asdict(found) for name, found in by_method.items()}
        for direction, by_method in audits.items()
    }
    path.write_text(json.dumps({"missing": missing, "directions": directions}, indent=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    options = read_options(arguments)
    checkpoints = {name: load_checkpoint(file) for name, file in options.weights}
    missing = sorted(set(METHODS) - {c.config.method for c in checkpoints.values()})
    methods = {
        name: CoarseTranslation(CheckpointTranslation(checkpoint), options.factor)
        for name, checkpoint in checkpoints.items()
    }
    able = [one for one in methods.values() if one.translates(*options.direction[0])]
    if options.picture is not None and not able:
        sys.exit(f"--picture: no checkpoint translates {' to '.join(options.direction[0])}")
    anatomy = Anatomy()
    audits = audit(options, anatomy, methods)
    if options.json is not None:
        write_json(audits, missing, options.json)
    if options.picture is not None:
        patient = Patient(anatomy, FIRST_SEED["test"], options.radius, options.each)
        draw(options.picture, patient, options.direction[0], able[0])
    for direction, by_method in audits.items():
        absent = find_missing(missing, methods, by_method, direction)
        print(report(direction, by_method, absent), end="\n\n")


if __name__ == "__main__":
    main()
