"""Who is who: couples, strangers, mirror images, on fits made by hand."""

import math
from dataclasses import replace

import pytest
from made_evidence import but, cohort, evidence, fits, shard, volumes

from i2igalip_cli.engine.audit.checks.persons import (
    check_persons,
    find_mirrored,
    find_suspects,
)
from i2igalip_cli.engine.audit.pairs import Couple, Fit, list_couples, list_others


def test_couples_are_of_one_visit_and_strangers_of_another_subject() -> None:
    shards = [
        shard("a", "T1"),
        shard("a", "T2"),
        shard("a", "T1", session="ses-2", file="x"),
        shard("b", "T1"),
        shard("b", "T2"),
    ]
    first, second = list_couples(shards, {})
    assert (first.first, first.second, first.stranger) == (shards[0], shards[1], shards[4])
    assert (second.second, second.stranger) == (shards[4], shards[1])
    (alone,) = list_couples(shards[:2], {})
    assert alone.stranger is None


def test_a_stranger_is_of_about_the_same_size() -> None:
    shards = [shard(name, domain) for name in "abc" for domain in ("T1", "T2")]
    child = {"b_T1.nii": 0.65, "b_T2.nii": 0.65}
    couples = list_couples(shards, child)
    assert [one.stranger for one in couples] == [shards[5], None, shards[1]]


def test_who_has_no_stranger_is_not_judged_and_named() -> None:
    portraits = cohort()
    child = {"b_T1.nii": 0.65, "b_T2.nii": 0.65}
    known = [
        Fit(couple=couple, own=0.7, mirrored=0.5, other=0.5)
        if couple.stranger
        else Fit(couple=couple, own=0.1, mirrored=0.1)
        for couple in list_couples([one.shard for one in portraits], child)
    ]
    checked = check_persons(evidence(portraits, fits=known))
    assert checked.findings == ()
    assert checked.unjudged == "whose 1 are, for no strangers are as large: b_T2.nii"


def test_who_agrees_with_all_others_is_not_accused_of_one() -> None:
    shards = [shard(name, domain) for name in "abcd" for domain in ("T1", "T2", "PD")]
    usual = {"own": 0.7, "mirrored": 0.5, "other": 0.5}
    known = [Fit(couple=couple, **usual) for couple in list_couples(shards, {})]
    (doubted,) = list_others(shards, {}, [known[0].couple])
    weak = Fit(couple=doubted, own=0.45, mirrored=0.4, other=0.5)
    assert find_suspects([*known, weak]) == [weak]
    made = [replace(one, shard=shards[0]) for one in cohort()[:1]]
    assert check_persons(evidence(made, fits=[*known, weak])).findings == ()
    bad = [replace(one, own=0.45) if one is known[0] else one for one in known]
    (finding,) = check_persons(evidence(made, fits=[*bad, weak])).findings
    assert finding.volumes == (doubted.first.source,), "that fits none"


def visit_of_four(**own: float) -> list[Fit]:
    """Fits of sound subjects in four domains, and all of b's, whose own are said as T1_T2=0.4."""
    shards = [shard(name, domain) for name in "abcd" for domain in ("CT", "PD", "T1", "T2")]
    usual = {"mirrored": 0.4, "other": 0.5}
    known = [Fit(couple=couple, own=0.7, **usual) for couple in list_couples(shards, {})]
    (first, *_) = [one.couple for one in known if one.couple.first.subject == "b"]
    known += [Fit(couple=couple, own=0.7, **usual) for couple in list_others(shards, {}, [first])]

    def told(fit: Fit) -> float:
        pair = f"{fit.couple.first.domain}_{fit.couple.second.domain}"
        return own.get(pair, 0.7) if fit.couple.first.subject == "b" else 0.7

    return [replace(fit, own=told(fit)) for fit in known]


def test_two_against_two_are_all_accused_and_one_against_three_alone() -> None:
    one = cohort()[:1]
    apart = {"CT_T1": 0.4, "CT_T2": 0.4, "PD_T1": 0.4, "PD_T2": 0.4}  # CT and PD, T1 and T2
    findings = check_persons(evidence(one, fits=visit_of_four(**apart))).findings
    assert len(findings) == 4
    assert {name for found in findings for name in found.volumes} == {
        f"b_{domain}.nii" for domain in ("CT", "PD", "T1", "T2")
    }
    alone = {"CT_T1": 0.4, "PD_T1": 0.4, "T1_T2": 0.4}
    (finding,) = check_persons(evidence(one, fits=visit_of_four(**alone))).findings
    assert finding.volumes == ("b_T1.nii",)
    two = {**alone, "CT_T2": 0.4, "PD_T2": 0.4}
    found = check_persons(evidence(one, fits=visit_of_four(**two))).findings
    assert {one.volumes for one in found} == {("b_T1.nii",), ("b_T2.nii",)}


def test_domains_of_few_are_unclear_where_no_others_tell() -> None:
    shards = [shard(name, domain) for name in "abcd" for domain in ("T1", "T2")]
    shards += [shard("a", "CT"), shard("b", "CT")]
    known = [
        Fit(couple=one, own=0.6 if "CT" in one.first.domain else 1.0, mirrored=0.1, other=0.5)
        for one in list_couples(shards, {})
    ]
    checked = check_persons(evidence(cohort()[:1], fits=known))
    assert checked.findings == ()
    assert "CT and T1" in checked.unjudged


def test_of_a_suspicious_visit_all_couples_are_looked_at() -> None:
    shards = [shard(name, domain) for name in "ab" for domain in ("T1", "T2", "PD")]
    couples = list_couples(shards, {})
    assert [(c.first.domain, c.second.domain) for c in couples[:2]] == [("PD", "T1"), ("PD", "T2")]
    (more,) = list_others(shards, {}, [couples[0]])
    assert (more.first, more.second) == (shards[0], shards[1])
    assert list_others(shards, {}, []) == []


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
    more = list_others(shards, {}, [fit.couple for fit in find_suspects(known)])
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


def test_a_registration_that_found_no_place_accuses_nobody() -> None:
    portraits = cohort()
    known = [
        Fit(couple=fit.couple, failure="no overlap") if fit.couple.first.subject == "b" else fit
        for fit in fits(portraits)
    ]
    assert find_suspects(known) == []
    checked = check_persons(evidence(portraits, fits=known))
    (finding,) = checked.findings
    assert (finding.severity, finding.text) == ("warning", "registration failed: no overlap")
    assert (finding.volumes, checked.judged) == (("b_T1.nii", "b_T2.nii"), 7)


def test_a_place_too_far_off_is_told_of_those_who_fit_there_alone() -> None:
    portraits = cohort()
    far = {"failure": "it shifts by 130 mm"}
    wrong = {"b": far, "c": {"own": 0.5, "mirrored": 0.5, **far}}
    checked = check_persons(evidence(portraits, fits=fits(portraits, **wrong)))
    stranger, failed = checked.findings
    assert (stranger.severity, stranger.volumes) == ("fault", ("c_T1.nii", "c_T2.nii"))
    assert "another person" in stranger.text
    assert (failed.severity, failed.volumes) == ("warning", ("b_T1.nii", "b_T2.nii"))
    assert failed.text == "registration failed: it shifts by 130 mm"


@pytest.mark.parametrize(
    ("closer", "words"),
    [
        ((0.55, 0.70), ["left and right are exchanged"]),
        ((0.70, 0.55), []),
        ((0.70, 0.71), []),
        (None, ["left and right are exchanged"]),
    ],
)
def test_who_seems_mirrored_is_judged_by_the_thorough_registration(closer, words) -> None:
    portraits = cohort()
    seen = fits(portraits, c={"own": 0.66, "mirrored": 0.7})
    (suspect,) = find_mirrored(seen)
    seen = [replace(fit, closer=closer) if fit is suspect else fit for fit in seen]
    findings = check_persons(evidence(portraits, fits=seen)).findings
    assert len(findings) == len(words)
    assert all(word in one.text for word, one in zip(words, findings, strict=True))
    if closer and words:
        assert "0.550 as it lies, 0.700 mirrored" in findings[0].text


def test_volumes_left_out_of_registration_are_named() -> None:
    portraits = but(cohort(), "c_T1.nii", size_mm=(75, 90, 70))
    known = [fit for fit in fits(portraits) if fit.couple.first.subject != "c"]
    checked = check_persons(evidence(portraits, fits=known))
    assert checked.unjudged == "1 turned or of another size, so not registered: c_T1.nii"
    alone = [one for one in portraits if one.name != "c_T2.nii"]
    assert not check_persons(evidence(alone, fits=known)).unjudged, "nothing to be registered onto"
