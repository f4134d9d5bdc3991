"""Which volumes of a raw folder show which domain of which subject, and why others are left out.

A domain is told by a pattern of names, in a BIDS dataset by the suffix, and for DICOM by the
header, unless people give a pattern. What told it is kept, for them to see.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.config.presets import Preset
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.cohort.bids import bids_suffix
from i2igalip_cli.engine.cohort.inputs import FoundVolume, is_dicom, stem_of
from i2igalip_cli.engine.cohort.inputs import find_volumes as list_raw
from i2igalip_cli.errors import DatasetError, GalipError
from i2igalip_cli.volumes import VolumeEntry
from i2igalip_cli.volumes.acquisition import Acquisition, read_acquisition
from i2igalip_cli.volumes.contrast import classify
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
    """

    entry: VolumeEntry
    name: str
    domain: str
    subject: str
    session: str = ""
    site: str = ""
    evidence: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Between the raw folder and the file."""
        return PurePosixPath(self.name).parts[:-1]


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What isn't prepared.

    Attributes:
        name: Its path below the raw folder.
        reason: Why.
        faulty: Whether it should have been: it belongs to a domain, and can't be used.
    """

    name: str
    reason: str
    faulty: bool = False


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
        return self.found.fault or self.found.entry.refusal


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
        sights = [_Sight(found=one, name=_name(one, raw)) for one in _list(raw)]
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


def _list(raw: Path) -> Sequence[FoundVolume]:
    return list_raw([str(raw)], bids_source="*")


def _name(found: FoundVolume, raw: Path) -> str:
    if is_dicom(found.entry):
        return (found.folder / found.stem).as_posix()
    return found.entry.path.relative_to(raw).as_posix()


def _judge(sight: _Sight, domains: Mapping[str, Domain], preset: Preset) -> RawVolume | LeftOut:
    """Give a volume its domain and subject, or the reason why it has none."""
    entry, acquired = sight.found.entry, Acquisition()
    if is_dicom(entry) and not sight.refusal:
        acquired = read_acquisition(entry)
    domain, evidence = _tell_domain(sight, acquired, domains, preset)
    if sight.refusal:
        return LeftOut(name=sight.name, reason=sight.refusal, faulty=bool(domain))
    if not domain:
        return LeftOut(name=sight.name, reason=evidence)
    if entry.synthetic:
        return LeftOut(name=sight.name, reason=SYNTHETIC)
    pattern = preset.patterns.get(domain, "")
    subject, session, site = _whom(sight, acquired, domains[domain], pattern, preset)
    return RawVolume(
        entry=entry,
        name=sight.name,
        domain=domain,
        subject=subject,
        session=session,
        site=site,
        evidence=evidence,
    )


def _tell_domain(
    sight: _Sight, acquired: Acquisition, domains: Mapping[str, Domain], preset: Preset
) -> tuple[str, str]:
    """A volume's domain and what told it; "" and why nothing did.

    Raises:
        DatasetError: Its name fits two.
    """
    if sight.found.bids:
        last = sight.found.stem.rpartition("_")[2]
        fits = [name for name, one in domains.items() if bids_suffix(one) == last]
        return (fits[0], f"BIDS suffix {last}") if fits else ("", f"BIDS suffix {last}: no domain")
    patterns = {name: preset.patterns[name] for name in domains if name in preset.patterns}
    if not is_dicom(sight.found.entry) or sight.refusal:
        return _by_name(sight, patterns) or ("", "fits no pattern")
    insisted = {name: one for name, one in patterns.items() if name in preset.insisted}
    verdict = classify(acquired)
    told = f"{verdict.contrast or 'unknown contrast'} by its header: {verdict.evidence}"
    by_header = preset.contrasts.get(verdict.contrast, "")
    return (
        _by_name(sight, insisted)
        or ((by_header, told) if by_header in domains else None)
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
    names = [path.name, sight.found.entry.description.lower()]
    if "/" not in pattern:
        return any(name and fnmatch.fnmatch(name, wanted) for name in names)
    anywhere = wanted.removeprefix("**/")
    return fnmatch.fnmatch(str(path), wanted) or (
        anywhere != wanted and fnmatch.fnmatch(str(path), anywhere)
    )


def _whom(
    sight: _Sight, acquired: Acquisition, domain: Domain, pattern: str, preset: Preset
) -> tuple[str, str, str]:
    """Subject, session and site of a volume."""
    told = re.search(preset.subject, sight.name) if preset.subject else None
    if told:
        return told["subject"], "", told.groupdict().get("site") or ""
    if sight.found.bids:
        entities = sight.found.stem.split("_")[:-1]
        return entities[0], "_".join(entities[1:]), ""
    if is_dicom(sight.found.entry):
        return acquired.subject or PurePosixPath(sight.name).parts[0], "", ""
    return _subject(PurePosixPath(sight.name), domain.name, pattern), "", ""


def _subject(path: PurePosixPath, domain: str, pattern: str) -> str:
    """A file's name without what tells its domain: that one's name, or a word of its pattern.

    Where nothing is left, the name of the folder with the file.
    """
    stem = stem_of(Path(path.name))
    words = re.split(r"[*?\[\]]+", PurePosixPath(pattern).name)
    for token in (domain, *(stem_of(Path(word)).strip("-_. ") for word in reversed(words))):
        rest = re.sub(rf"(?i)(^|[-_. ]){re.escape(token)}w?(?=$|[-_. ])", "", stem).strip("-_. ")
        if token and rest != stem:
            return rest or path.parent.name
    return stem


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
            others.append(LeftOut(name=volume.name, reason=reason, faulty=True))
    return list(first.values()), others
