"""What a file's name says of its contrast, held against what it is taken for."""

from dataclasses import fields

import pytest

from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.sources import doubt_name
from i2igalip_cli.engine.translation import Translation

OWN = Domain(name="FLAIR", caption="This MRI is FLAIR")


def translated(source: Domain | None, target: Domain) -> Translation:
    """A translation of which the domains are known alone."""
    unknown = dict.fromkeys(field.name for field in fields(Translation))
    return Translation(**{**unknown, "source": source, "target": target, "warnings": ("told",)})


@pytest.mark.parametrize(
    ("name", "source", "target", "doubt"),
    [
        ("sub-1_T1w.nii.gz", "T1", "T2", ""),
        ("IXI002-Guys-0828-PD.nii.gz", "T1", "T2", "by its name it is PD, but it is taken for T1"),
        ("sub-1_PDw.nii.gz", "T1", "T2", "by its name it is PD, but it is taken for T1"),
        ("case_t2.nii", "T1", "T2", "by its name it is T2 already"),
        ("case_t2.nii", None, "T2", "by its name it is T2 already"),
        ("case_PD.nii", None, "T2", ""),
        ("T1_to_T2.nii", "T1", "PD", ""),
        ("T12_PDF.nii", "T1", "T2", ""),
        ("planning_T2.nii.gz", "pelvic-MR", "pelvic-CT", ""),
        ("planning_T2.nii.gz", "FLAIR", "T1", ""),
    ],
)
def test_a_name_that_says_another_contrast_is_told(name, source, target, doubt) -> None:
    known = {**DOMAINS, "FLAIR": OWN, None: None}
    found = doubt_name(translated(known[source], known[target]), name)
    assert found.warnings == ((doubt, "told") if doubt else ("told",))


def test_a_cohort_and_a_volume_are_told_alike(program, raw, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a_T1.nii.gz", "a_T2.nii.gz"):
        (tmp_path / "in" / name).write_bytes((raw / f"sub-0_{name[2:]}").read_bytes())
    common = ("--to", "T2")
    one = program("translate", tmp_path / "in" / "a_T2.nii.gz", *common, "-o", tmp_path / "o.nii")
    assert one.code == 0, one.err
    assert "by its name it is T2 already" in one.err
    many = program("translate", tmp_path / "in", *common, "-o", tmp_path / "out")
    assert many.code == 0, many.err
    table = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    told = {"a_T1" in row: "by its name it is T2 already" in row for row in table[1:]}
    assert told == {True: False, False: True}
