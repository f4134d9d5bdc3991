"""What an audit says: findings by check, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["fault", "warning"]
Verdict = Literal["sound", "doubtful", "faulty"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a dataset, or may be.

    Attributes:
        severity: "fault" for what spoils a training or its figures, "warning" for what people
            should know and may have meant.
        text: What is wrong, with the figures that say so.
        volumes: Which, by their path below the raw folder; () where it concerns all.
        advice: What to do.
    """

    severity: Severity
    text: str
    volumes: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What one check found.

    Attributes:
        name: Of the check.
        looks_for: What it looks for, for people.
        judged: How many volumes, or pairs of them, it could judge.
        unjudged: Why it couldn't judge some; "" where it could.
        findings: Faults and warnings.
    """

    name: str
    looks_for: str
    judged: int
    unjudged: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What all checks say of a dataset.

    Attributes:
        checks: In the order in which they were made.
        counts: Volumes by domain and split.
    """

    checks: tuple[Checked, ...]
    counts: Mapping[str, Mapping[str, int]]

    def of(self, severity: Severity) -> list[Finding]:
        """All findings of a severity."""
        return [one for check in self.checks for one in check.findings if one.severity == severity]

    @property
    def verdict(self) -> Verdict:
        """The worst that was found."""
        if self.of("fault"):
            return "faulty"
        return "doubtful" if self.of("warning") else "sound"

    def as_json(self) -> dict[str, object]:
        """For `audit.json` and for machines."""
        return {"verdict": self.verdict, **asdict(self)}

    def lines(self, severity: Severity) -> list[str]:
        """The findings of a severity, a line each."""
        return [
            f"{check.name}: {describe(one)}"
            for check in self.checks
            for one in check.findings
            if one.severity == severity
        ]


def describe(finding: Finding) -> str:
    """A finding in one line: whom it concerns, what is wrong, what to do."""
    who = name_some(finding.volumes)
    advice = f"; {finding.advice}" if finding.advice else ""
    return f"{who}{': ' if who else ''}{finding.text}{advice}"


def name_some(volumes: Sequence[str]) -> str:
    """Volumes by name, the first few of many."""
    return ", ".join(volumes[:4]) + ", ..." * (len(volumes) > 4)
