"""`i2igalip evaluate`: predictions against references, and method against method."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import typer

from i2igalip_cli.cli import evaluate_options as given
from i2igalip_cli.cli.cohort import volumes_progress
from i2igalip_cli.cli.console import SOME_FAILED, plain, print_json, say, warn
from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import EvaluationError

if TYPE_CHECKING:
    from i2igalip_cli.engine.evaluator.pairs import Sides
    from i2igalip_cli.engine.evaluator.results import Results

_LISTED = 20  # names on stderr


def evaluate(
    pred: given.Prediction = None,
    gt: given.Reference = None,
    *,
    mask: given.Mask = None,
    labels_pred: given.PredictedLabels = None,
    labels_gt: given.Labels = None,
    pairs: given.Pairs = None,
    pattern: given.Pattern = None,
    gt_pattern: given.ReferencePattern = None,
    compare: given.Compare = None,
    protocol: given.Protocols = None,
    value_range: given.ValueRange = None,
    modality: given.ModalityOf = None,
    resample: given.Resample = False,
    features: given.Features = None,
    jobs: given.Jobs = None,
    output: given.Output = None,
    report: given.Report = None,
    overwrite: given.Overwrite = False,
    method: given.Method = None,
    as_json: given.AsJson = False,
) -> None:
    """Compare predictions with references.

    Every number says its protocol, range and region; statistics are over subjects. A case that
    fails, a reference without a prediction and a prediction without a reference are listed, and
    make the exit code 3.
    """
    if compare is not None:
        _refuse_with_compare(
            {
                "--pred": pred,
                "--gt": gt,
                "--mask": mask,
                "--labels-pred": labels_pred,
                "--labels-gt": labels_gt,
                "--pairs": pairs,
                "--pattern": pattern,
                "--gt-pattern": gt_pattern,
                "--range": value_range,
                "--modality": modality,
                "--resample": resample,
                "--features": features,
                "--jobs": jobs,
                "--method": method,
            }
        )
        _compare(compare, protocol, output, report, overwrite=overwrite, as_json=as_json)
        return
    sides: Sides | Path = _sides(pred, gt, mask, labels_pred, labels_gt, pairs, pattern, gt_pattern)
    from i2igalip_cli.engine.cores import usable_cores
    from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
    from i2igalip_cli.engine.evaluator.scoring import DEFAULT_PROTOCOLS, Scoring
    from i2igalip_cli.evaluation.protocols import ProtocolSettings

    if modality is not None and modality.upper() not in get_args(Modality):
        raise typer.BadParameter(f"--modality {modality}: MR or CT")
    try:
        scoring = Scoring(
            protocols=tuple(protocol or DEFAULT_PROTOCOLS),
            settings=ProtocolSettings(
                value_range=value_range,
                modality=None if modality is None else cast(Modality, modality.upper()),
            ),
            resample=resample,
        )
    except EvaluationError as error:
        raise typer.BadParameter(str(error)) from error
    request = EvaluationRequest(
        pairs=sides,
        scoring=scoring,
        features=tuple(features or ()),
        jobs=jobs or usable_cores(),
        method=method,
    )
    _check_outputs(output, report, overwrite=overwrite)
    with volumes_progress("evaluating") as advance:
        results = run_evaluation(request, advance)
    _write(results, output, report, overwrite=overwrite)
    _show(results, as_json=as_json)


def _sides(
    pred: Path | None,
    gt: Path | None,
    mask: Path | None,
    labels_pred: Path | None,
    labels_gt: Path | None,
    pairs: Path | None,
    pattern: str | None,
    gt_pattern: str | None,
) -> "Sides | Path":
    """Where the volumes lie.

    Raises:
        typer.BadParameter: Options that don't go together.
    """
    from i2igalip_cli.engine.evaluator.pairs import Sides

    others = (pred, gt, mask, labels_pred, labels_gt, pattern, gt_pattern)
    if pairs is not None:
        if any(other is not None for other in others):
            raise typer.BadParameter("--pairs lists volumes, masks and label maps itself")
        return pairs
    if pred is None or gt is None:
        raise typer.BadParameter("give --pred and --gt, or --pairs FILE, or --compare A B")
    if (labels_pred is None) != (labels_gt is None):
        raise typer.BadParameter("give both --labels-pred and --labels-gt")
    return Sides(
        prediction=pred,
        reference=gt,
        mask=mask,
        predicted_labels=labels_pred,
        labels=labels_gt,
        pattern=pattern,
        reference_pattern=gt_pattern,
    )


def _refuse_with_compare(others: Mapping[str, object]) -> None:
    """Refuse what would do nothing: results were scored before.

    Args:
        others: Options of scoring, by their names; None, False or empty where not given.

    Raises:
        typer.BadParameter: One is given.
    """
    given_names = [name for name, value in others.items() if value]
    if given_names:
        raise typer.BadParameter(
            f"--compare takes two results, which were scored before; leave out "
            f"{', '.join(given_names)}"
        )


def _check_outputs(output: Path | None, report: Path | None, *, overwrite: bool) -> None:
    """Refuse outputs that can't be written, before anything is computed.

    Raises:
        EvaluationError: A table is in the way, or its folder isn't there.
        VolumeError: A page is, or its folder isn't.
    """
    if output is not None:
        from i2igalip_cli.engine.evaluator.table_files import check_table

        check_table(output, overwrite=overwrite)
    if report is not None:
        from i2igalip_cli.engine.reports.writing import check_page

        check_page(report, overwrite=overwrite)


def _write(
    results: "Results", output: Path | None, report: Path | None, *, overwrite: bool
) -> None:
    if output is not None:
        from i2igalip_cli.engine.evaluator.saving import save_results

        save_results(results, output, overwrite=overwrite)
    if report is not None:
        from i2igalip_cli.engine.reports import write_evaluation_report

        write_evaluation_report(results, report, overwrite=overwrite)


def _show(results: "Results", *, as_json: bool) -> None:
    """Print what an evaluation came to.

    Raises:
        typer.Exit: With 3 if it isn't complete.
    """
    from i2igalip_cli.cli.evaluate_tables import print_results
    from i2igalip_cli.engine.evaluator.saving import to_dict

    warn(results.warnings)
    warn(f"{case.case}: {line}" for case in results.cases for line in case.warnings)
    _list("failed", [f"{case.case}: {case.error}" for case in results.failures])
    _list("no prediction for", results.missing)
    _list("no reference for", results.extra)
    if as_json:
        print_json(to_dict(results))
    else:
        print_results(results)
    if not results.scored:
        raise EvaluationError("no case could be evaluated")
    if not results.complete:
        raise typer.Exit(SOME_FAILED)


def _list(what: str, names: "list[str] | tuple[str, ...]") -> None:
    for name in names[:_LISTED]:
        say(f"[red]{what}:[/] {plain(name)}")
    if len(names) > _LISTED:
        say(plain(f"{what}: {len(names) - _LISTED} more; -o FILE lists all"))


def _compare(
    paths: tuple[Path, Path],
    protocols: list[str] | None,
    output: Path | None,
    report: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    from i2igalip_cli.cli.evaluate_tables import print_comparison
    from i2igalip_cli.engine.evaluator.comparison import compare_results
    from i2igalip_cli.engine.evaluator.comparison_table import comparison_to_dict, save_comparison
    from i2igalip_cli.engine.evaluator.saving import load_results

    _check_outputs(output, report, overwrite=overwrite)
    a, b = (load_results(path) for path in paths)
    comparison = compare_results(a, b, protocols)
    warn(comparison.warnings)
    _list(f"only in {plain(comparison.a)}", comparison.only_a)
    _list(f"only in {plain(comparison.b)}", comparison.only_b)
    if output is not None:
        save_comparison(comparison, output, overwrite=overwrite)
    if report is not None:
        from i2igalip_cli.engine.reports import write_comparison_report

        write_comparison_report(comparison, a, b, report, overwrite=overwrite)
    if as_json:
        print_json(comparison_to_dict(comparison))
    else:
        print_comparison(comparison)
