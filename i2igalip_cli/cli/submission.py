"""`i2igalip translate --submit`: the same command, as jobs of a cluster."""

import shlex
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import typer

from i2igalip_cli.cli.console import print_json
from i2igalip_cli.errors import ConfigError

if TYPE_CHECKING:
    from i2igalip_cli.engine.cohort.run import CohortRequest
    from i2igalip_cli.engine.cohort.slurm import Submission

CLUSTERS = ("slurm",)
# What a task says by itself, or what isn't for tasks.
_NOT_OF_TASKS = ("submit", "jobs", "slurm", "resume", "overwrite", "shard", "threads", "as_json")
_NOT_OF_RESUMING = ("resume", "overwrite", "as_json")


def parse_submission(
    cluster: str | None, jobs: int | None, slurm: Sequence[str] | None, shard: str | None
) -> "Submission | None":
    """What --submit, --jobs and --slurm ask for; None without --submit.

    Raises:
        typer.BadParameter: They don't fit one another.
    """
    from i2igalip_cli.engine.cohort.slurm import Submission

    if cluster is None:
        for name, given in (("--jobs", jobs is not None), ("--slurm", slurm)):
            if given:
                raise typer.BadParameter(f"{name} is for --submit slurm; give both")
        return None
    if cluster not in CLUSTERS:
        raise typer.BadParameter(f"--submit {cluster}: known is {', '.join(CLUSTERS)}")
    if shard is not None:
        raise typer.BadParameter("--submit makes the shards itself: leave --shard out")
    if jobs is None:
        raise typer.BadParameter("--submit: say with --jobs N among how many tasks to share")
    try:
        return Submission.parse(jobs, slurm or ())
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def submit(
    context: typer.Context, request: "CohortRequest", submission: "Submission", *, as_json: bool
) -> None:
    """Submit the command that was typed, and say what became of it."""
    from i2igalip_cli.engine.cohort.submit import submit_cohort

    done = submit_cohort(request, submission, arguments_of(context, _NOT_OF_TASKS))
    again = ["i2igalip", "translate", "--resume", *arguments_of(context, _NOT_OF_RESUMING)]
    if as_json:
        print_json({**done.to_dict(), "resume_command": shlex.join(again)})
        return
    tasks = "1 task" if done.tasks == 1 else f"{done.tasks} tasks"
    volumes = "1 volume" if done.volumes == 1 else f"{done.volumes} volumes"
    typer.echo(f"{done.out}: {volumes} in {tasks} of job {done.array}; job {done.merge} merges")
    typer.echo(f"logs: {done.logs}")
    typer.echo(f"merge by hand: {done.merge_command}")
    typer.echo(f"go on, if tasks failed: {shlex.join(again)}")


def arguments_of(context: typer.Context, without: Collection[str]) -> list[str]:
    """What was typed after the subcommand, some parameters left out; inputs come last.

    Args:
        context: Of the subcommand.
        without: Names of the function's parameters.
    """
    options: list[str] = []
    inputs: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in without or value in (None, parameter.default):
            continue
        values = value if isinstance(value, list | tuple) else [value]
        option = max(parameter.opts, key=len)
        if parameter.param_type_name == "argument":
            inputs += map(str, values)
        elif value is True:
            options.append(option)
        else:
            options += [f"{option}={one}" for one in values]
    return [*options, "--", *inputs]
