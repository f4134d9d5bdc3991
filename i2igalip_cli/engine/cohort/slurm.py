"""What is asked of Slurm for a cohort: how many tasks, and the options of sbatch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from i2igalip_cli.errors import ConfigError, one_line

DEFAULTS: Mapping[str, str | bool] = {
    "job-name": "i2igalip-translate",
    "mem": "8G",
    "requeue": True,
    "time": "08:00:00",
}
WARNING_SECONDS = 120  # before a task's time is up; a worker has 20 to drop its volumes
_SHORTEST_MINUTES = 5  # else a task is warned before it has done anything
_LONGEST_MINUTES = 366 * 24 * 60

_OPTION = re.compile(r"([A-Za-z][A-Za-z_-]+)(?:=(.+))?")
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_MEMORY = ("mem-per-cpu", "mem-per-gpu")
_OWN = {
    "array": "say with --jobs how many tasks",
    "chdir": "jobs run where they are submitted from",
    "cpus-per-task": "say it with --threads",
    **dict.fromkeys(("error", "input", "open-mode", "output"), "logs go to the output folder"),
    **dict.fromkeys(("nodes", "ntasks", "ntasks-per-node"), "a task is one process"),
    **dict.fromkeys(("no-requeue", "signal"), "a task whose time is up is queued again"),
    **dict.fromkeys(
        ("help", "parsable", "quiet", "test-only", "usage", "version", "wait", "wrap"),
        "a submission is no place for it",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is asked of Slurm.

    Attributes:
        jobs: Tasks of the array, at most.
        options: Of sbatch by their long names with "-"; True for one without a value.
    """

    jobs: int
    options: Mapping[str, str | bool] = field(default_factory=lambda: dict(DEFAULTS))

    def __post_init__(self) -> None:
        """Refuse what can't be submitted.

        Raises:
            ConfigError: No task, an option that is set here, or a time that is too short or none.
        """
        if self.jobs < 1:
            raise ConfigError(f"--jobs {self.jobs}: an array has 1 task or more")
        for name in self.options:
            # sbatch takes the beginning of an option's name for the whole.
            own = next((own for own in _OWN if own.startswith(name)), None)
            if own is not None:
                raise ConfigError(f"--slurm {name} can't be set: {_OWN[own]}")
        if 0 < self.minutes < _SHORTEST_MINUTES:  # 0 is no limit
            raise ConfigError(
                f"--slurm time={self.options['time']}: too short for a task, which is stopped "
                f"{WARNING_SECONDS} s before; give {_SHORTEST_MINUTES} minutes or more"
            )

    @classmethod
    def parse(cls, jobs: int, texts: Sequence[str]) -> "Submission":
        """A submission as it is said on the command line.

        Args:
            jobs: Tasks of the array, at most.
            texts: "KEY=VALUE" or "KEY" each; over the defaults.

        Raises:
            ConfigError: Neither of both, or one that can't be set.
        """
        given: dict[str, str | bool] = {}
        for text in texts:
            match = _OPTION.fullmatch(text)
            if match is None:
                raise ConfigError(
                    f"--slurm {one_line(text)}: give KEY=VALUE with a long option of sbatch, such "
                    "as partition=gpu, or KEY where it takes no value"
                )
            given[match[1].replace("_", "-")] = match[2] or True
        kept = {k: v for k, v in DEFAULTS.items() if k != "mem" or not given.keys() & set(_MEMORY)}
        return cls(jobs=jobs, options={**kept, **given})

    @property
    def minutes(self) -> int:
        """The time limit of a task.

        Raises:
            ConfigError: It isn't in one of Slurm's ways to say it.
        """
        text = str(self.options.get("time", DEFAULTS["time"]))
        if text.upper() in ("INFINITE", "UNLIMITED"):
            return _LONGEST_MINUTES
        match = _TIME.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"--slurm time={text}: give minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS"
            )
        days, *parts = match.groups()
        numbers = [int(part) for part in parts if part is not None]
        in_hours = days is not None or len(numbers) == 3
        units = (60, 1, 1 / 60) if in_hours else (1, 1 / 60)
        clock = sum(number * unit for number, unit in zip(numbers, units, strict=False))
        return int(int(days or 0) * 24 * 60 + clock)
