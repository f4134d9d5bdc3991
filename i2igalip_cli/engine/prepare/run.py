"""Raw folder -> prepared dataset: find volumes, split by subject, normalise, crop, slice."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.audit import Audit, Evidence, check_encoder, gather, judge, write_audit
from i2igalip_cli.engine.dataset import SPLITS, DatasetIndex, LeftOut, Split
from i2igalip_cli.engine.prepare.cutting import Cutter
from i2igalip_cli.engine.prepare.finding import Found, RawVolume, find_volumes
from i2igalip_cli.engine.prepare.naming import name_domains
from i2igalip_cli.engine.prepare.scaling import scale_domains
from i2igalip_cli.engine.prepare.splitting import (
    LOCK_NAME,
    read_lock,
    split_subjects,
    write_lock,
)
from i2igalip_cli.engine.prepare.steps import order
from i2igalip_cli.engine.prepare.work import DONE, Outcome, SubjectWork, refuse_copies
from i2igalip_cli.engine.reports.audit import REPORT_NAME, write_audit_report
from i2igalip_cli.engine.side_by_side import Progress, do_each
from i2igalip_cli.errors import ConfigError, DatasetError, os_reason
from i2igalip_cli.volumes.preprocess.strippers import check_mask


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a preparation would do, before any voxel is read.

    Attributes:
        domains: By name.
        found: Volumes, and what is left out.
        split_of: Split by subject; volumes of other subjects aren't prepared.
        locked: Split by subject of earlier runs, also of those that aren't there now.
        warnings: What people should know.
    """

    domains: Mapping[str, Domain]
    found: Found
    split_of: Mapping[str, Split]
    locked: Mapping[str, Split]
    warnings: tuple[str, ...] = ()

    @property
    def faults(self) -> list[LeftOut]:
        """What can't be used, but for that of subjects who are in no split."""
        unused = {volume.subject for volume in self.found.volumes} - self.split_of.keys()
        return [one for one in self.found.faults if one.subject not in unused]

    @property
    def volumes(self) -> list[RawVolume]:
        """Those of the subjects that are in a split."""
        return [volume for volume in self.found.volumes if volume.subject in self.split_of]


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What was prepared.

    Attributes:
        index: Of the dataset.
        warnings: A line for each thing that people should know.
        audit: What is wrong with it.
        evidence: What that was judged by.
    """

    index: DatasetIndex
    warnings: tuple[str, ...]
    audit: Audit
    evidence: Evidence

    @property
    def pairs(self) -> int:
        """Volumes of the training subjects that are registered with one of another domain."""
        volumes = {
            ((shard.subject, shard.session, shard.grid), shard.domain)
            for shard in self.index.shards
            if shard.split == "train"
        }
        seen = Counter(place for place, _ in volumes)
        return sum(number for number in seen.values() if number > 1)

    @property
    def counts(self) -> dict[str, dict[Split, int]]:
        """Slices of each domain and split."""
        return {
            domain.name: {
                split: sum(
                    shard.shape[0]
                    for shard in self.index.shards
                    if (shard.domain, shard.split) == (domain.name, split)
                )
                for split in SPLITS
            }
            for domain in self.index.domains
        }


def plan(raw: Path, settings: PrepareConfig, split_file: Path | None = None) -> Plan:
    """Find volumes and deal subjects.

    Args:
        raw: Folder of volumes.
        settings: Domains and split.
        split_file: Of earlier runs: no subject that is in it is moved.

    Raises:
        ConfigError: A domain without a caption, a caption, modality or scale without a domain, a
            reference of registration that is no domain, or a mask that no program here finds.
        DatasetError: Nothing to prepare, or what no rule decides.
    """
    domains = scale_domains(name_domains(settings), settings.intensity)
    register = settings.steps.register
    if register and register not in domains:
        raise ConfigError(f"register = {register}: no domain of these, {', '.join(domains)}")
    if settings.steps.mask:
        check_mask(settings.steps.mask)
    layout = settings.layout
    found = find_volumes(raw, domains, layout)
    locked, warnings = {}, []
    if split_file is not None and split_file.exists():
        locked = read_lock(split_file)
    elif split_file is not None:
        warnings.append(f"{split_file} isn't there yet: it will be a new one")
    split_of = split_subjects(found.volumes, layout, settings.seed, locked)
    unused = {volume.subject for volume in found.volumes} - split_of.keys()
    if unused:
        shown = ", ".join(sorted(unused)[:3])
        warnings.append(
            f"{len(unused)} subjects are in no split, for split = {list(layout.split)}: {shown}"
            + " ..." * (len(unused) > 3)
        )
    return Plan(
        domains=domains,
        found=found,
        split_of=split_of,
        locked=locked,
        warnings=tuple(warnings),
    )


def prepare(
    raw: Path,
    out: Path,
    settings: PrepareConfig | None = None,
    *,
    split_file: Path | None = None,
    skip_faulty: bool = False,
    encoder: str = "",
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> PrepareReport:
    """Write a prepared dataset and judge it, the same bytes whatever the number of processes.

    One that was stopped, or refused for some volumes, goes on with what is there.

    Args:
        raw: Folder of volumes.
        out: New folder.
        settings: Domains, planes, crop, steps and split.
        split_file: Split by subject: what it says stays, and new subjects are added to it.
        skip_faulty: Leave out volumes that can't be used, rather than refuse them all.
        encoder: Text-image encoder that the audit asks, by name or folder; "" takes BiomedCLIP
            where it is here.
        jobs: Processes, each with a subject's volumes at a time.
        on_progress: Called with (subjects done, subjects in all), visits count as subjects; then
            likewise of what the audit looks at.

    Raises:
        CheckpointError: The encoder isn't here, or is damaged.
        ConfigError: A domain without a caption, or a caption without a domain.
        DatasetError: Nothing to prepare, or `out` exists; a volume that can't be used: there is no
            dataset then.
        VolumeError: The disk is full, or the folder read-only.
    """
    settings = settings or PrepareConfig()
    check_encoder(encoder)
    planned = plan(raw, settings, split_file)
    if planned.faults and not skip_faulty:
        raise _refuse(planned.faults)
    if out.exists():
        raise DatasetError(f"{out} exists; give another --out or remove it")
    if split_file is not None and not split_file.parent.is_dir():
        raise DatasetError(f"{split_file}: no such folder; give another --split-file")
    building = out.with_name(f".{out.name}.unfinished")
    cutter = Cutter(
        domains=planned.domains,
        settings=settings,
        out=building,
    )
    work = SubjectWork(cutter=cutter, split_of=planned.split_of)
    groups = order(planned.volumes, settings.steps.register)
    try:
        work.begin()
        done = do_each(work, groups, jobs, on_progress or (lambda done, total: None))
        outcomes = refuse_copies([outcome for group in done for outcome in group])
        faults = [LeftOut(name=o.name, reason=o.fault, faulty=True) for o in outcomes if o.fault]
        if faults and not skip_faulty:
            raise _refuse(faults)
        index = _make_index(cutter, outcomes, (*planned.found.left_out, *faults))
        if not index.shards:
            raise DatasetError(f"{raw}: nothing is left to train on; see --dry-run")
        index.write(building)
        evidence = gather(building, encoder, jobs, on_progress)
        audit = judge(evidence)
        write_audit(audit, building)
        write_audit_report(audit, evidence, building / REPORT_NAME, overwrite=True)
        split_of = {**planned.locked, **planned.split_of}
        _finish(building, index, split_of)
        building.replace(out)
        if split_file is not None:
            write_lock(split_file, split_of)
    except OSError as error:
        raise DatasetError(f"can't write {out}: {os_reason(error)}") from error
    return PrepareReport(
        index=index,
        warnings=(*planned.warnings, *(note for o in outcomes for note in o.notes)),
        audit=audit,
        evidence=evidence,
    )


def _make_index(
    cutter: Cutter, outcomes: Sequence[Outcome], left_out: tuple[LeftOut, ...]
) -> DatasetIndex:
    shards = tuple(shard for outcome in outcomes for shard in outcome.shards)
    present = [name for name in cutter.domains if any(shard.domain == name for shard in shards)]
    return DatasetIndex(
        domains=tuple(cutter.domains[name] for name in present),
        policy=cutter.settings.policy,
        crop=cutter.settings.crop,
        planes=cutter.settings.planes,
        shards=shards,
        left_out=left_out,
    )


def _finish(building: Path, index: DatasetIndex, split_of: Mapping[str, Split]) -> None:
    """Leave nothing in the folder but the dataset: no work of earlier tries."""
    shutil.rmtree(building / DONE, ignore_errors=True)
    known = {building / shard.file for shard in index.shards}
    for stray in set(building.rglob("*.npy")) - known:
        stray.unlink()
    write_lock(building / LOCK_NAME, split_of)


def _refuse(faults: Sequence[LeftOut]) -> DatasetError:
    """All that can't be used, in one message."""
    shown = "; ".join(f"{one.name}: {one.reason}" for one in faults)
    return DatasetError(
        f"{len(faults)} of the volumes can't be used: {shown}. Mend or remove them and run "
        "it again, which keeps what is done; or leave them out with --skip-faulty"
    )
