"""A cohort as jobs of Slurm: an array of its shards, and a job after it that merges their tables.

submitit writes the batch scripts, hands them to sbatch, and queues a task again that Slurm warns of
its end. A task runs this program, as by hand, with `--shard I/N --resume`: what was done stays.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.engine.captions import encode_caption
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.run import Beginning, CohortRequest, begin_cohort
from i2igalip_cli.engine.cohort.shards import Shard
from i2igalip_cli.errors import ConfigError, VolumeError, one_line

if TYPE_CHECKING:
    from submitit import SlurmExecutor
    from submitit.helpers import DelayedSubmission

PROGRAM = (sys.executable, "-P", "-m", "i2igalip_cli")  # -P: no module from the user's folder
DEFAULTS: Mapping[str, str | bool] = {
    "job-name": "i2igalip-translate",
    "mem": "8G",
    "requeue": True,
    "time": "08:00:00",
}
THREADS = 4  # and processors of a task, unless something is said
RESTARTS = 20  # of a task whose time was up: a limit too short for one volume would never end
_WARNING_SECONDS = 120  # before the time is up; a worker has 20 to drop its volumes
_LONGEST_MINUTES = 366 * 24 * 60
_WARNINGS = {signal.SIGUSR1, signal.SIGUSR2}
_TERMINATED = 128 + signal.SIGTERM

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
            ConfigError: No task, an option that is set here, or a time that isn't Slurm's.
        """
        if self.jobs < 1:
            raise ConfigError(f"--jobs {self.jobs}: an array has 1 task or more")
        for name in self.options:
            # sbatch takes the beginning of an option's name for the whole.
            own = next((own for own in _OWN if own.startswith(name)), None)
            if own is not None:
                raise ConfigError(f"--slurm {name} can't be set: {_OWN[own]}")
        _ = self.minutes

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


@dataclass(frozen=True, kw_only=True)
class SubmittedCohort:
    """The jobs of a cohort.

    Attributes:
        out: The output folder.
        volumes: How many are to be translated.
        tasks: Of the array.
        array: Number of its job.
        merge: Number of the job that merges the tables.
        logs: Folder of what the jobs say.
    """

    out: Path
    volumes: int
    tasks: int
    array: str
    merge: str
    logs: Path

    @property
    def merge_command(self) -> str:
        """What merges the tables by hand."""
        return shlex.join(["i2igalip", "merge", str(self.out)])

    def to_dict(self) -> dict[str, Any]:
        """The jobs for machines."""
        return {
            "output": str(self.out),
            "volumes": self.volumes,
            "tasks": self.tasks,
            "array_job": self.array,
            "merge_job": self.merge,
            "logs": str(self.logs),
            "merge_command": self.merge_command,
        }


@dataclass
class Job:
    """What a job runs: a program, which is stopped in order before the job is queued again.

    Attributes:
        command: The program and its arguments.
    """

    command: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __call__(self) -> None:
        """Run the program to its end.

        Raises:
            SystemExit: With its exit code, if that isn't 0.
        """
        from submitit.core.utils import UncompletedJobError

        # Slurm signals all processes of a job: what warns this one would end the program's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WARNINGS)
        try:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            code = self._process.wait()
        except UncompletedJobError:  # its time was up too often; the log says so already
            code = _TERMINATED
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

    def checkpoint(self) -> "DelayedSubmission":
        """Stop the program in order, when submitit is about to queue the job again."""
        from submitit.helpers import DelayedSubmission

        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(ChildProcessError):  # it has ended
                # Not process.wait(), which this interrupts and whose lock that holds.
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Job(self.command))


def submit_cohort(
    request: CohortRequest, submission: Submission, arguments: Sequence[str]
) -> SubmittedCohort:
    """Submit a cohort, after everything was refused that can be.

    Args:
        request: What is wanted, all shards of it.
        submission: What is asked of Slurm.
        arguments: The same request as the program's arguments after `translate`, without what a
            task says by itself: --resume, --overwrite, --shard and --threads.

    Raises:
        ConfigError: submitit or Slurm is absent, or refuses the jobs.
        GalipError: Nothing could start; see `begin_cohort`.
    """
    assert request.shard is None, "the tasks are the shards"
    _require_slurm()
    with begin_cohort(request) as beginning:
        _check_caption(request)
        ledger = beginning.ledger
        tasks = min(submission.jobs, len(beginning.items))
        shards = [Shard(index, tasks) for index in range(tasks)]
        folder = _make_log_folder(ledger)
        for shard in shards:  # lest the merge takes an earlier run's for those of these tasks
            (ledger.out / shard.table).unlink(missing_ok=True)
        threads = request.settings.options.threads or THREADS
        with _setting_aside(request, beginning), _outside_of_jobs():
            array = _submit_array(folder, submission, shards, threads, arguments)
            try:
                merge = _submit_merge(folder, submission, ledger.out, array)
            except ConfigError:
                subprocess.run(["scancel", array], check=False, capture_output=True)
                raise
        return SubmittedCohort(
            out=ledger.out,
            volumes=len(beginning.items),
            tasks=tasks,
            array=array,
            merge=merge,
            logs=folder,
        )


def _require_slurm() -> None:
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise ConfigError("--submit slurm needs submitit: pip install 'i2igalip[slurm]'") from error
    absent = [name for name in ("sbatch", "srun") if shutil.which(name) is None]
    if absent:
        raise ConfigError(
            f"no Slurm here ({' and '.join(absent)} not found): submit from a machine of the "
            "cluster, or leave --submit out"
        )


def _check_caption(request: CohortRequest) -> None:
    """Refuse a caption that no task could encode."""
    settings = request.settings
    if settings.caption is not None:
        checkpoint = load_checkpoint(settings.weights)
        encode_caption(settings.caption, checkpoint, settings.encoder, settings.weights)


def _make_log_folder(ledger: Ledger) -> Path:
    folder = ledger.state / "slurm"
    if re.search(r"[%\\]", str(folder.absolute())):
        raise VolumeError(
            f"{ledger.out.absolute()}: Slurm can't write logs below a name with % or \\"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise VolumeError(f"can't write {folder}: {error.strerror}") from error
    return folder


@contextlib.contextmanager
def _setting_aside(request: CohortRequest, beginning: Beginning) -> Iterator[None]:
    """Overwrite once, for all tasks: what is there counts for nothing, what they do counts."""
    items = beginning.items if request.overwrite else ()
    try:
        for item in items:
            beginning.ledger.set_aside(item)
        yield
    except BaseException:
        for item in items:
            beginning.ledger.put_back(item.key)
        raise


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide the variables of a job that this runs in, which would become those of the new ones."""
    job: dict[str, str] = {}
    if "SLURM_JOB_ID" in os.environ:
        kept = ("SLURM_CONF",)
        names = [n for n in os.environ if n.startswith(("SLURM", "SRUN_")) and n not in kept]
        job = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(job)


def _submit_array(
    folder: Path,
    submission: Submission,
    shards: Sequence[Shard],
    threads: int,
    arguments: Sequence[str],
) -> str:
    """Submit a task for each shard; the number of their job."""
    jobs = []
    for shard in shards:
        own = ("--resume", f"--shard={shard}", f"--threads={threads}")
        jobs.append(Job((*PROGRAM, "translate", *own, *arguments)))
    return _submit(_executor(folder, submission, threads), jobs)


def _submit_merge(folder: Path, submission: Submission, out: Path, array: str) -> str:
    """Submit what merges the tables, however the tasks end; the number of its job.

    It gets the array's options: what a partition demands, it demands of every job.
    """
    name = f"{submission.options.get('job-name', DEFAULTS['job-name'])}-merge"
    options = {**submission.options, "dependency": f"afterany:{array}", "job-name": name}
    after = Submission(jobs=1, options=options)
    return _submit(_executor(folder, after, 1), [Job((*PROGRAM, "merge", "--", str(out)))])


def _executor(folder: Path, submission: Submission, threads: int) -> "SlurmExecutor":
    from submitit import SlurmExecutor

    options = dict(submission.options)
    # Slurm's own names, "-" for "_"; submitit writes these after the options, so that they win.
    executor = SlurmExecutor(
        folder, max_num_timeout=RESTARTS, python=f"{shlex.quote(sys.executable)} -P"
    )
    executor.update_parameters(
        job_name=options.pop("job-name", DEFAULTS["job-name"]),
        time=submission.minutes,
        cpus_per_task=threads,
        array_parallelism=submission.jobs,
        signal_delay_s=_WARNING_SECONDS,
        setup=[f"export OMP_NUM_THREADS={threads}"],
        srun_args=[f"--cpus-per-task={threads}"],  # which srun doesn't take from its job
        stderr_to_stdout=True,
        wckey=None,
        additional_parameters=options,
    )
    return executor


def _submit(executor: "SlurmExecutor", jobs: Sequence[Job]) -> str:
    """Submit one job, or several as an array.

    Raises:
        ConfigError: Slurm refuses it, or its folder can't be written to.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises, too
            submitted = executor.submit_array(jobs)
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"Slurm didn't take the jobs: {one_line(str(error))}") from error
    return submitted[0].job_id.partition("_")[0]
