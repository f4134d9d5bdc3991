"""Whole files and folders: nothing half, nothing lost, nothing replaced unasked."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.files import whole_file, whole_folder


def write_file(path: Path, content: str = "new", *, overwrite: bool = False) -> None:
    with whole_file(path, ".nii.gz", overwrite=overwrite) as temporary:
        temporary.write_text(content)


def write_folder(path: Path, content: str = "new", *, overwrite: bool = False) -> None:
    with whole_folder(path, overwrite=overwrite) as temporary:
        (temporary / "0001.dcm").write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_rights_are_those_of_any_new_file(tmp_path, umask) -> None:
    before = os.umask(umask)
    try:
        write_file(tmp_path / "a")
        write_folder(tmp_path / "s")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names(tmp_path)}
    expected = {"a": 0o666 & ~umask, "s": 0o777 & ~umask, "s/0001.dcm": 0o666 & ~umask}
    assert modes == expected


def test_the_process_keeps_its_umask_all_the_while(tmp_path, monkeypatch) -> None:
    """It belongs to all threads: who sets it to read it changes the files of the others."""

    def refuse(mask: int) -> int:
        raise AssertionError("umask was set")

    monkeypatch.setattr(os, "umask", refuse)
    write_file(tmp_path / "a")
    write_folder(tmp_path / "s")


def test_the_longest_legal_name_is_written(tmp_path) -> None:
    name = "a" * 248 + ".nii.gz"
    assert len(name) == 255
    write_file(tmp_path / name)
    write_folder(tmp_path / ("s" * 255))
    assert names(tmp_path) == [name, "s" * 255, "s" * 255 + "/0001.dcm"]
    with pytest.raises(VolumeError, match="File name too long"):
        write_file(tmp_path / f"a{name}")


def test_without_overwrite_what_came_meanwhile_stays(tmp_path) -> None:
    with (
        pytest.raises(VolumeError, match="a exists; give another -o or --overwrite"),
        whole_file(tmp_path / "a") as temporary,
    ):
        temporary.write_text("late")
        (tmp_path / "a").write_text("precious")
    with (
        pytest.raises(VolumeError, match="s exists; give another -o or --overwrite"),
        whole_folder(tmp_path / "s") as folder,
    ):
        (folder / "x").write_text("late")
        write_folder(tmp_path / "s", "precious")
    assert (tmp_path / "a").read_text() == "precious"
    assert (tmp_path / "s" / "0001.dcm").read_text() == "precious"
    assert names(tmp_path) == ["a", "s", "s/0001.dcm"]


@pytest.mark.parametrize("writer", [write_file, write_folder])
@pytest.mark.parametrize("in_the_way", ["file", "folder", "link", "broken link"])
def test_nothing_that_is_there_is_replaced_unasked(tmp_path, writer, in_the_way) -> None:
    target, place = tmp_path / "target", tmp_path / "place"
    target.write_text("precious")
    if in_the_way == "file":
        place.write_text("precious")
    elif in_the_way == "folder":
        place.mkdir()
    else:
        place.symlink_to(target if in_the_way == "link" else tmp_path / "nowhere")
    before = names(tmp_path)
    with pytest.raises(VolumeError, match=r"place (exists|is a folder)"):
        writer(place)
    assert names(tmp_path) == before


def test_of_many_that_write_one_file_at_once_one_wins(tmp_path) -> None:
    barrier, refused = threading.Barrier(8), []

    def write(content: str) -> None:
        try:
            with whole_file(tmp_path / "a") as temporary:
                barrier.wait()
                temporary.write_text(content)
        except VolumeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert names(tmp_path) == ["a"]


def test_a_file_system_without_hard_links_does_the_same(tmp_path, monkeypatch) -> None:
    def refuse(source: Path, place: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_file(tmp_path / "a")
    with (
        pytest.raises(VolumeError, match="b exists"),
        whole_file(tmp_path / "b") as temporary,
    ):
        temporary.write_text("late")
        (tmp_path / "b").write_text("precious")
    assert [(tmp_path / name).read_text() for name in names(tmp_path)] == ["new", "precious"]

    def fail(self: Path, place: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(VolumeError, match=r"can't write .*c: Input/output error"):
        write_file(tmp_path / "c")
    assert names(tmp_path) == ["a", "b"], "no empty file stays where none could be put"


def test_an_old_folder_is_back_if_the_new_one_cant_take_its_place(tmp_path, monkeypatch) -> None:
    place = tmp_path / "s"
    write_folder(place, "precious")
    rename = Path.rename

    def renaming(self: Path, target: Path) -> Path:
        if target == place and (self / "0001.dcm").read_text() == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renaming)
    with pytest.raises(VolumeError, match=r"can't write .*s: Input/output error"):
        write_folder(place, overwrite=True)
    assert (place / "0001.dcm").read_text() == "precious"
    assert names(tmp_path) == ["s", "s/0001.dcm"]


def test_overwriting_replaces_the_whole(tmp_path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "old").write_text("old")
    (tmp_path / "a").write_text("a longer old text")
    write_folder(tmp_path / "s", overwrite=True)
    write_folder(tmp_path / "t", overwrite=True)
    write_file(tmp_path / "a", overwrite=True)
    assert names(tmp_path) == ["a", "s", "s/0001.dcm", "t", "t/0001.dcm"]
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("kind", ["a file", "a link"])
def test_what_is_no_folder_is_named_before_a_folder_is_written(tmp_path, kind) -> None:
    place = tmp_path / "place"
    (tmp_path / "real").mkdir()
    if kind == "a file":
        place.write_text("x")
    else:
        place.symlink_to(tmp_path / "real")
    begun = False
    with (
        pytest.raises(VolumeError, match=f"place is {kind}, and a folder is to be written"),
        whole_folder(place, overwrite=True),
    ):
        begun = True
    assert not begun, "told after the work"
    assert names(tmp_path) == ["place", "real"]


def test_a_folder_in_a_files_place_is_named_before(tmp_path) -> None:
    with pytest.raises(VolumeError, match="is a folder, and a file is to be written"):
        write_file(tmp_path, overwrite=True)


def test_a_name_is_on_the_disk_before_it_counts(tmp_path, monkeypatch) -> None:
    """After a power cut a file may be there without its name, if only its bytes were synced."""
    synced = []
    sync = os.fsync

    def syncing(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(found.st_mode), found.st_ino, names(tmp_path)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    write_file(tmp_path / "a")
    is_folder, number, there = synced[-1]
    assert (is_folder, number) == (True, tmp_path.stat().st_ino)
    assert "a" in there, "before the name was there"
    synced.clear()
    write_folder(tmp_path / "s")
    assert synced[-1][:2] == (True, tmp_path.stat().st_ino)
    assert [is_folder for is_folder, *_ in synced] == [False, True, True]


@pytest.mark.parametrize("writer", [whole_file, whole_folder])
def test_a_fault_leaves_nothing(tmp_path, writer) -> None:
    with pytest.raises(ZeroDivisionError), writer(tmp_path / "x"):
        raise ZeroDivisionError
    with (
        pytest.raises(VolumeError, match=r"can't write .*x: No space left on device"),
        writer(tmp_path / "x"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []
    with (
        pytest.raises(VolumeError, match=r"can't write .*absent/x: No such file"),
        writer(tmp_path / "absent" / "x"),
    ):
        pass
