"""Is there enough of every domain in every split, and is nothing missing?"""

from collections.abc import Iterator, Mapping

from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Checked, Finding
from i2igalip_cli.engine.dataset import SPLITS, Split

UNEQUAL = 1.5  # times the volumes of another domain, for training
Counts = Mapping[str, Mapping[str, int]]


def count_volumes(evidence: Evidence) -> dict[str, dict[str, int]]:
    """Volumes by domain and split."""
    return {
        name: {
            split: sum(one.shard.split == split for one in evidence.of_domain(name))
            for split in SPLITS
        }
        for name in evidence.domains
    }


def check_counts(evidence: Evidence) -> Checked:
    """Find empty and unequal domains, and subjects that lack one."""
    counts = count_volumes(evidence)
    findings = [*_find_empty(counts), *_find_unequal(counts), *_find_missing(evidence)]
    return Checked(
        name="counts",
        looks_for="empty splits, unequal domains, subjects that lack a volume",
        judged=len(evidence.portraits),
        findings=tuple(findings),
    )


def _find_empty(counts: Counts) -> Iterator[Finding]:
    if len(counts) < 2:
        yield Finding(
            severity="fault",
            text=f"there are volumes of {', '.join(counts) or 'no domain'} alone",
            advice="a translation is learnt between two domains",
        )
    for split in SPLITS:
        empty = [name for name, of_split in counts.items() if of_split[split] == 0]
        if empty:
            yield Finding(
                severity="fault" if split == "train" else "warning",
                text=f"no volume of {', '.join(empty)} for {split}",
                advice="give another --split, or more volumes",
            )


def _find_unequal(counts: Counts) -> Iterator[Finding]:
    training = {name: of_split["train"] for name, of_split in counts.items()}
    few, many = (choose(training, key=lambda name: training[name]) for choose in (min, max))
    if 0 < UNEQUAL * training[few] <= training[many] and training[many] - training[few] > 1:
        yield Finding(
            severity="warning",
            text=f"{training[few]} volumes of {few} for training, {training[many]} of {many}: the "
            f"few of {few} are seen {training[many] / training[few]:.1f} times as often",
            advice=f"more of {few}, or fewer of {many}",
        )


def _find_missing(evidence: Evidence) -> Iterator[Finding]:
    """Visits that lack a domain, where most have all: elsewhere it is the design."""
    held: dict[tuple[Split, str, str], set[str]] = {}
    for one in evidence.portraits:
        visit = (one.shard.split, one.shard.subject, one.shard.session)
        held.setdefault(visit, set()).add(one.domain)
    wanted = set(evidence.domains)
    lacking = {visit: wanted - domains for visit, domains in held.items() if domains != wanted}
    testing = [visit for visit in held if visit[0] == "test"]
    if testing and all(visit in lacking for visit in testing):
        yield Finding(
            severity="warning",
            text="no test subject has all domains: translations can't be compared with truths",
            advice="give a --split-file that keeps complete subjects for testing",
        )
    if 2 * len(lacking) >= len(held):
        return
    for (split, subject, session), missing in sorted(lacking.items()):
        yield Finding(
            severity="warning",
            text=f"subject {' '.join(filter(None, (subject, session)))} ({split}) has no "
            f"{' and no '.join(sorted(missing))}",
            advice="find it, or know that it is missing",
        )
