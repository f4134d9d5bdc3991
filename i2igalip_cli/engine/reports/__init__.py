"""Pages of audits, evaluations, translations and trainings: `evaluation.report` filled in."""

from i2igalip_cli.engine.reports.audit import write_audit_report
from i2igalip_cli.engine.reports.comparison import write_comparison_report
from i2igalip_cli.engine.reports.evaluation import write_evaluation_report
from i2igalip_cli.engine.reports.training import write_training_report
from i2igalip_cli.engine.reports.translation import write_translation_report

__all__ = [
    "write_audit_report",
    "write_comparison_report",
    "write_evaluation_report",
    "write_training_report",
    "write_translation_report",
]
