"""What couldn't be read, and what reading had to mend: of files and their headers."""

from collections import defaultdict

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding


def check_files(evidence: Evidence) -> Checked:
    """Tell files that were left out though they belong to a domain."""
    left_out = evidence.index.left_out
    findings = [
        Finding(
            severity="fault",
            text=f"left out: {one.reason}",
            volumes=(one.name,),
            advice="mend or remove it",
        )
        for one in left_out
        if one.faulty
    ]
    return Checked(
        name="files",
        looks_for="volumes that can't be read, registered or used",
        judged=len(evidence.portraits) + len(findings),
        findings=tuple(findings),
    )


def check_headers(evidence: Evidence) -> Checked:
    """Tell what reading had to mend or to choose, once for all volumes that have it."""
    told: dict[str, list[str]] = defaultdict(list)
    for one in evidence.portraits:
        for note in one.shard.notes:
            told[note].append(one.name)
    findings = [
        Finding(
            severity="warning",
            text=f"{note} ({len(names)} volumes)" if len(names) > 1 else note,
            volumes=tuple(names),
            advice="see that it was meant so",
        )
        for note, names in told.items()
    ]
    return Checked(
        name="headers",
        looks_for="headers that contradict themselves or leave something open",
        judged=len(evidence.portraits),
        findings=tuple(findings),
    )
