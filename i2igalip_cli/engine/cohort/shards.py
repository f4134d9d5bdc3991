"""A cohort's share of one of several runs."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from i2igalip_cli.errors import ConfigError, VolumeError, first_line
from i2igalip_cli.volumes.files import whole_file

Source = TypeVar("Source")

_SLURM = "SLURM_ARRAY_TASK_"
_RECORD = re.compile(r"(\d+)-of-(\d+)\.json")


@dataclass(frozen=True, order=True)
class Shard:
    """Share `index` (from 0) of `count`.

    Attributes:
        index: Which.
        count: Of how many.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        """Refuse a share that isn't there.

        Raises:
            ConfigError: The index isn't from 0 to count - 1.
        """
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"shard {self.index}/{self.count}: shards of {self.count} are 0 to {self.count - 1}"
            )

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str]) -> "Shard":
        """The share that an option means.

        Args:
            text: "I/N", or "slurm" for the task's place in its array.
            environment: Holds the variables of Slurm.

        Raises:
            ConfigError: Neither of both, no array, or one with a step or gaps.
        """
        if text == "slurm":
            return cls._of_slurm(environment)
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise ConfigError(f"--shard {text}: give I/N with I from 0 to N - 1, or slurm")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> "Shard":
        names = ("ID", "MIN", "MAX", "COUNT")
        values = {name: environment.get(_SLURM + name, "") for name in names}
        absent = [_SLURM + name for name in names if not re.fullmatch(r"\d+", values[name])]
        if absent:
            raise ConfigError(
                f"--shard slurm: no task of a job array ({', '.join(absent)} not set); submit with "
                "sbatch --array=0-N, or give --shard I/N"
            )
        number, first, last, count = (int(values[name]) for name in names)
        step = environment.get(f"{_SLURM}STEP", "1")
        if step != "1" or last - first + 1 != count:
            raise ConfigError(
                f"--shard slurm: the array has a step or gaps ({count} tasks from {first} to "
                f"{last}, step {step}); submit it as --array=0-{count - 1}"
            )
        return cls(number - first, count)

    @property
    def table(self) -> str:
        """Name of its summary."""
        return f"summary-{self._padded}.csv"

    @property
    def record(self) -> str:
        """Name of its list of items."""
        return f"{self._padded}.json"

    @property
    def _padded(self) -> str:
        return f"{self.index:0{len(str(self.count))}d}-of-{self.count}"

    def of(self, sources: Sequence[Source]) -> Sequence[Source]:
        """Its share: every `count`-th of the sources, from `index` on."""
        return sources[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """What a shard has to do, as the merge needs it.

    Attributes:
        shard: Which.
        items: How many all shards have together.
        plan: Hash over the keys of these.
        keys: Its own.
    """

    shard: Shard
    items: int
    plan: str
    keys: tuple[str, ...]

    @classmethod
    def of(cls, shard: Shard, sources: Sequence[Sequence[str]]) -> "ShardRecord":
        """The record of a shard.

        Args:
            shard: Which.
            sources: Of each source in order, those of all shards, the keys of its items.
        """
        keys = [key for source in sources for key in source]
        own = tuple(key for source in shard.of(sources) for key in source)
        plan = hashlib.sha256("\n".join(keys).encode()).hexdigest()
        return cls(shard=shard, items=len(keys), plan=plan, keys=own)

    def write(self, folder: Path) -> None:
        """Write it into a folder; an older one of the same shard gives way.

        Raises:
            VolumeError: It can't be written.
        """
        content = {"items": self.items, "plan": self.plan, "keys": self.keys}
        with whole_file(folder / self.shard.record, overwrite=True) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")


def read_records(folder: Path) -> list[ShardRecord]:
    """The records of the array that was started last, in order of the shards.

    Raises:
        VolumeError: One is damaged.
    """
    paths = {
        path: match for path in folder.glob("*.json") if (match := _RECORD.fullmatch(path.name))
    }
    if not paths:
        return []
    count = paths[max(paths, key=os.path.getmtime)][2]
    found = []
    for path, match in paths.items():
        if match[2] != count:
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            record = ShardRecord(
                shard=Shard(int(match[1]), int(count)),
                items=content["items"],
                plan=content["plan"],
                keys=tuple(content["keys"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VolumeError(
                f"{path}: damaged ({first_line(error)}); run that shard with --resume"
            ) from error
        found.append(record)
    return sorted(found, key=lambda record: record.shard)
