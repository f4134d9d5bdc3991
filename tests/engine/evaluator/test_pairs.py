"""What belongs together is paired, what has no partner is told, what isn't clear is refused."""

import nibabel as nib
import numpy as np
import pytest
from conftest import DERIVATION, head, write_head

from i2igalip_cli.engine.evaluator.pair_list import read_pairs
from i2igalip_cli.engine.evaluator.pairs import Sides, find_pairs
from i2igalip_cli.errors import EvaluationError, VolumeError
from i2igalip_cli.volumes import Volume, save_volume

TINY = (3, 4, 5)
GRID = np.diag([1.9, 1.9, 3.0, 1.0])


def put(folder, *names):
    for name in names:
        path = folder / (name if name.endswith((".nii", ".mha", ".nii.gz")) else f"{name}.nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_volume(Volume(array=np.ones(TINY), affine=np.eye(4)), path)
    return folder


def pair_names(tmp_path, predictions, references, **options):
    """(prediction, reference) by their paths below each side."""
    ours, theirs = put(tmp_path / "pred", *predictions), put(tmp_path / "gt", *references)
    found = find_pairs(Sides(prediction=ours, reference=theirs, **options))
    pairs = {
        (
            pair.prediction.relative_to(ours).as_posix().split(".")[0],
            pair.reference.relative_to(theirs).as_posix().split(".")[0],
        )
        for pair in found.pairs
    }
    return pairs, found


def test_by_name_whatever_the_format(tmp_path) -> None:
    pairs, found = pair_names(tmp_path, ["b.nii", "a.mha"], ["a.nii.gz", "b.nii.gz"])
    assert pairs == {("a", "a"), ("b", "b")}
    assert [pair.case for pair in found.pairs] == ["a", "b"]
    assert (found.missing, found.extra, found.notes) == ((), (), ())


def test_bids_derivatives_against_their_dataset(tmp_path) -> None:
    bids = tmp_path / "gt"
    (bids / "derivatives" / "i2igalip").mkdir(parents=True)
    for folder in (bids, bids / "derivatives" / "i2igalip"):
        (folder / "dataset_description.json").write_text('{"Name": "x"}')
    names = [f"sub-0{n}/anat/sub-0{n}_{c}w" for n in (1, 2) for c in ("T1", "T2")]
    put(bids, *names)
    put(bids / "derivatives" / "i2igalip", "sub-01/anat/sub-01_desc-synth_T2w")
    found = find_pairs(Sides(prediction=bids / "derivatives" / "i2igalip", reference=bids))
    (pair,) = found.pairs
    assert pair.reference == bids / "sub-01/anat/sub-01_T2w.nii.gz"
    assert (pair.subject, pair.target) == ("sub-01", "T2")
    assert [name.split("/")[-1] for name in found.missing] == ["sub-02_T2w.nii.gz"]
    assert "2 references of other domains (T1)" in found.notes[0]


def test_by_subject_and_domain(tmp_path) -> None:
    pairs, _ = pair_names(
        tmp_path,
        ["sub-1_ses-a_desc-synth_T2w", "sub-1_ses-b_T1w_T2w", "deep/p7_T1_PD"],
        ["sub-1/ses-b/anat/sub-1_ses-b_T2w", "sub-1_ses-a_acq-tse_T2w", "deep/p7_PD"],
    )
    assert pairs == {
        ("sub-1_ses-a_desc-synth_T2w", "sub-1_ses-a_acq-tse_T2w"),
        ("sub-1_ses-b_T1w_T2w", "sub-1/ses-b/anat/sub-1_ses-b_T2w"),
        ("deep/p7_T1_PD", "deep/p7_PD"),
    }


def test_runs_and_sessions_are_never_taken_for_each_other(tmp_path) -> None:
    pairs, found = pair_names(
        tmp_path,
        ["sub-1_run-1_T2w", "sub-2_ses-a_T2w", "sub-3_T2w", "a/001_T2"],
        ["sub-1_run-2_T2w", "sub-2_ses-b_T2w", "sub-3_T2w", "b/001_T2"],
    )
    assert pairs == {("sub-3_T2w", "sub-3_T2w")}
    assert len(found.extra) == len(found.missing) == 3


def test_folders_matter_only_where_both_sides_have_them(tmp_path) -> None:
    pairs, _ = pair_names(tmp_path, ["001_T2"], ["siteA/001_T2"])
    assert pairs == {("001_T2", "siteA/001_T2")}


def test_what_isnt_clear_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(EvaluationError, match=r"desc-a_T2w.*desc-b_T2w.*--pairs") as caught:
        pair_names(tmp_path, ["sub-1_desc-a_T2w", "sub-1_desc-b_T2w"], ["sub-1_T2w"])
    assert "sub-1_T2w.nii.gz" in str(caught.value)


def test_the_same_name_in_two_formats_isnt_clear(tmp_path) -> None:
    with pytest.raises(EvaluationError, match="isn't clear"):
        pair_names(tmp_path, ["a.nii", "a.nii.gz"], ["a.nii"])


def test_missing_and_extra_are_listed(tmp_path) -> None:
    _, found = pair_names(tmp_path, ["a_T2", "x_T2"], ["a_T2", "b_T2", "b_T1", "a_mask"])
    assert [name.split("/")[-1] for name in found.missing] == ["b_T2.nii.gz"]
    assert [name.split("/")[-1] for name in found.extra] == ["x_T2.nii.gz"]
    assert found.notes == (
        "1 references of other domains (T1) were left aside: no prediction is of these",
    )


def test_maps_of_quality_beside_predictions_are_no_predictions(tmp_path) -> None:
    names = ["a_T1_T2", "a_T1_T2_qc", "sub-1_desc-synth_T2w", "sub-1_desc-synth_T2w_qc"]
    pairs, found = pair_names(tmp_path, names, ["a_T2", "sub-1_T2w"])
    assert pairs == {("a_T1_T2", "a_T2"), ("sub-1_desc-synth_T2w", "sub-1_T2w")}
    assert found.extra == found.notes == ()


def test_no_pair_at_all_is_an_error_that_shows_names(tmp_path) -> None:
    with pytest.raises(EvaluationError, match=r"pred has x1.*gt has y1.*--pattern") as caught:
        pair_names(tmp_path, ["x1"], ["y1"])
    assert "--pairs" in str(caught.value)


def test_patterns_pair_what_names_alone_dont(tmp_path) -> None:
    pairs, found = pair_names(
        tmp_path,
        ["synth_001.mha", "synth_002.mha", "notes.nii"],
        ["1BA001/ct.mha", "1BA002/ct.mha", "1BA001/mr.mha"],
        pattern="synth_{subject}.mha",
        reference_pattern="1BA{subject}/ct.mha",
    )
    assert pairs == {("synth_001", "1BA001/ct"), ("synth_002", "1BA002/ct")}
    assert [pair.subject for pair in found.pairs] == ["001", "002"]
    assert len(found.notes) == 2
    assert "notes.nii" in found.notes[0]


def test_a_pattern_without_the_domain_leaves_it_to_the_other_side(tmp_path) -> None:
    options = {"pattern": "{subject}.nii.gz", "reference_pattern": "{subject}_{domain}.nii.gz"}
    pairs, found = pair_names(tmp_path / "one", ["p1"], ["p1_T2"], **options)
    assert pairs == {("p1", "p1_T2")}
    assert found.pairs[0].target == "T2"
    with pytest.raises(EvaluationError, match="isn't clear"):
        pair_names(tmp_path / "two", ["p1"], ["p1_T2", "p1_T1"], **options)


def test_a_pattern_that_fits_nothing_is_an_error(tmp_path) -> None:
    with pytest.raises(EvaluationError, match=r"of 1 volumes none fits '\{subject\}\.mha'.*a\.nii"):
        pair_names(tmp_path, ["a"], ["a"], pattern="{subject}.mha")


def test_masks_and_label_maps_by_name_or_subject(tmp_path) -> None:
    masks = put(tmp_path / "masks", "sub-1_mask", "sub-2_T2w", "sub-2_mask")
    labels = put(tmp_path / "labels", "sub-1_desc-x_dseg")
    _, found = pair_names(
        tmp_path,
        ["sub-1_T2w", "sub-2_T2w"],
        ["sub-1_T2w", "sub-2_T2w"],
        mask=masks,
        labels=labels,
        predicted_labels=labels,
    )
    one, two = found.pairs
    assert (one.mask, two.mask) == (masks / "sub-1_mask.nii.gz", masks / "sub-2_T2w.nii.gz")
    assert one.labels == one.predicted_labels == labels / "sub-1_desc-x_dseg.nii.gz"
    assert (one.fault, two.labels) == ("", None)
    assert "has no label map of it" in two.fault


def sites(tmp_path, mask_names):
    """Pairs of two sites whose subjects have the same names, with these masks."""
    images = [f"site{n}/sub{k}" for n in (0, 1) for k in (0, 1)]
    masks = put(tmp_path / "masks", *mask_names)
    _, found = pair_names(tmp_path, images, images, mask=masks)
    return masks, {pair.subject: pair for pair in found.pairs}


def test_a_mask_is_never_that_of_another_sites_subject(tmp_path) -> None:
    names = ["site0/sub0_mask", "site0/sub1_mask", "site1/sub1_mask"]
    masks, pairs = sites(tmp_path, names)
    assert pairs["site1/sub0"].mask is None
    assert pairs["site1/sub0"].fault == f"{masks} has no mask of it"
    for name in names:
        pair = pairs[name.removesuffix("_mask")]
        assert (pair.mask, pair.fault) == (masks / f"{name}.nii.gz", "")


def test_a_mask_without_a_folder_isnt_shared_by_two_sites(tmp_path) -> None:
    _, pairs = sites(tmp_path, ["sub0_mask", "site0/sub1"])
    assert pairs["site0/sub1"].fault == ""
    assert {pairs[f"site{n}/sub0"].mask for n in (0, 1)} == {None}
    _, pairs = sites(tmp_path / "flat", ["sub0_mask"])
    assert "fits several subjects: site0/sub0, site1/sub0" in pairs["site1/sub0"].fault
    assert "has no mask of it" in pairs["site1/sub1"].fault


def test_a_mask_without_folders_is_that_of_the_only_subject_of_its_name(tmp_path) -> None:
    images, masks = ["siteA/p1", "siteB/p2"], put(tmp_path / "m", "p1_mask", "p2_mask")
    _, found = pair_names(tmp_path, images, images, mask=masks)
    assert [pair.mask.name for pair in found.pairs] == ["p1_mask.nii.gz", "p2_mask.nii.gz"]


def test_folders_of_either_side_find_the_mask(tmp_path) -> None:
    masks = put(tmp_path / "masks", "siteA/p1_mask", "siteB/p1_mask", "siteB/p2_mask")
    _, found = pair_names(tmp_path, ["p1", "p2"], ["siteB/p1", "siteB/p2"], mask=masks)
    assert [pair.mask for pair in found.pairs] == [
        masks / "siteB" / f"{name}_mask.nii.gz" for name in ("p1", "p2")
    ]


def test_several_masks_of_a_pair_are_named(tmp_path) -> None:
    masks = put(tmp_path / "masks", "sub-1_desc-a_mask", "sub-1_desc-b_mask", "sub-2_mask")
    images = ["sub-1_T2w", "sub-2_T2w"]
    _, found = pair_names(tmp_path, images, images, mask=masks)
    assert found.pairs[0].fault.startswith("2 masks fit: ")
    assert "desc-a_mask" in found.pairs[0].fault
    assert found.pairs[1].fault == ""


def test_masks_of_nobody_are_an_error(tmp_path) -> None:
    masks = put(tmp_path / "masks", "other")
    with pytest.raises(EvaluationError, match="name or the subject of a pair"):
        pair_names(tmp_path, ["a"], ["a"], mask=masks)


def test_dicom_folders_are_volumes(tmp_path) -> None:
    for side in ("pred", "gt"):
        (tmp_path / side).mkdir()
        for name in ("p1", "p2"):
            save_volume(
                Volume(array=head(), affine=GRID, modality="MR", derivation=DERIVATION),
                tmp_path / side / name,
                format="dicom",
            )
    found = find_pairs(Sides(prediction=tmp_path / "pred", reference=tmp_path / "gt"))
    assert [pair.case for pair in found.pairs] == ["p1", "p2"]
    assert found.pairs[0].prediction == tmp_path / "pred" / "p1"
    volume = write_head(tmp_path / "one.nii.gz")
    (pair,) = find_pairs(Sides(prediction=volume, reference=tmp_path / "gt" / "p1")).pairs
    assert (pair.case, pair.reference) == ("one", tmp_path / "gt" / "p1")


@pytest.mark.parametrize(
    ("pred", "gt", "error", "message"),
    [
        ("absent", "gt", EvaluationError, "no such file"),
        ("pred/a.nii.gz", "gt", EvaluationError, "two volumes or two folders"),
        ("gt", "gt/a.nii.gz", EvaluationError, "two volumes or two folders"),
        ("empty", "gt", VolumeError, "no volume found"),
    ],
)
def test_what_cant_be_paired_is_refused(tmp_path, pred, gt, error, message) -> None:
    put(tmp_path / "pred", "a", "b")
    put(tmp_path / "gt", "a", "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        find_pairs(Sides(prediction=tmp_path / pred, reference=tmp_path / gt))


def test_a_list_of_pairs(tmp_path) -> None:
    put(tmp_path / "p", "s1/ct", "s2/ct", "sub-9_desc-synth_T2w")
    text = (
        "\ufeffReference,prediction,subject,target\n"
        "r1.nii,p/s1/ct.nii.gz,,t2w\n\nr2.nii,p/s2/ct.nii.gz,anna,\n"
        "r3.nii,p/sub-9_desc-synth_T2w.nii.gz,,\n"
    )
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    found = read_pairs(tmp_path / "pairs.csv")
    one, two, three = sorted(found.pairs, key=lambda pair: pair.reference)
    assert (one.subject, one.target) == ("s1", "T2")
    assert (two.subject, two.target) == ("anna", "CT")
    assert (three.case, three.subject, three.target) == ("sub-9_desc-synth_T2w", "sub-9", "T2")
    assert one.reference == tmp_path / "r1.nii"
    assert one.case != two.case


def listed_subjects(tmp_path, *lines: str):
    """Subjects of a list of pairs in the order of its lines, and its notes."""
    text = "".join(f"{line}\n" for line in ("prediction,reference,subject,case", *lines))
    (tmp_path / "pairs.csv").write_text(text)
    found = read_pairs(tmp_path / "pairs.csv")
    return [pair.subject for pair in sorted(found.pairs, key=lambda p: p.reference)], found.notes


def test_files_of_one_name_in_many_folders_are_many_subjects(tmp_path) -> None:
    lines = [f"fold/s{n}/t2_pred.nii.gz,gt/s{n}.nii.gz,," for n in range(4)]
    subjects, notes = listed_subjects(tmp_path, *lines)
    assert subjects == [f"s{n}/t2_pred" for n in range(4)]
    assert notes == ()
    subjects, _ = listed_subjects(tmp_path, "fold/s0/t2_pred.nii.gz,gt/s0.nii.gz,,")
    assert subjects == ["t2_pred"]
    subjects, _ = listed_subjects(
        tmp_path, "/d/x/a/1_T2.nii,/gt/1.nii,,", "/d/x/2_T2.nii,/gt/2.nii,,"
    )
    assert subjects == ["a/1", "2"]
    assert listed_subjects(tmp_path, "1_T2,g/1,,", "a/1_T2,g/2,,")[0] == ["1", "a/1"]


def test_references_that_names_make_one_subject_are_told(tmp_path) -> None:
    lines = ["a_desc-x_T2w.nii,g1.nii,,", "sub-1_desc-x_T2w.nii,g2.nii,,"]
    subjects, notes = listed_subjects(tmp_path, *lines, "sub-1_desc-y_T2w.nii,g3.nii,,")
    assert subjects[1:] == ["sub-1", "sub-1"]
    assert len(notes) == 1
    assert "one subject by the names of their predictions: sub-1;" in notes[0]
    apart = ["sub-1_ses-a_T2w.nii,g1.nii,,", "sub-1_ses-b_T2w.nii,g2.nii,,"]
    assert listed_subjects(tmp_path, *apart, "sub-1_ses-a_PDw.nii,g3.nii,,")[1] == ()
    said = ["sub-1_desc-x_T2w.nii,g1.nii,u,", "sub-1_desc-y_T2w.nii,g2.nii,u,"]
    assert listed_subjects(tmp_path, *said)[1] == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column prediction"),
        ("prediction,reference\n", "no pair"),
        ("prediction,reference,masks\na,b,c\n", "unknown column 'masks'"),
        ("prediction,reference\na\n", "pair 1 has no reference"),
        ("prediction,reference,mask\na,b,m\nc,d,\n", "pair 2 has no mask"),
        ("prediction,reference,case\na,b,x\nc,d,x\n", "2 pairs are called 'x'"),
        ("prediction,reference,reference\na,b,x\n", "twice"),
        ("prediction,reference\n\na,b\nc,d,e\n", "line 4 has 3 cells, and there are 2 columns"),
    ],
)
def test_a_list_that_could_be_a_slip_is_refused(tmp_path, text, message) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_pairs(tmp_path / "pairs.csv")


def test_several_series_in_one_folder_are_refused_with_the_way_out(tmp_path) -> None:
    for number, name in enumerate(("p1", "p2")):
        volume = Volume(array=head(seed=number), affine=GRID, modality="MR", derivation=DERIVATION)
        save_volume(volume, tmp_path / name, format="dicom")
        for file in (tmp_path / name).iterdir():
            file.rename((tmp_path / "p1") / f"{name}-{file.name}")
    one = write_head(tmp_path / "one.nii")
    with pytest.raises(EvaluationError, match=r"2 DICOM series.*a folder of its own"):
        find_pairs(Sides(prediction=one, reference=tmp_path / "p1"))


def test_damaged_files_pair_by_name(tmp_path) -> None:
    put(tmp_path / "pred", "a", "b")
    put(tmp_path / "gt", "a", "b")
    (tmp_path / "pred" / "b.nii.gz").write_bytes(b"no volume")
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5, 2)), np.eye(4)), tmp_path / "gt" / "a.nii.gz")
    found = find_pairs(Sides(prediction=tmp_path / "pred", reference=tmp_path / "gt"))
    assert [pair.case for pair in found.pairs] == ["a", "b"]
