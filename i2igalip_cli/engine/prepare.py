"""Raw folder -> prepared dataset: find volumes by domain, normalise, split by subject, slice."""

import fnmatch
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from i2igalip_cli.config import IntensityPolicy, Plane
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.dataset import SPLITS, DatasetIndex, Shard, Split
from i2igalip_cli.errors import ConfigError, DatasetError, VolumeError
from i2igalip_cli.volumes import load_volume, volume_suffix
from i2igalip_cli.volumes.intensity import find_window
from i2igalip_cli.volumes.slicing import SliceStack, in_plane_spacing

MINIMUM_FOREGROUND = 0.01  # share of a slice's pixels above 0; emptier slices are left out


@dataclass(frozen=True)
class RawVolume:
    """A volume found in a raw folder."""

    path: Path
    domain: str
    subject: str
    folders: tuple[str, ...] = ()  # between the raw folder and the file


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What was prepared: the index, and a line for each thing the user should know."""

    index: DatasetIndex
    warnings: tuple[str, ...]

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


def parse_patterns(texts: Sequence[str]) -> dict[str, str]:
    """Patterns from DOMAIN=GLOB, as on the command line.

    Raises:
        ConfigError: A text without "=", or one domain twice.
    """
    patterns: dict[str, str] = {}
    for text in texts:
        name, equals, pattern = text.partition("=")
        if not (name and equals and pattern) or name in patterns:
            raise ConfigError(f"pattern '{text}': write DOMAIN='GLOB', each domain once")
        patterns[name] = pattern
    return patterns


def find_volumes(raw: Path, patterns: Mapping[str, str]) -> list[RawVolume]:
    """Find the volumes of each domain below a folder.

    A subject is the file's name without suffix and domain token; where nothing is left of it, the
    name of the folder that holds the file.

    Args:
        raw: The folder, searched through all levels.
        patterns: Domain name to a file-name pattern, e.g. {"T1": "*T1*"}; case doesn't matter.

    Raises:
        DatasetError: No such folder, nothing found, or a file that fits two domains.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder")
    found = []
    for path in sorted(raw.rglob("*")):
        if volume_suffix(path) is None or not path.is_file():
            continue
        name = path.relative_to(raw).as_posix().lower()
        fits = [
            domain
            for domain, pattern in patterns.items()
            if fnmatch.fnmatch(name if "/" in pattern else path.name.lower(), pattern.lower())
        ]
        if len(fits) > 1:
            raise DatasetError(f"{path} fits the patterns of {' and '.join(fits)}; narrow them")
        if fits:
            folders = path.relative_to(raw).parts[:-1]
            found.append(RawVolume(path, fits[0], _subject(path, fits[0]), folders))
    if not found:
        tried = ", ".join(f"{domain}: {pattern}" for domain, pattern in patterns.items())
        raise DatasetError(f"{raw}: no volumes fit {tried}; give patterns such as T1='*T1*'")
    return found


def _subject(path: Path, domain: str) -> str:
    suffix = volume_suffix(path) or ""
    stem = path.name[: len(path.name) - len(suffix)]
    rest = re.sub(rf"(?i)(^|[-_. ]){re.escape(domain)}w?(?=$|[-_. ])", "", stem).strip("-_. ")
    return rest or path.parent.name


def split_subjects(
    volumes: Sequence[RawVolume], shares: tuple[float, float, float], seed: int
) -> dict[str, Split]:
    """Give each subject to one split.

    Where volumes lie in folders named train, val and test, these decide; otherwise subjects are
    shuffled and dealt by the shares.

    Args:
        volumes: What was found.
        shares: Of train, val and test; they need not sum to 1.
        seed: Of the shuffle.

    Raises:
        DatasetError: A subject lies in the folders of two splits, or some lie in none.
    """
    by_folder: dict[str, Split] = {}
    for volume in volumes:
        named = [split for split in SPLITS if split in volume.folders]
        if len(named) == 1 and by_folder.setdefault(volume.subject, named[0]) != named[0]:
            raise DatasetError(f"subject {volume.subject} lies in two splits' folders")
    subjects = sorted({volume.subject for volume in volumes})
    if by_folder:
        homeless = [subject for subject in subjects if subject not in by_folder]
        if homeless:
            raise DatasetError(f"{homeless[0]} lies in none of the folders {', '.join(SPLITS)}")
        return by_folder
    order = np.random.default_rng(seed).permutation(len(subjects))
    ends = np.cumsum(shares) / np.sum(shares) * len(subjects)
    bounds = np.round(ends).astype(int)
    return {
        subjects[number]: SPLITS[int(np.searchsorted(bounds, place, side="right"))]
        for place, number in enumerate(order)
    }


def prepare(
    raw: Path,
    out: Path,
    *,
    patterns: Mapping[str, str] | None = None,
    domains: Sequence[Domain] | None = None,
    plane: Plane = "axial",
    policy: IntensityPolicy | None = None,
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> PrepareReport:
    """Write a prepared dataset.

    Args:
        raw: Folder of volumes.
        out: New folder.
        patterns: File-name pattern of each domain; default `*NAME*` for T1, T2 and PD.
        domains: User-defined domains that the patterns name besides the known ones.
        plane: Which plane the slices lie in.
        policy: How volumes without a fixed window are scaled.
        shares: Of the subjects for train, val and test.
        seed: Of the split.
        on_progress: Called with (volumes done, volumes in all).

    Raises:
        ConfigError: Not a plane.
        DatasetError: Nothing to prepare, or `out` exists.
        VolumeError: A volume that can't be read or scaled; nothing is left behind.
    """
    if plane not in get_args(Plane):
        raise ConfigError(f"plane '{plane}': one of {', '.join(get_args(Plane))}")
    patterns = patterns or {name: f"*{name}*" for name in ("T1", "T2", "PD")}
    policy = policy or IntensityPolicy()
    known = {**DOMAINS, **{domain.name: domain for domain in domains or ()}}
    unknown = [name for name in patterns if name not in known]
    if unknown:
        raise DatasetError(f"unknown domain '{unknown[0]}': known are {', '.join(known)}")
    volumes = find_volumes(raw, patterns)
    split_of = split_subjects(volumes, shares, seed)
    if out.exists():
        raise DatasetError(f"{out} exists; give another --out or remove it")
    building = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        shards, warnings = [], []
        for number, volume in enumerate(volumes):
            split = split_of[volume.subject]
            shard, notes = _cut(volume, split, known[volume.domain], plane, policy, building)
            shards.extend(shard)
            warnings.extend(notes)
            if on_progress is not None:
                on_progress(number + 1, len(volumes))
        present = [name for name in patterns if any(shard.domain == name for shard in shards)]
        index = DatasetIndex(
            domains=tuple(known[name] for name in present),
            policy=policy,
            plane=plane,
            multiple=1,
            shards=tuple(shards),
        )
        index.write(building)
        building.replace(out)
    except OSError as error:
        raise DatasetError(f"can't write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return PrepareReport(index=index, warnings=tuple(warnings))


def _cut(
    raw: RawVolume, split: Split, domain: Domain, plane: Plane, policy: IntensityPolicy, out: Path
) -> tuple[list[Shard], list[str]]:
    """Write the shard of one volume; none where no slice has foreground."""
    volume = load_volume(raw.path)
    notes = []
    if volume.nonfinite_voxels:
        notes.append(f"{raw.path}: {volume.nonfinite_voxels} voxels were not finite; set to 0")
    try:
        window = find_window(volume.array, domain, policy)
    except VolumeError as error:
        raise VolumeError(f"{raw.path}: {error}") from error
    stack = SliceStack.from_volume(volume.with_array(window.to_unit(volume.array)), plane)
    slices = stack.slices[:, 0]  # (N, H, W)
    kept = np.flatnonzero((slices > 0).mean(axis=(1, 2)) >= MINIMUM_FOREGROUND)
    if kept.size == 0:
        return [], [*notes, f"{raw.path}: no slice with foreground; left out"]
    first, last = int(kept[0]), int(kept[-1])
    slices = slices[first : last + 1].astype(np.float16)
    file = Path(split, domain.name, f"{raw.subject}.npy")
    (out / file).parent.mkdir(parents=True, exist_ok=True)
    if (out / file).exists():
        raise DatasetError(f"{raw.path}: a second {domain.name} volume of subject {raw.subject}")
    np.save(out / file, slices)
    shard = Shard(
        subject=raw.subject,
        domain=domain.name,
        split=split,
        file=file.as_posix(),
        source=raw.path.name,
        shape=(slices.shape[0], slices.shape[1], slices.shape[2]),
        first=first,
        window=(window.low, window.high),
        spacing_mm=in_plane_spacing(volume, plane),
    )
    return [shard], notes
