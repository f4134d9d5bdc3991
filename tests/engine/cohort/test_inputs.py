"""What is found, and what outputs are called: expectations written by hand."""

import errno
import json
import os
import traceback
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from world import AFFINE, World, outputs, write_volume

from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.cohort.bids import bids_suffix, derivative_name
from i2igalip_cli.engine.cohort.inputs import Choice, FoundVolume, find_volumes, stem_of
from i2igalip_cli.engine.cohort.items import plan_items, refuse_twins
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import VolumeEntry, dicom

T2 = DOMAINS["T2"]
TO_T2 = (T2,)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        write_volume(folder / name)


def planned(*inputs: object, format_name: str | None = None, **kwargs) -> list[str]:
    """Outputs of inputs, in order."""
    found = find_volumes([str(path) for path in inputs], **kwargs)
    return [str(item.output) for item in plan_items(found, TO_T2, format_name)]


def test_a_folder_is_searched_through_all_levels_without_hidden_ones(tmp_path) -> None:
    touch(tmp_path, "b.nii", "a.nii.gz", "s/x/c.NII", ".hidden/d.nii", "s/.e.nii", "out/f_T2.nii")
    (tmp_path / "s" / "notes.txt").write_text("no volume")
    assert planned(tmp_path, out=tmp_path / "out") == ["a_T2.nii.gz", "b_T2.nii", "s/x/c_T2.nii"]


def test_folders_are_followed_through_links_once(tmp_path) -> None:
    touch(tmp_path, "in/s/a.nii", "elsewhere/b.nii")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "s" / "loop").symlink_to(tmp_path / "in")
    assert planned(tmp_path / "in") == ["link/b_T2.nii", "s/a_T2.nii"]


def test_the_same_file_twice_is_one(tmp_path, monkeypatch) -> None:
    touch(tmp_path, "a.nii", "s/b.nii")
    monkeypatch.chdir(tmp_path)
    assert planned("a.nii", tmp_path / "a.nii", "s/../a.nii") == ["a_T2.nii"]
    assert planned("s", ".") == ["a_T2.nii", "b_T2.nii"]


def test_a_pair_of_header_and_voxels_is_one(tmp_path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((3, 3, 3), np.float32), AFFINE), tmp_path / "a.hdr")
    assert {path.name for path in tmp_path.iterdir()} == {"a.hdr", "a.img"}
    assert planned(tmp_path) == ["a_T2.hdr"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.nii", ["a_T2.nii"]),
        ("s*/t1.nii", ["s1/t1_T2.nii", "s2/t1_T2.nii"]),
        ("s1/*.nii", ["t1_T2.nii", "t2_T2.nii"]),
        ("**/t1.nii", ["s1/t1_T2.nii", "s2/deep/t1_T2.nii", "s2/t1_T2.nii"]),
        ("s[2]", ["s2/deep/t1_T2.nii", "s2/t1_T2.nii"]),
        ("**/s2", ["s2/deep/t1_T2.nii", "s2/t1_T2.nii"]),
        ("s2/**", ["deep/t1_T2.nii", "t1_T2.nii"]),
        ("s?/t[2-9].nii", ["s1/t2_T2.nii"]),
    ],
)
def test_globs_are_mirrored_below_their_part_without_wildcards(tmp_path, pattern, expected) -> None:
    touch(tmp_path, "a.nii", "s1/t1.nii", "s1/t2.nii", "s2/t1.nii", "s2/deep/t1.nii")
    assert planned(tmp_path / pattern) == expected


def test_a_name_with_brackets_is_a_name_where_such_a_file_is(tmp_path) -> None:
    touch(tmp_path, "a[1].nii", "a1.nii")
    assert planned(tmp_path / "a[1].nii") == ["a[1]_T2.nii"]


def test_a_list_file_has_a_path_a_line(tmp_path, monkeypatch) -> None:
    touch(tmp_path, "data/lists/x/a.nii", "data/s1/t1.nii", "data/s2/t1.nii", "data/lists/b c.nii")
    text = f"# of today\n\n  x/a.nii\nb c.nii\r\n../s1/t1.nii\n{tmp_path}/data/s2/t1.nii\n"
    (tmp_path / "data" / "lists" / "list.txt").write_text(text)
    monkeypatch.chdir("/")
    found = planned(list_file=tmp_path / "data" / "lists" / "list.txt")
    assert found == ["b c_T2.nii", "s1/t1_T2.nii", "s2/t1_T2.nii", "x/a_T2.nii"]
    (tmp_path / "data" / "list").write_text("s2\nlists/x")
    assert planned(list_file=tmp_path / "data" / "list") == ["lists/x/a_T2.nii", "s2/t1_T2.nii"]


def test_an_absent_line_of_a_list_is_a_volume_with_a_fault(tmp_path) -> None:
    touch(tmp_path, "a.nii")
    (tmp_path / "list").write_text("a.nii\nabsent.nii\nnotes.txt\n")
    (tmp_path / "notes.txt").write_text("no volume")
    items = plan_items(find_volumes([], tmp_path / "list"), TO_T2)
    assert {item.entry.path.name: item.refusal.partition(": ")[2][:24] for item in items} == {
        "a.nii": "",
        "absent.nii": "no such file or folder",
        "notes.txt": "not a volume file by its",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("absent.nii", "no such file"),
        ("absent*.nii", "no file fits"),
        ("empty", "no volume found"),
    ],
)
def test_what_is_not_there_is_refused_at_once(tmp_path, text, words) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VolumeError, match=words):
        find_volumes([str(tmp_path / text)])


def test_each_folder_that_is_named_holds_a_volume(tmp_path) -> None:
    touch(tmp_path, "in/a.nii")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VolumeError, match="empty: no volume found"):
        find_volumes([str(tmp_path / "in"), str(tmp_path / "empty")])


def test_names_that_differ_in_case_alone_are_refused_where_they_are_one(tmp_path) -> None:
    touch(tmp_path, "a.nii", "A.nii")
    items = plan_items(find_volumes([str(tmp_path)]), TO_T2)
    refuse_twins(items)
    with pytest.raises(VolumeError, match=r"A\.nii and .*a\.nii would both be written"):
        refuse_twins(items, case_blind=True)


def test_an_unreadable_list_is_named(tmp_path) -> None:
    with pytest.raises(VolumeError, match=r"list\.txt: No such file"):
        find_volumes([], tmp_path / "list.txt")


def test_an_input_in_the_output_folder_is_refused(tmp_path) -> None:
    touch(tmp_path, "out/a.nii")
    for path in ("out/a.nii", "out"):
        with pytest.raises(VolumeError, match="lies in the output folder"):
            find_volumes([str(tmp_path / path)], out=tmp_path / "out")


def test_two_volumes_with_one_output_are_refused_by_both_names(tmp_path) -> None:
    touch(tmp_path, "s1/t1.nii", "s2/t1.nii")
    with pytest.raises(VolumeError, match=r"s1/t1\.nii and .*s2/t1\.nii would both .* t1_T2\.nii"):
        planned(tmp_path / "s1" / "t1.nii", tmp_path / "s2" / "t1.nii")


def test_the_format_of_the_output_can_be_asked_for(tmp_path) -> None:
    touch(tmp_path, "a.nii", "b.nii.gz")
    nib.save(nib.MGHImage(np.ones((3, 3, 3), np.float32), AFFINE), tmp_path / "c.mgz")
    assert planned(tmp_path) == ["a_T2.nii", "b_T2.nii.gz", "c_T2.mgz"]
    found = find_volumes([str(tmp_path)])
    items = plan_items(found, TO_T2, "nifti")
    assert [str(item.output) for item in items][:2] == ["a_T2.nii", "b_T2.nii.gz"]
    items = plan_items(found, TO_T2, "dicom")
    assert [(str(i.output), i.format) for i in items] == [
        (f"{n}_T2", "dicom") for n in ("a", "b", "c")
    ]


def series(path: Path, file: str, number: int | None, description: str, **kwargs) -> VolumeEntry:
    uid = f"1.2.{number}"
    return VolumeEntry(
        path=path, series=uid, number=number, description=description, files=(file,), **kwargs
    )


def test_dicom_series_are_mirrored_where_their_files_lie(tmp_path, monkeypatch) -> None:
    root = tmp_path / "study"
    root.mkdir()
    entries = (
        series(root, "one/a.dcm", 3, "t1_mprage sag"),
        series(root, "two/a.dcm", 1, "Localizer", refusal="three planes", expected=True),
        series(root, "two/b.dcm", 2, "T1 / MPRAGE: <ND>"),
        series(root, "two/deep/c.dcm", None, ""),
        series(root, "d.dcm", 9, "root"),
        series(root, "out/e.dcm", 8, "an output"),
    )
    monkeypatch.setattr(dicom, "list_volumes", lambda path: entries)
    found = find_volumes([str(root)], out=root / "out")
    items = plan_items(found, TO_T2)
    assert [str(item.output) for item in items] == [
        "one_T2",
        "study_T2",
        "two/deep_T2",
        "two_1_Localizer_T2",
        "two_2_T1-MPRAGE-ND_T2",
    ]
    assert [(i.refusal, i.skipped) for i in items if i.refusal] == [("three planes", True)]
    chosen = plan_items(find_volumes([str(root)], choice=Choice(series="*t1*")), TO_T2)
    assert [str(item.output) for item in chosen] == ["one_T2", "two_T2"]
    (named,) = plan_items(find_volumes([str(root)], choice=Choice(series="1")), TO_T2)
    assert (named.refusal, named.skipped) == ("three planes", False), "asked for by name: a failure"
    with pytest.raises(VolumeError, match="no volume found that fits --series 77"):
        find_volumes([str(root)], choice=Choice(series="77"))
    as_nifti = plan_items(find_volumes([str(root)], choice=Choice(series="9")), TO_T2, "nifti")
    assert [str(item.output) for item in as_nifti] == ["study_T2.nii.gz"]


def test_series_of_one_number_and_description_are_told_apart(tmp_path) -> None:
    path = tmp_path / "a"

    def found(uid: str) -> FoundVolume:
        entry = VolumeEntry(path=path, series=uid, number=3, description="x", files=("f",))
        return FoundVolume(entry=entry, folder=PurePosixPath(), stem="a", named=False)

    items = plan_items([found("1.2/1"), found("1.2/2"), found("1.3"), found("1.4")], TO_T2)
    names = [str(item.output) for item in items]
    assert len(set(names)) == 4
    assert names[0] == "a_3-1_x_T2"
    assert names[1] == "a_3-2_x_T2"


def test_a_fourth_axis_is_chosen_from(tmp_path) -> None:
    image = nib.Nifti1Image(np.ones((3, 3, 3, 2), np.float32), AFFINE)
    nib.save(image, tmp_path / "4d.nii")
    touch(tmp_path, "3d.nii")
    (refused,) = [i for i in plan_items(find_volumes([str(tmp_path)]), TO_T2) if i.refusal]
    assert refused.entry.path.name == "4d.nii"
    assert "--volume" in refused.refusal
    assert planned(tmp_path, choice=Choice(volume="all")) == [
        "3d_T2.nii",
        "4d_vol-000_T2.nii",
        "4d_vol-001_T2.nii",
    ]
    (one,) = find_volumes([str(tmp_path / "4d.nii")], choice=Choice(volume=1))
    assert one.entry.volume == 1


def bids_dataset(folder: Path) -> Path:
    folder.mkdir()
    (folder / "dataset_description.json").write_text('{"Name": "Mine", "BIDSVersion": "1.8.0"}')
    touch(
        folder,
        "sub-02/anat/sub-02_T1w.nii",
        "sub-01/ses-b/anat/sub-01_ses-b_acq-3d_run-2_T1w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_T2w.nii.gz",
        "sub-01/ses-b/func/sub-01_ses-b_T1w.nii.gz",
        "derivatives/other/sub-01/anat/sub-01_T1w.nii.gz",
        "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
    )
    (folder / "sub-02" / "anat" / "sub-02_T1w.json").write_text('{"SkullStripped": true}')
    return folder


def test_a_bids_dataset_becomes_a_bids_derivative(tmp_path, monkeypatch) -> None:
    world = World(tmp_path, monkeypatch, here=True)
    dataset = bids_dataset(tmp_path / "raw")
    report = world.run(inputs=[str(dataset)], out=None, settings={"source": "T1"})
    out = dataset / "derivatives" / "i2igalip"
    stems = [
        "sub-01/ses-b/anat/sub-01_ses-b_acq-3d_run-2_desc-synth_T2w",
        "sub-02/anat/sub-02_desc-synth_T2w",
    ]
    assert set(outputs(out)) == {
        ".bidsignore",
        "dataset_description.json",
        *(f"{stem}.json" for stem in stems),
        f"{stems[0]}.nii.gz",
        f"{stems[1]}.nii",
    }
    first, second = (json.loads((out / f"{stem}.json").read_text()) for stem in stems)
    assert first["Sources"] == ["bids:raw:sub-01/ses-b/anat/sub-01_ses-b_acq-3d_run-2_T1w.nii.gz"]
    assert "SkullStripped" not in first
    assert second["SkullStripped"] is True
    assert first["ModelName"] == "tiny.safetensors"
    assert first["ModelSHA256"] == report.rows[0].weights_sha256
    assert first["Caption"] == "This MRI is T2-weighted"
    assert first["SourceIntensityWindow"] == list(report.rows[0].source_window)
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "i2igalip"
    linked = out / description["DatasetLinks"]["raw"]
    assert linked.resolve() == dataset.resolve()
    again = world.run(inputs=[str(dataset)], out=None, settings={"source": "T1"}, resume=True)
    assert again.rows == report.rows, "a derivative is no source"


def test_a_bids_dataset_needs_its_domain_and_stands_alone(tmp_path, monkeypatch) -> None:
    dataset = bids_dataset(tmp_path / "raw")
    with pytest.raises(VolumeError, match="--from"):
        find_volumes([str(dataset)])
    with pytest.raises(VolumeError, match=r"no sub-.*PDw"):
        find_volumes([str(dataset)], bids_source="PDw")
    with pytest.raises(VolumeError, match="by itself"):
        find_volumes([str(dataset), str(tmp_path)], bids_source="T1w")
    world = World(tmp_path, monkeypatch, here=True)
    with pytest.raises(ConfigError, match="leave --format dicom out"):
        world.run(inputs=[str(dataset)], settings={"source": "T1", "format": "dicom"})


def test_bids_suffixes_and_names() -> None:
    expected = {
        "T1": "T1w",
        "T2": "T2w",
        "PD": "PDw",
        "pelvic-MR": "pelvicMR",
        "pelvic-CT": "pelvicCT",
    }
    assert {name: bids_suffix(domain) for name, domain in DOMAINS.items()} == expected
    assert bids_suffix(Domain(name="T1", caption="of an older checkpoint")) == "T1w"
    assert derivative_name("sub-1_desc-old_T1w", T2, None) == "sub-1_desc-synth_T2w"
    assert derivative_name("sub-1_T1w", T2, 3) == "sub-1_desc-synthvolume003_T2w"


def test_a_name_that_is_no_text_is_translated_like_any(tmp_path, monkeypatch) -> None:
    world = World(tmp_path, monkeypatch, here=True)
    odd = os.fsdecode(b"caf\xe9 \xff.nii")
    try:
        world.volume(odd)
    except OSError:
        pytest.skip("this file system takes text only")
    world.volume('zwölf, "x".nii')
    assert world.run().count("done") == 2
    assert world.run(resume=True).count("done") == 2
    assert b"caf\xe9 \xff.nii" in (world.out / "summary.csv").read_bytes()


def test_headers_that_would_share_their_voxels_file_are_refused(tmp_path) -> None:
    image = sitk.GetImageFromArray(np.ones((3, 3, 3), np.float32))
    for suffix in (".nhdr", ".mhd"):
        sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    with pytest.raises(VolumeError, match=r"a\.mhd and .*a\.nhdr .* written to a_T2\.raw"):
        planned(tmp_path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("1.2.840.113", "1.2.840.113"),
        ("IM1.dcm", "IM1"),
        ("a.b.ZIP", "a.b"),
        ("a.tar.gz", "a"),
        ("v1.2.nii.gz", "v1.2"),
        ("here/DICOMDIR", "here"),
    ],
)
def test_the_stem_of_a_name(tmp_path, name, stem) -> None:
    assert stem_of(tmp_path / name) == stem


def close(monkeypatch, *folders: Path) -> None:
    """Let folders be unreadable, to root too."""
    scan, listing = os.scandir, os.listdir

    def refuse(path: object) -> None:
        if isinstance(path, str | Path) and Path(path) in folders:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def scanning(path="."):
        refuse(path)
        return scan(path)

    def listed(path="."):
        refuse(path)
        return listing(path)

    monkeypatch.setattr(os, "scandir", scanning)
    monkeypatch.setattr(os, "listdir", listed)


def refusals(*inputs: object, **kwargs) -> dict[str, tuple[str, bool]]:
    """(reason, skipped) of each refused volume by its output."""
    items = plan_items(find_volumes([str(path) for path in inputs], **kwargs), TO_T2)
    return {str(item.output): (item.refusal, item.skipped) for item in items if item.refusal}


def test_a_folder_that_cant_be_searched_is_a_failed_row_by_its_name(tmp_path, monkeypatch) -> None:
    touch(tmp_path, "in/p1/a.nii", "in/p2/b.nii", "in/p3/deep/c.nii")
    close(monkeypatch, tmp_path / "in" / "p2", tmp_path / "in" / "p3" / "deep")
    reason = ("this folder can't be searched: Permission denied", False)
    assert planned(tmp_path / "in") == ["p1/a_T2.nii", "p2_T2", "p3/deep_T2"]
    assert refusals(tmp_path / "in") == {"p2_T2": reason, "p3/deep_T2": reason}
    assert refusals(tmp_path / "in" / "p?") == {"p2_T2": reason, "p3/deep_T2": reason}
    assert refusals(tmp_path / "in" / "p2") == {"p2_T2": reason}, "named itself"


def test_a_subject_that_cant_be_searched_is_a_failed_row(tmp_path, monkeypatch) -> None:
    dataset = bids_dataset(tmp_path / "raw")
    touch(dataset, "sub-03/anat/sub-03_T1w.nii")
    close(monkeypatch, dataset / "sub-02", dataset / "sub-03" / "anat")
    found = refusals(dataset, bids_source="T1w")
    assert list(found) == ["sub-02_T2", "sub-03/anat_T2"]
    assert planned(dataset, bids_source="T1w")[0].startswith("sub-01/ses-b/anat/")


def test_a_cohort_goes_on_beside_what_cant_be_searched(tmp_path, monkeypatch) -> None:
    world = World(tmp_path, monkeypatch, here=True)
    world.volume("p1/a.nii")
    world.volume("p2/b.nii")
    close(monkeypatch, world.inputs / "p2")
    report = world.run()
    assert report.count("done") == 1
    assert report.failures == (
        f"{world.inputs}/p2: this folder can't be searched: Permission denied",
    )


def test_an_archive_in_a_folder_is_skipped_by_name_and_read_if_it_is_named(tmp_path) -> None:
    touch(tmp_path, "in/p1/a.nii")
    for name in ("p1.zip", "p2.TAR.GZ", "p3.tgz", "p4.tar", ".p5.zip", "zip", "x.zip.txt"):
        (tmp_path / "in" / name).write_bytes(b"")
    found = refusals(tmp_path / "in")
    assert set(found) == {"p1_T2", "p2_T2", "p3_T2", "p4_T2"}
    reasons = set(found.values())
    assert reasons == {
        ("an archive in a folder: name it as an input to translate what it holds", True)
    }
    for order in (("in", "in/p4.tar"), ("in/p4.tar", "in")):
        reason, skipped = refusals(*(tmp_path / path for path in order))["p4_T2"]
        assert "an archive in a folder" not in reason, "it was named, so it was looked into"
        assert not skipped
    assert refusals(tmp_path / "in", choice=Choice(series="3"))["p1_T2"][1], "still no failure"


def test_only_what_users_expect_to_be_left_out_is_skipped(tmp_path, monkeypatch) -> None:
    entries = (
        series(tmp_path, "a/1", 1, "Localizer", refusal="a localizer", expected=True),
        series(tmp_path, "b/1", 2, "t1", refusal="duplicate slices"),
    )
    monkeypatch.setattr(dicom, "list_volumes", lambda path: entries)
    assert refusals(tmp_path) == {
        "a_T2": ("a localizer", True),
        "b_T2": ("duplicate slices", False),
    }


def test_a_fault_of_the_dicom_lister_is_a_failed_row(tmp_path, monkeypatch) -> None:
    touch(tmp_path, "in/a.nii")

    def fail(path: Path) -> None:
        raise VolumeError(f"{path}: all of its DICOM is damaged")

    monkeypatch.setattr(dicom, "list_volumes", fail)
    reason = f"{tmp_path}/in: all of its DICOM is damaged"
    assert refusals(tmp_path / "in") == {"in_T2": (reason, False)}
    assert planned(tmp_path / "in") == ["a_T2.nii", "in_T2"]


def damaged(path: Path, *files: str) -> VolumeEntry:
    return VolumeEntry(path=path, files=files, refusal=f"{files[0]}: damaged")


def test_damage_is_told_of_whichever_series_is_wanted(tmp_path, monkeypatch) -> None:
    entries = (series(tmp_path, "a/1", 1, "t1"), damaged(tmp_path, "b/1", "b/2"))
    monkeypatch.setattr(dicom, "list_volumes", lambda path: entries)
    for wanted in ("1", "*t1*"):
        assert planned(tmp_path, choice=Choice(series=wanted)) == ["a_T2", "b_T2"]
    assert refusals(tmp_path, choice=Choice(series="77")) == {"b_T2": ("b/1: damaged", False)}


def test_entries_without_a_series_stop_nothing(tmp_path, monkeypatch) -> None:
    """All of one folder, and one in a folder that a refused archive is called as."""
    entries = (
        series(tmp_path, "p/1", 3, "t1"),
        damaged(tmp_path, "p/2"),
        damaged(tmp_path, "p/3"),
        VolumeEntry(path=tmp_path, files=("p/4",)),
        VolumeEntry(path=tmp_path, files=("p/5",)),
        series(tmp_path, "q/1", 4, "t2"),
    )
    monkeypatch.setattr(dicom, "list_volumes", lambda path: entries)
    (tmp_path / "q.zip").write_bytes(b"")
    (tmp_path / "Q.tar").write_bytes(b"")
    names = planned(tmp_path)
    assert len({name.casefold() for name in names}) == len(names) == 8
    assert {"p_3_t1_T2", "q_T2"} < set(names), "what can be used has the plain name"
    assert planned(tmp_path) == names, "the next run finds its rows"


def test_a_refused_volume_gives_way_to_one_that_can_be_used(tmp_path) -> None:
    touch(tmp_path, "s2/t1.nii")
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "t1.nii").write_bytes(b"damaged")
    for order in (("s1", "s2"), ("s2", "s1")):
        paths = [tmp_path / name / "t1.nii" for name in order]
        items = plan_items(find_volumes([str(path) for path in paths]), TO_T2)
        kept, other = items
        assert (str(kept.output), kept.refusal) == ("t1_T2.nii", "")
        assert str(other.output).startswith("t1_T2.nii-")
        refuse_twins(items, case_blind=True)


def test_a_refused_volume_asks_for_no_place(tmp_path, monkeypatch) -> None:
    """A foreign file at a place where nothing will be written is in nobody's way."""
    world = World(tmp_path, monkeypatch, here=True)
    world.volume("a.nii")
    (world.inputs / "b.nii").write_bytes(b"damaged")
    world.out.mkdir()
    (world.out / "b_T2.nii").write_bytes(b"precious")
    report = world.run()
    assert (report.count("done"), report.count("failed")) == (1, 1)
    assert (world.out / "b_T2.nii").read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to drop it")
def test_a_user_without_rights_gets_rows_and_no_traceback(tmp_path) -> None:
    """With the rights of the system, rather than those of a stand-in."""
    touch(tmp_path, "in/p1/a.nii", "in/p2/b.nii", "in/c.nii", "raw/sub-1/anat/sub-1_T1w.nii")
    (tmp_path / "raw" / "dataset_description.json").write_text("{}")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.name.startswith(("pytest", "popen", "test")):
            folder.chmod(0o755)
    for path, mode in (("in/p2", 0o000), ("in/p1", 0o444), ("in/c.nii", 0), ("raw/sub-1", 0)):
        (tmp_path / path).chmod(mode)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            found = refusals(tmp_path / "in")
            assert set(found) == {"p1/a_T2.nii", "p2_T2", "c_T2.nii"}
            assert all("Permission denied" in reason for reason, _ in found.values())
            assert list(refusals(tmp_path / "raw", bids_source="T1w")) == ["sub-1_T2"]
            with pytest.raises(VolumeError, match="Permission denied"):
                find_volumes([str(tmp_path / "in" / "p2" / "b.nii")])
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
