"""Is a scan there twice, and in two splits?"""

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.audit.portraits import Portrait
from i2igalip_cli.engine.quality.orientation import standard

# Correlation at low resolution. A scan saved again with other numbers reaches 0.9999 and more, two
# heads bent from one atlas and scanned alike 0.98.
SAME = 0.999


def check_copies(evidence: Evidence) -> Checked:
    """Find scans that are one, although their files differ."""
    findings = [*_find_copies(evidence), *_find_names(evidence)]
    return Checked(
        name="copies",
        looks_for="one scan under two names, one person in two splits",
        judged=len(evidence.portraits),
        findings=tuple(findings),
    )


def _find_copies(evidence: Evidence) -> Iterator[Finding]:
    portraits = evidence.portraits
    vectors = np.stack([standard(one.cube).astype(np.float32) for one in portraits])
    for row, one in enumerate(portraits):
        alike = np.flatnonzero(vectors[row + 1 :] @ vectors[row] > SAME) + row + 1
        for number in alike:
            yield _tell(one, portraits[int(number)])


def _tell(first: Portrait, second: Portrait) -> Finding:
    splits = (first.shard.split, second.shard.split)
    people = (first.shard.subject, second.shard.subject)
    text = "the same scan twice"
    if people[0] != people[1]:
        text += f", as subjects {people[0]} and {people[1]}"
    if splits[0] != splits[1]:
        text += f": one for {splits[0]}, one for {splits[1]}, so figures of it are worth nothing"
    # Of one visit it may be two reconstructions that hardly differ, such as two doses.
    alike = people[0] == people[1] and first.domain != second.domain
    return Finding(
        severity="warning" if alike else "fault",
        text=text,
        volumes=(first.name, second.name),
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
