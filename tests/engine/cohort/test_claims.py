"""Claims: one holder at a time, whoever races, dies or sleeps."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from i2igalip_cli.engine.cohort import processes
from i2igalip_cli.engine.cohort.claims import Claims
from i2igalip_cli.engine.cohort.processes import ProcessIdentity, describe_exit


def make(folder: Path, lease: float = 60.0, name: str = "clock") -> Claims:
    (folder / "claims").mkdir(exist_ok=True)
    return Claims(folder / "claims", folder / name, lease)


@pytest.fixture
def claims(tmp_path) -> Claims:
    return make(tmp_path)


def held_by(claims: Claims, name: str, age: float = 0.0, **changes) -> Path:
    """A claim file of another process, touched some seconds ago."""
    identity = {"host": "elsewhere", "boot": "b", "pid": 1, "started": "1", "token": "theirs"}
    path = claims.folder / name
    path.write_text(json.dumps({**identity, **changes}))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def here(**changes) -> dict:
    own = ProcessIdentity.of(os.getpid())
    return {"host": own.host, "boot": own.boot, "pid": own.pid, "started": own.started, **changes}


def test_a_claim_holds_until_it_is_released(claims) -> None:
    claim = claims.take("a")
    assert claim is not None
    assert claim.generation == 1
    assert claims.holds(claim)
    assert claims.take("a") is None
    assert claims.take("ab") is not None, "another key"
    claims.release(claim)
    assert not claims.holds(claim)
    assert claims.take("a").generation == 1


@pytest.mark.parametrize(
    ("identity", "age", "generation"),
    [
        pytest.param(here(pid=dead_pid()), 0, 8, id="its process is gone"),
        pytest.param(here(started="1"), 0, 8, id="another process has its number"),
        pytest.param({}, 59, None, id="elsewhere, within its lease"),
        pytest.param({}, 61, 8, id="elsewhere, beyond its lease"),
        pytest.param(here(), 59, None, id="alive, within its lease"),
        pytest.param(here(), 61, 8, id="alive, but not heard of for a lease"),
        pytest.param(here(pid=dead_pid(), boot="an older one"), 59, None, id="before a restart"),
        pytest.param(here(pid=dead_pid(), host="elsewhere"), 59, None, id="number of another host"),
    ],
)
def test_the_dead_are_followed_and_the_living_are_not(claims, identity, age, generation) -> None:
    held_by(claims, "a.7", age, **identity)
    held_by(claims, "a.6", 1000, **here(pid=dead_pid()))
    claim = claims.take("a")
    assert (claim and claim.generation) == generation
    if claim:
        claims.release(claim)
        assert list(claims.folder.iterdir()) == [], "the dead are cleared with the claim"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_claim_cut_off_while_it_was_written_lasts_a_beat(claims, content) -> None:
    path = claims.folder / "a.1"
    path.write_text(content)
    assert claims.take("a") is None
    os.utime(path, (time.time() - 9,) * 2)
    assert claims.take("a") is None, "a slow file system may still write it"
    os.utime(path, (time.time() - 11,) * 2)
    assert claims.take("a").generation == 2


def test_the_lease_is_measured_by_the_file_systems_clock_alone(claims, monkeypatch) -> None:
    held_by(claims, "a.1", 30)
    for wrong in (0.0, 1e12):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert claims.take("a") is None


def test_a_heartbeat_keeps_a_claim_and_only_its_own(tmp_path) -> None:
    mine = make(tmp_path, lease=0.3)
    others = make(tmp_path, lease=0.3, name="other clock")
    claim = mine.take("a")
    theirs = held_by(mine, "b.1")
    with mine.beating():
        for _ in range(8):
            time.sleep(0.1)
            assert others.take("a") is None
    assert mine.holds(claim)
    assert others.take("b") is not None, "untouched for more than a lease"
    time.sleep(0.4)
    taken = others.take("a")
    assert taken.generation == 2
    assert not mine.holds(claim), "who slept through a lease finds out before publishing"
    before = (tmp_path / "claims" / "a.2").stat().st_mtime_ns
    mine.beat()
    assert (tmp_path / "claims" / "a.2").stat().st_mtime_ns == before
    mine.release(claim)
    assert others.holds(taken)
    assert theirs.exists()


def test_a_late_release_spares_a_new_claim_of_the_same_name(tmp_path) -> None:
    mine, others = make(tmp_path, lease=0.05), make(tmp_path, lease=0.05, name="other clock")
    late = mine.take("a")
    time.sleep(0.1)
    second = others.take("a")
    others.release(second)
    new = others.take("a")
    assert new.generation == late.generation == 1
    assert not mine.holds(late)
    mine.release(late)
    assert others.holds(new)


def test_a_steal_on_stale_news_is_withdrawn(tmp_path, monkeypatch) -> None:
    """Between the look and the leap another has followed the dead, finished, and a third begun."""
    slow, quick = make(tmp_path), make(tmp_path, name="other clock")
    held_by(slow, "a.1", **here(pid=dead_pid()))
    create = slow._create

    def delayed(claim) -> None:
        quick.release(quick.take("a"))
        delayed.third = quick.take("a")
        create(claim)

    monkeypatch.setattr(slow, "_create", delayed)
    assert slow.take("a") is None
    assert quick.holds(delayed.third)


def test_clearing_removes_the_dead_only(claims) -> None:
    held_by(claims, "a.3", **here(pid=dead_pid()))
    held_by(claims, "b.1")
    held_by(claims, "c.1", 61)
    claims.clear_dead(["a", "b"])
    assert sorted(path.name for path in claims.folder.iterdir()) == ["b.1", "c.1"]


@pytest.mark.parametrize("dead_holder", [False, True])
def test_of_many_threads_one_wins(tmp_path, dead_holder) -> None:
    racers = [make(tmp_path, name=f"clock {n}") for n in range(16)]
    for key in (f"k{n}" for n in range(25)):
        if dead_holder:
            held_by(racers[0], f"{key}.1", **here(pid=dead_pid() if key == "k0" else 2**22 + 1))
        barrier, won = threading.Barrier(len(racers)), []

        def race(claims: Claims, key=key, barrier=barrier, won=won) -> None:
            barrier.wait()
            claim = claims.take(key)
            if claim:
                won.append(claim)

        threads = [threading.Thread(target=race, args=(claims,)) for claims in racers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


RACE = """
import os, sys, time
from pathlib import Path
from i2igalip_cli.engine.cohort.claims import Claims

folder, name = Path(sys.argv[1]), sys.argv[2]
claims = Claims(folder / "claims", folder / name)
print("ready", flush=True)
sys.stdin.readline()
for number in range(60):
    claim = claims.take(f"k{number}")
    if claim is None:
        continue
    if (folder / "done" / f"k{number}").exists():
        claims.release(claim)
        continue
    # Exclusive creation shows two that work on one thing at a time.
    os.close(os.open(folder / "work" / f"k{number}", os.O_CREAT | os.O_EXCL))
    with (folder / "log").open("a") as log:
        log.write(f"{number}\\n")
    (folder / "done" / f"k{number}").touch()
    (folder / "work" / f"k{number}").unlink()
    claims.release(claim)
"""


def test_of_many_processes_each_thing_is_done_by_one(tmp_path) -> None:
    for name in ("claims", "work", "done"):
        (tmp_path / name).mkdir()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), f"clock{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for n in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        racer.stdin.write(b"go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate()
        assert racer.returncode == 0
    done = sorted(map(int, (tmp_path / "log").read_text().split()))
    assert done == list(range(60))


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = ProcessIdentity.of(child.pid)
    assert not identity.is_provably_dead()
    child.kill()
    end = time.monotonic() + 5
    while not identity.is_provably_dead():  # nobody has waited for it yet
        assert time.monotonic() < end
    child.wait()
    assert identity.is_provably_dead()


def test_without_proc_a_process_is_asked_for_by_a_signal(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    processes._boot.cache_clear()
    try:
        own = ProcessIdentity.of(os.getpid())
        assert (own.boot, own.started) == ("", "")
        assert not own.is_provably_dead()
        gone = ProcessIdentity(host=own.host, boot="", pid=dead_pid(), started="")
        assert gone.is_provably_dead()
    finally:
        processes._boot.cache_clear()


def test_the_end_of_a_process_is_named() -> None:
    assert describe_exit(-9) == "SIGKILL, perhaps out of memory"
    assert [describe_exit(code) for code in (-11, -200, 3)] == [
        "SIGSEGV",
        "signal 200",
        "exit code 3",
    ]


def test_a_beat_is_a_byte_written_by_the_file_systems_clock(claims, monkeypatch) -> None:
    """To set a time, even to now, may be to set this machine's idea of it."""

    def refuse(*args, **kwargs) -> None:
        raise AssertionError("a time was set")

    claim = claims.take("a")
    path = claims.folder / "a.1"
    content = path.read_bytes()
    os.utime(path, (5, 5))
    os.utime(held_by(claims, "b.1"), (5, 5))
    monkeypatch.setattr(os, "utime", refuse)
    claims.beat()
    assert time.time() - path.stat().st_mtime < 5
    assert path.read_bytes() == content
    assert claims.holds(claim)
    assert claims.take("b") is not None, "the clock was asked without setting a time"


def test_a_disk_that_is_full_at_the_claim_leaves_none(claims, monkeypatch) -> None:
    """An empty claim file would hold for a beat, and nobody works on it."""

    def full(content: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", full)
        with pytest.raises(OSError, match="No space left"):
            claims.take("a")
    assert list(claims.folder.iterdir()) == []
    assert claims.take("a").generation == 1


def test_a_holder_is_named_for_people(claims) -> None:
    assert claims.holder("a") == ""
    held_by(claims, "a.1", pid=17, host="node3")
    assert claims.holder("a") == "process 17 of node3"
    (claims.folder / "a.2").write_text("")
    assert claims.holder("a") == "", "it hasn't said who it is"
