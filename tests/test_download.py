"""Weights from a hub on the loopback: fetched, refused, resumed, bundled, and used offline."""

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_checkpoint
from hub_server import Fault, HubServer

from i2igalip_cli import cli, hub
from i2igalip_cli.checkpoints import load_checkpoint, save_checkpoint
from i2igalip_cli.errors import CheckpointError

MODEL, MODEL_COMMIT = "lab/two-towers", "a" * 40
TOWER, TOWER_COMMIT = "lab/text", "b" * 40
CONFIG, WEIGHTS = b'{"model_cfg": {}}', bytes(range(256)) * 400
TOWER_FILES = {"config.json": b"{}", "vocab.txt": b"a\nb\n"}
BLOCKED = "nothing may reach for the network here"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def encoder_row(files: dict[str, bytes], tower: dict[str, bytes], name: str = "twin") -> dict:
    """An entry of two repositories: the model's hashes are known, the text tower's aren't."""
    model = [
        {
            "file": f"{name}/{file}",
            "sha256": sha256(content),
            "size": len(content),
            "repo": MODEL,
            "revision": MODEL_COMMIT,
            "filename": file,
        }
        for file, content in files.items()
    ]
    text = [
        {
            "file": f"{name}/text_tower/{file}",
            "repo": TOWER,
            "revision": TOWER_COMMIT,
            "filename": file,
        }
        for file in tower
    ]
    return {
        "name": name,
        "kind": "encoder",
        "license": "MIT",
        "description": "test",
        "files": [*model, *text],
    }


def write_manifest(folder: Path, *encoders: dict) -> Path:
    """A weights folder: a checkpoint that ships, and encoders to fetch."""
    save_checkpoint(make_checkpoint(), folder / "tiny.safetensors")
    content = (folder / "tiny.safetensors").read_bytes()
    checkpoint = {
        "name": "tiny",
        "kind": "checkpoint",
        "license": "Apache-2.0",
        "description": "test",
        "default": True,
        "files": [
            {"file": "tiny.safetensors", "sha256": sha256(content), "size": len(content)},
        ],
    }
    rows = {"format": 2, "entries": [checkpoint, *encoders]}
    (folder / "manifest.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def server():
    with HubServer() as server:
        for file, content in {"open_clip_config.json": CONFIG, "model.bin": WEIGHTS}.items():
            server.add(MODEL, MODEL_COMMIT, file, content)
        for file, content in TOWER_FILES.items():
            server.add(TOWER, TOWER_COMMIT, file, content)
        yield server


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def place(tmp_path, home, server, pauses, monkeypatch) -> Path:
    """The weights folder, with huggingface_hub turned to the loopback and to a fresh home."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "DOWNLOAD_CHUNK_SIZE": 1000,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr("time.sleep", pauses.append)
    folder = tmp_path / "weights"
    folder.mkdir()
    files = {"open_clip_config.json": CONFIG, "model.bin": WEIGHTS}
    write_manifest(folder, encoder_row(files, TOWER_FILES))
    monkeypatch.setattr("i2igalip_cli.hub.manifest.shipped_folder", lambda: folder)
    close_session()
    yield folder
    close_session()


@pytest.fixture
def twin(place) -> hub.WeightsEntry:
    return hub.choose(hub.read_manifest(), ["twin"])[0]


@pytest.fixture
def no_network(monkeypatch):
    """A call that makes every further connection fail the test."""

    def refuse(*_: object) -> None:
        raise AssertionError(BLOCKED)

    def block() -> None:
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    return block


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run the program in this process; returns (code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["i2igalip", "download-weights", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


def contents(folder: Path) -> list[bytes]:
    """Of every real file in the cache but its locks and its tag."""
    kept = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    return sorted(p.read_bytes() for p in kept if p.suffix not in (".lock", ".TAG"))


def assert_cache_is_whole(home: Path) -> None:
    """Nothing in the hub's cache but whole and right files."""
    right = {CONFIG, WEIGHTS, *TOWER_FILES.values()}
    assert set(contents(home / "hub")) <= right
    assert not list((home / "hub").rglob("*.incomplete"))
    for link in (home / "hub").rglob("snapshots/*/*"):
        assert link.is_file(), "a link in a snapshot leads to a file"


def test_an_entry_is_fetched_once_and_found_offline(twin, server, home, place, no_network) -> None:
    seen = []
    reports = hub.download(twin, lambda done, total: seen.append((done, total)))
    assert [report.state for report in reports] == ["right", "right", "new", "new"]
    assert {"model.bin", "config.json"} <= {request.file for request in server.requests}
    assert seen == sorted(seen)
    assert seen[-1] == (twin.size, twin.size)
    assert twin.size == len(CONFIG) + len(WEIGHTS)
    assert contents(home / "hub") == sorted([CONFIG, WEIGHTS, *TOWER_FILES.values()])

    no_network()
    again = hub.download(twin)
    assert [report.state for report in again] == ["right", "right", "recorded", "recorded"]
    paths = hub.find_encoder("twin")
    assert (paths.folder / "model.bin").read_bytes() == WEIGHTS
    assert {p.name for p in paths.text_tower.iterdir()} == set(TOWER_FILES)
    assert paths.folder != paths.text_tower
    assert hub.find_encoder("nobody's") is None


def test_the_cache_is_huggingface_hubs_own(twin, place) -> None:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    hub.download(twin)
    cached = hf_hub_download(MODEL, "model.bin", revision=MODEL_COMMIT, local_files_only=True)
    assert Path(cached) == hub.locate(twin)[1]
    info = scan_cache_dir()
    assert {repo.repo_id for repo in info.repos} == {MODEL, TOWER}
    assert not info.warnings


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(status=401), r"refuses lab/two-towers \(401\).*`hf auth login` or set HF_TOKEN"),
        (Fault(status=403, headers={"X-Error-Code": "GatedRepo"}), r"\(403\).*gated"),
        (Fault(status=404), r"no such repository, revision or file: lab/two-towers@aaaaaaaa"),
        (Fault(status=404, headers={"X-Error-Code": "EntryNotFound"}), r"no such file"),
        (Fault(status=404, headers={"X-Error-Code": "RevisionNotFound"}), r"no such revision"),
        (Fault(status=410), r"the hub answers 410 for lab/two-towers@aaaaaaaa"),
    ],
)
def test_a_refusal_is_one_line_and_not_tried_again(twin, server, home, pauses, fault, said) -> None:
    server.faults["model.bin"] = [fault]
    with pytest.raises(CheckpointError, match=f"^model.bin: .*{said}") as caught:
        hub.download(twin)
    assert "\n" not in str(caught.value)
    assert pauses == []
    assert_cache_is_whole(home)
    assert hub.locate(twin)[1] is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(status=429), r"limits requests \(429\); try again later"),
        (Fault(status=429, headers={"Retry-After": "3"}), r"\(429\); try again in 3 s"),
        (Fault(status=500), r"the hub fails \(500\); try again later"),
        (Fault(status=503, method="GET"), r"the hub fails \(503\)"),
    ],
)
def test_a_passing_fault_is_overcome_and_a_lasting_one_said(
    twin, server, home, pauses, fault, said
) -> None:
    server.faults["model.bin"] = [fault] * 4
    with pytest.raises(CheckpointError, match=f"^model.bin: .*{said}"):
        hub.download(twin)
    assert len(pauses) == 3
    assert min(pauses) >= (3 if "Retry-After" in fault.headers else 1)
    assert_cache_is_whole(home)
    server.faults["model.bin"] = [fault]
    hub.download(twin)
    hub.require(twin)


def test_a_hub_that_wants_a_long_wait_is_left_alone(twin, server, pauses) -> None:
    server.faults["model.bin"] = [Fault(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(CheckpointError, match="try again in 3600 s"):
        hub.download(twin)
    assert pauses == []


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_goes_on_at_the_byte(twin, server, home, reset) -> None:
    server.faults["model.bin"] = [Fault(method="GET", cut=50_000, reset=reset)]
    hub.download(twin)
    asked = [r.range for r in server.requests if (r.method, r.file) == ("GET", "model.bin")]
    assert len(asked) == 2
    assert asked[0] is None
    first = int(asked[1].removeprefix("bytes=").removesuffix("-"))
    # A reset may throw away what the receiver hasn't read yet; an orderly end doesn't.
    assert 0 < first <= 50_000
    assert_cache_is_whole(home)
    hub.require(twin)


def test_a_download_that_gave_up_is_resumed_by_the_next_one(twin, server, home) -> None:
    dead = [Fault(method="GET", cut=0)] * 30
    server.faults["model.bin"] = [Fault(method="GET", cut=50_000), *dead]
    with pytest.raises(CheckpointError, match="it goes on where it stopped") as caught:
        hub.download(twin)
    assert "\n" not in str(caught.value)
    assert_cache_is_whole(home)
    server.faults.clear()
    server.requests.clear()
    hub.download(twin)
    asked = [r.range for r in server.requests if (r.method, r.file) == ("GET", "model.bin")]
    assert asked == ["bytes=50000-"]
    hub.require(twin)
    assert not list((home / "i2igalip" / "parts").glob("*[!k]")), "no part file is left behind"


@pytest.mark.parametrize("content", [WEIGHTS[::-1], WEIGHTS[:-7], WEIGHTS + b"more"])
def test_wrong_bytes_never_enter_the_cache(twin, server, home, content) -> None:
    wrong = Fault(method="GET", content=content)
    server.faults["model.bin"] = [wrong] * 4
    with pytest.raises(CheckpointError, match=r"^model\.bin: ") as caught:
        hub.download(twin)
    if len(content) == len(WEIGHTS):
        assert sha256(content) in str(caught.value)
        assert sha256(WEIGHTS) in str(caught.value)
    assert_cache_is_whole(home)
    with pytest.raises(CheckpointError, match=r"twin/model\.bin.* absent; fetch it with"):
        hub.find_encoder("twin")
    server.faults.clear()
    hub.download(twin)
    hub.require(twin)


def test_another_size_is_refused_before_the_bytes(twin, server) -> None:
    server.add(MODEL, MODEL_COMMIT, "model.bin", WEIGHTS * 2)
    with pytest.raises(CheckpointError, match="204800 bytes, the manifest 102400"):
        hub.download(twin)
    assert ("GET", "model.bin") not in {(r.method, r.file) for r in server.requests}


@pytest.mark.parametrize(
    "headers", [{}, {"X-Repo-Commit": MODEL_COMMIT, "ETag": '"../../../x"'}, {"X-Repo-Commit": "c"}]
)
def test_what_answers_unlike_a_hub_is_refused(twin, server, headers) -> None:
    """A login page of a network, a path in place of a hash, another commit than the pinned."""
    server.faults["open_clip_config.json"] = [Fault(status=200, headers=headers)]
    with pytest.raises(CheckpointError, match="doesn't answer as a hub does"):
        hub.download(twin)
    assert {request.method for request in server.requests} == {"HEAD"}


def test_no_connection_is_one_line(twin, server, pauses) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(
        CheckpointError, match=r"no connection to http://127.*the network"
    ) as caught:
        hub.download(twin)
    assert "\n" not in str(caught.value)
    assert len(pauses) == 3


def test_offline_mode_asks_nobody(twin, monkeypatch, no_network) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    no_network()
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        hub.download(twin)


def test_a_full_disk_is_said_before_the_bytes(twin, server, monkeypatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match="HF_HOME"):
        hub.download(twin)
    assert ("GET", "model.bin") not in {(r.method, r.file) for r in server.requests}


def test_a_disk_that_fills_up_is_one_line(twin, home, monkeypatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fill)
    with pytest.raises(CheckpointError, match=r"can't read or write .*No space left"):
        hub.download(twin)
    assert_cache_is_whole(home)


def test_a_home_that_cant_be_written_is_one_line(twin, home) -> None:
    home.write_text("a file where a folder should be")
    with pytest.raises(CheckpointError, match=r"can't read or write .*HF_HOME"):
        hub.download(twin)


def test_a_token_is_sent_and_never_shown(twin, server, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.faults["model.bin"] = [Fault(status=401)]
    with pytest.raises(CheckpointError) as caught:
        hub.download(twin)
    assert "hf_secret" not in str(caught.value)
    tokens = {r.token for r in server.requests if r.file == "open_clip_config.json"}
    assert tokens == {"Bearer hf_secret"}


def test_an_altered_file_is_refused_and_fetched_again(twin, home) -> None:
    hub.download(twin)
    for name in ("model.bin", "vocab.txt"):  # known beforehand; recorded
        [path] = [p for p in hub.locate(twin) if p.name == name]
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(CheckpointError, match="fetch it with: i2igalip download-weights twin"):
            hub.find_encoder("twin")
        hub.download(twin)
        hub.find_encoder("twin")
        assert path.read_bytes() == whole
        assert_cache_is_whole(home)


def test_content_without_a_link_is_used_if_right(twin, server, home) -> None:
    hub.download(twin)
    path = hub.locate(twin)[1]
    content = path.resolve()
    path.unlink()
    server.requests.clear()
    hub.download(twin)
    assert {request.method for request in server.requests} == {"HEAD"}
    path.unlink()
    content.write_bytes(b"altered")
    with pytest.raises(CheckpointError, match=sha256(b"altered")):
        hub.download(twin)
    assert_cache_is_whole(home)


def test_a_recorded_hash_binds_the_hub(twin, server, home) -> None:
    hub.download(twin)
    shutil.rmtree(home / "hub")
    server.add(TOWER, TOWER_COMMIT, "vocab.txt", b"c\nd\n")
    with pytest.raises(CheckpointError, match=sha256(TOWER_FILES["vocab.txt"])):
        hub.download(twin)


def test_a_damaged_record_is_one_line(twin, home) -> None:
    hub.download(twin)
    (home / "i2igalip" / "recorded.json").write_text("{")
    with pytest.raises(CheckpointError, match="delete it"):
        hub.find_encoder("twin")


def test_an_entry_that_isnt_here_says_how_to_get_it(twin, no_network) -> None:
    no_network()
    with pytest.raises(CheckpointError) as caught:
        hub.find_encoder("twin")
    assert str(caught.value) == (
        "the encoder twin (0 MB, MIT) isn't on this machine; "
        "fetch it with: i2igalip download-weights twin"
    )


def test_a_bundle_needs_neither_network_nor_cache(twin, home, place, tmp_path, no_network) -> None:
    hub.download(twin)
    bundle = hub.write_bundle(hub.read_manifest(), tmp_path / "on" / "a-stick")
    shutil.rmtree(home)
    no_network()
    assert [p for p in bundle.rglob("*") if p.is_symlink()] == []
    paths = hub.find_encoder("twin", weights=bundle)
    assert paths == hub.EncoderPaths(bundle / "twin", bundle / "twin" / "text_tower")
    assert (paths.folder / "model.bin").read_bytes() == WEIGHTS
    assert hub.find_checkpoint(None, bundle) == bundle / "tiny.safetensors"
    assert load_checkpoint(bundle).sha256 == make_checkpoint().sha256
    rows = {row.name: row for entry in hub.read_manifest(bundle) for row in entry.files}
    assert rows["vocab.txt"].sha256 is None
    assert rows["vocab.txt"].recorded == sha256(TOWER_FILES["vocab.txt"])
    for name in ("model.bin", "text_tower/vocab.txt"):
        (bundle / "twin" / name).write_bytes(b"altered")
        with pytest.raises(CheckpointError, match="make the bundle again"):
            hub.find_encoder("twin", weights=bundle)


def test_a_bundle_holds_what_was_asked_only(twin, place, tmp_path) -> None:
    hub.download(twin)
    bundle = hub.write_bundle([twin], tmp_path / "bundle")
    held = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert held == {"manifest.json"} | {row.file for row in twin.files}
    with pytest.raises(CheckpointError, match=r"bundle: no checkpoint .* known: none"):
        load_checkpoint(bundle)


def test_a_bundle_is_made_whole_or_not_at_all(twin, place, tmp_path, monkeypatch) -> None:
    with pytest.raises(CheckpointError, match="isn't on this machine"):
        hub.write_bundle([twin], tmp_path / "bundle")
    hub.download(twin)

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", fill)
        with pytest.raises(CheckpointError, match="No space left"):
            hub.write_bundle([twin], tmp_path / "bundle")
    assert not [p for p in tmp_path.iterdir() if "bundle" in p.name]
    with pytest.raises(CheckpointError, match="new or empty"):
        hub.write_bundle([twin], place)
    (tmp_path / "bundle").mkdir()
    hub.require(twin, hub.write_bundle([twin], tmp_path / "bundle"))


def test_the_command_fetches_lists_and_verifies(run, twin, server, place) -> None:
    def where() -> dict[str, str]:
        return {row["name"]: row["where"] for row in json.loads(run("--list", "--json")[1])}

    assert where() == {"tiny": "ships", "twin": "to fetch"}
    code, out, err = run("twin")
    assert code == 0, err
    first = err.splitlines()[0]
    assert first == f"twin (0 MB, MIT), from {MODEL}@{MODEL_COMMIT} and {TOWER}@{TOWER_COMMIT}"
    recorded = f"SHA-256 {sha256(TOWER_FILES['vocab.txt'])} (not known beforehand; recorded)"
    assert recorded in out
    assert out.count("SHA-256 right") == 2
    assert where() == {"tiny": "ships", "twin": "here"}
    assert "twin" in run("--list")[1]

    code, out, _ = run("--verify", "--json")
    assert code == 0
    states = {row["name"]: [f["state"] for f in row["files"]] for row in json.loads(out)["entries"]}
    assert states == {"tiny": ["right"], "twin": ["right", "right", "recorded", "recorded"]}
    path = hub.locate(twin)[1]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, out, err = run("--verify")
    assert code == 1
    assert out.count("WRONG") == 1
    assert "download-weights twin" in err
    assert run("--verify", "tiny")[0] == 0


def test_verify_says_what_is_absent_or_without_a_hash(run, twin, home) -> None:
    assert run("--verify")[0] == 0, "what was never fetched isn't missed"
    code, out, _ = run("--verify", "twin")
    assert (code, out.count("absent")) == (1, 4)
    hub.download(twin)
    (home / "i2igalip" / "recorded.json").unlink()
    code, out, _ = run("--verify", "twin")
    assert (code, out.count("unverified")) == (0, 2)


def test_the_command_makes_bundles(run, tmp_path, server) -> None:
    code, out, _ = run("--all", "--to", tmp_path / "bundle", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["bundle"] == str(tmp_path / "bundle")
    assert [row["name"] for row in report["entries"]] == ["tiny", "twin"]
    server.requests.clear()
    code, _, err = run("twin", "--to", tmp_path / "bundle")
    assert code == 1
    assert "new or empty folder" in err
    assert server.requests == [], "refused before anything is fetched"


def test_the_command_announces_before_it_fails(run, server) -> None:
    server.faults["open_clip_config.json"] = [Fault(status=401)]
    code, out, err = run("twin")
    assert (code, out) == (1, "")
    said, failed = err.splitlines()
    assert "MIT" in said
    assert failed.startswith("Error: open_clip_config.json: the hub refuses")


@pytest.mark.parametrize(
    "arguments", [(), ("--to", "x"), ("--all", "twin"), ("--list", "--verify")]
)
def test_a_wrong_combination_is_a_wrong_command_line(run, arguments) -> None:
    assert run(*arguments)[0] == 2


def program(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The program in a process of its own, with a weights folder of ours."""
    code = (
        "import sys; from pathlib import Path; from i2igalip_cli import cli; "
        "from i2igalip_cli.hub import manifest; folder = Path(sys.argv.pop(1)); "
        "manifest.shipped_folder = lambda: folder; cli.main()"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code, str(place), "download-weights", *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )


def test_the_environment_is_honoured(place, server, tmp_path) -> None:
    """HF_HOME, HF_ENDPOINT, a proxy (that alone knows the hub's name), and HF_HUB_OFFLINE."""
    home = tmp_path / "elsewhere"
    variables = {"HF_HOME": str(home), "HF_ENDPOINT": "http://hub.invalid"}
    done = program(place, "twin", HTTP_PROXY=server.url, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert all(request.proxied for request in server.requests)
    assert WEIGHTS in contents(home / "hub")
    offline = program(place, "twin", HF_HUB_OFFLINE="1", **variables)
    assert offline.returncode == 0, offline.stderr
    nothing = program(place, "twin", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "third"))
    assert nothing.returncode == 1
    assert "HF_HUB_OFFLINE" in nothing.stderr
    assert "Traceback" not in nothing.stderr


def test_an_encoder_of_two_repositories_opens_offline(
    place, server, tmp_path, biomedclip_folder, no_network
) -> None:
    """From the cache's two snapshots and from a bundle, alike to the original."""
    import torch

    from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

    tower = {p.name: p.read_bytes() for p in (biomedclip_folder / "text_tower").iterdir()}
    files = {p.name: p.read_bytes() for p in biomedclip_folder.iterdir() if p.is_file()}
    write_manifest(place, encoder_row(files, tower, "biomedclip"))
    for repo, commit, held in ((MODEL, MODEL_COMMIT, files), (TOWER, TOWER_COMMIT, tower)):
        for name, content in held.items():
            server.add(repo, commit, name, content)
    entries = hub.choose(hub.read_manifest(), ["biomedclip"])
    hub.download(entries[0])
    bundle = hub.write_bundle(entries, tmp_path / "bundle")
    no_network()
    captions = ["This MRI is T1-weighted", "pelvic CT"]
    wanted = TextImageEncoder.from_folder(biomedclip_folder).encode_captions(captions)
    for weights in (None, bundle):
        paths = hub.find_encoder("biomedclip", weights)
        encoder = TextImageEncoder.from_folder(paths.folder, paths.text_tower)
        torch.testing.assert_close(encoder.encode_captions(captions), wanted)
