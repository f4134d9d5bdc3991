"""Raw folder -> prepared dataset: find volumes, split by subject, normalise, crop, slice."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from i2igalip_cli.config import IntensityPolicy, PrepareConfig, Steps
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.dataset import SPLITS, DatasetIndex, Shard, Split
from i2igalip_cli.engine.prepare.cutting import Cutter, content_hash
from i2igalip_cli.engine.prepare.finding import Found, LeftOut, RawVolume, find_volumes
from i2igalip_cli.engine.prepare.splitting import (
    LOCK_NAME,
    read_lock,
    split_subjects,
    write_lock,
)
from i2igalip_cli.engine.prepare.steps import order, take_steps
from i2igalip_cli.errors import ConfigError, DatasetError, GalipError
from i2igalip_cli.volumes import Volume, load_entry

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a preparation would do, before any voxel is read.

    Attributes:
        domains: By name.
        found: Volumes, and what is left out.
        split_of: Split by subject; volumes of other subjects aren't prepared.
    """

    domains: Mapping[str, Domain]
    found: Found
    split_of: Mapping[str, Split]

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
        left_out: What of the raw folder isn't in it, and why.
    """

    index: DatasetIndex
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

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


def name_domains(settings: PrepareConfig) -> dict[str, Domain]:
    """The domains that the settings' patterns name, with their captions.

    Raises:
        ConfigError: A domain without a caption, or a caption without a domain.
    """
    patterns = settings.layout.patterns
    stray = [name for name in settings.captions if name not in patterns]
    if stray:
        raise ConfigError(f"a caption for '{stray[0]}', but no pattern finds its volumes")
    found = {}
    for name in patterns:
        if name not in DOMAINS and name not in settings.captions:
            raise ConfigError(
                f"unknown domain '{name}': known are {', '.join(DOMAINS)}; give a new one its "
                f"caption with --caption {name}='...'"
            )
        caption = settings.captions.get(name, "")
        known = DOMAINS.get(name, Domain(name=name, caption=caption))
        found[name] = replace(known, caption=caption or known.caption)
    return found


def plan(raw: Path, settings: PrepareConfig, split_file: Path | None = None) -> Plan:
    """Find volumes and deal subjects.

    Args:
        raw: Folder of volumes.
        settings: Domains and split.
        split_file: Of earlier runs: no subject that is in it is moved.

    Raises:
        ConfigError: A domain without a caption, a caption without a domain, or a reference of
            registration that is no domain.
        DatasetError: Nothing to prepare, or what no rule decides.
    """
    domains = name_domains(settings)
    register = settings.steps.register
    if register and register not in domains:
        raise ConfigError(f"register = {register}: no domain of these, {', '.join(domains)}")
    layout = settings.layout
    found = find_volumes(raw, domains, layout)
    locked = {} if split_file is None else read_lock(split_file)
    split_of = split_subjects(found.volumes, layout, settings.seed, locked)
    return Plan(domains=domains, found=found, split_of=split_of)


def prepare(
    raw: Path,
    out: Path,
    settings: PrepareConfig | None = None,
    *,
    policy: IntensityPolicy | None = None,
    split_file: Path | None = None,
    skip_faulty: bool = False,
    on_progress: Progress | None = None,
) -> PrepareReport:
    """Write a prepared dataset.

    Args:
        raw: Folder of volumes.
        out: New folder.
        settings: Domains, planes, crop and split.
        policy: How volumes without a fixed window are scaled.
        split_file: Split by subject: what it says stays, and new subjects are added to it.
        skip_faulty: Leave out volumes that can't be used, rather than refuse them all.
        on_progress: Called with (volumes done, volumes in all).

    Raises:
        ConfigError: A domain without a caption, or a caption without a domain.
        DatasetError: Nothing to prepare, a volume that can't be used, or `out` exists; nothing is
            left behind.
    """
    settings = settings or PrepareConfig()
    planned = plan(raw, settings, split_file)
    if planned.found.faults and not skip_faulty:
        raise _refuse(planned.found.faults)
    if out.exists():
        raise DatasetError(f"{out} exists; give another --out or remove it")
    building = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        cutter = Cutter(
            domains=planned.domains,
            settings=settings,
            policy=policy or IntensityPolicy(),
            out=building,
        )
        work = _Work(planned=planned, cutter=cutter, steps=settings.steps)
        work.run(on_progress)
        if work.faults and not skip_faulty:
            raise _refuse(work.faults)
        shards = work.shards
        present = [name for name in planned.domains if any(s.domain == name for s in shards)]
        index = DatasetIndex(
            domains=tuple(planned.domains[name] for name in present),
            policy=cutter.policy,
            crop=settings.crop,
            planes=settings.planes,
            shards=tuple(shards),
        )
        index.write(building)
        locked = {} if split_file is None else read_lock(split_file)
        for path in (building / LOCK_NAME, split_file):
            if path is not None:
                write_lock(path, {**locked, **planned.split_of})
        building.replace(out)
    except OSError as error:
        raise DatasetError(f"can't write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return PrepareReport(
        index=index,
        warnings=tuple(work.warnings),
        left_out=(*planned.found.left_out, *work.faults),
    )


@dataclass
class _Work:
    """What comes of cutting every volume.

    Attributes:
        planned: What is to be done.
        cutter: What volumes are cut by.
        steps: What is done to them before.
        shards: What was written.
        warnings: What people should know.
        faults: What couldn't be used.
    """

    planned: Plan
    cutter: Cutter
    steps: Steps
    shards: list[Shard] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faults: list[LeftOut] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)  # of scans, by content

    def run(self, on_progress: Progress | None) -> None:
        """Cut all, subject by subject."""
        volumes = self.planned.volumes
        done = 0
        for group in order(volumes, self.steps.register):
            reference = None
            for raw in group:
                try:
                    made = self._cut(raw, group, reference)
                except GalipError as error:
                    self.faults.append(LeftOut(name=raw.name, reason=str(error), faulty=True))
                else:
                    if raw.domain == self.steps.register:
                        reference = made
                done += 1
                if on_progress is not None:
                    on_progress(done, len(volumes))

    def _cut(self, raw: RawVolume, group: list[RawVolume], reference: Volume | None) -> Volume:
        """Read, step and cut one volume; what it became."""
        register = self.steps.register
        if register and raw.domain != register and reference is None:
            known = "can't be used" if group[0].domain == register else "isn't there"
            raise DatasetError(f"the {register} volume to register it onto {known}")
        volume = load_entry(raw.entry)
        content = content_hash(volume)
        if self._names.setdefault(content, raw.name) != raw.name:
            raise DatasetError(f"the same scan as {self._names[content]}")
        domain = self.planned.domains[raw.domain]
        stepped = take_steps(volume, domain, self.steps, reference)
        split = self.planned.split_of[raw.subject]
        shards, notes = self.cutter.cut(raw, stepped, split, content)
        self.shards += shards
        self.warnings += notes
        return stepped.volume


def _refuse(faults: Sequence[LeftOut]) -> DatasetError:
    """All that can't be used, in one message."""
    shown = "; ".join(f"{one.name}: {one.reason}" for one in faults)
    return DatasetError(
        f"{len(faults)} of the volumes can't be used: {shown}. Mend or remove them, or leave them "
        "out with --skip-faulty"
    )
