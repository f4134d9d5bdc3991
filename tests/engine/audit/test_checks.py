"""Each check on evidence made by hand: what it finds, and what it leaves alone."""

import math
from dataclasses import replace

import numpy as np
import pytest

from i2igalip_cli.config import CropPolicy, IntensityPolicy
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.audit import Evidence, judge
from i2igalip_cli.engine.audit.checks import CHECKS
from i2igalip_cli.engine.audit.checks.contrast import (
    check_captions,
    check_header,
    check_likeness,
)
from i2igalip_cli.engine.audit.checks.copies import check_copies
from i2igalip_cli.engine.audit.checks.counts import check_counts
from i2igalip_cli.engine.audit.checks.files import check_files, check_headers
from i2igalip_cli.engine.audit.checks.intensities import check_intensities
from i2igalip_cli.engine.audit.checks.orientation import check_orientation
from i2igalip_cli.engine.audit.checks.persons import check_persons, find_suspects
from i2igalip_cli.engine.audit.checks.sizes import check_sizes
from i2igalip_cli.engine.audit.findings import describe
from i2igalip_cli.engine.audit.pairs import Couple, Fit, list_couples, list_others
from i2igalip_cli.engine.audit.portraits import BINS, Portrait
from i2igalip_cli.engine.audit.templates import Templates
from i2igalip_cli.engine.dataset import DatasetIndex, LeftOut, Shard
from i2igalip_cli.engine.quality.orientation import SIDE

DARK = {"T1": 0.3, "T2": 0.7, "PD": 0.5, "pelvic-CT": 0.4}


def shard(subject="a", domain="T1", split="train", **values) -> Shard:
    return Shard(
        **{
            "subject": subject,
            "domain": domain,
            "split": split,
            "file": f"{split}/{domain}/{subject}.npy",
            "source": f"{subject}_{domain}.nii",
            "plane": "axial",
            "shape": (9, 9, 9),
            "first": 0,
            "corner": (0, 0),
            "window": (0.0, 1.0),
            "spacing_mm": (1.0, 1.0),
            **values,
        }
    )


def cube(subject: str, domain: str) -> np.ndarray:
    """A body with a bright front and a subject's own texture, dark or bright by its domain."""
    rng = np.random.default_rng([*f"{subject}{domain}".encode()])
    i, j, k = np.indices((SIDE,) * 3) / (SIDE - 1) - 0.5
    body = (i**2 / 0.2 + j**2 / 0.24 + k**2 / 0.16) < 1
    texture = 0.04 * rng.standard_normal(body.shape)
    return np.clip(body * (DARK[domain] + 0.6 * j + 0.8 * k + texture), 0, 1).astype(np.float32)


def portrait(subject="a", domain="T1", split="train", **values) -> Portrait:
    own = {name: values.pop(name) for name in list(values) if name in Shard.__dataclass_fields__}
    histogram = np.zeros(BINS, np.float32)
    histogram[int(DARK[domain] * BINS)] = 1
    return Portrait(
        **{
            "shard": shard(subject, domain, split, **own),
            "cube": cube(subject, domain),
            "size_mm": (150.0, 180.0, 140.0),
            "empty": 0.3,
            "air": 0.3,
            "histogram": histogram,
            "thumbnail": np.zeros((3, 9), np.uint8),
            **values,
        }
    )


def cohort(subjects="abcdefgh", domains=("T1", "T2")) -> list[Portrait]:
    splits = {name: ("train", "train", "val", "test")[n % 4] for n, name in enumerate(subjects)}
    return [portrait(name, domain, splits[name]) for name in subjects for domain in domains]


def evidence(portraits, fits=(), captions=None, unread="no encoder", left_out=()) -> Evidence:
    names = dict.fromkeys(one.domain for one in portraits)
    index = DatasetIndex(
        domains=tuple(DOMAINS[name] for name in names),
        policy=IntensityPolicy(),
        crop=CropPolicy(),
        planes=("axial",),
        shards=tuple(one.shard for one in portraits),
        left_out=tuple(left_out),
    )
    templates = Templates(portraits)
    return Evidence(
        index=index,
        portraits=portraits,
        templates=templates,
        lies=templates.judge_lies(portraits),
        fits=fits,
        captions=captions or {},
        unread=unread,
    )


def but(portraits, name: str, **values) -> list[Portrait]:
    """Portraits, the one of this name with other values."""
    assert any(one.name == name for one in portraits)
    return [replace(one, **values) if one.name == name else one for one in portraits]


def volumes(checked) -> list[tuple[str, ...]]:
    return [one.volumes for one in checked.findings]


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


@pytest.mark.parametrize(("change", "found"), [(1.0, True), (1.02, True), (0.0, False)])
def test_a_scan_twice_is_found_whatever_its_scale(change, found) -> None:
    portraits = cohort()
    if change:
        portraits = but(portraits, "b_T1.nii", cube=change * cube("a", "T1"))
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


def test_a_header_that_contradicts_its_label_is_told() -> None:
    portraits = [
        *cohort("ab"),
        portrait("c", header="T1"),
        portrait("d", header="T2", contradiction="its header tells T2 (TE 100 ms)"),
    ]
    checked = check_header(evidence(portraits))
    assert (checked.judged, volumes(checked)) == (2, [("d_T1.nii",)])
    assert "4 have no header" in checked.unjudged


def test_swapped_labels_look_like_each_other() -> None:
    portraits = but(cohort(), "b_T1.nii", cube=cube("b", "T2"))
    portraits = but(portraits, "b_T2.nii", cube=cube("b", "T1"))
    checked = check_likeness(evidence(portraits))
    assert volumes(checked) == [("b_T1.nii",), ("b_T2.nii",)]
    assert "looks like T2" in checked.findings[0].text
    assert checked.judged == len(portraits)


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


def test_domains_that_look_alike_are_not_judged() -> None:
    portraits = [replace(one, cube=cube(one.shard.subject, "T1")) for one in cohort()]
    checked = check_likeness(evidence(portraits))
    assert (checked.judged, checked.findings) == (0, ())
    assert "no difference, to tell T1, T2 from others" in checked.unjudged


def fit_to(portraits, **others) -> dict[str, dict[str, float]]:
    """What an encoder says that names volumes as they are labelled, but for some."""
    seen = {one.name: others.get(one.name.removesuffix(".nii"), one.domain) for one in portraits}
    return {
        name: {domain: 0.9 if domain == best else 0.1 for domain in ("T1", "T2")}
        for name, best in seen.items()
    }


def test_the_encoder_is_believed_where_it_knows_the_others() -> None:
    portraits = cohort()
    checked = check_captions(evidence(portraits, captions=fit_to(portraits, c_T2="T1")))
    assert volumes(checked) == [("c_T2.nii",)]
    assert check_captions(evidence(portraits)).unjudged == "no encoder"


def test_an_encoder_that_knows_too_few_is_not_believed() -> None:
    portraits = cohort()
    wrong = {f"{name}_T1": "T2" for name in "abcd"} | {f"{name}_T2": "T1" for name in "abcd"}
    checked = check_captions(evidence(portraits, captions=fit_to(portraits, **wrong)))
    assert (checked.judged, checked.findings) == (0, ())
    assert "50%" in checked.unjudged


def test_a_domain_that_the_encoder_does_not_know_is_left_out() -> None:
    portraits = cohort(domains=("T1", "T2", "PD"))
    captions = {
        one.name: {name: float(name == one.domain.replace("PD", "T2")) for name in DARK}
        for one in portraits
    }
    checked = check_captions(evidence(portraits, captions=captions))
    assert (checked.judged, checked.findings) == (16, ())
    assert checked.unjudged.endswith("0% of PD")


def test_domains_that_are_exchanged_as_a_whole_are_told() -> None:
    portraits = cohort()
    wrong = {
        f"{name}_{d}": {"T1": "T2", "T2": "T1"}[d]
        for name in "abcdefgh"
        for d in DARK
        if d[0] == "T"
    }
    (finding,) = check_captions(evidence(portraits, captions=fit_to(portraits, **wrong))).findings
    assert finding.text.startswith("T1 and T2 look as if they were exchanged")


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


def fits(portraits, **changed) -> list[Fit]:
    """Fits of all couples as they are in a sound dataset, but for those of some subjects."""
    usual = {"own": 0.7, "mirrored": 0.55, "other": 0.5}
    return [
        Fit(couple=couple, **{**usual, **changed.get(couple.first.subject, {})})
        for couple in list_couples([one.shard for one in portraits])
    ]


def test_couples_are_of_one_visit_and_strangers_of_another_subject() -> None:
    shards = [
        shard("a", "T1"),
        shard("a", "T2"),
        shard("a", "T1", session="ses-2", file="x"),
        shard("b", "T1"),
        shard("b", "T2"),
    ]
    first, second = list_couples(shards)
    assert (first.first, first.second, first.stranger) == (shards[0], shards[1], shards[4])
    assert (second.second, second.stranger) == (shards[4], shards[1])
    (alone,) = list_couples(shards[:2])
    assert alone.stranger is None


def test_of_a_suspicious_visit_all_couples_are_looked_at() -> None:
    shards = [shard(name, domain) for name in "ab" for domain in ("T1", "T2", "PD")]
    couples = list_couples(shards)
    assert [(c.first.domain, c.second.domain) for c in couples[:2]] == [("PD", "T1"), ("PD", "T2")]
    (more,) = list_others(shards, [couples[0]])
    assert (more.first, more.second) == (shards[0], shards[1])
    assert list_others(shards, []) == []


def test_a_stranger_and_a_mirrored_volume_are_told_apart() -> None:
    portraits = cohort()
    wrong = {"b": {"own": 0.5, "mirrored": 0.5}, "c": {"own": 0.55, "mirrored": 0.7}}
    checked = check_persons(evidence(portraits, fits=fits(portraits, **wrong)))
    stranger, mirrored = checked.findings
    assert stranger.volumes == ("b_T1.nii", "b_T2.nii")
    assert "another person" in stranger.text
    assert mirrored.volumes == ("c_T1.nii", "c_T2.nii")
    assert "left and right are exchanged" in mirrored.text


def test_of_three_volumes_the_one_that_fits_neither_is_blamed() -> None:
    portraits = cohort(domains=("T1", "T2", "PD"))
    shards = [one.shard for one in portraits]
    wrong = {"own": 0.5, "mirrored": 0.5}
    known = [
        replace(fit, **wrong)
        if (fit.couple.first.subject, fit.couple.second.domain) == ("b", "T2")
        else fit
        for fit in fits(portraits)
    ]
    more = list_others(shards, [fit.couple for fit in find_suspects(known)])
    assert [(c.first.domain, c.second.domain) for c in more] == [("T1", "T2")]
    other = Fit(couple=more[0], own=0.5, mirrored=0.5, other=0.5)
    first, *_ = check_persons(evidence(portraits, fits=[*known, other])).findings
    assert first.volumes == ("b_T2.nii",)
    assert first.text.startswith("another person, or too bad to tell against b_PD.nii")


def test_where_persons_cannot_be_told_apart_nobody_is_accused() -> None:
    portraits = cohort()
    alike = [replace(fit, own=0.52) for fit in fits(portraits)]
    checked = check_persons(evidence(portraits, fits=[replace(f, mirrored=0.5) for f in alike]))
    assert checked.findings == ()
    assert "T1 and T2 show one person" in checked.unjudged
    few = cohort("ab")
    checked = check_persons(evidence(few, fits=fits(few, a={"own": 0.4, "mirrored": 0.4})))
    assert (checked.findings, bool(checked.unjudged)) == ((), True)


def test_a_couple_that_cannot_be_registered_is_a_warning() -> None:
    portraits = cohort()
    couple = Couple(first=portraits[0].shard, second=portraits[1].shard)
    (finding,) = check_persons(
        evidence(portraits, fits=[Fit(couple=couple, fault="thin")])
    ).findings
    assert (finding.severity, finding.text) == ("warning", "can't be compared: thin")
    assert math.isnan(Fit(couple=couple).own)


@pytest.mark.parametrize(("grids", "found"), [("gg", True), ("gh", False), (("", ""), False)])
def test_one_grid_must_mean_one_place(grids, found) -> None:
    portraits = cohort()
    portraits = [
        replace(o, shard=replace(o.shard, grid=grids[o.domain == "T2"])) for o in portraits
    ]
    checked = check_persons(evidence(portraits, fits=fits(portraits, d={"shift_mm": 9.0})))
    assert volumes(checked) == [("d_T1.nii", "d_T2.nii")] * found


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
    assert volumes(check_intensities(evidence(portraits))) == [("b_pelvic-CT.nii",)]


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
