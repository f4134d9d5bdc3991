"""What a raw folder holds: domains by name, suffix or header, and a reason for all the rest."""

import json

import nibabel as nib
import numpy as np
import pytest
from conftest import find_raw, write_head

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.prepare import Found, RawVolume, plan, prepare, work
from i2igalip_cli.engine.prepare.splitting import read_lock, split_subjects, write_lock
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.volumes import VolumeEntry


def told(found: Found) -> list[tuple[str, str, str]]:
    return [(one.name, one.domain, one.subject) for one in found.volumes]


@pytest.fixture
def make_series(monkeypatch, request):
    monkeypatch.syspath_prepend(request.config.rootpath / "tests" / "volumes" / "dicom")
    from series_maker import make_series

    return make_series


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("*T1*", ["T1.nii", "a/T1.nii", "a/b/T1.nii"]),
        ("**/*t1*.nii", ["T1.nii", "a/T1.nii", "a/b/T1.nii"]),
        ("a/*", ["a/T1.nii", "a/b/T1.nii"]),
        ("**/b/*", ["a/b/T1.nii"]),
        ("a/**/*t1*", ["a/T1.nii", "a/b/T1.nii"]),
    ],
)
def test_patterns_are_of_names_or_with_a_slash_of_paths(tmp_path, pattern, fits) -> None:
    for number, name in enumerate(("T1.nii", "a/T1.nii", "a/b/T1.nii")):
        write_head(tmp_path / name, seed=number)
    found = find_raw(tmp_path, patterns={"T1": pattern})
    assert [one.name for one in found.volumes] == fits
    assert {one.reason for one in found.left_out} <= {"fits no pattern"}
    assert len(found.volumes) + len(found.left_out) == 3


def test_ixi_by_its_folders_and_names(tmp_path) -> None:
    for name in ("IXI002-Guys-0828", "IXI012-HH-1211"):
        for contrast in ("T1", "T2", "PD", "MRA"):
            write_head(tmp_path / f"IXI-{contrast}" / f"{name}-{contrast}.nii.gz")
    found = find_raw(tmp_path, preset="ixi")
    assert told(found) == [
        (f"IXI-{contrast}/{name}-{contrast}.nii.gz", contrast, name.partition("-")[0])
        for contrast in ("PD", "T1", "T2")
        for name in ("IXI002-Guys-0828", "IXI012-HH-1211")
    ]
    assert [one.site for one in found.volumes] == 3 * ["Guys", "HH"]
    assert [one.name for one in found.left_out] == [
        f"IXI-MRA/{name}-MRA.nii.gz" for name in ("IXI002-Guys-0828", "IXI012-HH-1211")
    ]


def test_the_gold_atlas_by_names_and_the_other_contrast_by_a_pattern(tmp_path) -> None:
    for patient in ("1_01_P", "2_03_P"):
        for image in ("T1", "T2", "CT"):
            write_head(tmp_path / patient / f"{patient}_{image}.nii.gz")
    found = find_raw(tmp_path, preset="gold-atlas")
    assert {one.name.rpartition("_")[2]: one.domain for one in found.volumes} == {
        "CT.nii.gz": "pelvic-CT",
        "T1.nii.gz": "pelvic-MR",
    }
    assert {(one.subject, one.site) for one in found.volumes} == {("1_01_P", "1"), ("2_03_P", "2")}
    other = find_raw(tmp_path, preset="gold-atlas", patterns={"pelvic-MR": "*_T2.*"})
    assert {one.name.rpartition("_")[2] for one in other.volumes} == {"CT.nii.gz", "T2.nii.gz"}


def test_bids_by_suffix_with_sessions_of_one_subject(tmp_path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for visit in ("01", "02"):
        for suffix in ("T1w", "T2w", "FLAIR"):
            name = f"sub-a_ses-{visit}_{suffix}.nii.gz"
            write_head(tmp_path / "sub-a" / f"ses-{visit}" / "anat" / name, seed=int(visit))
    found = find_raw(tmp_path)
    assert {(one.subject, one.session, one.domain) for one in found.volumes} == {
        ("sub-a", f"ses-{visit}", domain) for visit in ("01", "02") for domain in ("T1", "T2")
    }
    assert {one.evidence for one in found.volumes} == {"BIDS suffix T1w", "BIDS suffix T2w"}
    assert len(found.left_out) == 2
    narrowed = find_raw(tmp_path, patterns={"T1": "*ses-01*_T1w*", "T2": "*_T2w*"})
    assert [one.session for one in narrowed.volumes] == ["ses-01", "ses-01", "ses-02"]


def test_names_by_the_rule_of_bids_tell_subject_and_visit_anywhere(tmp_path) -> None:
    for entities in ("ses-01_acq-mprage", "ses-02"):
        write_head(tmp_path / "deep" / "ds" / f"sub-a_{entities}_T1w.nii.gz")
        write_head(tmp_path / "deep" / "ds" / f"sub-a_{entities}_T2w.nii.gz")
    found = find_raw(tmp_path)
    assert {(one.subject, one.session) for one in found.volumes} == {
        ("sub-a", "ses-01"),
        ("sub-a", "ses-02"),
    }
    assert len(found.volumes) == 4


def test_folders_tell_people_apart_where_names_do_not(tmp_path) -> None:
    for person in ("p1", "p2"):
        write_head(tmp_path / "a" / person / "scan" / "T1.nii")
        write_head(tmp_path / "b" / person / "T1" / "image.nii")
    named = find_raw(tmp_path / "a")
    assert [one.subject for one in named.volumes] == ["p1_scan", "p2_scan"]
    by_folder = find_raw(tmp_path / "b", patterns={"T1": "**/T1/*"})
    assert [one.subject for one in by_folder.volumes] == ["p1_image", "p2_image"]


def test_visits_on_one_grid_are_partners_only_of_their_own(tmp_path) -> None:
    from i2igalip_cli.engine.dataset import SliceDataset

    (tmp_path / "raw").mkdir()
    description = tmp_path / "raw" / "dataset_description.json"
    description.write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    for visit in ("01", "02"):
        for number, domain in enumerate(("T1", "T2")):
            name = f"sub-a_ses-{visit}_{domain}w.nii"
            path = tmp_path / "raw" / "sub-a" / f"ses-{visit}" / "anat" / name
            write_head(path, domain, seed=10 * number + int(visit))
    report = prepare(tmp_path / "raw", tmp_path / "out", PrepareConfig(split=(1, 0, 0)))
    assert report.pairs == 4
    data = SliceDataset(tmp_path / "out", "train")
    session = [data.shards[row].session for row in data._shard_of]
    for number in range(len(data)):
        partner = data.counterpart(number, 1 - int(data.domains[number]))
        assert partner is None or session[partner] == session[number]
    assert any(data.counterpart(n, 1 - int(data.domains[n])) is not None for n in range(len(data)))


def test_dicom_by_its_header_unless_a_pattern_says_otherwise(tmp_path, make_series) -> None:
    """The maker's MR is a spin echo with TR 550 ms and TE 9.4 ms."""
    make_series(tmp_path / "x" / "one", extra={"PatientID": "p1", "SeriesInstanceUID": "1.2.1"})
    long = {"RepetitionTime": "5725", "EchoTime": "100", "PatientID": "p1"}
    make_series(tmp_path / "x" / "two", extra={**long, "SeriesInstanceUID": "1.2.2"})
    odd = {"RepetitionTime": "", "EchoTime": "", "PatientID": "p1", "SeriesDescription": "x"}
    make_series(tmp_path / "x" / "three", extra={**odd, "SeriesInstanceUID": "1.2.3"})
    found = find_raw(tmp_path)
    assert told(found) == [("x/one", "T1", "p1"), ("x/two", "T2", "p1")]
    assert "TE 100 ms" in found.volumes[1].evidence
    (unknown,) = found.left_out
    assert unknown.name == "x/three"
    assert "unknown contrast by its header" in unknown.reason
    over = find_raw(tmp_path, patterns={"PD": "**/three"})
    assert told(over) == [("x/three", "PD", "p1")]
    narrowed = find_raw(tmp_path, patterns={"T1": "**/three"})
    assert told(narrowed) == [("x/three", "T1", "p1")], "a header can't widen a pattern"


def test_series_of_one_folder_are_told_apart(tmp_path, make_series) -> None:
    for number in (1, 2):
        names = [f"{number}_{k}" for k in range(4)]
        extra = {"SeriesInstanceUID": f"1.2.{number}", "SeriesNumber": number, "PatientID": "p"}
        make_series(tmp_path / "p", extra=extra, names=names)
    found = find_raw(tmp_path)
    assert found.volumes[0].name.startswith("p 1 '")
    (second,) = found.faults
    assert second.name.startswith("p 2 '")
    assert "a second T1 volume of subject p, beside p 1 '" in second.reason


def test_a_damaged_header_is_one_fault_not_the_end(tmp_path, make_series) -> None:
    make_series(tmp_path / "good", extra={"PatientID": "g", "SeriesInstanceUID": "1.2.1"})
    make_series(tmp_path / "bad", extra={"PatientID": "b", "SeriesInstanceUID": "1.2.2"})
    for file in (tmp_path / "bad").iterdir():
        file.write_bytes(file.read_bytes().replace(b"9.4 ", b"x???"))
    found = find_raw(tmp_path)
    assert told(found) == [("good", "T1", "g")]
    assert [one.name for one in found.faults] == ["bad"]


@pytest.mark.parametrize("subject", ["../../../escaped", "/tmp/absolute", "a/b", ".", "ü b"])
def test_no_name_of_a_patient_leads_out_of_the_dataset(tmp_path, make_series, subject) -> None:
    make_series(
        tmp_path / "raw" / "x", extra={"PatientID": subject, "SpecificCharacterSet": "ISO_IR 192"}
    )
    report = prepare(tmp_path / "raw", tmp_path / "out", PrepareConfig(split=(1, 0, 0)))
    (shard,) = report.index.shards
    assert shard.subject == subject
    assert (tmp_path / "out" / shard.file).resolve().parent == tmp_path / "out" / "train" / "T1"
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "out"}


def test_a_domain_that_is_a_path_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"domain '\.\./x'"):
        find_raw(tmp_path, patterns={"../x": "*"}, captions={"../x": "y"})


def test_what_belongs_to_a_domain_and_cannot_be_read_is_a_fault(tmp_path) -> None:
    for number in range(3):
        write_head(tmp_path / "raw" / f"s{number}_T1.nii", seed=number)
    (tmp_path / "raw" / "s9_T1.nii.gz").write_bytes(b"\x1f\x8b no more")
    (tmp_path / "raw" / "note.nii").write_bytes(b"")
    found = find_raw(tmp_path / "raw")
    assert [one.name for one in found.faults] == ["s9_T1.nii.gz"]
    assert {one.name for one in found.left_out} == {"s9_T1.nii.gz", "note.nii"}
    with pytest.raises(DatasetError, match=r"1 of the volumes .*s9_T1\.nii\.gz.*--skip-faulty"):
        prepare(tmp_path / "raw", tmp_path / "out")
    report = prepare(tmp_path / "raw", tmp_path / "out", skip_faulty=True)
    assert len(report.index.shards) == 3


def test_one_scan_under_two_names_is_found_by_what_it_holds(tmp_path) -> None:
    write_head(tmp_path / "raw" / "a_T1.nii", seed=1)
    write_head(tmp_path / "raw" / "b_T1.nii.gz", seed=1)
    write_head(tmp_path / "raw" / "c_T1.nii", seed=2)
    with pytest.raises(DatasetError, match=r"b_T1\.nii\.gz: the same scan as a_T1\.nii"):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = prepare(tmp_path / "raw", tmp_path / "out", skip_faulty=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]
    assert sorted(shard.subject for shard in report.index.shards) == ["a", "c"]
    assert [one.name for one in report.index.left_out] == ["b_T1.nii.gz"]


def test_a_copy_under_another_persons_name_takes_all_of_that_person_out(tmp_path) -> None:
    for name, seed in (("a_T1", 1), ("a_T2", 2), ("z_T1", 1), ("z_T2", 3)):
        write_head(tmp_path / "raw" / f"{name}.nii", name[-2:], seed=seed)
    report = prepare(tmp_path / "raw", tmp_path / "out", skip_faulty=True)
    assert {shard.subject for shard in report.index.shards} == {"a"}
    assert [one.name for one in report.index.left_out] == ["z_T1.nii", "z_T2.nii"]
    assert report.index.left_out[1].reason == "of z, z_T1.nii is the same scan as a_T1.nii"


def test_where_all_are_faulty_there_is_no_dataset(tmp_path) -> None:
    (tmp_path / "raw").mkdir()
    for level, subject in enumerate("ab"):
        image = nib.Nifti1Image(np.full((9, 9, 9), level + 1.0), np.eye(4))
        nib.save(image, tmp_path / "raw" / f"{subject}_T1.nii")
    with pytest.raises(DatasetError, match="nothing is left"):
        prepare(tmp_path / "raw", tmp_path / "out", skip_faulty=True)
    assert not (tmp_path / "out").exists()


def test_a_mended_volume_alone_is_done_again(tmp_path, monkeypatch) -> None:
    for seed, name in enumerate(("a", "b", "c")):
        write_head(tmp_path / "raw" / f"{name}_T1.nii", seed=seed)
    whole = (tmp_path / "raw" / "b_T1.nii").read_bytes()
    constant = nib.Nifti1Image(np.ones((9, 9, 9)), np.eye(4))
    nib.save(constant, tmp_path / "raw" / "b_T1.nii")
    with pytest.raises(DatasetError, match=r"b_T1\.nii: constant.*keeps what is done"):
        prepare(tmp_path / "raw", tmp_path / "out")
    (tmp_path / "raw" / "b_T1.nii").write_bytes(whole)
    cut, load = [], work.load_entry
    monkeypatch.setattr(
        work, "load_entry", lambda entry: cut.append(entry.path.name) or load(entry)
    )
    report = prepare(tmp_path / "raw", tmp_path / "out")
    assert cut == ["b_T1.nii"]
    assert {shard.subject for shard in report.index.shards} == {"a", "b", "c"}


def test_a_fault_of_nobody_in_a_split_is_no_fault(tmp_path) -> None:
    for seed, name in enumerate(("a", "b", "c", "d")):
        write_head(tmp_path / "raw" / f"{name}_T1.nii", seed=seed)
        write_head(tmp_path / "raw" / "again" / f"{name}_T1.nii", seed=seed + 9)
    planned = plan(tmp_path / "raw", PrepareConfig(split=(1, 1, 1)))
    assert len(planned.found.faults) == 4  # each subject has a second T1
    assert {one.subject for one in planned.faults} == planned.split_of.keys()


def test_subjects_in_no_split_are_told_of(raw, tmp_path) -> None:
    planned = plan(raw, PrepareConfig(split=(2, 1, 1)), tmp_path / "new.json")
    first, second = planned.warnings
    assert "new.json isn't there yet" in first
    assert second.startswith("1 subjects are in no split, for split = [2, 1, 1]: sub-")


def volumes_of(subjects) -> list[RawVolume]:
    return [
        RawVolume(entry=VolumeEntry(path=tmp), name=f"{tmp}_T1.nii", domain="T1", subject=tmp)
        for tmp in subjects
    ]


@pytest.mark.parametrize("split", [(0.5, 0.25, 0.25), (4, 2, 2)])
def test_a_split_file_keeps_every_subject_where_it_was(tmp_path, split) -> None:
    layout = PrepareConfig(split=split).layout
    path = tmp_path / "split.json"
    first = split_subjects(volumes_of("abcdefgh"), layout)
    write_lock(path, first)
    assert read_lock(path) == first
    more = PrepareConfig(split=split if split[0] < 1 else (6, 3, 3)).layout
    for seed in range(5):
        now = split_subjects(volumes_of("abcdefghijkl"), more, seed, read_lock(path))
        assert {name: now[name] for name in first} == first
        assert [list(now.values()).count(part) for part in ("train", "val", "test")] == [6, 3, 3]


def test_a_split_file_grows_and_lies_in_every_dataset(raw, tmp_path) -> None:
    path = tmp_path / "split.json"
    with pytest.raises(DatasetError, match="no such folder; give another --split-file"):
        prepare(raw, tmp_path / "out", split_file=tmp_path / "absent" / "split.json")
    write_lock(path, {"sub-3": "test", "elsewhere": "val"})
    prepare(raw, tmp_path / "out", split_file=path)
    after = read_lock(path)
    assert (after["sub-3"], after["elsewhere"]) == ("test", "val")
    assert sorted(after) == ["elsewhere", *(f"sub-{n}" for n in range(5))]
    assert read_lock(tmp_path / "out" / "split.json") == after
    again = plan(raw, PrepareConfig(seed=9), tmp_path / "out" / "split.json")
    assert dict(again.split_of) == {name: after[name] for name in again.split_of}


def test_a_folder_cannot_move_a_subject_of_the_split_file(tmp_path) -> None:
    write_head(tmp_path / "raw" / "train" / "a_T1.nii")
    write_lock(tmp_path / "split.json", {"a": "test"})
    with pytest.raises(DatasetError, match="a lies in the folder train and was in test before"):
        plan(tmp_path / "raw", PrepareConfig(), tmp_path / "split.json")


@pytest.mark.parametrize("content", ["{", "[]", '{"subjects": []}', '{"subjects": {"a": "more"}}'])
def test_a_file_that_is_no_split_is_refused(tmp_path, content) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(DatasetError, match=r"split\.json: "):
        read_lock(tmp_path / "split.json")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"split": (np.nan, 1, 1)}, "split"),
        ({"split": (np.inf, 1, 1)}, "split"),
        ({"seed": -1}, "seed"),
    ],
)
def test_numbers_that_deal_nothing_are_refused(settings, told) -> None:
    with pytest.raises(ConfigError, match=told):
        PrepareConfig(**settings)


def test_an_unknown_preset_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="preset = oasis: of ixi, gold-atlas"):
        PrepareConfig(preset="oasis")


def test_a_dry_run_shows_what_was_found_and_writes_nothing(program, tmp_path) -> None:
    write_head(tmp_path / "raw" / "a_T1.nii")
    write_head(tmp_path / "raw" / "b.nii")
    write_head(tmp_path / "raw" / "c [red]x T1.nii", seed=1)
    shown = program("prepare", tmp_path / "raw", "--dry-run")
    assert shown.code == 0
    assert "a_T1.nii" in shown.out
    assert "name fits '*T1*'" in shown.out
    assert "c [red]x T1.nii" in shown.out
    assert "b.nii: fits no pattern" in shown.out
    listed = json.loads(program("prepare", tmp_path / "raw", "--dry-run", "--json").out)
    assert listed["found"][0]["subject"] == "a"
    assert listed["left_out"] == [{"file": "b.nii", "reason": "fits no pattern", "faulty": False}]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    assert program("prepare", tmp_path / "raw").code == 2


def test_faulty_volumes_left_out_end_with_code_three(program, tmp_path) -> None:
    write_head(tmp_path / "raw" / "a_T1.nii")
    np.save(tmp_path / "raw" / "x.npy", np.zeros(3))
    (tmp_path / "raw" / "b_T1.nii").write_bytes(b"short")
    out = tmp_path / "out"
    assert program("prepare", tmp_path / "raw", "--out", out).code == 1
    assert not out.exists()
    skipped = program("prepare", tmp_path / "raw", "--out", out, "--skip-faulty")
    assert skipped.code == 3
    assert "b_T1.nii" in skipped.err
    assert (out / "index.json").exists()
