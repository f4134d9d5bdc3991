"""What the supervisor hands to its worker process, and what the worker tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from i2igalip_cli.engine.cohort.items import CohortItem
from i2igalip_cli.engine.cohort.settings import Fingerprint, TranslationSettings

Kind = Literal["claimed", "dropped", "translated", "finished", "waits", "fault", "broken", "ended"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole of a worker's task.

    Attributes:
        out: The output folder.
        items: What to translate, in this order; those of a source follow one another.
        alone: Keys of items that come first and one by one: they may have ended a process.
        settings: How.
        fingerprints: The settings' part that decides on results, by the target's name.
        weights: Name of the checkpoint.
        overwrite: Whether rows older than the run count for nothing.
        began_ns: When the run began, by the clock of the file system.
        shard: "I/N", or "" without.
        lease: Seconds after which a claim that nobody writes to is dead.
        log: Where tracebacks go.
        parent: Number of the supervisor's process.
    """

    out: Path
    items: tuple[CohortItem, ...]
    alone: frozenset[str] = frozenset()
    settings: TranslationSettings
    fingerprints: Mapping[str, Fingerprint]
    weights: str
    overwrite: bool
    began_ns: int
    shard: str
    lease: float
    log: Path
    parent: int


@dataclass(frozen=True)
class Event:
    """What a worker tells.

    Attributes:
        kind: An item was "claimed", is "dropped" to be looked at again, was "translated" or is
            "finished", however; the run only "waits" for others, meets a "fault", the device is
            "broken", or all "ended".
        text: Key of the item, who is waited for, or what is wrong.
    """

    kind: Kind
    text: str = ""
