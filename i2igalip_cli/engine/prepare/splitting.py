"""Which subjects are for training, validation and testing; what was once dealt stays so."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from i2igalip_cli.config.presets import Preset
from i2igalip_cli.engine.dataset import SPLITS, Split
from i2igalip_cli.engine.prepare.finding import RawVolume
from i2igalip_cli.errors import DatasetError
from i2igalip_cli.volumes.files import whole_file

LOCK_NAME = "split.json"  # in a dataset; given back as it is with --split-file


def read_lock(path: Path) -> dict[str, Split]:
    """The split of the subjects that were dealt before.

    Raises:
        DatasetError: It can't be read, or says something else.
    """
    try:
        subjects = json.loads(path.read_text(encoding="utf-8"))["subjects"]
        wrong = [name for name, split in subjects.items() if split not in SPLITS]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not such as a dataset's {LOCK_NAME} ({error})") from error
    if wrong:
        raise DatasetError(
            f"{path}: subject {wrong[0]} is in '{subjects[wrong[0]]}', none of {', '.join(SPLITS)}"
        )
    return dict(subjects)


def write_lock(path: Path, split_of: Mapping[str, Split]) -> None:
    """Write the split, whole or not at all.

    Raises:
        VolumeError: The file can't be written.
    """
    content = json.dumps({"subjects": dict(sorted(split_of.items()))}, indent=1)
    with whole_file(path, overwrite=True) as file:
        file.write_text(content + "\n", encoding="utf-8")


def split_subjects(
    volumes: Sequence[RawVolume],
    layout: Preset,
    seed: int = 0,
    locked: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Give each subject to one split.

    Those of the lock stay where they are. Where volumes lie in folders named train, val and test,
    these decide; otherwise subjects are shuffled and dealt by the layout's numbers or shares.

    Args:
        volumes: What was found.
        layout: With the split.
        seed: Of the shuffling.
        locked: Split by subject of earlier runs.

    Returns:
        Split by subject; with numbers of subjects, the rest are in none.

    Raises:
        DatasetError: A subject lies in the folders of two splits or of another than it was, some
            lie in none, or there are too few.
    """
    locked = locked or {}
    subjects = sorted({volume.subject for volume in volumes})
    by_folder = _by_folder(volumes)
    if not by_folder:
        kept = {name: locked[name] for name in subjects if name in locked}
        return _deal(subjects, layout, seed, kept)
    homeless = [subject for subject in subjects if subject not in by_folder]
    if homeless:
        raise DatasetError(f"{homeless[0]} lies in none of the folders {', '.join(SPLITS)}")
    moved = [name for name, split in by_folder.items() if locked.get(name, split) != split]
    if moved:
        raise DatasetError(
            f"subject {moved[0]} lies in the folder {by_folder[moved[0]]} and was in "
            f"{locked[moved[0]]} before; give another --split-file"
        )
    return by_folder


def _by_folder(volumes: Sequence[RawVolume]) -> dict[str, Split]:
    by_folder: dict[str, Split] = {}
    for volume in volumes:
        named = [split for split in SPLITS if split in volume.folders]
        if len(named) == 1 and by_folder.setdefault(volume.subject, named[0]) != named[0]:
            raise DatasetError(f"subject {volume.subject} lies in two splits' folders")
    return by_folder


def _deal(
    subjects: Sequence[str], layout: Preset, seed: int, kept: Mapping[str, Split]
) -> dict[str, Split]:
    """Fill the splits with the subjects that are in none yet, in an order drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(subjects))
    fresh = [subjects[number] for number in order if subjects[number] not in kept]
    wanted = _count(len(subjects), layout)
    have = Counter(kept.values())
    parts = [
        split
        for split, count in zip(SPLITS, wanted, strict=True)
        for _ in range(count - have[split])
    ]
    if layout.counts_subjects and len(parts) > len(fresh):
        held = f"; the split file holds {[have[split] for split in SPLITS]} of them" * bool(kept)
        raise DatasetError(
            f"split = {wanted} asks for {sum(wanted)} subjects, there are {len(subjects)}{held}; "
            "give another --split, such as 0.7 0.1 0.2"
        )
    return {**kept, **dict(zip(fresh, parts, strict=False))}


def _count(number: int, layout: Preset) -> list[int]:
    """Subjects wanted in each split."""
    if layout.counts_subjects:
        return [int(count) for count in layout.split]
    ends = np.round(np.cumsum(layout.split) / np.sum(layout.split) * number).astype(int)
    return [int(count) for count in np.diff(ends, prepend=0)]
