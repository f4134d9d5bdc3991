"""Is a scan there twice, and in two splits?"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait
from i2igalip_cli.engine.audit.twins import Twins

# Correlation of noise. A scan saved again with 8 bits reaches 0.99; simulated heads scanned again
# in the same pose 0.0 at 2 mm, and 0.9 at 4 mm, where noise is weak and no place is flat.
SAME = 0.95


def check_copies(evidence: Evidence) -> Checked:
    """Find scans that are one, although their files differ."""
    findings = [*map(_tell, _find_copies(evidence)), *_find_names(evidence)]
    return Checked(
        name="copies",
        looks_for="one scan under two names, one person in two splits",
        judged=len(evidence.portraits),
        findings=tuple(findings),
    )


def _find_copies(evidence: Evidence) -> Iterator[Twins]:
    """Twins of which noise says that they are one; of two subjects all: no two are so alike."""
    for twins in evidence.twins:
        if twins.noise > SAME or twins.first.subject != twins.second.subject:
            yield twins


def _tell(twins: Twins) -> Finding:
    first, second = twins.first, twins.second
    text = "the same scan twice"
    if twins.noise <= SAME:
        text = "alike but for their noise: one person scanned twice, or one scan processed twice"
    elif math.isnan(twins.noise):
        text = "the same scan twice, as it seems, for their noise can't be compared"
    if first.subject != second.subject:
        text += f", as subjects {first.subject} and {second.subject}"
    if first.split != second.split:
        text += f": one for {first.split}, one for {second.split}, so figures are worth nothing"
    # Of one subject it may be two reconstructions that hardly differ.
    alike = first.subject == second.subject and first.domain != second.domain
    return Finding(
        severity="warning" if alike or twins.noise <= SAME else "fault",
        text=text,
        volumes=(first.source, second.source),
        advice="remove one, and find out whose it is",
    )


def _find_names(evidence: Evidence) -> Iterator[Finding]:
    """Subjects whose names differ in case, zeros or signs alone, and that lie in two splits."""
    alike: dict[tuple[str, ...], dict[str, Portrait]] = defaultdict(dict)
    for one in evidence.portraits:
        words = re.findall(r"[^\W\d_]+|\d+", one.shard.subject.casefold())
        bare = tuple(word.lstrip("0") or word[-1:] for word in words)
        alike[bare].setdefault(one.shard.subject, one)
    for subjects in alike.values():
        splits = {one.shard.split for one in subjects.values()}
        if len(subjects) > 1 and len(splits) > 1:
            yield Finding(
                severity="warning",
                text=f"subjects {' and '.join(subjects)} lie in {' and '.join(sorted(splits))}: is "
                "it one person, written in two ways?",
                volumes=tuple(one.name for one in subjects.values()),
                advice="give them one name",
            )
