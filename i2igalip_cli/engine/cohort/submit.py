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
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.engine.cohort.job import Job
from i2igalip_cli.engine.cohort.ledger import Ledger
from i2igalip_cli.engine.cohort.run import Beginning, CohortRequest, begin_cohort
from i2igalip_cli.engine.cohort.settings import encode_own_caption
from i2igalip_cli.engine.cohort.shards import Shard
from i2igalip_cli.engine.cohort.slurm import DEFAULTS, WARNING_SECONDS, Submission
from i2igalip_cli.errors import ConfigError, VolumeError, one_line, os_reason

if TYPE_CHECKING:
    from submitit import SlurmExecutor

PROGRAM = (sys.executable, "-P", "-m", "i2igalip_cli")  # -P: no module from the user's folder
THREADS = 4  # and processors of a task, unless something is said
RESTARTS = 20  # of a task whose time was up: a limit too short for one volume would never end


@dataclass(frozen=True, kw_only=True)
class SubmittedCohort:
    """The jobs of a cohort.

    Attributes:
        out: The output folder.
        volumes: How many are to be translated, each to all targets.
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
        tasks = min(submission.jobs, len(beginning.sources))
        shards = [Shard(index, tasks) for index in range(tasks)]
        folder = _make_log_folder(ledger)
        threads = request.settings.options.threads or THREADS
        with _setting_aside(request, beginning, shards), _outside_of_jobs():
            array = _submit_array(folder, submission, shards, threads, arguments)
            try:
                merge = _submit_merge(folder, submission, ledger.out, array)
            except BaseException:
                subprocess.run(["scancel", array], check=False, capture_output=True)
                raise
        return SubmittedCohort(
            out=ledger.out,
            volumes=len(beginning.sources),
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
    if request.settings.caption is not None:
        encode_own_caption(request.settings, load_checkpoint(request.settings.weights))


def _make_log_folder(ledger: Ledger) -> Path:
    folder = ledger.state / "slurm"
    if re.search(r"[%\\]", str(folder.absolute())):
        raise VolumeError(
            f"{ledger.out.absolute()}: Slurm can't write logs below a name with % or \\"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise VolumeError(f"can't write {folder}: {os_reason(error)}") from error
    return folder


@contextlib.contextmanager
def _setting_aside(
    request: CohortRequest, beginning: Beginning, shards: Sequence[Shard]
) -> Iterator[None]:
    """Let what is there count for nothing, once for all tasks, so that what they do counts.

    That is the tables of earlier tasks of these names, which the merge would take for theirs, and
    with `overwrite` all rows. If the block fails, they count again.
    """
    ledger = beginning.ledger
    every = [item for source in beginning.sources for item in source]
    items = every if request.overwrite else ()
    tables = [ledger.out / shard.table for shard in shards]
    kept = {path: path.read_bytes() for path in tables if path.is_file()}
    try:
        for path in kept:
            path.unlink()
        for item in items:
            ledger.set_aside(item)
        yield
    except BaseException:
        for item in items:
            ledger.put_back(item.key)
        for path, content in kept.items():
            path.write_bytes(content)
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
    after = replace(submission, jobs=1, options=options)
    return _submit(_executor(folder, after, 1), [Job((*PROGRAM, "merge", "--", str(out)))])


def _executor(folder: Path, submission: Submission, threads: int) -> "SlurmExecutor":
    from submitit import SlurmExecutor

    options = dict(submission.options)
    executor = SlurmExecutor(
        folder, max_num_timeout=RESTARTS, python=f"{shlex.quote(sys.executable)} -P"
    )
    executor.update_parameters(
        job_name=options.pop("job-name", DEFAULTS["job-name"]),
        time=submission.minutes,
        cpus_per_task=threads,
        array_parallelism=submission.jobs,
        signal_delay_s=WARNING_SECONDS,
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
