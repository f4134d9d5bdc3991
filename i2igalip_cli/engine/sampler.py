"""Batches of unpaired slices, each a function of the seed and the step alone.

A run that is stopped and resumed draws what an unbroken one would, and several processes together
draw what one would with their batches put together.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.engine.augmentation import augment
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.methods import UnpairedBatch


class BatchSampler(Dataset[UnpairedBatch]):
    """The part of each step's batch that one process works on.

    Args:
        data: Training slices.
        config: Batch size, pairing, augmentation and seed.
        rank: Number of this process.
        processes: How many there are.

    Raises:
        DatasetError: Pairs of two domains are asked for, but there is one.
        ConfigError: The crop is larger than the slices.
    """

    def __init__(
        self, data: SliceDataset, config: TrainConfig, rank: int = 0, processes: int = 1
    ) -> None:
        self.data = data
        self.config = config
        self.rank = rank
        self.processes = processes
        planes, domains = (range(len(group)) for group in (data.index.planes, data.index.domains))
        self._partners = {
            (plane, domain): np.flatnonzero((data.planes == plane) & self._may_meet(domain))
            for plane in planes
            for domain in domains
        }
        self._order = lru_cache(maxsize=4)(self._shuffle)
        if config.distinct_domains and any(len(found) == 0 for found in self._partners.values()):
            raise DatasetError("distinct_domains needs slices of at least two domains")
        if any(crop > side for crop, side in zip(config.crop, data.side, strict=False)):
            raise ConfigError(f"crop = {list(config.crop)}: slices are {list(data.side)}")

    @property
    def pairs_per_step(self) -> int:
        """Pairs of slices that all processes take in one step."""
        return self.config.batch * self.config.accumulate * self.processes

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the first loader has shown every slice once."""
        return math.ceil(len(self.data) / self.pairs_per_step)

    def __getitem__(self, step: int) -> UnpairedBatch:
        """The batch of a step, for torch's loader."""
        return self.draw(step)

    def __len__(self) -> int:
        """Steps of the whole run."""
        return self.config.steps or math.ceil(
            self.config.epochs * len(self.data) / self.pairs_per_step
        )

    def _shuffle(self, loader: int, epoch: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([self.config.seed, loader, epoch])
        return rng.permutation(len(self.data))

    def slice_at(self, loader: int, position: int) -> int:
        """The slice at a position of a loader's endless row of epochs, each shuffled anew."""
        epoch, place = divmod(position, len(self.data))
        return int(self._order(loader, epoch)[place])

    def positions(self, step: int) -> range:
        """Positions in the row that this process takes in a step; other processes' lie between."""
        start = step * self.pairs_per_step
        return range(start + self.rank, start + self.pairs_per_step, self.processes)

    def draw(self, step: int) -> UnpairedBatch:
        """The batch of a step, augmented."""
        positions = self.positions(step)
        first = [self.slice_at(0, position) for position in positions]
        second = [
            self._second(number, position)
            for number, position in zip(first, positions, strict=True)
        ]
        own, other = self.data.domains[first], self.data.domains[second]
        one, one_truth, one_known = self._read(first, other, positions, 3)
        two, two_truth, two_known = self._read(second, own, positions, 4)
        return UnpairedBatch(
            first=one,
            first_domains=torch.from_numpy(own),
            second=two,
            second_domains=torch.from_numpy(other),
            first_truth=one_truth,
            first_known=one_known,
            second_truth=two_truth,
            second_known=two_known,
            seeds=torch.tensor([self._seed(position) for position in positions]),
        )

    def _may_meet(self, domain: int) -> npt.NDArray[np.bool_]:
        """Which slices may be the second of a pair whose first is of this domain."""
        if self.config.distinct_domains:
            return np.asarray(self.data.domains != domain)
        return np.ones(len(self.data), bool)

    def _second(self, first: int, position: int) -> int:
        """The slice beside a first one: of a second loader, or drawn from those that may meet it.

        Slices of different planes don't meet: they have nothing of each other's anatomy to show.
        """
        if len(self.data.index.planes) == 1 and not self.config.distinct_domains:
            return self.slice_at(1, position)
        partners = self._partners[int(self.data.planes[first]), int(self.data.domains[first])]
        return int(self._random(2, position).choice(partners))

    def _random(self, stream: int, position: int) -> np.random.Generator:
        """Chance that belongs to one position, whichever process and batch it falls into."""
        return np.random.default_rng([self.config.seed, stream, position])

    def _seed(self, position: int) -> int:
        """Of what a method draws for the pair at a position."""
        return int(self._random(5, position).integers(2**62))

    def _read(
        self, numbers: list[int], targets: npt.NDArray[np.int64], positions: range, stream: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Slices, their true translations, and which of these are known; augmented alike."""
        shown, truths, known = [], [], []
        for number, target, position in zip(numbers, targets, positions, strict=True):
            partner = self._partner(number, int(target))
            known.append(partner is not None)
            read = self.data.read([number, number if partner is None else partner], [number] * 2)
            both = torch.from_numpy(read).transpose(0, 1)  # (2, 1, H, W) -> (1, 2, H, W)
            both = augment(both, self.config, self._random(stream, position))
            shown.append(both[:, :1])
            truths.append(both[:, 1:])
        return torch.cat(shown), torch.cat(truths), torch.tensor(known)

    def _partner(self, number: int, target: int) -> int | None:
        if not self.config.needs_pairs or target == self.data.domains[number]:
            return None
        return self.data.counterpart(number, target)
