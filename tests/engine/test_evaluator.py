"""Evaluation pairs what belongs together and refuses what doesn't."""

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, write_head

from i2igalip_cli.engine.evaluator import evaluate, evaluate_paths
from i2igalip_cli.errors import EvaluationError, VolumeError
from i2igalip_cli.evaluation.protocols import Scale
from i2igalip_cli.volumes import Volume


@pytest.fixture
def folders(tmp_path):
    for n in range(3):
        write_head(tmp_path / "gt" / f"s{n}.nii.gz", seed=n)
        write_head(tmp_path / "pred" / f"s{n}.nii", seed=n + 10)
    write_head(tmp_path / "gt" / "extra.nii.gz")
    return tmp_path


def test_folders_pair_by_name_and_the_mean_is_over_volumes(folders) -> None:
    seen = []
    report = evaluate_paths(
        folders / "pred", folders / "gt", on_progress=lambda *done: seen.append(done)
    )
    assert [row.name for row in report.rows] == ["s0", "s1", "s2"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    values = [row.scores["fixed"].psnr for row in report.rows]
    assert report.summary("fixed", "psnr") == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
    )
    assert report.summary("paper", "mae") is None
    found = report.to_dict()
    assert found["mean"]["paper"]["psnr"] == pytest.approx(
        np.mean([volume["paper"]["psnr"] for volume in found["volumes"]])
    )
    assert "mae" not in found["mean"]["paper"]


def test_a_perfect_volume_is_null_with_a_flag(tmp_path) -> None:
    path = write_head(tmp_path / "a.nii.gz")
    found = evaluate_paths(path, path).to_dict()
    for values in (found["volumes"][0]["paper"], found["mean"]["fixed"]):
        assert values["psnr"] is None
        assert values["psnr_infinite"] is True
        assert values["ssim"] == pytest.approx(100)


def test_turned_storage_of_the_same_volume_is_another_grid() -> None:
    one = Volume(array=head(), affine=OBLIQUE)
    flipped = OBLIQUE @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] += OBLIQUE[:3, 0] * 19
    with pytest.raises(EvaluationError, match=r"affines.*mm"):
        evaluate(Volume(array=head()[::-1], affine=flipped), one)


def test_other_shapes_and_affines_are_named_with_their_files(tmp_path) -> None:
    one = write_head(tmp_path / "one.nii")
    two = write_head(tmp_path / "two.nii", shape=(20, 24, 8))
    with pytest.raises(EvaluationError, match=r"one\.nii against .*two\.nii.*\(20, 24, 9\)"):
        evaluate_paths(one, two)
    nib.save(nib.Nifti1Image(head(), OBLIQUE + np.eye(4, k=3)), two)
    with pytest.raises(EvaluationError, match="differ by 1 mm"):
        evaluate_paths(one, two)


@pytest.mark.parametrize(
    ("pred", "gt", "message"),
    [
        ("absent", "gt", "no such file"),
        ("pred/s0.nii", "gt", "two files or two folders"),
        ("empty", "gt", "holds no volumes"),
        ("gt", "pred", r"no reference of that name \(1 of 4"),
    ],
)
def test_what_cant_be_paired_is_refused(folders, pred, gt, message) -> None:
    (folders / "empty").mkdir()
    with pytest.raises(EvaluationError, match=message):
        evaluate_paths(folders / pred, folders / gt)


def test_masks_pair_too(folders) -> None:
    for n in range(3):
        mask = (head() > 0).astype(np.uint8)
        (folders / "mask").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(mask, OBLIQUE), folders / "mask" / f"s{n}.nii.gz")
    masked = evaluate_paths(folders / "pred", folders / "gt", folders / "mask")
    free = evaluate_paths(folders / "pred", folders / "gt")
    # Air is equal in both, so leaving it out lowers the PSNR.
    assert masked.summary("fixed", "psnr")[0] < free.summary("fixed", "psnr")[0]
    (folders / "mask" / "s2.nii.gz").unlink()
    with pytest.raises(EvaluationError, match="no mask of that name"):
        evaluate_paths(folders / "pred", folders / "gt", folders / "mask")


def test_warnings_about_not_finite_and_negative_voxels(tmp_path) -> None:
    array = head()
    array[0, 0, 0], array[0, 0, 1] = np.inf, -5
    nib.save(nib.Nifti1Image(array, OBLIQUE), tmp_path / "a.nii")
    write_head(tmp_path / "b.nii", seed=4)
    warnings = evaluate_paths(tmp_path / "a.nii", tmp_path / "b.nii").warnings
    assert any("a.nii: 1 voxels were not finite" in line for line in warnings)
    assert any("--range" in line for line in warnings)
    ranged = evaluate_paths(
        tmp_path / "a.nii", tmp_path / "b.nii", scale=Scale(value_range=(-100, 900))
    )
    assert len(ranged.warnings) == 1


def test_a_constant_reference_is_refused_with_its_name(tmp_path) -> None:
    one = write_head(tmp_path / "one.nii")
    nib.save(nib.Nifti1Image(np.ones((20, 24, 9)), OBLIQUE), tmp_path / "flat.nii")
    with pytest.raises(VolumeError, match=r"flat\.nii.*constant"):
        evaluate_paths(one, tmp_path / "flat.nii")
