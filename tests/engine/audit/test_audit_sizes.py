"""Sizes and intensities unlike the others, on evidence made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from made_evidence import but, cohort, evidence, portrait, volumes

from i2igalip_cli.engine.audit.checks.intensities import check_intensities
from i2igalip_cli.engine.audit.checks.persons import find_unfit
from i2igalip_cli.engine.audit.checks.sizes import check_sizes
from i2igalip_cli.engine.audit.portraits import BINS


@pytest.mark.parametrize(
    ("size_mm", "severity", "words"),
    [
        ((300, 360, 280), "fault", "everything is 2 times"),
        ((75, 90, 70), "fault", "everything is 0.5 times"),
        ((15, 18, 14), "fault", "its voxels' size is wrong"),
        ((150, 180, 80), "warning", "80 mm from bottom to top, the others of T1 140"),
        ((165, 170, 150), "", ""),
    ],
)
def test_sizes_unlike_the_others_are_told(size_mm, severity, words) -> None:
    checked = check_sizes(evidence(but(cohort(), "c_T1.nii", size_mm=size_mm)))
    assert all(one == ("c_T1.nii",) for one in volumes(checked))
    assert {one.severity for one in checked.findings} == {severity} - {""}
    assert not words or any(words in one.text for one in checked.findings)


def test_a_domain_that_shows_another_part_is_told() -> None:
    portraits = [
        replace(one, size_mm=(150, 180, 90)) if one.domain == "T2" else one for one in cohort()
    ]
    (finding,) = check_sizes(evidence(portraits)).findings
    assert finding.text.startswith("T2 shows 90 mm from bottom to top, T1 140")


def test_masked_and_bright_volumes_are_told() -> None:
    bright = np.zeros(BINS, np.float32)
    bright[-1] = 1
    portraits = but(cohort(), "c_T1.nii", empty=0.8)
    portraits = but(portraits, "d_T1.nii", histogram=bright)
    masked, scaled = check_intensities(evidence(portraits)).findings
    assert (masked.volumes, scaled.volumes) == (("c_T1.nii",), ("d_T1.nii",))
    assert "80% of it is empty" in masked.text
    assert "lies at 0.99 of the range" in scaled.text


def test_a_masked_domain_is_told_within_a_modality_alone() -> None:
    for other, found in (("T2", True), ("pelvic-CT", False)):
        portraits = [
            replace(one, empty=0.8 if one.domain == other else 0.1)
            for one in cohort(domains=("T1", other))
        ]
        texts = [one.text for one in check_intensities(evidence(portraits)).findings]
        assert (
            texts
            == [
                f"10% of T1 is empty (0), and 80% of {other}: if one is masked, training "
                "learns to mask, too"
            ]
            * found
        )


def test_ct_without_air_is_none() -> None:
    portraits = but(cohort(domains=("T1", "pelvic-CT")), "b_pelvic-CT.nii", air=0.0)
    (finding,) = check_intensities(evidence(portraits)).findings
    assert (finding.severity, finding.volumes) == ("fault", ("b_pelvic-CT.nii",))


@pytest.mark.parametrize(
    ("subjects", "airless", "usual"),
    [
        ("abcdefgh", "abcdefgh", 0.3),
        ("abcdefgh", "ac", 0.3),
        ("ab", "a", 0.3),
        ("abcdefgh", "b", 0.02),
    ],
)
def test_ct_reconstructed_within_the_body_is_asked_about_once(subjects, airless, usual) -> None:
    """All of a domain, a quarter, one of too few, and one among others that hardly have any air."""
    portraits = [
        replace(one, air=0.0 if one.shard.subject in airless else usual)
        for one in cohort(subjects, domains=("pelvic-CT",))
    ]
    (finding,) = check_intensities(evidence(portraits)).findings
    assert finding.severity == "warning"
    assert finding.volumes == tuple(f"{name}_pelvic-CT.nii" for name in airless)
    assert finding.text.startswith(f"{len(airless)} of {len(subjects)} volumes of pelvic-CT have")


def resized(portraits, subject: str, factor: float) -> list:
    return [
        replace(one, size_mm=tuple(factor * side for side in one.size_mm))
        if one.shard.subject == subject
        else one
        for one in portraits
    ]


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_who_is_small_or_large_in_all_volumes_is_one_question_and_is_registered(factor) -> None:
    seen = evidence(resized(cohort(), "c", factor))
    (finding,) = check_sizes(seen).findings
    assert (finding.severity, finding.volumes) == ("warning", ("c_T1.nii", "c_T2.nii"))
    assert finding.text.startswith(f"subject c is {factor} times as large as the others")
    assert find_unfit(seen) == set()


def test_a_volume_scaled_unlike_its_subject_is_at_fault_and_not_registered() -> None:
    portraits = but(cohort(domains=("T1", "T2", "PD")), "c_T1.nii", size_mm=(75, 90, 70))
    seen = evidence(portraits)
    (finding,) = check_sizes(seen).findings
    assert (finding.severity, finding.volumes) == ("fault", ("c_T1.nii",))
    assert "its subject's other volumes 1 times" in finding.text
    assert find_unfit(seen) == {"c_T1.nii"}


def test_a_scaled_volume_that_is_its_subjects_only_one_is_at_fault() -> None:
    seen = evidence(resized(cohort(domains=("T1",)), "c", 0.6))
    (finding,) = check_sizes(seen).findings
    assert finding.severity == "fault"
    assert "a child among adults" in finding.advice
    assert find_unfit(seen) == {"c_T1.nii"}


def test_another_visit_clears_a_child_and_a_cut_volume_does_not_accuse_it() -> None:
    child = [portrait("x", session=visit, source=f"x_{visit}.nii") for visit in ("1", "2")]
    findings = check_sizes(evidence(resized([*cohort(), *child], "x", 0.6))).findings
    assert [one.volumes for one in findings] == [("x_1.nii", "x_2.nii")]
    cut = but(resized(cohort(), "c", 0.6), "c_T2.nii", size_mm=(90, 108, 42))
    findings = check_sizes(evidence(cut)).findings
    assert {one.severity for one in findings} == {"warning"}
    assert findings[0].volumes == ("c_T1.nii",)


def test_within_a_visit_a_volume_is_held_against_that_visit() -> None:
    """An infant who has grown by the next visit is small in all that were taken of it then."""
    visits = [
        portrait("x", domain, session=visit, source=f"x_{visit}_{domain}.nii")
        for visit in ("1", "2")
        for domain in ("T1", "T2")
    ]
    small = but([*cohort(), *visits], "x_1_T1.nii", size_mm=(90, 108, 84))
    (finding,) = check_sizes(evidence(small)).findings
    assert (finding.severity, finding.volumes) == ("fault", ("x_1_T1.nii",))
    infant = but(small, "x_1_T2.nii", size_mm=(90, 108, 84))
    (finding,) = check_sizes(evidence(infant)).findings
    assert (finding.severity, len(finding.volumes)) == ("warning", 2)


def test_several_children_are_told_together() -> None:
    portraits = cohort()
    for name in "ceg":
        portraits = resized(portraits, name, 0.6)
    (finding,) = check_sizes(evidence(portraits)).findings
    assert finding.text.startswith("3 of 8 subjects are larger or smaller than the rest")
    assert len(finding.volumes) == 6


@pytest.mark.parametrize(("some", "told"), [("c", 1), ("ce", 1), ("ceg", 1), ("aceg", 1), ("", 0)])
def test_what_a_sizeable_share_shows_is_told_once(some, told) -> None:
    """Cut and masked alike: 2 of 8 are a quarter; 4 of 8 leave no middle to be unlike."""
    portraits = [
        replace(one, size_mm=(150.0, 180.0, 250.0), empty=0.8)
        if one.shard.subject in some and one.domain == "T1"
        else one
        for one in cohort()
    ]
    names = tuple(f"{name}_T1.nii" for name in some)
    for check, words in ((check_sizes, "mm from bottom to top"), (check_intensities, "empty (0)")):
        findings = check(evidence(portraits)).findings
        assert [one.volumes for one in findings] == [names] * told
        assert all(words in one.text for one in findings)
        if len(some) > 1:
            assert findings[0].text.startswith(f"{len(some)} of 8 volumes of T1 ")


def test_two_outliers_among_many_are_told_singly() -> None:
    portraits = cohort("abcdefghijkl")
    for name in ("c_T1.nii", "e_T1.nii"):
        portraits = but(portraits, name, size_mm=(150.0, 180.0, 250.0))
    findings = check_sizes(evidence(portraits)).findings
    assert [one.volumes for one in findings] == [("c_T1.nii",), ("e_T1.nii",)]


def test_one_of_few_is_told_singly() -> None:
    portraits = but(cohort("abcd"), "c_T1.nii", size_mm=(150.0, 180.0, 250.0))
    (finding,) = check_sizes(evidence(portraits)).findings
    assert finding.text.startswith("250 mm from bottom to top, the others of T1 140")
