"""Raw folder -> prepared dataset: find volumes, normalise, split by subject, crop, slice."""

import fnmatch
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import IntensityPolicy, Plane, PrepareConfig
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.dataset import SPLITS, DatasetIndex, Shard, Split
from i2igalip_cli.errors import ConfigError, DatasetError, VolumeError
from i2igalip_cli.volumes import Volume, is_second_of_pair, load_volume, volume_suffix
from i2igalip_cli.volumes.foreground import Box, find_box, foreground_level
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import in_plane_spacing, turn_box, view_slices

MINIMUM_FOREGROUND = 0.01  # share of a slice's pixels; emptier slices are left out


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
    def pairs(self) -> int:
        """Volumes of the training subjects that are registered with one of another domain."""
        volumes = {
            (shard.subject, shard.grid, shard.domain)
            for shard in self.index.shards
            if shard.split == "train"
        }
        seen = Counter((subject, grid) for subject, grid, _ in volumes)
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


def find_volumes(raw: Path, patterns: Mapping[str, str]) -> list[RawVolume]:
    """Find the volumes of each domain below a folder.

    A subject is the file's name without suffix and without the domain's name or, where that isn't
    in it, a word of its pattern; where nothing is left, the name of the folder with the file.

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
        if volume_suffix(path) is None or not path.is_file() or is_second_of_pair(path):
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
            subject = _subject(path, fits[0], patterns[fits[0]])
            found.append(RawVolume(path, fits[0], subject, folders))
    if not found:
        tried = ", ".join(f"{domain}: {pattern}" for domain, pattern in patterns.items())
        raise DatasetError(f"{raw}: no volumes fit {tried}; give patterns such as T1='*T1*'")
    return found


def _subject(path: Path, domain: str, pattern: str) -> str:
    """A file's name without what tells its domain: that one's name, or a word of its pattern."""
    stem = _stem(path.name)
    words = re.split(r"[*?\[\]]+", Path(pattern).name)
    for token in (domain, *(_stem(word).strip("-_. ") for word in reversed(words))):
        rest = re.sub(rf"(?i)(^|[-_. ]){re.escape(token)}w?(?=$|[-_. ])", "", stem).strip("-_. ")
        if token and rest != stem:
            return rest or path.parent.name
    return stem


def _stem(name: str) -> str:
    return name[: len(name) - len(volume_suffix(Path(name)) or "")]


def split_subjects(volumes: Sequence[RawVolume], settings: PrepareConfig) -> dict[str, Split]:
    """Give each subject to one split.

    Where volumes lie in folders named train, val and test, these decide; otherwise subjects are
    shuffled and dealt by the settings' numbers or shares.

    Args:
        volumes: What was found.
        settings: The split and its seed.

    Returns:
        Split by subject; with numbers of subjects, the rest are in none.

    Raises:
        DatasetError: A subject lies in the folders of two splits, some lie in none, or there are
            too few.
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
    order = np.random.default_rng(settings.seed).permutation(len(subjects))
    if settings.counts_subjects:
        return _deal_counts(np.array(subjects)[order].tolist(), settings.split)
    ends = np.cumsum(settings.split) / np.sum(settings.split) * len(subjects)
    bounds = np.round(ends).astype(int)
    return {
        subjects[number]: SPLITS[int(np.searchsorted(bounds, place, side="right"))]
        for place, number in enumerate(order)
    }


def _deal_counts(subjects: Sequence[str], counts: Sequence[float]) -> dict[str, Split]:
    """The first subjects to train, the next to val and test; the rest to none."""
    wanted = [int(count) for count in counts]
    if sum(wanted) > len(subjects):
        raise DatasetError(
            f"split = {wanted} asks for {sum(wanted)} subjects, there are {len(subjects)}"
        )
    parts = [split for split, count in zip(SPLITS, wanted, strict=True) for _ in range(count)]
    return dict(zip(subjects, parts, strict=False))


def _name_domains(settings: PrepareConfig) -> dict[str, Domain]:
    """The domains that the settings' patterns name, with their captions."""
    patterns = settings.patterns or {name: f"*{name}*" for name in ("T1", "T2", "PD")}
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


def prepare(
    raw: Path,
    out: Path,
    settings: PrepareConfig | None = None,
    *,
    policy: IntensityPolicy | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PrepareReport:
    """Write a prepared dataset.

    Args:
        raw: Folder of volumes.
        out: New folder.
        settings: Domains, planes, crop and split.
        policy: How volumes without a fixed window are scaled.
        on_progress: Called with (volumes done, volumes in all).

    Raises:
        ConfigError: A domain without a caption, or a caption without a domain.
        DatasetError: Nothing to prepare, or `out` exists.
        VolumeError: A volume that can't be read or scaled; nothing is left behind.
    """
    settings = settings or PrepareConfig()
    policy = policy or IntensityPolicy()
    domains = _name_domains(settings)
    patterns = {name: settings.patterns.get(name, f"*{name}*") for name in domains}
    volumes = find_volumes(raw, patterns)
    split_of = split_subjects(volumes, settings)
    volumes = [volume for volume in volumes if volume.subject in split_of]
    if out.exists():
        raise DatasetError(f"{out} exists; give another --out or remove it")
    building = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        shards, warnings = [], []
        for number, volume in enumerate(volumes):
            split = split_of[volume.subject]
            cut, notes = _cut(volume, split, domains[volume.domain], settings, policy, building)
            shards.extend(cut)
            warnings.extend(notes)
            if on_progress is not None:
                on_progress(number + 1, len(volumes))
        present = [name for name in domains if any(shard.domain == name for shard in shards)]
        index = DatasetIndex(
            domains=tuple(domains[name] for name in present),
            policy=policy,
            crop=settings.crop,
            planes=settings.planes,
            shards=tuple(shards),
        )
        index.write(building)
        building.replace(out)
    except OSError as error:
        raise DatasetError(f"can't write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return PrepareReport(index=index, warnings=tuple(warnings))


def _grid(volume: Volume) -> str:
    """Identity of a voxel grid; affines that differ by less than 0.1 micrometre count as one."""
    affine = np.round(volume.affine, 4) + 0.0  # no negative zeros
    return hashlib.sha256(repr((volume.shape, affine.tolist())).encode()).hexdigest()[:16]


def _cut(
    raw: RawVolume,
    split: Split,
    domain: Domain,
    settings: PrepareConfig,
    policy: IntensityPolicy,
    out: Path,
) -> tuple[list[Shard], list[str]]:
    """Write the shards of one volume, one a plane; none where no slice has foreground."""
    volume = load_volume(raw.path)
    notes = []
    if volume.nonfinite_voxels:
        notes.append(f"{raw.path}: {volume.nonfinite_voxels} voxels were not finite; set to 0")
    try:
        window = find_window(volume.array, domain, policy)
    except VolumeError as error:
        raise VolumeError(f"{raw.path}: {error}") from error
    box = find_box(volume, window, settings.crop)
    shards = []
    for plane in settings.planes:
        file = Path(split, domain.name, f"{raw.subject}_{plane}.npy")
        if (out / file).exists():
            raise DatasetError(
                f"{raw.path}: a second {domain.name} volume of subject {raw.subject}"
            )
        slices, place = _cut_plane(volume, window, box, plane, settings)
        if len(slices) == 0:
            notes.append(f"{raw.path}: no {plane} slice with foreground; left out")
            continue
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        np.save(out / file, slices)
        first, row, column = place
        shards.append(
            Shard(
                subject=raw.subject,
                domain=domain.name,
                split=split,
                file=file.as_posix(),
                source=raw.path.name,
                plane=plane,
                shape=(slices.shape[0], slices.shape[1], slices.shape[2]),
                first=first,
                corner=(row, column),
                window=(window.low, window.high),
                spacing_mm=in_plane_spacing(volume.affine, plane),
                grid=_grid(volume),
            )
        )
    return shards, notes


def _cut_plane(
    volume: Volume, window: IntensityWindow, box: Box, plane: Plane, settings: PrepareConfig
) -> tuple[npt.NDArray[np.float16], tuple[int, int, int]]:
    """The slices (N, H, W) of a plane, without empty ends; slice, row, column of their corner."""
    across, rows, columns = turn_box(box, volume.shape, volume.affine, plane)
    view = view_slices(volume.array[box], volume.affine, plane)
    slices = window.to_unit(view)
    bright = view > foreground_level(window, settings.crop)
    kept = np.flatnonzero(bright.mean(axis=(1, 2)) >= MINIMUM_FOREGROUND)
    first, last = (int(kept[0]), int(kept[-1])) if kept.size else (0, -1)
    corner = (across.start + first, rows.start, columns.start)
    return slices[first : last + 1].astype(np.float16), corner
