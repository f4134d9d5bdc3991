"""Faults planted in made archives: each is found and named, and nothing else is.

Which check finds a fault is told with it. A small storm runs with every change; in full, the clean
folders too, with the slow tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import clinics
import pytest
from clinics import find_scan

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.audit import Audit
from i2igalip_cli.engine.prepare import check

WEIGHTS = Path(__file__).parents[3] / "weights"
ATLAS = ("T1", "CT")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A made archive: its folder, subjects, and the preset that reads it."""

    raw: Path
    subjects: Sequence[str]
    preset: str

    def scan(self, number: int, contrast: str) -> Path:
        return find_scan(self.raw, self.subjects[number], contrast)

    def name(self, number: int, contrast: str) -> str:
        return self.scan(number, contrast).relative_to(self.raw).as_posix()

    def check(self, split: tuple[float, ...], encoder: str = "", jobs: int = 1) -> Audit:
        settings = PrepareConfig(preset=self.preset, split=split)
        return check(self.raw, settings, encoder=encoder, jobs=jobs).audit


def make(preset: str, raw: Path, subjects: int) -> Made:
    maker = {"ixi": clinics.make_ixi, "gold-atlas": clinics.make_gold_atlas}[preset]
    return Made(raw=raw, subjects=maker(raw, subjects), preset=preset)


def named(audit: Audit, *checks: str) -> set[str]:
    """Volumes that some checks, or all, call faulty."""
    return {
        volume
        for one in audit.checks
        for finding in one.findings
        for volume in finding.volumes
        if finding.severity == "fault" and (not checks or one.name in checks)
    }


def test_a_small_storm(tmp_path) -> None:
    made = make("ixi", tmp_path / "raw", 6)
    for path in clinics.list_scans(made.raw, "PD"):
        clinics.drop(path)
    clinics.swap_labels(made.raw, made.subjects[1])
    clinics.flip_left_right(made.scan(2, "T2"))
    clinics.exchange_subject(made.scan(3, "T2"))
    clinics.cut_short(made.scan(5, "T1"))
    audit = made.check((4, 1, 1))
    assert audit.verdict == "faulty"
    assert named(audit, "files") == {made.name(5, "T1")}
    assert named(audit, "contrast by likeness") == {made.name(1, "T1"), made.name(1, "T2")}
    persons = {*(made.name(2, c) for c in ("T1", "T2")), *(made.name(3, c) for c in ("T1", "T2"))}
    assert named(audit, "persons") == persons
    assert named(audit) == {*named(audit, "files", "contrast by likeness", "persons")}, (
        "and nothing else"
    )
    mirrored, stranger = (
        finding.text for one in audit.checks if one.name == "persons" for finding in one.findings
    )
    assert "left and right are exchanged" in mirrored
    assert "another person" in stranger
    lacks = [line for line in audit.lines("warning") if line.startswith("counts")]
    assert len(lacks) == 1
    assert f"{made.subjects[5][:6]} (" in lacks[0]
    assert "has no T1" in lacks[0]


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "split"), [("ixi", (7, 2, 3)), ("gold-atlas", (8, 1, 3))])
def test_a_clean_archive_is_sound(preset, split, tmp_path) -> None:
    made = make(preset, tmp_path / "raw", 12)
    encoder = str(WEIGHTS / "demo-encoder") if preset == "ixi" else ""  # it knows brains alone
    audit = made.check(split, encoder, jobs=2)
    assert audit.lines("fault") == []
    assert audit.lines("warning") == []
    judged = {one.name: one.judged for one in audit.checks}
    volumes = len(made.subjects) * (3 if preset == "ixi" else 2)
    assert judged["contrast by likeness"] == judged["orientation"] == volumes
    assert judged["persons"] == volumes - len(made.subjects)
    assert judged["contrast by caption"] == (volumes if preset == "ixi" else 0)


@pytest.mark.slow
def test_every_fault_of_an_ixi_like_folder_is_named(tmp_path) -> None:
    made = make("ixi", tmp_path / "raw", 12)
    clinics.swap_labels(made.raw, made.subjects[1])
    clinics.flip_left_right(made.scan(3, "T2"))
    clinics.turn_upside_down(made.scan(4, "PD"))
    clinics.repeat_scan(made.scan(5, "T1"), made.scan(0, "T1"))
    clinics.exchange_subject(made.scan(7, "T2"))
    clinics.drop(made.scan(8, "PD"))
    clinics.cut_short(made.scan(9, "T2"))
    clinics.wrong_spacing(made.scan(10, "PD"))
    audit = made.check((7, 2, 3), str(WEIGHTS / "demo-encoder"), jobs=2)
    swapped = {made.name(1, "T1"), made.name(1, "T2")}
    expected = {
        "files": {made.name(9, "T2")},
        "copies": {made.name(5, "T1"), made.name(0, "T1")},
        "contrast by caption": swapped,
        "contrast by likeness": swapped,
        "orientation": {made.name(4, "PD")},
        "persons": {made.name(3, "T2"), made.name(7, "T2"), made.name(0, "T1")},
        "field of view": {made.name(10, "PD")},
    }
    assert {name: named(audit, name) for name in expected} == expected
    assert named(audit) == set().union(*expected.values()), "and nothing else"
    assert any(f"{made.subjects[8][:6]} (" in line for line in audit.lines("warning"))


@pytest.mark.slow
def test_every_fault_of_a_gold_atlas_like_folder_is_named(tmp_path) -> None:
    made = make("gold-atlas", tmp_path / "raw", 12)
    clinics.swap_labels(made.raw, made.subjects[1], "T1", "CT")
    clinics.flip_left_right(made.scan(3, "CT"))
    clinics.turn_upside_down(made.scan(4, "T1"))
    clinics.repeat_scan(made.scan(5, "T1"), made.scan(0, "T1"))
    clinics.exchange_subject(made.scan(7, "CT"))
    clinics.drop(made.scan(8, "CT"))
    clinics.cut_short(made.scan(9, "T1"))
    clinics.wrong_spacing(made.scan(10, "T1"))
    audit = made.check((8, 1, 3), jobs=2)
    both = partial(_both, made)
    assert named(audit, "files") == {made.name(9, "T1")}
    assert named(audit, "copies") == {made.name(5, "T1"), made.name(0, "T1")}
    assert named(audit, "contrast by likeness", "intensities") == both(1)
    assert named(audit, "orientation") == {made.name(4, "T1")}
    # With two volumes nobody can say which of them is another person's, or mirrored.
    assert named(audit, "persons") == both(0) | both(1) | both(3) | both(7)
    assert named(audit, "field of view") == {made.name(10, "T1")}
    untouched = {made.name(n, c) for n in (2, 6, 11) for c in ATLAS}
    assert not named(audit) & untouched
    assert any(f"{made.subjects[8]} (" in line for line in audit.lines("warning"))


def _both(made: Made, number: int) -> set[str]:
    return {made.name(number, contrast) for contrast in ATLAS}


@pytest.mark.slow
def test_domains_that_differ_in_number_and_field_and_a_child_are_told(tmp_path) -> None:
    made = make("ixi", tmp_path / "raw", 12)
    clinics.crop_field(made.raw, "T2")
    clinics.thin_out(made.raw, "PD", 4)
    for contrast in ("T1", "T2"):
        clinics.wrong_spacing(made.scan(10, contrast), 0.65)
    audit = made.check((7, 2, 3), jobs=2)
    assert audit.lines("fault") == []
    assert audit.verdict == "doubtful"
    warnings = " ".join(audit.lines("warning"))
    assert "volumes of PD for training, 7 of T1" in warnings
    assert "field of view: T2 shows" in warnings
    assert f"subject {made.subjects[10][:6]} is 0.6" in warnings, "0.65 was planted"
    (persons,) = (one for one in audit.checks if one.name == "persons")
    assert persons.judged == 12 + 4, "the child, too"
