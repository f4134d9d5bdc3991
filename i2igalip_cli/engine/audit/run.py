"""A prepared dataset, judged before a week of training is spent on it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from i2igalip_cli.engine.audit.captions import fit_captions
from i2igalip_cli.engine.audit.checks import CHECKS
from i2igalip_cli.engine.audit.checks.counts import count_volumes
from i2igalip_cli.engine.audit.checks.persons import find_mirrored, find_suspects, find_unfit
from i2igalip_cli.engine.audit.evidence import Evidence
from i2igalip_cli.engine.audit.findings import Audit
from i2igalip_cli.engine.audit.pairs import (
    Fit,
    fit_couple,
    list_couples,
    list_others,
    look_closer,
)
from i2igalip_cli.engine.audit.portraits import make_portrait
from i2igalip_cli.engine.audit.scales import measure_scales
from i2igalip_cli.engine.audit.templates import Templates
from i2igalip_cli.engine.audit.twins import compare_noise, list_twins
from i2igalip_cli.engine.dataset import Shard, read_index
from i2igalip_cli.engine.side_by_side import Progress, do_each

AUDIT_NAME = "audit.json"  # in a dataset


def gather(
    folder: Path, encoder: str = "", jobs: int = 1, on_progress: Progress | None = None
) -> Evidence:
    """Look at every volume of a dataset, and at every subject's together.

    Args:
        folder: A prepared dataset.
        encoder: Text-image encoder by name or folder; "" takes BiomedCLIP where it is here.
        jobs: Processes.
        on_progress: Called with (done, in all) of each look in turn.

    Raises:
        CheckpointError: The encoder isn't here.
        DatasetError: Not a dataset, one of an older version, or a damaged one.
    """
    tell = on_progress or (lambda done, total: None)
    index = read_index(folder)
    volumes: dict[str, Shard] = {}
    for shard in index.shards:
        volumes.setdefault(shard.source, shard)  # of the first plane that it has slices in
    first = list(volumes.values())
    portraits = do_each(partial(make_portrait, folder), first, jobs, tell)
    twins = do_each(partial(compare_noise, folder), list_twins(portraits), jobs, tell)
    captions, unread = fit_captions(folder, first, index.domains, encoder, tell)
    templates = Templates(portraits)
    seen = Evidence(
        index=index,
        portraits=portraits,
        lies=templates.judge_lies(portraits),
        distances=templates.measure_distances(portraits),
        scales=measure_scales(portraits),
        twins=twins,
        fits=(),
        captions=captions,
        unread=unread,
    )
    unfit = find_unfit(seen)
    upright = [shard for shard in first if shard.source not in unfit]
    factors = {name: scale.factor for name, scale in seen.scales.items()}
    return replace(seen, fits=_fit_persons(folder, upright, factors, jobs, tell))


def _fit_persons(
    folder: Path, shards: list[Shard], factors: Mapping[str, float], jobs: int, tell: Progress
) -> list[Fit]:
    """Fits of all volumes with their subject's first; of suspicious subjects, among all.

    Those that seem to be mirrored are looked at more closely.
    """
    fit = partial(fit_couple, folder)
    fits = do_each(fit, list_couples(shards, factors), jobs, tell)
    suspects = [one.couple for one in find_suspects(fits)]
    fits += do_each(fit, list_others(shards, factors, suspects), jobs, tell)
    mirrored = find_mirrored(fits)
    closer = {
        one.couple: one for one in do_each(partial(look_closer, folder), mirrored, jobs, tell)
    }
    return [closer.get(one.couple, one) for one in fits]


def judge(evidence: Evidence) -> Audit:
    """What all checks say."""
    return Audit(checks=tuple(check(evidence) for check in CHECKS), counts=count_volumes(evidence))


def write_audit(audit: Audit, folder: Path) -> None:
    """Write the verdict as JSON into a folder."""
    text = json.dumps(audit.as_json(), indent=1)
    (folder / AUDIT_NAME).write_text(text + "\n", encoding="utf-8")
