"""Every subject's volumes, stepped and cut: side by side, and once, however often it is stopped.

What became of a subject lies in `done/`, written last and whole, under a name that tells of which
files: a later run that is asked for the same takes what fits, and does the rest.
"""

import glob
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import i2igalip_cli
from i2igalip_cli.config import from_dict
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.dataset import Shard, Split
from i2igalip_cli.engine.prepare.cutting import Cutter, content_hash
from i2igalip_cli.engine.prepare.finding import RawVolume
from i2igalip_cli.engine.prepare.steps import take_steps
from i2igalip_cli.errors import DatasetError, GalipError
from i2igalip_cli.volumes import Volume, load_entry
from i2igalip_cli.volumes.files import whole_file
from i2igalip_cli.volumes.voxels import AIR_BELOW_HU

DONE = "done"  # folder in an unfinished dataset


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a volume.

    Attributes:
        name: Of the raw volume.
        shards: What was written.
        notes: What people should know.
        fault: Why it can't be used; "" where it can.
    """

    name: str
    shards: tuple[Shard, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class SubjectWork:
    """What is done to the volumes of one subject and visit.

    Attributes:
        cutter: What volumes are cut by, with the steps before.
        split_of: Split by subject.
    """

    cutter: Cutter
    split_of: Mapping[str, Split]

    def __call__(self, group: Sequence[RawVolume]) -> list[Outcome]:
        """Step and cut a subject's volumes, the reference of registration first among them."""
        record = self.cutter.out / DONE / f"{self._fingerprint(group)}.json"
        if record.exists():
            return _read(record)
        outcomes, reference = [], None
        for raw in group:
            try:
                outcome, made = self._cut(raw, group, reference)
            except GalipError as error:
                outcome = Outcome(name=raw.name, fault=raw.entry.say(error))
            else:
                reference = made if raw.domain == self._register else reference
            outcomes.append(outcome)
        with whole_file(record, overwrite=True) as file:
            file.write_text(json.dumps([asdict(one) for one in outcomes]), encoding="utf-8")
        return outcomes

    @property
    def _register(self) -> str:
        return self.cutter.settings.steps.register

    def _cut(
        self, raw: RawVolume, group: Sequence[RawVolume], reference: Volume | None
    ) -> tuple[Outcome, Volume]:
        """Read, step and cut one volume; and what it became."""
        if self._register and raw.domain != self._register and reference is None:
            known = "can't be used" if group[0].domain == self._register else "isn't there"
            raise DatasetError(f"the {self._register} volume to register it onto {known}")
        volume = load_entry(raw.entry)
        domain, steps = self.cutter.domains[raw.domain], self.cutter.settings.steps
        stepped = take_steps(volume, domain, steps, reference)
        split = self.split_of[raw.subject]
        raw = replace(raw, notes=(*raw.notes, *volume.warnings, *_doubt(volume, domain)))
        shards, notes = self.cutter.cut(raw, stepped, split, content_hash(volume))
        if not shards:
            least = self.cutter.settings.least_foreground
            raise DatasetError(f"no slice has foreground, {least:.1%} of its pixels")
        return Outcome(name=raw.name, shards=tuple(shards), notes=tuple(notes)), stepped.volume

    def _fingerprint(self, group: Sequence[RawVolume]) -> str:
        """What tells a subject's volumes from any others: where they go, and files as they are."""
        return _hash(
            (raw, self.split_of[raw.subject], _states(raw.entry.path, raw.entry.files))
            for raw in group
        )

    def begin(self) -> None:
        """Make the folder; one in which something else was begun is emptied."""
        out = self.cutter.out
        name = _hash([i2igalip_cli.__version__, self.cutter])
        if not (out / DONE / name).exists():
            shutil.rmtree(out, ignore_errors=True)
            (out / DONE).mkdir(parents=True)
            (out / DONE / name).touch()


def _doubt(volume: Volume, domain: Domain) -> Iterator[str]:
    """What is odd about a volume's intensities."""
    if count := volume.nonfinite_voxels:
        yield f"{count} voxels were not finite; they count as no signal"
    if domain.modality == "MR" and volume.array.min() <= AIR_BELOW_HU:
        yield (
            f"{domain.name} is MR, but this has intensities of air in HU: if it is CT, give it to "
            "a domain of CT (pelvic-CT, or --modality NAME=CT for one of your own)"
        )


def _hash(values: Iterable[object]) -> str:
    return hashlib.sha256(repr(list(values)).encode()).hexdigest()[:32]


def _states(path: Path, files: Sequence[str]) -> list[tuple[int, int]]:
    """Size and time of the files of a volume, or of the file, folder or archive it lies in."""
    below = [path / name for name in files] if path.is_dir() else [path]
    if path.suffix.lower() == ".hdr":
        below += path.parent.glob(f"{glob.escape(path.stem)}.[iI][mM][gG]*")
    states = [one.stat() for one in below]
    return [(state.st_size, state.st_mtime_ns) for state in states]


def _read(record: Path) -> list[Outcome]:
    return [
        Outcome(
            name=row["name"],
            shards=tuple(from_dict(Shard, shard) for shard in row["shards"]),
            notes=tuple(row["notes"]),
            fault=row["fault"],
        )
        for row in json.loads(record.read_text(encoding="utf-8"))
    ]


def refuse_copies(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes, those of scans that another volume holds already turned to faults.

    A subject with a scan of another one is nobody that is known: all of it is at fault, lest one
    person's scans lie in two splits.
    """
    first: dict[str, Outcome] = {}
    reasons: dict[str, str] = {}  # by volume
    strangers: dict[str, str] = {}  # by subject
    for outcome in outcomes:
        for shard in outcome.shards:
            held = first.setdefault(shard.content, outcome)
            if held is not outcome:
                reasons[outcome.name] = f"the same scan as {held.name}"
            if held.shards[0].subject != shard.subject:
                strangers[shard.subject] = f"{outcome.name} is the same scan as {held.name}"
    return [_refuse_copy(outcome, reasons, strangers) for outcome in outcomes]


def _refuse_copy(
    outcome: Outcome, reasons: Mapping[str, str], strangers: Mapping[str, str]
) -> Outcome:
    subject = outcome.shards[0].subject if outcome.shards else ""
    of_subject = subject in strangers and f"of {subject}, {strangers[subject]}"
    fault = reasons.get(outcome.name) or of_subject
    return Outcome(name=outcome.name, fault=fault) if fault else outcome
