"""Which contrast a volume shows: published protocols, and what is none of the four."""

import math

import pytest

from i2igalip_cli.volumes.acquired import Acquisition
from i2igalip_cli.volumes.contrast import classify, ernst_angle, read_words


def scan(tr=None, te=None, ti=None, flip=None, sequence="", description="", **more) -> Acquisition:
    return Acquisition(
        **{"modality": "MR", **more},
        repetition_ms=tr,
        echo_ms=te,
        inversion_ms=ti,
        flip_degrees=flip,
        sequence=tuple(sequence.split()),
        description=description,
    )


# TR, TE, TI in ms, flip angle in degrees: as the data sets publish them.
PROTOCOLS = {
    # IXI (brain-development.org): Guy's, Philips 1.5 T, and Hammersmith, Philips 3 T
    "IXI Guys T1": (scan(9.813, 4.603, flip=8, field_tesla=1.5), "T1"),
    "IXI Guys T2": (scan(8178.34, 100, flip=90, field_tesla=1.5), "T2"),
    "IXI Guys PD": (scan(8178.34, 8, flip=90, field_tesla=1.5), "PD"),
    "IXI HH T1": (scan(9.6, 4.6, flip=8, field_tesla=3), "T1"),
    "IXI HH T2": (scan(5725.79, 100, flip=90, field_tesla=3), "T2"),
    "IXI HH PD": (scan(5725.79, 8, flip=90, field_tesla=3), "PD"),
    # ADNI: Siemens gives the TR of the train, GE and Philips that between two echoes
    "MPRAGE Siemens": (scan(2300, 2.98, 900, 9, "GR IR SP MP *tfl3d1"), "T1"),
    "MPRAGE without names": (scan(2300, 3, 900, 9), "T1"),
    "MPRAGE without TI": (scan(2300, 2.98, None, 9, "GR SK SP MP *TFL3D1"), "T1"),
    "IR-SPGR GE": (scan(6.96, 2.83, 400, 11, "GR SS SP SK"), "T1"),
    "MPRAGE Philips": (scan(6.77, 3.13, None, 9, "GR MP", field_tesla=3), "T1"),
    "FLAIR": (scan(9000, 120, 2500, 150), "FLAIR"),
    "FLAIR SPACE 3-D": (scan(4800, 441, 1650, 120, "SE IR SK SP MP *SPCIR_278NS"), "FLAIR"),
    "FLAIR without figures for TI": (scan(9000, 120, description="ax t2 flair"), "FLAIR"),
    "T1 FLAIR": (scan(2500, 9.6, 860, 111, "SE IR", "Ax T1 FLAIR"), "T1"),
    # Gold Atlas (Nyholm 2018), pelvis
    "Gold Atlas T1 FSE": (scan(600, 7, sequence="SE SK"), "T1"),
    "Gold Atlas T1 FSE, long TE": (scan(500, 20, sequence="SE"), "T1"),
    "Gold Atlas T2 FSE": (scan(6000, 97, flip=160, sequence="SE SK"), "T2"),
    "Gold Atlas T2 FSE, long TR": (scan(15000, 91, sequence="SE"), "T2"),
    "Gold Atlas dual gradient echo": (scan(7.3, 2.5, flip=10, sequence="GR SP"), "T1"),
    # BrainWeb (Kwan 1999): SFLASH and the dual spin echo's two echoes
    "BrainWeb T1": (scan(18, 10, flip=30), "T1"),
    "BrainWeb T2": (scan(3300, 120, flip=90), "T2"),
    "BrainWeb PD": (scan(3300, 35, flip=90), "PD"),
    # Multi-parameter maps (Weiskopf 2013), 3 T: the same FLASH by its flip angle
    "MPM T1w": (scan(18.7, 2.2, flip=20, sequence="GR SP", field_tesla=3), "T1"),
    "MPM PDw": (scan(23.7, 2.2, flip=6, sequence="GR SP", field_tesla=3), "PD"),
    "conventional spin echo": (scan(500, 15, flip=90, sequence="SE"), "T1"),
    "multi-slice FLASH": (scan(300, 2.46, flip=80, sequence="GR SP OSP *FL2D1"), "T1"),
    "pelvic VIBE": (scan(3.97, 1.26, flip=9, sequence="GR SP *FL3D1_NS"), "T1"),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_published_protocols_have_the_contrast_they_are_named_after(name: str) -> None:
    acquisition, contrast = PROTOCOLS[name]
    assert classify(acquisition).contrast == contrast


NONE_OF_THEM = {  # (acquisition, a part of the reason)
    "T2* by its times": (scan(600, 20, flip=20, sequence="GR"), "T2*"),
    "SWI": (scan(28, 20, flip=15, sequence="GR SP", description="SWI_Images"), "T2*"),
    "T2* in words": (scan(20, 5, flip=5, sequence="GR SP", description="t2_star"), "T2*"),
    "TrueFISP by its name": (scan(4.3, 2.1, flip=50, sequence="GR SK SS *TFI3D1"), "steady state"),
    "bSSFP without names": (scan(4.3, 2.1, flip=50), "steady state"),
    "FIESTA in words": (scan(5, 2.2, flip=20, description="Ax FIESTA"), "steady state"),
    "unspoiled": (scan(20, 5, flip=25, sequence="GR SS"), "steady state"),
    "DWI": (scan(8000, 90, flip=90, sequence="EP SE *ep_b1000#1"), "b1000"),
    "DWI by b": (scan(8000, 90, sequence="SE", b_value=1000.0), "b = 1000"),
    "EPI": (scan(2000, 30, flip=77, sequence="EP SK *epfid2d1_64"), "echo planar"),
    "ADC map": (scan(8000, 90, image_type=("DERIVED", "PRIMARY", "ADC")), "diffusion"),
    "phase image": (scan(500, 15, sequence="SE", image_type=("ORIGINAL", "P")), "phase"),
    "STIR": (scan(5000, 60, 150, sequence="SE IR"), "STIR"),
    "dual echo": (
        scan(3300, notes=("EchoTime has 2 values for one volume (35, 120)",), description="PD+T2"),
        "EchoTime has 2 values",
    ),
    "FLAIR without TI": (scan(9000, 120, sequence="SE IR"), "TI unknown"),
    "FLAIR too fast to recover": (scan(1200, 120, 1800, sequence="SE IR"), "between"),
    "a train's TR without its TI": (scan(2300, 2.98, flip=9, sequence="GR SP"), "TI unknown"),
    "EPI by its name": (scan(2000, 30, flip=77, sequence="*EPFID2D1_64"), "echo planar"),
    "spin echo EPI by its name": (scan(8000, 90, sequence="SE *EPSE2D1_64"), "echo planar"),
    "CISS by its name": (scan(6, 2.7, flip=30, sequence="GR SP *CI3D1"), "steady state"),
    "between": (scan(3300, 50, sequence="SE"), "between"),
    "TE alone": (scan(te=91.0), "TR unknown"),
    "angiography": (scan(21, 3.4, flip=18, sequence="GR SP", description="3D TOF"), "angio"),
    "second inversion": (scan(5000, 2.98, 2500, 5, "GR IR MP", "t1_mp2rage_INV2"), "INV2"),
    "field map": (
        scan(488, 4.92, flip=60, sequence="GR", description="gre_field_mapping"),
        "field",
    ),
    "subtraction": (scan(600, 9, sequence="SE", description="T1 SUB"), "difference"),
    "localizer": (scan(20, 5, flip=40, sequence="GR SP", description="localizer"), "localizer"),
    "nuclear medicine": (Acquisition(modality="NM", description="T1"), "NM"),
    "nothing": (Acquisition(), "neither header nor sidecar"),
}


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_other_images_have_no_contrast_but_a_reason(name: str) -> None:
    acquisition, reason = NONE_OF_THEM[name]
    verdict = classify(acquisition)
    assert verdict.contrast == ""
    assert reason in verdict.evidence


def test_ct_is_known_by_its_modality() -> None:
    assert classify(Acquisition(modality="CT", description="T1 protocol")).contrast == "CT"


def test_evidence_gives_the_sequence_in_figures() -> None:
    assert classify(scan(500, 15, sequence="SE")).evidence == "spin echo, TR 500 ms, TE 15 ms"
    gradient = classify(scan(2300, 2.98, 900, 9, "GR IR"))
    expected = "gradient echo, TR 2300 ms, TE 2.98 ms, TI 900 ms, flip angle 9°"
    assert gradient.evidence == expected


def test_words_decide_where_the_numbers_leave_it_open() -> None:
    verdict = classify(scan(te=91, description="ax t2 tse"))
    assert verdict.contrast == "T2"
    assert verdict.evidence.startswith("'ax t2 tse' in the description")


def test_the_scanners_own_word_comes_before_the_description() -> None:
    verdict = classify(scan(stated_contrast="PROTON_DENSITY", description="knee t2"))
    assert verdict.contrast == "PD"
    assert "AcquisitionContrast" in verdict.evidence


@pytest.mark.parametrize(
    ("acquisition", "physics"),
    [
        (scan(500, 15, sequence="SE", description="ax t2 tse"), "T1"),
        (scan(5000, 100, sequence="SE", description="T1w"), "T2"),
        (scan(25, 20, flip=15, sequence="GR SP", description="sag T1"), ""),
        (scan(9000, 120, 2500, sequence="SE IR", description="tra T1"), "FLAIR"),
        (scan(9000, 120, 160, sequence="SE IR", description="flair"), ""),
    ],
)
def test_physics_wins_over_words_and_the_evidence_says_both(acquisition, physics) -> None:
    verdict = classify(acquisition)
    assert verdict.contrast == physics
    assert f"TE {acquisition.echo_ms:g} ms" in verdict.evidence
    assert f"but '{acquisition.description}' in the description says" in verdict.evidence


def test_a_flair_that_is_named_t2_is_no_contradiction() -> None:
    verdict = classify(scan(9000, 120, 2500, sequence="SE IR", description="t2_tirm_tra"))
    assert verdict.contrast == "FLAIR"
    assert "but" not in verdict.evidence


@pytest.mark.parametrize(
    ("acquisition", "named"),
    [
        (scan(500, 15, sequence="SE", contrast_agent="Gadovist"), "(Gadovist)"),
        (scan(500, 15, sequence="SE", description="AX T1 +C"), "('AX T1 +C')"),
        (scan(500, 15, sequence="SE", description="t1_se_tra_gd"), "('t1_se_tra_gd')"),
        (scan(500, 15, sequence="SE", description="T1 POST"), "('T1 POST')"),
    ],
)
def test_t1_after_contrast_agent_is_t1_and_says_so(acquisition, named) -> None:
    verdict = classify(acquisition)
    assert verdict.contrast == "T1"
    assert verdict.evidence == f"spin echo, TR 500 ms, TE 15 ms, after contrast agent {named}"


@pytest.mark.parametrize("description", ["AX T1 pre Gd", "t1 w/o gd", "T1 post-op", "t1_se_cor"])
def test_t1_before_contrast_agent_says_nothing_of_it(description: str) -> None:
    assert "agent" not in classify(scan(500, 15, sequence="SE", description=description)).evidence


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        ("sT1W_3D_TFE", "T1"),
        ("AXT1", "T1"),
        ("t1_mprage_sag_p2_iso", "T1"),
        ("SAG FSPGR 3D", "T1"),
        ("Ax T1 FLAIR", "T1"),
        ("T2W_TSE", "T2"),
        ("t2_tse_tra_448", "T2"),
        ("cor pd_tse_fs", "PD"),
        ("PDW_TSE", "PD"),
        ("Proton density", "PD"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("3D FLAIR", "FLAIR"),
        ("t2_spc_da-fl_sag_p2_iso_1.0", "FLAIR"),
        ("PD/T2 dual", ""),
        ("T1 T2 FLAIR", ""),
        ("brain T12", ""),
        ("pdgfr study", ""),
        ("", ""),
    ],
)
def test_words_of_descriptions(text: str, contrast: str) -> None:
    assert read_words(text) == contrast


@pytest.mark.parametrize(
    ("sequence", "kind"),
    [
        ("*TSE2D1_15", "spin echo"),
        ("*SPCIR_278NS", "spin echo"),
        ("*TIR2D1_16", "spin echo"),
        ("*H2D1_122", "spin echo"),
        ("FRFSE-XL", "spin echo"),
        ("*TFL3D1_16NS", "gradient echo"),
        ("*FL2D1", "gradient echo"),
        ("EFGRE3D", "gradient echo"),
        ("SE GR RM", "spin echo"),
    ],
)
def test_sequences_are_known_by_their_names(sequence: str, kind: str) -> None:
    assert classify(scan(1200, 50, sequence=sequence)).evidence.startswith(kind)


@pytest.mark.parametrize(
    ("acquisition", "kind"),
    [
        (scan(50, 8, flip=90), "gradient echo"),  # TR too short for a spin echo
        (scan(2300, 3), "gradient echo"),  # TE, too
        (scan(600, 10, flip=20), "gradient echo"),
        (scan(600, 10, flip=90), "spin echo"),
        (scan(600, 10), "TR 600 ms"),  # could be either
    ],
)
def test_sequences_without_names_are_known_by_their_numbers(acquisition, kind) -> None:
    assert classify(acquisition).evidence.startswith(kind)


@pytest.mark.parametrize(("field_tesla", "contrast"), [(1.494, ""), (None, ""), (2.89, "T1")])
def test_t1_weighting_begins_at_smaller_angles_in_stronger_fields(field_tesla, contrast) -> None:
    """TR 9.8 ms: white matter's Ernst angle is 8.5 degrees at 1.5 T, 7.7 at 3 T; 80 % 6.8, 6.2."""
    acquisition = scan(9.8, 4.6, flip=6.5, sequence="GR SP", field_tesla=field_tesla)
    assert classify(acquisition).contrast == contrast


def test_ernst_angle() -> None:
    """At TR = T1 ln 2, half the magnetisation returns: cos a = 1/2."""
    assert ernst_angle(1000 * math.log(2), 1000) == pytest.approx(60)
