"""Names say whose image it is and of which domain."""

from pathlib import PurePosixPath

import pytest

from i2igalip_cli.engine.evaluator.naming import NamePattern, read_name
from i2igalip_cli.errors import EvaluationError


@pytest.mark.parametrize(
    ("path", "subject", "domain", "entities"),
    [
        ("sub-01_T2w", "sub-01", "T2", {}),
        ("sub-01/ses-2/anat/sub-01_ses-2_run-1_PDw", "sub-01", "PD", {"ses": "2", "run": "1"}),
        ("sub-01_acq-3d_desc-synth_T2w", "sub-01", "T2", {"acq": "3d", "desc": "synth"}),
        ("siteA/sub-01/anat/sub-01_T1w", "siteA/sub-01", "T1", {}),
        ("sub-40000_T1_T2", "sub-40000", "T2", {}),
        ("sub-01_FLAIR", "sub-01", "FLAIR", {}),
        ("sub-01", "sub-01", "", {}),
        ("sub-01_mask", "sub-01", "mask", {}),
        ("patient7_t2", "patient7", "T2", {}),
        ("patient7_T1_T2", "patient7", "T2", {}),
        ("patient_7_scan", "patient_7_scan", "", {}),
        ("a/1BA001/ct", "a/1BA001", "CT", {}),
        ("a/x_pelvic-CT", "a/x", "pelvic-CT", {}),
        ("T2", "T2", "T2", {}),
        ("s.1.2_T1w", "s.1.2", "T1", {}),
    ],
)
def test_names_are_read(path, subject, domain, entities) -> None:
    name = read_name(PurePosixPath(path))
    assert (name.qualified_subject, name.domain, name.entities) == (subject, domain, entities)
    assert name.path == path


@pytest.mark.parametrize(
    ("pattern", "path", "suffix", "expected"),
    [
        ("{subject}_{domain}.nii.gz", "p_7_T2w", ".nii.gz", ("p_7", "T2", {})),
        ("{subject}_{domain}", "p7_sCT", ".mha", ("p7", "sCT", {})),
        ("{subject}/ct.*", "1BA/ct", ".mha", ("1BA", "", {})),
        ("x-{subject}-{visit}_*", "x-9-b_anything", ".nii", ("9", "", {"visit": "b"})),
    ],
)
def test_patterns_say_what_is_what(pattern, path, suffix, expected) -> None:
    name = NamePattern(pattern).read(PurePosixPath(path), suffix)
    assert (name.subject, name.domain, dict(name.entities)) == expected


def test_a_pattern_fits_whole_names_only() -> None:
    pattern = NamePattern("{subject}_{domain}.nii.gz")
    assert pattern.read(PurePosixPath("p7_T2"), ".nii") is None
    assert pattern.read(PurePosixPath("deep/p7_T2"), ".nii.gz").subject == "p7"
    assert NamePattern("{subject}.nii").read(PurePosixPath("a+b"), ".nii").subject == "a+b"
    assert NamePattern("a.{subject}").read(PurePosixPath("axb"), "") is None, "a point is a point"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{domain}.nii", "no {subject}"),
        ("{subject}_{subject}", "twice"),
        ("{subject}_{", "write"),
        ("{subject}_{}", "write"),
    ],
)
def test_patterns_that_say_nothing_are_refused(text, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        NamePattern(text)
