"""--submit: what Slurm is asked for, what its jobs do, and what is refused before.

sbatch is a script that keeps what it is given; the jobs are run from what submitit has written.
"""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cohort_here import work_here
from world import outputs, wait_for, write_volume

from i2igalip_cli.engine.cohort.job import Job
from i2igalip_cli.engine.cohort.slurm import Submission
from i2igalip_cli.errors import ConfigError

DelayedSubmission = pytest.importorskip("submitit.helpers").DelayedSubmission

SBATCH = """#!/bin/sh
number=$(($(ls "$KEPT" | grep -c sh$) + 41))
if [ "$number" = "$REFUSED" ]; then
  echo "sbatch: error: invalid partition specified: nosuch" >&2
  echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
  exit 1
fi
cp "$1" "$KEPT/$number.sh"
env > "$KEPT/$number.env"
echo "Submitted batch job $number"
"""
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$KEPT/notes"\n'
ARRAY, MERGE = "41", "42"  # what SBATCH calls the first two jobs


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    """The folder of what the pretended Slurm was given."""
    kept = tmp_path / "kept"
    kept.mkdir()
    scripts = {"sbatch": SBATCH, "srun": NOTE, "scancel": NOTE, "scontrol": NOTE}
    for name, text in scripts.items():
        path = tmp_path / "slurm" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("KEPT", str(kept))
    monkeypatch.setenv("PATH", f"{tmp_path / 'slurm'}{os.pathsep}{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    return kept


@pytest.fixture
def run(program, checkpoint_file, monkeypatch, tmp_path):
    """Run `translate` in tmp_path, or another command, with the worker in this process."""
    work_here(monkeypatch)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, command: str = "translate"):
        more = ["--weights", checkpoint_file.name] if command == "translate" else []
        return program(command, *more, *arguments)

    return call


@pytest.fixture
def submit(run, kept):
    """Submit `in` to `out`."""

    def call(*arguments: object):
        return run("in", "-o", "out", "--to", "T2", "--submit", "slurm", *arguments)

    return call


def write_volumes(folder: Path, count: int) -> None:
    for number in range(count):
        write_volume(folder / "in" / f"{number}.nii", seed=number)


def directives(script: Path) -> dict[str, str | None]:
    """What a script asks sbatch for, as its shell reads it."""
    found = {}
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH "):
            (word,) = shlex.split(line.removeprefix("#SBATCH "))
            name, equals, value = word.removeprefix("--").partition("=")
            assert name.replace("_", "-") not in found, "said twice"
            found[name.replace("_", "-")] = value if equals else None
    return found


def job_command(out: Path, name: str) -> list[str]:
    """What a submitted job runs, as it will be read on its node."""
    path = out / ".i2igalip" / "slurm" / f"{name}_submitted.pkl"
    code = (
        "import sys, json; from submitit.helpers import DelayedSubmission as D;"
        "print(json.dumps(D.load(sys.argv[1]).function.command))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, path], stdout=-1, check=True)
    return json.loads(done.stdout)


def arguments(command: list[str]) -> list[str]:
    """A job's arguments of the program."""
    assert command[:4] == [sys.executable, "-P", "-m", "i2igalip_cli"]
    return command[4:]


def table(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_array_and_a_merge_are_submitted(submit, kept, tmp_path) -> None:
    write_volumes(tmp_path, 5)
    options = ("--slurm", "partition=gpu", "--slurm", "gpus_per_node=1", "--slurm", "exclusive")
    result = submit("--jobs", 3, "--threads", 2, "--slurm", "time=1-2", *options)
    assert (result.code, result.err) == (0, "")
    logs = tmp_path / "out" / ".i2igalip" / "slurm"
    assert result.out.splitlines()[:3] == [
        "out: 5 volumes in 3 tasks of job 41; job 42 merges",
        "logs: out/.i2igalip/slurm",
        "merge by hand: i2igalip merge out",
    ]
    asked = directives(kept / "41.sh")
    assert asked == {
        "array": "0-2%3",
        "cpus-per-task": "2",
        "exclusive": None,
        "gpus-per-node": "1",
        "job-name": "i2igalip-translate",
        "mem": "8G",
        "nodes": "1",
        "open-mode": "append",
        "output": f"{logs}/%A_%a_0_log.out",
        "partition": "gpu",
        "requeue": None,
        "signal": "USR2@120",
        "time": "1-2",
    }
    after = directives(kept / "42.sh")
    changed = {"job-name": "i2igalip-translate-merge", "dependency": "afterany:41"}
    changed |= {"cpus-per-task": "1", "output": f"{logs}/%j_0_log.out"}
    assert after == {**{k: v for k, v in asked.items() if k != "array"}, **changed}
    (step,) = [line for line in (kept / "41.sh").read_text().splitlines() if "srun" in line]
    assert "--cpus-per-task=2" in shlex.split(step)
    assert outputs(tmp_path / "out") == {}  # nothing was done here


def test_the_jobs_do_what_was_typed(submit, program, tmp_path) -> None:
    """All outputs and one table, though a volume is damaged."""
    write_volumes(tmp_path, 3)
    (tmp_path / "in" / "3.nii").write_text("x")
    assert submit("--jobs", 2, "--from", "T1", "-o", "my out", "--preview").code == 0
    out = tmp_path / "my out"
    for index, code in ((0, 0), (1, 3)):
        typed = arguments(job_command(out, f"{ARRAY}_{index}"))
        assert typed == [
            *("translate", "--resume", f"--shard={index}/2", "--threads=4"),
            *("--to=T2", "--from=T1", "--output=my out", "--preview"),
            *("--weights=tiny.safetensors", "--", "in"),
        ]
        assert program(*typed).code == code
    merge = arguments(job_command(out, MERGE))
    assert merge == ["merge", "--", "my out"]
    assert program(*merge).code == 3
    assert [row["status"] for row in table(out)] == ["done"] * 3 + ["failed"]
    expected = {f"{number}_T2{end}" for number in range(3) for end in (".nii", "_preview.png")}
    assert set(outputs(out)) == expected


def test_a_volumes_targets_are_one_tasks(submit, program, tmp_path) -> None:
    write_volumes(tmp_path, 3)
    result = submit("--to", "PD", "--jobs", 5)
    assert "out: 3 volumes in 3 tasks of job 41" in result.out, "no more than there are volumes"
    for index in range(3):
        typed = arguments(job_command(tmp_path / "out", f"{ARRAY}_{index}"))
        assert [word for word in typed if word.startswith("--to")] == ["--to=T2", "--to=PD"]
        assert program(*typed).code == 0
    assert program(*arguments(job_command(tmp_path / "out", MERGE))).code == 0
    shards = {row["output"]: row["shard"] for row in table(tmp_path / "out")}
    assert shards == {f"{n}_{target}.nii": f"{n}/3" for n in range(3) for target in ("PD", "T2")}


def test_json_and_the_command_that_goes_on(submit, program, kept, tmp_path) -> None:
    write_volumes(tmp_path, 2)
    told = json.loads(submit("--jobs", 8, "--json", "--slurm", "comment=a 'b").out)
    again = told.pop("resume_command")
    assert told == {
        "output": "out",
        "volumes": 2,
        "tasks": 2,  # no more than there are volumes
        "array_job": ARRAY,
        "merge_job": MERGE,
        "logs": "out/.i2igalip/slurm",
        "merge_command": "i2igalip merge out",
    }
    assert directives(kept / "41.sh")["array"] == "0-1%2"
    words = shlex.split(again)
    assert words[:3] == ["i2igalip", "translate", "--resume"]
    assert words[-2:] == ["--", "in"]
    assert {"--submit=slurm", "--jobs=8", "--slurm=comment=a 'b"} <= set(words)
    assert program(*words[1:]).code == 0
    assert directives(kept / "43.sh")["comment"] == "a 'b"


def test_one_task_is_no_array(submit, program, kept, tmp_path) -> None:
    write_volumes(tmp_path, 2)
    assert "2 volumes in 1 task of job 41; job 42" in submit("--jobs", 1).out
    assert "array" not in directives(kept / "41.sh")
    for name in (ARRAY, MERGE):
        assert program(*arguments(job_command(tmp_path / "out", name))).code == 0
    assert len(table(tmp_path / "out")) == 2


def test_what_is_overwritten_is_done_once(submit, run, program, kept, tmp_path) -> None:
    """Neither a task that is queued again nor a resumed one starts over."""
    write_volumes(tmp_path, 4)
    write_volume(tmp_path / "out" / "0_T2.nii", seed=9)  # which nothing here wrote
    for number in range(1, 4):
        assert run(f"in/{number}.nii", "-o", "out", "--to", "T2", "--dtype", "int16").code == 0
    before = outputs(tmp_path / "out")
    assert "--overwrite does them again" in submit("--jobs", 2).err
    assert "of other settings" in submit("--jobs", 2, "--resume").err
    assert list(kept.iterdir()) == []
    assert submit("--jobs", 2, "--overwrite").code == 0
    assert outputs(tmp_path / "out") == before

    merge = arguments(job_command(tmp_path / "out", MERGE))
    first, second = (arguments(job_command(tmp_path / "out", f"41_{i}")) for i in (0, 1))
    assert program(*first).code == 0
    half = outputs(tmp_path / "out")
    changed = {name for name in before if half[name] != before[name]}
    assert changed == {"0_T2.nii", "2_T2.nii"}
    assert program(*merge).code == 1  # the other task's outputs are still the old ones
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in changed}
    assert program(*first).code == 0
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in changed} == times
    assert program(*second).code == 0
    assert program(*merge).code == 0
    after = outputs(tmp_path / "out")
    assert {name for name in before if after[name] != before[name]} == {
        f"{number}_T2.nii" for number in range(4)
    }
    assert {row["dtype"] for row in table(tmp_path / "out")} == {"auto"}


def test_a_refused_submission_leaves_all_as_it_was(
    submit, run, kept, tmp_path, monkeypatch
) -> None:
    """Rows and tables count as before; the array is taken back where the merge is refused."""
    write_volumes(tmp_path, 2)
    for index in (0, 1):
        assert run("in", "-o", "out", "--to", "T2", "--shard", f"{index}/2").code == 0
    before = outputs(tmp_path / "out")
    for refused in (ARRAY, MERGE):
        monkeypatch.setenv("REFUSED", refused)
        result = submit("--jobs", 2, "--overwrite", "--slurm", "partition=nosuch")
        assert (result.code, result.out) == (1, "")
        (line,) = result.err.splitlines()
        assert line.startswith("Error: Slurm didn't take the jobs: ")
        assert "invalid partition specified: nosuch" in line
        assert (kept / "notes").exists() == (refused == MERGE)
        assert run("out", command="merge").code == 0
        assert run("in", "-o", "out", "--to", "T2", "--resume").code == 0
        assert outputs(tmp_path / "out") == before
        assert [row["attempt"] for row in table(tmp_path / "out")] == ["1", "1"]
    assert (kept / "notes").read_text() == "scancel 41\n"
    monkeypatch.delenv("REFUSED")
    assert submit("--jobs", 2, "--resume").code == 0
    early = run("out", command="merge")  # no task has begun: the tables there were earlier ones
    assert "2 of 2 shards have no table yet" in early.err


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["--to", "T9"], "T9"),
        (["--weights", "absent.safetensors"], "absent.safetensors"),
        (["--caption", "no such encoder", "--encoder", "absent"], "absent"),
        (["nowhere"], "nowhere: no such file"),
        (["in/0.nii", "twin"], "would both be written to"),
        (["--dtype", "uint16", "--to", "pelvic-CT"], "pelvic-CT"),
        (["-o", "100%"], "Slurm can't write logs below a name with %"),
        (["-o", "done"], "--resume goes on with them, --overwrite does them again"),
        (["-o", "in"], "lies in the output folder"),
    ],
)
def test_what_cant_be_done_is_refused_before(
    changes, expected, submit, run, kept, tmp_path
) -> None:
    write_volumes(tmp_path, 2)
    write_volume(tmp_path / "twin" / "0.nii")
    assert run("in", "-o", "done", "--to", "T2").code == 0
    result = submit("--jobs", 2, *changes)
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert expected in line
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--submit", "slurm"], "say with --jobs N"),
        (["--submit", "pbs", "--jobs", "2"], "--submit pbs: known is slurm"),
        (["--submit", "slurm", "--jobs", "0"], "--jobs 0"),
        (["--submit", "slurm", "--jobs", "2", "--shard", "0/2"], "leave --shard out"),
        (["--submit", "slurm", "--jobs", "2", "--slurm", "array=0-9"], "say with --jobs"),
        (["--submit", "slurm", "--jobs", "2", "-o", "a.nii"], "--submit: say with -o DIR"),
        (["--jobs", "2"], "--jobs is for --submit slurm"),
        (["--slurm", "time=2"], "--slurm is for --submit slurm"),
    ],
)
def test_a_wrong_command_line_exits_with_2(typed, expected, run, kept, tmp_path) -> None:
    write_volumes(tmp_path, 1)
    result = run("in", "-o", "out", "--to", "T2", *typed)
    assert result.code == 2
    assert expected in " ".join(re.sub("[│╭╮╰╯─]", " ", result.err).split())
    assert not (tmp_path / "out").exists()
    assert list(kept.iterdir()) == []


def test_without_submitit_or_slurm_one_line_says_so(submit, tmp_path, monkeypatch) -> None:
    write_volumes(tmp_path, 1)
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "submitit", None)
        result = submit("--jobs", 1)
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert "pip install 'i2igalip[slurm]'" in result.err
    monkeypatch.setenv("PATH", str(tmp_path))
    result = submit("--jobs", 1)
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert "no Slurm here (sbatch and srun not found)" in result.err
    assert not (tmp_path / "out").exists()


def test_a_job_that_submits_hands_nothing_of_itself_on(submit, kept, tmp_path, monkeypatch) -> None:
    write_volumes(tmp_path, 2)
    mine = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "9", "SLURM_CONF": "/c", "SRUN_DEBUG": "3"}
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    assert submit("--jobs", 2).code == 0
    for number in (ARRAY, MERGE):
        given = {line.partition("=")[0] for line in (kept / f"{number}.env").read_text().split()}
        assert given & set(mine) == {"SLURM_CONF"}
    assert {name: os.environ[name] for name in mine} == mine


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90:30", 90),
        ("8:00:00", 480),
        ("2-0", 2880),
        ("2-3", 3060),
        ("1-2:30", 1590),
        ("1-2:30:59", 1590),
        ("UNLIMITED", 527040),
    ],
)
def test_times_are_said_as_in_slurm(text, minutes) -> None:
    submission = Submission.parse(1, [f"time={text}"])
    assert submission.minutes == minutes
    assert submission.options["time"] == text


@pytest.mark.parametrize(
    "text", ["time=soon", "time=1:2:3:4", "=3", "", "-p=gpu", "a b=c", "x=1\n2"]
)
def test_what_slurm_has_no_word_for_is_refused(text) -> None:
    with pytest.raises(ConfigError, match=r"--slurm .*: give"):
        Submission.parse(1, [text])


@pytest.mark.parametrize("text", ["outp=x", "parsable", "ntasks=2", "cpus_per_task=3", "wait"])
def test_what_the_submission_says_itself_cant_be_set(text) -> None:
    with pytest.raises(ConfigError, match="can't be set"):
        Submission.parse(1, [text])


@pytest.mark.parametrize("text", ["4", "4:59", "0:4:59", "0-0:4"])
def test_a_time_that_ends_before_it_begins_is_refused(text) -> None:
    """Slurm would warn the task at once, and it would be queued again for nothing."""
    with pytest.raises(ConfigError, match="too short for a task"):
        Submission.parse(1, [f"time={text}"])
    assert Submission.parse(1, ["time=0"]).minutes == 0  # Slurm's word for no limit


def test_memory_by_processor_replaces_that_by_node() -> None:
    """Slurm refuses both together."""
    assert Submission.parse(1, []).options["mem"] == "8G"
    assert Submission.parse(1, ["mem=3G"]).options["mem"] == "3G"
    assert "mem" not in Submission.parse(1, ["mem_per_cpu=2G"]).options


PROGRAM = """
import pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
def stop(number, frame):
    time.sleep(0.3)
    here.joinpath("notes").open("a").write("stopped\\n")
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
if here.joinpath("begun").exists():
    sys.exit(int(sys.argv[2]))
here.joinpath("begun").touch()
time.sleep(60)
"""


def start_job(kept: Path, monkeypatch, restarts: int, code: int = 0) -> subprocess.Popen:
    """A job as on its node: in a group of processes that get all signals."""
    folder = kept / "jobs"
    folder.mkdir(exist_ok=True)
    place = folder / "7_1_submitted.pkl"
    if not place.exists():
        submission = DelayedSubmission(Job((sys.executable, "-c", PROGRAM, str(kept), str(code))))
        submission.set_timeout(1, restarts)  # minutes so few that every warning is of their end
        submission.dump(place)
    variables = {"JOB_ID": "8", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "1", "NTASKS": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    command = [sys.executable, "-P", "-m", "submitit.core._submit", str(folder)]
    return subprocess.Popen(
        command, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def warn(job: subprocess.Popen, kept: Path) -> str:
    """Warn a job of its end as Slurm does; what it said."""
    wait_for((kept / "begun").exists)
    time.sleep(0.1)  # until it has gone to sleep
    os.killpg(job.pid, signal.SIGUSR2)
    return job.communicate(timeout=20)[0]


def test_a_job_whose_time_is_up_is_stopped_in_order_and_queued_again(kept, monkeypatch) -> None:
    job = start_job(kept, monkeypatch, restarts=1, code=3)
    said = warn(job, kept)
    assert (kept / "notes").read_text() == "stopped\nscontrol requeue 7_1\n", said
    assert "Traceback" not in said
    job = start_job(kept, monkeypatch, restarts=1)  # what submitit has written anew
    said = job.communicate(timeout=20)[0]
    assert job.returncode == 3  # some volumes failed: no crash, and no traceback
    assert "Traceback" not in said


def test_a_job_is_queued_again_only_so_often(kept, monkeypatch) -> None:
    job = start_job(kept, monkeypatch, restarts=0)
    said = warn(job, kept)
    assert job.returncode == 143
    assert (kept / "notes").read_text() == "stopped\n"
    assert "timed-out too many times" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("code", "expected"), [("0", None), ("3", 3), ("-9", 137)])
def test_a_job_ends_as_its_program_does(code, expected) -> None:
    code = f"import os; os.kill(os.getpid(), 9) if {code} < 0 else os._exit({code})"
    job = Job((sys.executable, "-c", code))
    if expected is None:
        job()
        return
    with pytest.raises(SystemExit) as ended:
        job()
    assert ended.value.code == expected
