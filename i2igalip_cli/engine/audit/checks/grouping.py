"""Many findings of one kind, told as one."""

from collections.abc import Sequence
from dataclasses import replace

from i2igalip_cli.engine.audit.findings import Finding

SIZEABLE = 0.2  # share of what was judged: what holds for as many is a kind of its own, no outlier


def is_sizeable(count: int, of: int) -> bool:
    """Whether so many are no single outliers any more."""
    return count >= max(SIZEABLE * of, 2)


def tell_together(findings: Sequence[Finding], of: int, text: str) -> list[Finding]:
    """Findings of one kind as they are, or as one where they concern a sizeable share.

    Args:
        findings: Each of one volume, or of one subject.
        of: How many were judged.
        text: What holds for all; it follows their number, such as "7 of 15 ".
    """
    if not is_sizeable(len(findings), of):
        return list(findings)
    names = tuple(name for one in findings for name in one.volumes)
    return [replace(findings[0], text=f"{len(findings)} of {of} {text}", volumes=names)]
