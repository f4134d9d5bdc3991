"""One scan under two names, and one person in two splits: what is found, and what is left alone."""

import math
from dataclasses import replace

import clinics
import nibabel as nib
import numpy as np
import pytest
from made_evidence import but, cohort, cube, evidence, portrait, shard, volumes

from i2igalip_cli.engine.audit import gather, twins
from i2igalip_cli.engine.audit.checks.copies import SAME, check_copies
from i2igalip_cli.engine.audit.twins import Twins, compare_noise, list_twins


@pytest.mark.parametrize(("change", "found"), [(1.0, True), (1.02, True), (0.0, False)])
def test_a_scan_twice_is_found_whatever_its_scale(change, found) -> None:
    portraits = cohort()
    if change:
        portraits = but(portraits, "b_T1.nii", cube=np.float16(change) * cube("a", "T1"))
    assert volumes(check_copies(evidence(portraits))) == [("a_T1.nii", "b_T1.nii")] * found


def test_two_domains_of_one_visit_may_hardly_differ() -> None:
    portraits = but(cohort(), "a_T2.nii", cube=cube("a", "T1"))
    (finding,) = check_copies(evidence(portraits)).findings
    assert finding.severity == "warning"


def test_a_copy_in_two_splits_is_called_so() -> None:
    portraits = but(cohort(), "d_T1.nii", cube=cube("a", "T1"))
    (finding,) = check_copies(evidence(portraits)).findings
    assert "as subjects a and d: one for train, one for test" in finding.text


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("sub-01", "SUB_1", True),
        ("sub-01", "sub-10", False),
        ("sub-1a", "sub-1b", False),
        ("p007", "P7", True),
        ("p100", "p10", False),
        ("site1_12", "site11_2", False),
    ],
)
def test_one_person_written_in_two_ways_is_asked_for(first, second, found) -> None:
    portraits = [portrait(first, split="train"), portrait(second, split="test")]
    assert bool(check_copies(evidence(portraits)).findings) == found
    together = [portrait(first), portrait(second)]
    assert not check_copies(evidence(together)).findings, "in one split it does no harm"


@pytest.mark.parametrize(("noise", "found"), [(0.99, True), (0.5, False), (math.nan, False)])
def test_two_visits_in_one_pose_are_one_scan_only_if_their_noise_agrees(noise, found) -> None:
    again = portrait("a", session="2", source="again.nii")
    checked = check_copies(evidence([*cohort(), again], noise=noise))
    assert volumes(checked) == [("a_T1.nii", "again.nii")] * found
    assert all(one.severity == "fault" for one in checked.findings)


@pytest.mark.parametrize(
    ("noise", "severity", "words"),
    [
        (0.99, "fault", "the same scan twice"),
        (math.nan, "fault", "the same scan twice"),
        (0.5, "warning", "alike but for their noise"),
    ],
)
def test_two_subjects_that_look_alike_are_told_whatever_their_noise(noise, severity, words) -> None:
    portraits = but(cohort(), "d_T1.nii", cube=cube("a", "T1"))
    (finding,) = check_copies(evidence(portraits, noise=noise)).findings
    assert finding.severity == severity
    assert finding.text.startswith(words)
    assert "as subjects a and d: one for train, one for test" in finding.text


def test_every_pair_is_compared_however_many_at_a_time(monkeypatch) -> None:
    portraits = but(cohort(), "d_T1.nii", cube=cube("a", "T1"))
    portraits = but(portraits, "h_T1.nii", cube=cube("a", "T1"))
    pairs = []
    for block in (1, 3, 100):
        monkeypatch.setattr(twins, "_BLOCK", block)
        found = list_twins(portraits)
        pairs.append(sorted((one.first.subject, one.second.subject) for one in found))
    assert pairs == [[("a", "d"), ("a", "h"), ("d", "h")]] * 3


def body(shape=(25, 31, 29)) -> np.ndarray:
    """A smooth body, its intensities in [0, 1]."""
    i, j, k = (index / (n - 1) - 0.5 for index, n in zip(np.indices(shape), shape, strict=True))
    return 0.5 + 0.3 * np.cos(3 * i) * np.cos(4 * j) * k - 0.2 * np.sin(5 * k * j)


def noisy(seed: int, shape=(25, 31, 29), sigma=0.02) -> np.ndarray:
    return body(shape) + sigma * np.random.default_rng(seed).standard_normal(shape)


def compare(folder, first, second, moved=(0, 0, 0), spacing=1.0) -> float:
    """Correlation of noise of two arrays; the second one's corner lies elsewhere."""
    shards = []
    for name, array, corner, step in (("a", first, (0, 0, 0), 1.0), ("b", second, moved, spacing)):
        affine = np.diag([step] * 3 + [1.0])
        affine[:3, 3] = corner
        np.save(folder / f"{name}.npy", array.astype(np.float16))
        place = tuple(affine.ravel().tolist())
        shards.append(shard(name, file=f"{name}.npy", shape=array.shape, affine=place))
    return compare_noise(folder, Twins(first=shards[0], second=shards[1])).noise


@pytest.mark.parametrize("shape", [(25, 31, 29), (3, 41, 37), (60, 17, 19)])
def test_a_scan_saved_again_keeps_its_noise_and_another_has_its_own(shape, tmp_path) -> None:
    scan = noisy(1, shape)
    saved = 0.9 * np.rint(255 * scan) / 255 + 0.05  # with 8 bits, and brightened
    assert compare(tmp_path, scan, saved) > SAME
    assert abs(compare(tmp_path, scan, noisy(2, shape))) < 0.3


def test_a_copy_is_known_where_it_was_cropped_or_moved(tmp_path) -> None:
    scan = noisy(1)
    assert compare(tmp_path, scan, scan[2:, 1:, :-3], moved=(2, 1, 0)) > SAME
    assert compare(tmp_path, scan[2:, 1:, :-3], scan, moved=(-2, -1, 0)) > SAME
    assert compare(tmp_path, scan, scan, moved=(7, 7, 7)) > SAME, "its header was changed alone"


def test_what_has_no_noise_or_no_common_grid_cannot_be_told(tmp_path) -> None:
    scan = noisy(1)
    assert math.isnan(compare(tmp_path, scan, scan[:, :, 1:], spacing=1.5))
    assert math.isnan(compare(tmp_path, scan, scan[:, :, 1:], moved=(500, 0, 0)))
    assert math.isnan(compare(tmp_path, np.zeros((9, 9, 9)), np.zeros((9, 9, 9))))
    assert math.isnan(compare(tmp_path, np.full((9, 9, 9), 0.5), np.full((9, 9, 9), 0.5)))


def test_a_dataset_is_looked_at_in_full_where_volumes_look_alike(tmp_path) -> None:
    """Of three visits in one pose, the third holds the first one's scan again."""
    one, other = (noisy(seed, (48, 52, 50), 0.005) for seed in (1, 2))
    scans = {"1": one, "2": other, "3": 0.9 * one + 0.05}
    shards = []
    for visit, array in scans.items():
        np.save(tmp_path / f"{visit}.npy", array.astype(np.float16))
        place = tuple(np.eye(4).ravel().tolist())
        own = {"session": visit, "source": visit, "file": f"{visit}.npy"}
        shards.append(shard("a", shape=array.shape, affine=place, **own))
    index = evidence([portrait("a")]).index
    replace(index, shards=tuple(shards)).write(tmp_path)
    seen = gather(tmp_path)
    assert len(seen.twins) == 3, "they all look alike"
    assert volumes(check_copies(seen)) == [("1", "3")]


def test_a_head_scanned_again_in_one_pose_is_another_scan(tmp_path) -> None:
    subject, *_ = clinics.make_ixi(tmp_path / "raw", 1, spacing_mm=2.0)
    first = clinics.find_scan(tmp_path / "raw", subject, "T1")
    (second,) = clinics.scan_again(tmp_path / "again.nii.gz", 0, "T1", spacing_mm=2.0)
    one, other = (np.asarray(nib.load(path).dataobj, float) for path in (first, second))
    one, other = (array / np.percentile(array, 99.5) for array in (one, other))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98, "they look alike"
    clipped = [np.clip(array, 0, 1) for array in (one, other)]
    assert abs(compare(tmp_path, *clipped)) < 0.3
    assert compare(tmp_path, clipped[0], np.rint(255 * clipped[0]) / 255) > SAME
