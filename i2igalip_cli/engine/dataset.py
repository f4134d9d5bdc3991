"""The prepared dataset: memory-mapped slices, a shard a volume, and a JSON index of them all.

DATASET/index.json                    domains, policies of intensity and crop, planes, volumes
DATASET/train/T1/sub-01_axial.npy     (N, H, W) float16 in [0, 1]; likewise val and test
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import CropPolicy, IntensityPolicy, Plane, from_dict
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.volumes.volume import Array

FORMAT = 2
INDEX_NAME = "index.json"
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, kw_only=True)
class RawGrid:
    """The grid that a volume had before it was prepared; () where that isn't known.

    Attributes:
        shape: Voxels along I, J, K.
        affine: Voxel indices to RAS+ mm, (4, 4) row by row.
        motion: RAS+ mm of the prepared grid to those of this one, (4, 4) row by row.
    """

    shape: tuple[int, ...] = ()
    affine: tuple[float, ...] = ()
    motion: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The slices of one volume in one plane.

    Attributes:
        subject: Whom it shows.
        domain: Name of its domain.
        split: train, val or test.
        file: Of the slices, relative to the dataset.
        source: Path below the raw folder of the volume that it was cut from.
        plane: Of the slices.
        shape: (N, H, W).
        first: Index in the volume of the first slice kept.
        corner: Row and column in the volume's whole slices of the first pixel kept.
        window: Intensities (low, high) that became 0 and 1.
        spacing_mm: Distance between rows and between columns.
        grid: Identity of the volume's voxel grid (shape and affine); volumes of one subject and
            visit on one grid are registered to each other. "" where it isn't known.
        session: Which visit; "" where there is one.
        content: SHA-256 of the raw volume's intensities.
        raw: The grid that it had.
        steps: What was done to it, a line a step.
        affine: (slice, row, column) of what is stored to RAS+ mm, (4, 4) row by row.
        header: The contrast that its header or sidecar tells; "" where it tells none.
        contradiction: How that differs from its domain; "" where it doesn't.
        notes: What reading it had to mend or to choose.
    """

    subject: str
    domain: str
    split: Split
    file: str
    source: str
    plane: Plane
    shape: tuple[int, int, int]
    first: int
    corner: tuple[int, int]
    window: tuple[float, float]
    spacing_mm: tuple[float, float]
    grid: str = ""
    session: str = ""
    content: str = ""
    raw: RawGrid = field(default_factory=RawGrid)
    steps: tuple[str, ...] = ()
    affine: tuple[float, ...] = ()
    header: str = ""
    contradiction: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What isn't prepared.

    Attributes:
        name: Its path below the raw folder.
        reason: Why.
        faulty: Whether it should have been: it belongs to a domain, and can't be used.
        subject: Whom it shows, where that is known.
    """

    name: str
    reason: str
    faulty: bool = False
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetIndex:
    """What `index.json` holds.

    Attributes:
        domains: With their captions.
        policy: How volumes without a fixed window were scaled.
        crop: How the field of view was cut.
        planes: Of the slices.
        shards: One of each volume and plane.
        left_out: What of the raw folder isn't in it.
    """

    domains: tuple[Domain, ...]
    policy: IntensityPolicy
    crop: CropPolicy
    planes: tuple[Plane, ...]
    shards: tuple[Shard, ...]
    left_out: tuple[LeftOut, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the index; a dataset without one is unfinished."""
        values = {"format": FORMAT, **asdict(self)}
        (folder / INDEX_NAME).write_text(json.dumps(values, indent=1), encoding="utf-8")


def read_index(folder: Path) -> DatasetIndex:
    """Read a prepared dataset's index.

    Raises:
        DatasetError: There is none, it is damaged, or of a newer format.
    """
    path = folder / INDEX_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        made = values.pop("format")
        if made != FORMAT:
            age = "a newer i2igalip; update this one" if made > FORMAT else "an older i2igalip"
            raise DatasetError(f"{path}: made by {age}" + "; prepare it again" * (made < FORMAT))
        return DatasetIndex(
            domains=tuple(from_dict(Domain, row) for row in values["domains"]),
            policy=from_dict(IntensityPolicy, values["policy"]),
            crop=from_dict(CropPolicy, values["crop"]),
            planes=tuple(values["planes"]),
            shards=tuple(from_dict(Shard, row) for row in values["shards"]),
            left_out=tuple(from_dict(LeftOut, row) for row in values.get("left_out", ())),
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


def open_shard(folder: Path, shard: Shard) -> npt.NDArray[np.float16]:
    """The slices of a shard, (N, H, W) in [0, 1], read as they are touched.

    Raises:
        DatasetError: They are absent, damaged or of another shape than the index says.
    """
    path = folder / shard.file
    try:
        opened = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: absent or damaged; prepare the dataset again") from error
    if opened.shape != shard.shape:
        raise DatasetError(f"{path}: shape {opened.shape}, the index says {shard.shape}")
    slices: npt.NDArray[np.float16] = opened
    return slices


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
        self._maps = [open_shard(folder, shard) for shard in self.shards]
        names = [domain.name for domain in self.index.domains]
        counts = [shard.shape[0] for shard in self.shards]
        self.domains = np.repeat([names.index(shard.domain) for shard in self.shards], counts)
        self.planes = np.repeat(
            [self.index.planes.index(shard.plane) for shard in self.shards], counts
        )
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        self._registered = {
            (shard.subject, shard.session, shard.grid, shard.plane, names.index(shard.domain)): row
            for row, shard in enumerate(self.shards)
            if shard.grid
        }
        self._shard_of = np.repeat(np.arange(len(counts)), counts)
        self._slice_of = np.concatenate([np.arange(count) for count in counts])
        # One size for all splits, so that a batch of any of them fits the same network.
        self.side = tuple(
            -(-max(shard.shape[axis] for shard in self.index.shards) // multiple) * multiple
            for axis in (1, 2)
        )

    def __len__(self) -> int:
        """Slices of all domains."""
        return len(self.domains)

    def read(
        self,
        numbers: Sequence[int] | npt.NDArray[np.int64],
        beside: Sequence[int] | npt.NDArray[np.int64] | None = None,
    ) -> Array:
        """Slices by number: (N, 1, H, W) float32 in [0, 1], zeros around the smaller ones.

        Args:
            numbers: Which slices.
            beside: As many slices of the same places in other volumes: each of `numbers` is laid
                into the frame where that one lies, pixel on pixel.
        """
        out = np.zeros((len(numbers), 1, *self.side), np.float32)
        for row, (number, other) in enumerate(
            zip(numbers, numbers if beside is None else beside, strict=True)
        ):
            piece = self._maps[self._shard_of[number]][self._slice_of[number]]
            own, kept = self._lay(int(number), int(other))
            out[row, 0][own] = piece[kept]
        return out

    def _lay(self, number: int, other: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where in the frame a slice comes to lie beside another, and what of it fits in."""
        frame, corner, against = self.frame(other), self._corner(number), self._corner(other)
        shape = self.shards[self._shard_of[number]].shape[1:]
        target, source = [], []
        for axis in (0, 1):
            start = frame[axis].start + corner[axis] - against[axis]
            low = min(max(start, 0), self.side[axis])
            high = max(
                min(start + shape[axis], self.side[axis]), low
            )  # nothing, if they don't meet
            target.append(slice(low, high))
            source.append(slice(low - start, high - start))
        return tuple(target), tuple(source)

    def _corner(self, number: int) -> tuple[int, int]:
        shard: Shard = self.shards[self._shard_of[number]]
        return shard.corner

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
        row = self._registered.get((shard.subject, shard.session, shard.grid, shard.plane, domain))
        if row is None:
            return None
        other = self.shards[row]
        at = shard.first + int(self._slice_of[number]) - other.first
        return int(self._starts[row]) + at if 0 <= at < other.shape[0] else None

    @property
    def has_pairs(self) -> bool:
        """Whether any subject has registered volumes of two domains."""
        places = {key[:-1] for key in self._registered}
        return len(places) < len(self._registered)

    def place(self, number: int) -> float:
        """Where a slice lies among the kept slices of its volume: 0 first, 1 last."""
        last = self.shards[self._shard_of[number]].shape[0] - 1
        return float(self._slice_of[number] / max(last, 1))

    def fingerprint(self) -> str:
        """SHA-256 of the index, for a checkpoint's provenance."""
        return hashlib.sha256((self.folder / INDEX_NAME).read_bytes()).hexdigest()
