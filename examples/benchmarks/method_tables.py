"""The tables of a comparison, as the paper has them, with the paper's own figures beside.

A table is the report's: Markdown and HTML are made of one and the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from method_outcomes import COPY, Outcome
from method_runs import ABLATED, MULTI, NAMES, SINGLE, Direction
from method_translations import PROTOCOLS
from paper_tables import TABLE_3, TABLE_4, TABLE_5, Complexity, Quality, family, find_quality

from i2igalip_cli.domains import Modality
from i2igalip_cli.engine.evaluator.comparison import (
    Comparison,
    MeasureComparison,
    compare_results,
)
from i2igalip_cli.evaluation.report.page import Cell, Table
from i2igalip_cli.evaluation.statistics import Summary
from i2igalip_cli.methods.__main__ import sized, variants

NONE = "-"  # what the paper hasn't, or a method that failed
REPRESENTATIVE = 4  # domains of table 3
MIB = 2**20
_PAPERS = {"psnr": "the paper's PSNR", "ssim": "the paper's SSIM"}
Comparisons = Mapping[str, Mapping[Modality, Comparison]]  # with the reference, by row


def compare_with(reference: str, outcomes: Mapping[str, Outcome]) -> Comparisons:
    """Every whole method against one, paired over subjects, by the measures of tables 1 and 2.

    Args:
        reference: The row that others are compared with; where it failed, there is nothing.
        outcomes: By name; ablations are left out.
    """
    if reference not in outcomes:
        return {}
    theirs = outcomes[reference].results
    return {
        name: {
            modality: compare_results(results, theirs[modality], PROTOCOLS[modality][:1])
            for modality, results in outcome.results.items()
            if modality in theirs
        }
        for name, outcome in outcomes.items()
        if name != reference and name in (COPY, *NAMES)
    }


def quality_table(
    outcomes: Sequence[Outcome],
    directions: Sequence[Direction],
    comparisons: Comparisons,
    reference: str,
) -> Table:
    """Tables 1 and 2: PSNR and SSIM of every direction with intervals."""
    rows: list[list[Cell]] = []
    for direction in directions:
        for outcome in outcomes:
            row: list[Cell] = [" to ".join(direction), outcome.name]
            printed = find_quality(outcome.name, *direction)
            for measure in ("psnr", "ssim"):
                row += _mean_and_interval(outcome.quality(direction, measure))
                row.append(_printed(printed, measure))
            row += _mean_and_interval(outcome.quality(direction, "psnr", "fixed"))
            row += _difference(comparisons.get(outcome.name, {}), direction)
            rows.append(row)
    return Table(
        caption="Tables 1 and 2: quality of every direction on held-out subjects, mean and 95 % "
        "interval; to MR by the protocol `paper` (as the paper's figures), to CT by `fixed`",
        columns=[
            *("direction", "method", "PSNR, dB", "95 %", _PAPERS["psnr"]),
            *("SSIM, %", "95 %", _PAPERS["ssim"], "fixed PSNR, dB", "95 %"),
            *(f"PSNR minus {reference}'s", "p (Holm)", "shown"),
        ],
        rows=rows,
        digits=2,
    )


def _mean_and_interval(summary: Summary | None) -> list[Cell]:
    if summary is None:
        return [NONE, NONE]
    return [summary.mean, _interval(summary.low, summary.high)]


def _interval(low: float | None, high: float | None) -> str:
    """Both ends in words; "-" where there is none, as of one subject."""
    if low is None or high is None:
        return NONE
    return f"{low:.2f} to {high:.2f}"


def _printed(found: Sequence[Quality], measure: str) -> str:
    return " / ".join(f"{getattr(one, measure):.2f}" for one in found) or NONE


def _difference(comparisons: Mapping[Modality, Comparison], direction: Direction) -> list[Cell]:
    """Mean difference of PSNR, its corrected p and what it shows."""
    for comparison in comparisons.values():
        for one in comparison.measures:
            if one.key == "psnr" and one.target == " to ".join(direction):
                return _verdict(one)
    return [NONE, NONE, NONE]


def _verdict(one: MeasureComparison) -> list[Cell]:
    return [one.paired.mean_difference, f"{one.p_holm:.3g}", one.verdict]


def summary_table(outcomes: Sequence[Outcome], reference: str) -> Table:
    """All methods in one table: quality over all directions, and what it costs."""
    times = {outcome.name: outcome.inference_seconds for outcome in outcomes}
    found = {modality for outcome in outcomes for modality in outcome.results}
    modalities: list[Modality] = sorted(found) or ["MR"]  # where all failed, rows say why
    rows: list[list[Cell]] = []
    for modality in modalities:
        for outcome in outcomes:
            row: list[Cell] = [outcome.name]
            row += [f"to {modality}"] if len(modalities) > 1 else []
            for measure in ("psnr", "ssim"):
                row += _mean_and_interval(outcome.mean_quality(modality, measure, "fixed"))
            row += _costs(outcome)
            row.append(_ratio(times[outcome.name], times.get(reference)))
            row.append(outcome.fault)
            rows.append(row)
    where = ["targets"] if len(modalities) > 1 else []
    return Table(
        caption="All methods at one budget: means over all directions (protocol `fixed`), 95 % "
        "intervals over subjects, and costs of all runs together",
        columns=[
            *("method", *where, "PSNR, dB", "95 %", "SSIM, %", "95 %", "runs", "steps of a run"),
            *("pairs a step", "parameters", "peak memory, MiB", "training, s", "inference, s"),
            *(f"inference / {reference}'s", "failed"),
        ],
        rows=rows,
        digits=2,
    )


def _costs(outcome: Outcome) -> list[Cell]:
    """Runs, steps, pairs, parameters, memory, training time and inference time."""
    if not outcome.runs:
        return [NONE] * 7
    steps = sorted({run.steps for run in outcome.runs})
    memory, inference = outcome.memory_bytes, outcome.inference_seconds
    return [
        len(outcome.runs),
        str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
        outcome.runs[0].pairs,
        outcome.parameters,
        NONE if memory is None else round(memory / MIB),
        outcome.training_seconds,
        NONE if inference is None else f"{inference:.5f}",
    ]


def _ratio(ours: float | None, theirs: float | None) -> Cell:
    return NONE if ours is None or theirs is None else ours / theirs


def parameter_table(names: Sequence[str]) -> Table:
    """Table 3: parameters at the papers' sizes, for four domains in all directions."""
    rows: list[list[Cell]] = []
    for name in dict.fromkeys(family(name) for name in names):
        rows.append([name, *_count_parts(name), *_printed_parameters(TABLE_3.get(name))])
    return Table(
        caption=f"Table 3: millions of parameters at the papers' sizes; in all for "
        f"{REPRESENTATIVE} domains and all directions",
        columns=[
            *("method", "each", "in all", "the paper's generator", "the paper's discriminator"),
            "the paper's in all",
        ],
        rows=rows,
        digits=1,
    )


@cache
def _count_parts(method: str) -> tuple[str, float]:
    """Its parts in words, and all of them in millions; a network without weights takes seconds."""
    parts = sized(variants()[method]).parts()
    each = [f"{part} {one.parameters / 1e6:.1f} a {one.each}" for part, one in parts.items()]
    total = sum(one.times(REPRESENTATIVE) * one.parameters for one in parts.values())
    return ", ".join(each), total / 1e6


def _printed_parameters(printed: Complexity | None) -> list[Cell]:
    if printed is None:
        return [NONE, NONE, NONE]
    generator, discriminator = (
        " + ".join(f"{one:g}" for one in part) or "0"
        for part in (printed.generator, printed.discriminator)
    )
    return [generator, discriminator, printed.total]


def cost_table(outcomes: Sequence[Outcome], reference: str) -> Table:
    """Table 4: memory, training time and inference time, and the ratios to I2I-Galip's."""
    own = next((o.inference_seconds for o in outcomes if o.name == reference), None)
    base = TABLE_4["galip"].inference_seconds
    rows: list[list[Cell]] = []
    for outcome in outcomes:
        if not outcome.runs:
            continue
        _, _, _, _, memory, _, inference = _costs(outcome)
        hours = outcome.training_seconds / 3600 / len(outcome.runs)
        row: list[Cell] = [outcome.name, memory, f"{hours:.4f}", inference]
        row.append(_ratio(outcome.inference_seconds, own))
        printed = TABLE_4.get(family(outcome.name))
        if printed is None:
            row += [NONE] * 4
        else:
            row += [printed.memory_mib, printed.training_hours, f"{printed.inference_seconds:.5f}"]
            row.append(printed.inference_seconds / base)
        rows.append(row)
    return Table(
        caption="Table 4: a run's peak memory in training (of the GPU, or of the process) "
        "and its time, and the time of a slice; the paper's are of an RTX A5000 at its sizes",
        columns=[
            *("method", "memory, MiB", "training, h", "inference, s", f"/ {reference}'s"),
            *("the paper's memory", "the paper's training", "the paper's inference"),
            "the paper's ratio to I2I-Galip",
        ],
        rows=rows,
        digits=2,
    )


def ablation_table(outcomes: Mapping[tuple[str, str], Outcome]) -> Table:
    """Table 5: I2I-Galip without each of its losses, and with another encoder.

    Args:
        outcomes: By variant and by what was changed, "" for nothing.
    """
    columns = [name for name in (SINGLE, MULTI) if any(of == name for of, _ in outcomes)]
    rows: list[list[Cell]] = []
    for change in ("", *ABLATED, "encoder"):
        for name in columns:
            outcome = outcomes.get((name, change))
            row: list[Cell] = [_changed(change), name]
            for measure in ("psnr", "ssim"):
                found = _pooled(outcome, measure)
                row += [*_mean_and_interval(found), _printed([TABLE_5[name][change]], measure)]
            rows.append([*row, "" if outcome is None else outcome.fault])
    return Table(
        caption="Table 5: means over the whole test set (to MR, where there is any), 95 % "
        "intervals over subjects; the paper's are of IXI",
        columns=[
            *("changed", "variant", "PSNR, dB", "95 %", _PAPERS["psnr"]),
            *("SSIM, %", "95 %", _PAPERS["ssim"], "failed"),
        ],
        rows=rows,
        digits=2,
    )


def _pooled(outcome: Outcome | None, measure: str) -> Summary | None:
    if outcome is None:
        return None
    modality: Modality = "MR" if "MR" in outcome.results else "CT"
    return outcome.mean_quality(modality, measure, "paper" if modality == "MR" else "fixed")


def _changed(change: str) -> str:
    if change == "encoder":
        return "another encoder"
    return f"{change} = 0" if change else "nothing"


def to_markdown(table: Table) -> Iterator[str]:
    """The lines of a table."""
    yield f"**{table.caption}**"
    yield ""
    yield "| " + " | ".join(table.columns) + " |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        yield "| " + " | ".join(_text(cell, table.digits) for cell in row) + " |"


def _text(cell: Cell, digits: int) -> str:
    if cell is None:
        return NONE
    text = f"{cell:.{digits}f}" if isinstance(cell, float) else f"{cell}"
    return text.replace("|", "\\|")
