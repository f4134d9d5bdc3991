"""`i2igalip evaluate`: predictions against references."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.cli.console import Json, print_json, print_table, progress, warn

if TYPE_CHECKING:
    from i2igalip_cli.engine.evaluator import EvaluationReport


def evaluate(
    pred: Annotated[Path, typer.Option("--pred", help="A volume, or a folder of volumes.")],
    gt: Annotated[Path, typer.Option("--gt", help="Its reference, or a folder of same names.")],
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Where to look (above 0); a file or a folder.")
    ] = None,
    value_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--range",
            metavar="LOW HIGH",
            help="Intensities of the fixed protocol, e.g. -1024 3000 for CT; "
            "default each volume's own percentiles.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare predictions with references.

    PSNR, SSIM and masked MAE, by protocol.
    """
    from i2igalip_cli.engine.evaluator import evaluate_paths
    from i2igalip_cli.evaluation.protocols import Scale

    with progress("evaluating") as advance:
        report = evaluate_paths(pred, gt, mask, Scale(value_range=value_range), advance)
    warn(report.warnings)
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report)


def _show(report: "EvaluationReport") -> None:
    from rich.table import Table

    columns = (("paper", "psnr"), ("paper", "ssim"), ("fixed", "psnr"), ("fixed", "ssim"))
    table = Table("volume", title="mean over slices; last row mean ± deviation over volumes")
    for protocol, metric in columns:
        table.add_column(f"{protocol}\n{metric.upper()} {'dB' if metric == 'psnr' else '%'}")
    table.add_column("fixed\nMAE")
    for row in report.rows:
        values = [f"{getattr(row.scores[p], m):.2f}" for p, m in columns]
        table.add_row(row.name, *values, f"{row.scores['fixed'].mae:.4f}")
    table.add_section()
    table.add_row(
        f"mean of {len(report.rows)}",
        *(_mean(report.summary(p, m), 2) for p, m in columns),
        _mean(report.summary("fixed", "mae"), 4),
    )
    print_table(table)


def _mean(summary: tuple[float, float] | None, digits: int) -> str:
    return "" if summary is None else f"{summary[0]:.{digits}f} ± {summary[1]:.{digits}f}"
