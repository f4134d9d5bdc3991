"""Labels against headers, likeness and captions, on evidence made by hand."""

from dataclasses import replace

import pytest
from made_evidence import DARK, but, cohort, cube, evidence, fit_to, portrait, volumes

from i2igalip_cli.engine.audit.checks.captions import check_captions
from i2igalip_cli.engine.audit.checks.contrast import check_header, check_likeness


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


def test_domains_that_look_alike_are_not_judged() -> None:
    portraits = [replace(one, cube=cube(one.shard.subject, "T1")) for one in cohort()]
    checked = check_likeness(evidence(portraits))
    assert (checked.judged, checked.findings) == (0, ())
    assert "no clear difference: T1, T2" in checked.unjudged


@pytest.mark.parametrize("witness", ["", "likeness", "header"])
def test_of_one_volume_the_encoder_is_believed_where_another_witness_agrees(witness) -> None:
    portraits = cohort()
    if witness == "likeness":
        portraits = but(portraits, "c_T2.nii", cube=cube("c", "T1"))
    if witness == "header":
        (one,) = (one for one in portraits if one.name == "c_T2.nii")
        told = replace(one.shard, header="T1", contradiction="its header tells T1")
        portraits = but(portraits, "c_T2.nii", shard=told)
    (found,) = check_captions(evidence(portraits, captions=fit_to(portraits, c_T2="T1"))).findings
    assert found.volumes == ("c_T2.nii",)
    assert found.severity == ("fault" if witness else "warning")


def test_without_an_encoder_nothing_is_judged_by_captions() -> None:
    checked = check_captions(evidence(cohort()))
    assert (checked.judged, checked.unjudged) == (0, "no encoder")


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


def see(portraits, looks: dict[str, str], **others) -> dict[str, dict[str, float]]:
    """What an encoder says to which all of a domain look like another one, but for some."""
    seen = {one.name.removesuffix(".nii"): looks.get(one.domain, one.domain) for one in portraits}
    seen.update(others)
    return {
        f"{name}.nii": {domain: 0.9 if domain == best else 0.0 for domain in DARK}
        for name, best in seen.items()
    }


def test_domains_that_are_exchanged_in_a_circle_are_told_once() -> None:
    portraits = cohort(domains=("T1", "T2", "PD", "pelvic-CT"))
    looks = {"T1": "T2", "T2": "PD", "PD": "T1"}
    captions = see(portraits, looks, **{"a_T1": "PD", "b_pelvic-CT": "PD"})
    circle, single = check_captions(evidence(portraits, captions=captions)).findings
    assert circle.severity == "fault"
    assert circle.text == (
        "T1, T2 and PD look as if they were exchanged as a whole: T1 looks like T2, T2 looks like "
        "PD, PD looks like T1"
    )
    assert single.volumes == ("b_pelvic-CT.nii",), "the other domains are judged as ever"


def test_a_domain_that_looks_like_one_of_a_circle_is_not_of_it() -> None:
    portraits = cohort(domains=("PD", "T1", "T2"))
    captions = see(portraits, {"T1": "T2", "T2": "T1", "PD": "T1"})
    checked = check_captions(evidence(portraits, captions=captions))
    (circle,) = checked.findings
    assert circle.text.startswith("T1 and T2 look as if")
    assert checked.judged == 16
    assert checked.unjudged.endswith("0% of PD")


def test_what_looks_like_another_domain_without_an_exchange_is_no_circle() -> None:
    portraits = cohort(domains=("PD", "T1", "T2"))
    captions = see(portraits, {"PD": "T1", "T1": "T2"})
    assert check_captions(evidence(portraits, captions=captions)).findings == ()
