"""All checks, and those of files, counts and orientation, on evidence made by hand."""

import numpy as np
import pytest
from made_evidence import but, cohort, cube, evidence, fits, portrait, volumes

from i2igalip_cli.engine.audit import judge
from i2igalip_cli.engine.audit.checks import CHECKS
from i2igalip_cli.engine.audit.checks.contrast import check_likeness
from i2igalip_cli.engine.audit.checks.counts import check_counts
from i2igalip_cli.engine.audit.checks.files import check_files, check_headers
from i2igalip_cli.engine.audit.checks.orientation import check_orientation
from i2igalip_cli.engine.audit.findings import describe
from i2igalip_cli.engine.dataset import LeftOut


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    portraits = cohort()
    audit = judge(evidence(portraits, fits=fits(portraits)))
    assert audit.lines("fault") == []
    assert audit.lines("warning") == []
    assert audit.verdict == "sound"
    assert len(audit.checks) == len(CHECKS)
    assert len({one.name for one in audit.checks}) == len(CHECKS), "each has its own name"
    assert audit.counts["T1"] == {"train": 4, "val": 2, "test": 2}


def test_the_worst_finding_is_the_verdict() -> None:
    doubtful = evidence([*cohort(), portrait("i", "T1")])
    assert judge(doubtful).verdict == "doubtful"
    faulty = evidence(cohort(), left_out=[LeftOut(name="x", reason="damaged", faulty=True)])
    assert judge(faulty).verdict == "faulty"
    assert judge(faulty).as_json()["verdict"] == "faulty"


def test_files_that_should_be_there_are_faults_and_others_are_not() -> None:
    left_out = [LeftOut(name="x.nii", reason="cut", faulty=True), LeftOut(name="y", reason="no")]
    checked = check_files(evidence(cohort(), left_out=left_out))
    (finding,) = checked.findings
    assert describe(finding) == "x.nii: left out: cut; mend or remove it"


def test_what_headers_leave_open_is_told_once() -> None:
    portraits = [*cohort("ab"), portrait("x", notes=("its unit is unknown",))]
    portraits.append(portrait("y", notes=("its unit is unknown", "no qform")))
    findings = check_headers(evidence(portraits)).findings
    assert [one.volumes for one in findings] == [("x_T1.nii", "y_T1.nii"), ("y_T1.nii",)]
    assert findings[0].text == "its unit is unknown (2 volumes)"


@pytest.mark.parametrize("subjects", ["a", "ab"])
def test_few_subjects_are_not_judged_by_likeness_or_orientation(subjects) -> None:
    portraits = cohort(subjects)
    for check in (check_likeness, check_orientation):
        checked = check(evidence(portraits))
        assert checked.judged == 0
        assert checked.unjudged


def test_a_domain_of_few_subjects_is_not_held_against_another() -> None:
    portraits = [one for one in cohort() if one.domain == "T1" or one.shard.subject in "ab"]
    checked = check_orientation(evidence(portraits))
    assert (checked.judged, checked.findings) == (8, ())
    assert checked.unjudged.startswith("2 volumes")


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda one: one[:, :, ::-1], "upside down"),
        (lambda one: one[:, ::-1], "back to front"),
        (lambda one: one.transpose(0, 2, 1), "turned"),
        (lambda one: one[::-1], ""),  # no anatomy of one volume tells left from right
    ],
)
def test_a_volume_that_lies_otherwise_is_found(turn, words) -> None:
    portraits = but(cohort(), "c_T2.nii", cube=np.ascontiguousarray(turn(cube("c", "T2"))))
    checked = check_orientation(evidence(portraits))
    assert volumes(checked) == [("c_T2.nii",)] * bool(words)
    assert all(words in one.text for one in checked.findings)


def test_missing_volumes_are_told_where_the_others_have_them() -> None:
    portraits = [one for one in cohort() if one.name != "b_T2.nii"]
    (finding,) = check_counts(evidence(portraits)).findings
    assert finding.text == "subject b (train) has no T2"
    unpaired = [one for one in cohort() if (one.domain == "T1") == (one.shard.subject in "aceg")]
    texts = [one.text for one in check_counts(evidence(unpaired)).findings]
    assert any("no test subject has all domains" in text for text in texts)
    assert not any("has no" in text and "subject " in text[:8] for text in texts), "by design"


def test_empty_and_unequal_domains_are_told() -> None:
    portraits = [
        one for one in cohort("abcdefghijkl") if one.domain == "T1" or one.shard.subject in "ac"
    ]
    findings = check_counts(evidence(portraits)).findings
    texts = [one.text for one in findings]
    assert "no volume of T2 for test" in texts
    assert any(text.startswith("1 volumes of T2 for training, 6 of T1") for text in texts)
    none = [one for one in cohort() if one.domain == "T1" or one.shard.split == "test"]
    (fault,) = (f for f in check_counts(evidence(none)).findings if f.severity == "fault")
    assert fault.text == "no volume of T2 for train"
    (alone,) = (f for f in check_counts(evidence(cohort(domains=("T1",)))).findings)
    assert (alone.severity, alone.text) == ("fault", "there are volumes of T1 alone")
