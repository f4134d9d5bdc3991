"""Judges a prepared dataset: what is wrong with it, before a training is spent on it."""

from i2igalip_cli.engine.audit.captions import check_encoder
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Audit, Checked, Finding
from i2igalip_cli.engine.audit.run import AUDIT_NAME, gather, judge, write_audit

__all__ = [
    "AUDIT_NAME",
    "Audit",
    "Checked",
    "Evidence",
    "Finding",
    "check_encoder",
    "gather",
    "judge",
    "write_audit",
]
