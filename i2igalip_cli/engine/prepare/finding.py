"""Which volumes of a raw folder show which domain of which subject, and why others are left out.

A domain is told by a pattern of names, in a BIDS dataset by the suffix, and for DICOM by the
header, unless people give a pattern. What told it is kept, for them to see.
"""

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

from i2igalip_cli.config.presets import Preset
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.cohort.bids import bids_suffix
from i2igalip_cli.engine.cohort.inputs import FoundVolume, is_dicom, stem_of
from i2igalip_cli.engine.cohort.inputs import find_volumes as list_raw
from i2igalip_cli.engine.dataset import SPLITS, LeftOut
from i2igalip_cli.errors import DatasetError, GalipError
from i2igalip_cli.volumes import VolumeEntry
from i2igalip_cli.volumes.acquired import Acquisition
from i2igalip_cli.volumes.acquisition import read_acquisition
from i2igalip_cli.volumes.contrast import Verdict, classify
from i2igalip_cli.volumes.entry import SYNTHETIC


@dataclass(frozen=True, kw_only=True)
class RawVolume:
    """A volume that is to be prepared.

    Attributes:
        entry: Where it lies.
        name: Its path below the raw folder; of a DICOM series that of its folder.
        domain: Name of its domain.
        subject: Whom it shows.
        session: Which visit, where names say so; "" elsewhere.
        site: Where it was acquired, if the preset knows; "" elsewhere.
        evidence: What told its domain.
        header: The contrast that its header or sidecar tells; "" where it tells none.
        contradiction: How that differs from its domain; "" where it doesn't.
        notes: What is wrong with what lies beside it.
    """

    entry: VolumeEntry
    name: str
    domain: str
    subject: str
    session: str = ""
    site: str = ""
    evidence: str = ""
    header: str = ""
    contradiction: str = ""
    notes: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """Between the raw folder and the file."""
        return PurePosixPath(self.name).parts[:-1]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a raw folder holds."""

    volumes: tuple[RawVolume, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def faults(self) -> list[LeftOut]:
        """What belongs to a domain and can't be used."""
        return [one for one in self.left_out if one.faulty]


@dataclass(frozen=True, kw_only=True)
class _Sight:
    """A volume of the folder, whatever it shows."""

    found: FoundVolume
    name: str

    @property
    def refusal(self) -> str:
        return self.found.entry.say(self.found.fault or self.found.entry.refusal)


def find_volumes(raw: Path, domains: Mapping[str, Domain], preset: Preset) -> Found:
    """Find the volumes of each domain below a folder.

    Args:
        raw: The folder, searched through all levels.
        domains: Those that are wanted, by name.
        preset: Patterns, one a domain: of file names, or with a `/` of paths below the folder
            (`**/` is any number of folders); case doesn't matter. How names carry the subject, and
            which contrast of a DICOM header is which domain.

    Raises:
        DatasetError: No such folder, nothing found, or a file that fits two domains.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder")
    try:
        sights = _name_all(list_raw([str(raw)], bids_source="*"), raw)
    except GalipError as error:
        raise DatasetError(f"{error}; known are NIfTI, DICOM, NRRD, MetaImage and MGH") from error
    volumes: list[RawVolume] = []
    left_out: list[LeftOut] = []
    for sight in sorted(sights, key=lambda one: one.name):
        made = _judge(sight, domains, preset)
        (volumes if isinstance(made, RawVolume) else left_out).append(made)  # type: ignore[arg-type]  # each into its own
    if not volumes:
        tried = ", ".join(f"{name}: {preset.patterns.get(name, '-')}" for name in domains)
        raise DatasetError(f"{raw}: no volumes fit {tried}; give patterns such as T1='*T1*'")
    kept, seconds = _leave_seconds(volumes)
    return Found(volumes=tuple(kept), left_out=(*left_out, *seconds))


def _name_all(found: Sequence[FoundVolume], raw: Path) -> list[_Sight]:
    """Volumes by their paths; those of one DICOM folder by the numbers of their series, too."""
    names = [
        _dicom_folder(one) if is_dicom(one.entry) else one.entry.path.relative_to(raw).as_posix()
        for one in found
    ]
    often = Counter(names)
    return [
        _Sight(found=one, name=f"{name} {one.entry.describe()}" if often[name] > 1 else name)
        for one, name in zip(found, names, strict=True)
    ]


def _dicom_folder(found: FoundVolume) -> str:
    """The folder below the raw one that a series lies in."""
    return PurePosixPath(found.entry.files[0]).parent.as_posix()


def _judge(sight: _Sight, domains: Mapping[str, Domain], preset: Preset) -> RawVolume | LeftOut:
    """Give a volume its domain and subject, or the reason why it has none."""
    entry, acquired = sight.found.entry, Acquisition()
    notes: tuple[str, ...] = ()
    if not sight.refusal:
        try:
            acquired = read_acquisition(entry)
        except GalipError as error:
            if is_dicom(entry):
                return LeftOut(name=sight.name, reason=entry.say(error), faulty=True)
            notes = (entry.say(error),)  # of a sidecar, which the images can do without
    domain, evidence = _tell_domain(sight, acquired, domains, preset)
    if not domain:
        return LeftOut(name=sight.name, reason=sight.refusal or evidence)
    pattern = preset.patterns.get(domain, "")
    subject, session, site = _whom(sight, acquired, domains[domain], pattern, preset)
    if sight.refusal:
        return LeftOut(name=sight.name, reason=sight.refusal, subject=subject, faulty=True)
    if entry.synthetic:
        return LeftOut(name=sight.name, reason=SYNTHETIC)
    verdict = classify(acquired)
    return RawVolume(
        entry=entry,
        name=sight.name,
        domain=domain,
        subject=subject,
        session=session,
        site=site,
        evidence=evidence,
        header=verdict.contrast,
        contradiction=_contradict(verdict, domain, preset),
        notes=notes,
    )


def _contradict(verdict: Verdict, domain: str, preset: Preset) -> str:
    """How what a header tells differs from a domain; "" where it doesn't, or nobody can say."""
    expected = {contrast for contrast, name in preset.contrasts.items() if name == domain}
    free = domain in preset.insisted and domain not in expected  # such as pelvic-MR='*T2*'
    if free or not expected or verdict.contrast in ("", *expected):
        return ""
    return f"its header tells {verdict.contrast} ({verdict.evidence})"


def _tell_domain(
    sight: _Sight, acquired: Acquisition, domains: Mapping[str, Domain], preset: Preset
) -> tuple[str, str]:
    """A volume's domain and what told it; "" and why nothing did.

    Raises:
        DatasetError: Its name fits two.
    """
    patterns = {name: preset.patterns[name] for name in domains if name in preset.patterns}
    insisted = {name: one for name, one in patterns.items() if name in preset.insisted}
    free = [name for name in domains if name not in insisted]  # no pattern of people's binds them
    if sight.found.bids:
        last = sight.found.stem.rpartition("_")[2]
        fits = [name for name in free if bids_suffix(domains[name]) == last]
        by_suffix = (fits[0], f"BIDS suffix {last}") if fits else None
        return _by_name(sight, insisted) or by_suffix or ("", f"BIDS suffix {last}: no domain")
    if not is_dicom(sight.found.entry) or sight.refusal:
        return _by_name(sight, patterns) or ("", "fits no pattern")
    verdict = classify(acquired)
    told = f"{verdict.contrast or 'unknown contrast'} by its header: {verdict.evidence}"
    by_header = preset.contrasts.get(verdict.contrast, "")
    return (
        _by_name(sight, insisted)
        or ((by_header, told) if by_header in free else None)
        or ("", f"{told}; a pattern may say otherwise")
    )


def _by_name(sight: _Sight, patterns: Mapping[str, str]) -> tuple[str, str] | None:
    """The domain whose pattern a name fits, and how that is told; None where it fits none.

    Raises:
        DatasetError: It fits two.
    """
    fits = [name for name, pattern in patterns.items() if _fits(sight, pattern)]
    if len(fits) > 1:
        raise DatasetError(f"{sight.name} fits the patterns of {' and '.join(fits)}; narrow them")
    return (fits[0], f"name fits '{patterns[fits[0]]}'") if fits else None


def _fits(sight: _Sight, pattern: str) -> bool:
    path, wanted = PurePosixPath(sight.name.lower()), pattern.lower()
    names = [str(path)] if "/" in wanted else [path.name, sight.found.entry.description.lower()]
    # `**/` is any number of folders, none too.
    parts = wanted.split("**/")
    for between in product(("", "*/"), repeat=len(parts) - 1):
        filled = parts[0] + "".join(map("".join, zip(between, parts[1:], strict=True)))
        if any(name and fnmatch.fnmatchcase(name, filled) for name in names):
            return True
    return False


def _whom(
    sight: _Sight, acquired: Acquisition, domain: Domain, pattern: str, preset: Preset
) -> tuple[str, str, str]:
    """Subject, session and site of a volume."""
    told = re.search(preset.subject, sight.name) if preset.subject else None
    if told:
        return told["subject"], "", told.groupdict().get("site") or ""
    if sight.found.bids:
        return (*_entities(sight.found.stem), "")
    if is_dicom(sight.found.entry):
        folder = PurePosixPath(_dicom_folder(sight.found))
        return acquired.subject or "_".join(folder.parts) or "unnamed", "", ""
    path = PurePosixPath(sight.name)
    subject, session = _entities(path.name)
    return subject or _subject(path, domain.name, pattern), session, ""


def _entities(name: str) -> tuple[str, str]:
    """Subject and visit of a name by the rule of BIDS; "" where it doesn't follow it."""
    told = re.match(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?=[_.])", name)
    return (told[1], told[2] or "") if told else ("", "")


def _subject(path: PurePosixPath, domain: str, pattern: str) -> str:
    """A file's name without what tells its domain: that one's name, or a word of its pattern.

    Where the name is nothing else, or doesn't tell the domain, the folders tell the subject, too.
    """
    stem = stem_of(Path(path.name))
    words = re.split(r"[*?\[\]/]+", pattern)
    tokens = (domain, *(stem_of(Path(word)).strip("-_. ") for word in reversed(words)))
    rest = _without(stem, tokens)
    if rest not in ("", stem):
        return rest
    folders = [part for part in path.parts[:-1] if part not in SPLITS]
    return "_".join(part for part in (*(_without(f, tokens) for f in folders), rest) if part)


def _without(text: str, tokens: Iterable[str]) -> str:
    """A text without the first of some words that stands in it; as it is where none does."""
    for token in filter(None, tokens):
        word = rf"(?i)(^|[-_. ]){re.escape(token)}w?(?=$|[-_. ])"
        rest = re.sub(word, "", text).strip("-_. ")
        if rest != text:
            return rest
    return text


def _leave_seconds(volumes: Iterable[RawVolume]) -> tuple[list[RawVolume], list[LeftOut]]:
    """Take one volume of each subject, visit and domain; the others are faults."""
    first: dict[tuple[str, str, str], RawVolume] = {}
    others = []
    for volume in volumes:
        kept = first.setdefault((volume.subject, volume.session, volume.domain), volume)
        if kept is not volume:
            reason = (
                f"a second {volume.domain} volume of subject {volume.subject}, beside {kept.name}; "
                "narrow the patterns"
            )
            others.append(
                LeftOut(name=volume.name, reason=reason, subject=volume.subject, faulty=True)
            )
    return list(first.values()), others
