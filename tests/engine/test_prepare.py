"""Raw folders become datasets: every slice in its place, every subject in one split."""

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, find_raw, head, write_head

from i2igalip_cli.config import CropPolicy, IntensityPolicy, PrepareConfig, parse_assignments
from i2igalip_cli.engine.dataset import SPLITS, SliceDataset, read_index
from i2igalip_cli.engine.prepare import prepare, split_subjects
from i2igalip_cli.errors import ConfigError, DatasetError


def deal(volumes, seed=0, locked=None, **settings) -> dict[str, str]:
    return split_subjects(volumes, PrepareConfig(**settings).layout, seed, locked)


def test_every_subject_lies_in_one_split_and_every_domain_is_there(dataset) -> None:
    index = read_index(dataset)
    assert [domain.name for domain in index.domains] == ["T1", "T2", "PD"]
    splits: dict[str, set[str]] = {}
    for shard in index.shards:
        splits.setdefault(shard.subject, set()).add(shard.split)
    assert sorted(splits) == [f"sub-{n}" for n in range(5)]
    assert all(len(found) == 1 for found in splits.values())
    assert len(index.shards) == 15


def test_slices_are_the_volumes_in_the_unit_range(dataset, raw) -> None:
    shard = next(s for s in read_index(dataset).shards if s.source == "sub-3_T2.nii.gz")
    slices = np.load(dataset / shard.file)
    assert slices.shape == shard.shape
    array = head("T2", seed=3)
    foreground = array[array > array.mean()]
    assert shard.window == (0.0, pytest.approx(np.percentile(foreground, 99.5)))
    k = shard.first + 2
    # Rows of an axial slice run to posterior and columns to the left, against the axes of RAS+.
    expected = np.clip(array[::-1, ::-1, k] / shard.window[1], 0, 1).T
    np.testing.assert_allclose(slices[2].astype(np.float32), expected, atol=1e-3)


def test_empty_ends_are_left_out(tmp_path) -> None:
    path = write_head(tmp_path / "raw" / "a_T1.nii.gz", shape=(20, 24, 15))
    prepare(path.parent, tmp_path / "out", PrepareConfig(patterns={"T1": "*T1*"}, split=(1, 0, 0)))
    shard = read_index(tmp_path / "out").shards[0]
    slices = np.load(tmp_path / "out" / shard.file)
    assert shard.first > 0
    assert slices.shape[0] < 15
    assert (slices > 0).mean(axis=(1, 2)).min() >= 0.01


def test_folders_named_after_splits_decide(tmp_path) -> None:
    for seed, (split, subject) in enumerate((("train", "a"), ("val", "b"), ("test", "c"))):
        write_head(tmp_path / "train" / "raw" / split / f"{subject}_T1.nii", seed=seed)
    report = prepare(
        tmp_path / "train" / "raw", tmp_path / "out", PrepareConfig(patterns={"T1": "*T1*"})
    )
    assert {s.subject: s.split for s in report.index.shards} == {
        "a": "train",
        "b": "val",
        "c": "test",
    }
    assert report.counts["T1"]["val"] == report.index.shards[1].shape[0]


def test_a_subject_in_two_splits_or_none_is_refused(tmp_path) -> None:
    write_head(tmp_path / "train" / "a_T1.nii")
    write_head(tmp_path / "test" / "a_T2.nii", "T2")
    with pytest.raises(DatasetError, match="two splits"):
        deal(find_raw(tmp_path).volumes, split=(1, 0, 0))
    (tmp_path / "test" / "a_T2.nii").rename(tmp_path / "b_T2.nii")
    with pytest.raises(DatasetError, match="none of the folders"):
        deal(find_raw(tmp_path).volumes, split=(1, 0, 0))


def test_shares_deal_all_subjects(raw) -> None:
    volumes = find_raw(raw).volumes
    split = deal(volumes, 1, split=(0.6, 0.2, 0.2))
    assert [list(split.values()).count(name) for name in SPLITS] == [3, 1, 1]
    assert deal(volumes, 1, split=(0.6, 0.2, 0.2)) == split
    assert any(deal(volumes, s, split=(0.6, 0.2, 0.2)) != split for s in range(2, 6))


@pytest.mark.parametrize(
    ("name", "subject"),
    [("sub-01_T1w.nii.gz", "sub-01"), ("IXI002-Guys-0828-T1.nii.gz", "IXI002-Guys-0828")],
)
def test_the_subject_is_the_name_without_the_domain(tmp_path, name, subject) -> None:
    write_head(tmp_path / name)
    assert find_raw(tmp_path).volumes[0].subject == subject


def test_one_subject_under_two_domains_names_is_one(tmp_path) -> None:
    for stem in ("1_01_P_T1", "1_01_P_CT", "2_03_P_T1", "2_03_P_CT"):
        write_head(tmp_path / f"{stem}.nii.gz")
    patterns = {"pelvic-MR": "*_T1.nii*", "pelvic-CT": "*_CT.nii*"}
    found = find_raw(tmp_path, patterns=patterns).volumes
    assert sorted((v.subject, v.domain) for v in found) == [
        (subject, domain)
        for subject in ("1_01_P", "2_03_P")
        for domain in ("pelvic-CT", "pelvic-MR")
    ]


def test_a_name_that_is_the_domain_takes_its_folders(tmp_path) -> None:
    write_head(tmp_path / "patient7" / "T1.nii")
    assert find_raw(tmp_path).volumes[0].subject == "patient7"


def test_two_volumes_of_one_subject_and_domain_are_refused_whole(tmp_path) -> None:
    write_head(tmp_path / "raw" / "x" / "a_T1.nii")
    write_head(tmp_path / "raw" / "y" / "a_T1.nii")
    with pytest.raises(DatasetError, match="a second T1"):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_constant_volume_is_named_and_there_is_no_dataset(tmp_path) -> None:
    import nibabel as nib

    (tmp_path / "raw").mkdir()
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9)), np.eye(4)), tmp_path / "raw" / "a_T1.nii")
    with pytest.raises(
        DatasetError, match=r"1 of the volumes can't be used: .*a_T1\.nii: constant"
    ):
        prepare(tmp_path / "raw", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.unfinished", "raw"]


def test_not_finite_voxels_and_empty_volumes_are_reported(tmp_path) -> None:
    import nibabel as nib

    array = head()
    array[0, 0, 0] = np.nan
    (tmp_path / "raw").mkdir()
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "raw" / "a_T1.nii")
    speck = np.zeros((30, 30, 9), np.float32)
    speck[15, 15, 4] = 5
    nib.save(nib.Nifti1Image(speck, np.eye(4)), tmp_path / "raw" / "b_T1.nii")
    nib.save(nib.Nifti1Image(head(seed=2), np.eye(4)), tmp_path / "raw" / "c_T1.nii")
    settings = PrepareConfig(split=(3, 0, 0))
    with pytest.raises(DatasetError, match=r"b_T1\.nii: no slice has foreground, 1\.0% of its"):
        prepare(tmp_path / "raw", tmp_path / "out", settings)
    report = prepare(tmp_path / "raw", tmp_path / "out", settings, skip_faulty=True)
    assert any("1 voxels were not finite" in line for line in report.audit.lines("warning"))
    faults = report.audit.lines("fault")
    assert any("files: b_T1.nii: left out: no slice has foreground" in line for line in faults)


def test_a_plane_without_foreground_is_told_where_another_has_some(tmp_path) -> None:
    import nibabel as nib

    rod = np.zeros((40, 40, 40), np.float32)
    rod[15:25, 15:25, 2:38] = head(shape=(10, 10, 36)) + 100
    (tmp_path / "raw").mkdir()
    nib.save(nib.Nifti1Image(rod, np.eye(4)), tmp_path / "raw" / "a_T1.nii")
    settings = PrepareConfig(
        split=(1, 0, 0),
        planes=("axial", "coronal"),
        least_foreground=0.1,
        crop=CropPolicy(whole=True),
    )
    report = prepare(tmp_path / "raw", tmp_path / "out", settings)
    assert [shard.plane for shard in report.index.shards] == ["coronal"]
    assert any("a_T1.nii: no axial slice with foreground" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"patterns": {"T9": "*T1*"}}, ConfigError, "unknown domain 'T9'.*--caption T9="),
        ({"captions": {"T9": "a T9"}}, ConfigError, "no pattern finds"),
        ({"split": (4, 1, 1)}, DatasetError, "asks for 6 subjects, there are 5"),
        ({"split": (1, 0)}, ConfigError, "three numbers"),
        ({"split": (0.5, 0.1, 0.1)}, ConfigError, r"shares that make 0\.7, not 1"),
        ({"patterns": {"T1": "*x*"}}, DatasetError, "no volumes fit"),
        ({"patterns": {"T1": "*T1*", "T2": "*T*"}}, DatasetError, "narrow"),
        ({"planes": ("tilted",)}, ConfigError, "axial"),
    ],
)
def test_faults_are_named(raw, tmp_path, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        prepare(raw, tmp_path / "out", PrepareConfig(**arguments))
    assert list(tmp_path.iterdir()) == []


def test_an_output_in_the_way_and_no_input_are_refused(raw, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DatasetError, match="exists"):
        prepare(raw, tmp_path / "out")
    with pytest.raises(DatasetError, match="no such folder"):
        prepare(tmp_path / "absent", tmp_path / "new")


def test_patterns_from_the_command_line() -> None:
    assert parse_assignments("--domain", ["T1=*t1*", "CT=a=b"]) == {"T1": "*t1*", "CT": "a=b"}
    for wrong in (["T1"], ["=x"], ["T1="], ["T1=a", "T1=b"]):
        with pytest.raises(ConfigError, match="DOMAIN"):
            parse_assignments("--domain", wrong)


def test_coronal_slices_and_another_percentile(raw, tmp_path) -> None:
    report = prepare(
        raw,
        tmp_path / "out",
        PrepareConfig(planes=("coronal",), percentile=90),
    )
    assert report.index.policy == IntensityPolicy(percentile=90)
    assert report.index.planes == ("coronal",)
    assert report.index.shards[0].shape[1:] == (9, 20)
    assert report.index.shards[0].spacing_mm == pytest.approx((3.0, 1.91), abs=0.02)


def test_datasets_that_are_none_or_damaged_are_refused(dataset, tmp_path) -> None:
    import json
    import shutil

    with pytest.raises(DatasetError, match="not a prepared dataset"):
        read_index(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    values = json.loads((copy / "index.json").read_text())
    (copy / values["shards"][0]["file"]).write_bytes(b"x")
    with pytest.raises(DatasetError, match="absent or damaged"):
        SliceDataset(copy, values["shards"][0]["split"])
    np.save(copy / values["shards"][0]["file"], np.zeros((1, 2, 3)))
    with pytest.raises(DatasetError, match="the index says"):
        SliceDataset(copy, values["shards"][0]["split"])
    (copy / "index.json").write_text(json.dumps({**values, "format": 9}))
    with pytest.raises(DatasetError, match="newer"):
        read_index(copy)
    (copy / "index.json").write_text(json.dumps({**values, "format": 1}))
    with pytest.raises(DatasetError, match="an older i2igalip; prepare it again"):
        read_index(copy)
    (copy / "index.json").write_text("{")
    with pytest.raises(DatasetError, match="damaged"):
        read_index(copy)
    (copy / "index.json").write_text(json.dumps({**values, "shards": []}))
    with pytest.raises(DatasetError, match="no slices"):
        SliceDataset(copy, "train")


def test_reading_pads_to_one_size_and_keeps_the_order(dataset) -> None:
    data = SliceDataset(dataset, "train", multiple=16)
    assert all(side % 16 == 0 for side in data.side)
    batch = data.read([0, len(data) - 1])
    assert batch.shape == (2, 1, *data.side)
    piece = np.load(dataset / data.shards[0].file)[0]
    top, left = (data.side[0] - piece.shape[0]) // 2, (data.side[1] - piece.shape[1]) // 2
    inside = batch[0, 0, top : top + piece.shape[0], left : left + piece.shape[1]]
    np.testing.assert_array_equal(inside, piece.astype(np.float32))
    assert batch[0].sum() == pytest.approx(piece.astype(np.float64).sum(), rel=1e-5)
    assert data.place(0) == 0
    assert data.place(len(data) - 1) == 1


def test_numbers_of_subjects_leave_the_rest_out(raw, tmp_path) -> None:
    report = prepare(raw, tmp_path / "out", PrepareConfig(split=(2, 1, 1)))
    splits = {shard.subject: shard.split for shard in report.index.shards}
    assert sorted(splits.values()) == ["test", "train", "train", "val"]


def test_a_domain_of_ones_own_and_another_caption(raw, tmp_path) -> None:
    settings = PrepareConfig(
        patterns={"mine": "*T1*", "T2": "*T2*"}, captions={"mine": "a new sight", "T2": "T2!"}
    )
    report = prepare(raw, tmp_path / "out", settings)
    assert [(d.name, d.caption) for d in report.index.domains] == [
        ("mine", "a new sight"),
        ("T2", "T2!"),
    ]


def test_volumes_on_one_grid_are_registered_partners_and_others_are_not(tmp_path) -> None:
    import nibabel as nib
    from conftest import OBLIQUE

    for contrast in ("T1", "T2", "PD"):
        write_head(tmp_path / "raw" / f"a_{contrast}.nii", contrast)
    moved = OBLIQUE.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(head("PD"), moved), tmp_path / "raw" / "a_PD.nii")
    report = prepare(tmp_path / "raw", tmp_path / "out", PrepareConfig(split=(1, 0, 0)))
    assert report.pairs == 2
    data = SliceDataset(tmp_path / "out", "train")
    names = [domain.name for domain in data.index.domains]
    for number in range(len(data)):
        own = names[data.domains[number]]
        for target in range(3):
            partner = data.counterpart(number, target)
            if "PD" in (own, names[target]) and own != names[target]:
                assert partner is None
            else:
                assert data.domains[partner] == target
                assert data.place(partner) == pytest.approx(data.place(number), abs=0.15)


def test_a_pair_of_header_and_voxels_is_one_volume(tmp_path) -> None:
    nib.save(nib.Nifti1Pair(head(), OBLIQUE), tmp_path / "sub-0_T1.hdr")
    assert {path.suffix for path in tmp_path.iterdir()} == {".hdr", ".img"}
    (found,) = find_raw(tmp_path, patterns={"T1": "*T1*"}).volumes
    assert found.name == "sub-0_T1.hdr"
