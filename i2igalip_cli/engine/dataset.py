"""The prepared dataset: memory-mapped slices, a shard a volume, and a JSON index of them all.

DATASET/index.json                 domains, intensity policy, plane, multiple, volumes
DATASET/train/T1/sub-01.npy        (N, H, W) float16 in [0, 1]; likewise val and test
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import IntensityPolicy, Plane, from_dict
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.volumes.volume import Array

FORMAT = 1
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The slices of one volume.

    Attributes:
        subject: Whom it shows.
        domain: Name of its domain.
        split: train, val or test.
        file: Of the slices, relative to the dataset.
        source: The raw file it was cut from.
        shape: (N, H, W).
        first: Index in the volume of the first slice kept.
        window: Intensities (low, high) that became 0 and 1.
        spacing_mm: Distance between rows and between columns.
        grid: Identity of the volume's voxel grid (shape and affine); volumes of one subject on one
            grid are registered to each other. "" where it isn't known.
    """

    subject: str
    domain: str
    split: Split
    file: str
    source: str
    shape: tuple[int, int, int]
    first: int
    window: tuple[float, float]
    spacing_mm: tuple[float, float]
    grid: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetIndex:
    """What `index.json` holds."""

    domains: tuple[Domain, ...]
    policy: IntensityPolicy
    plane: Plane
    multiple: int
    shards: tuple[Shard, ...]

    def write(self, folder: Path) -> None:
        """Write the index; a dataset without one is unfinished."""
        values = {"format": FORMAT, **asdict(self)}
        (folder / "index.json").write_text(json.dumps(values, indent=1), encoding="utf-8")


def read_index(folder: Path) -> DatasetIndex:
    """Read a prepared dataset's index.

    Raises:
        DatasetError: There is none, it is damaged, or of a newer format.
    """
    path = folder / "index.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") > FORMAT:
            raise DatasetError(f"{path}: made by a newer i2igalip; update this one")
        return DatasetIndex(
            domains=tuple(from_dict(Domain, row) for row in values["domains"]),
            policy=from_dict(IntensityPolicy, values["policy"]),
            plane=values["plane"],
            multiple=values["multiple"],
            shards=tuple(from_dict(Shard, row) for row in values["shards"]),
        )
    except OSError as error:
        raise DatasetError(f"{folder}: not a prepared dataset; make one with prepare") from error
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DatasetError(f"{path}: damaged ({error}); prepare it again") from error


def select_domains(index: DatasetIndex, names: Sequence[str]) -> DatasetIndex:
    """The index with these domains alone, in this order; with all of them for none."""
    if not names:
        return index
    domains = tuple(find_domain(name, index.domains, "the dataset") for name in names)
    known = {domain.name for domain in domains}
    shards = tuple(shard for shard in index.shards if shard.domain in known)
    return replace(index, domains=domains, shards=shards)


class SliceDataset:
    """The slices of one split over all domains, one flat order.

    Args:
        folder: A prepared dataset.
        split: Which part of it.
        domains: The only domains to show; () takes all of the dataset.
        multiple: Height and width are padded to a multiple of this as well.

    Raises:
        ConfigError: A domain that the dataset hasn't.
        DatasetError: Not a prepared dataset, or the split holds no slices.
    """

    def __init__(
        self, folder: Path, split: Split, multiple: int = 1, domains: Sequence[str] = ()
    ) -> None:
        self.index = select_domains(read_index(folder), domains)
        self.folder = folder
        self.split = split
        self.shards = [shard for shard in self.index.shards if shard.split == split]
        if not self.shards:
            raise DatasetError(f"{folder}: no slices for {split}; prepare it with more subjects")
        self._maps = [self._open(shard) for shard in self.shards]
        names = [domain.name for domain in self.index.domains]
        counts = [shard.shape[0] for shard in self.shards]
        self.domains = np.repeat([names.index(shard.domain) for shard in self.shards], counts)
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        self._registered = {
            (shard.subject, shard.grid, names.index(shard.domain)): row
            for row, shard in enumerate(self.shards)
            if shard.grid
        }
        self._shard_of = np.repeat(np.arange(len(counts)), counts)
        self._slice_of = np.concatenate([np.arange(count) for count in counts])
        step = int(np.lcm(multiple, self.index.multiple))
        # One size for all splits, so that a batch of any of them fits the same network.
        self.side = tuple(
            -(-max(shard.shape[axis] for shard in self.index.shards) // step) * step
            for axis in (1, 2)
        )

    def _open(self, shard: Shard) -> npt.NDArray[np.float16]:
        path = self.folder / shard.file
        try:
            opened = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: absent or damaged; prepare the dataset again") from error
        if opened.shape != shard.shape:
            raise DatasetError(f"{path}: shape {opened.shape}, the index says {shard.shape}")
        slices: npt.NDArray[np.float16] = opened
        return slices

    def __len__(self) -> int:
        """Slices of all domains."""
        return len(self.domains)

    def read(self, numbers: Sequence[int] | npt.NDArray[np.int64]) -> Array:
        """Slices by number: (N, 1, H, W) float32 in [0, 1], zeros around the smaller ones."""
        out = np.zeros((len(numbers), 1, *self.side), np.float32)
        for row, number in enumerate(numbers):
            piece = self._maps[self._shard_of[number]][self._slice_of[number]]
            out[row, 0][self.frame(int(number))] = piece
        return out

    def frame(self, number: int) -> tuple[slice, slice]:
        """Rows and columns of the padded frame that a slice takes up."""
        _, rows, columns = self.shards[self._shard_of[number]].shape
        top, left = (self.side[0] - rows) // 2, (self.side[1] - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)

    def counterpart(self, number: int, domain: int) -> int | None:
        """The slice that shows the same place of the same subject in another domain.

        Args:
            number: Of a slice.
            domain: Index of the other domain.

        Returns:
            Its number; None where the dataset has no registered volume or it lacks that slice.
        """
        shard = self.shards[self._shard_of[number]]
        row = self._registered.get((shard.subject, shard.grid, domain))
        if row is None:
            return None
        other = self.shards[row]
        at = shard.first + int(self._slice_of[number]) - other.first
        return int(self._starts[row]) + at if 0 <= at < other.shape[0] else None

    @property
    def has_pairs(self) -> bool:
        """Whether any subject has registered volumes of two domains."""
        return len({(subject, grid) for subject, grid, _ in self._registered}) < len(
            self._registered
        )

    def place(self, number: int) -> float:
        """Where a slice lies among the kept slices of its volume: 0 first, 1 last."""
        last = self.shards[self._shard_of[number]].shape[0] - 1
        return float(self._slice_of[number] / max(last, 1))

    def fingerprint(self) -> str:
        """SHA-256 of the index, for a checkpoint's provenance."""
        return hashlib.sha256((self.folder / "index.json").read_bytes()).hexdigest()
