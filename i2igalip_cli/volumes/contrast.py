"""Which contrast a volume shows, judged by how it was acquired.

The physics of the sequence comes first: repetition, echo and inversion times and the flip angle,
in ranges as textbooks give them for 1.5 T and 3 T. The words of the description count where the
numbers leave it open.

Sources: Bushberg et al., The Essential Physics of Medical Imaging, chapter on contrast weighting,
and IMAIOS e-MRI, Signal weighting (short TR up to about 500 ms, long from 1500; TE short below 30);
Stanisz et al., MRM 54:507 (2005), for relaxation times; Ernst and Anderson, Rev Sci Instrum 37:93
(1966), for the angle.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

from i2igalip_cli.volumes.acquired import Acquisition

Contrast = Literal["T1", "T2", "PD", "FLAIR", "CT", ""]
Kind = Literal["spin echo", "gradient echo", "echo planar imaging", ""]

# Spin echoes, ms. T1: TR of about the tissues' T1, 400 to 600 at 1.5 T and up to 900 at 3 T, where
# T1 is longer; TE well below T2 (70 to 100). Long TR takes T1 away. PD: TE up to 30, of joints and
# early echoes 40 (BrainWeb 35); T2: TE from 60. Between them, the numbers decide nothing.
SHORT_REPETITION_MS, LONG_REPETITION_MS = 900.0, 1500.0
T1_ECHO_MS, PD_ECHO_MS, T2_ECHO_MS = 30.0, 40.0, 60.0
# Inversion times, ms: TI = T1 ln 2 nulls a tissue at long TR. Fat: 80 to 280 (STIR). Liquor, T1 of
# about 4 s: 1700 to 2900, down to 1400 where TR is too short for its recovery (3-D FLAIR).
FAT_NULLED_MS = 300.0
T1_INVERSION_MS = (300.0, 1400.0)  # white and grey matter far apart: MPRAGE, T1 FLAIR
LIQUOR_NULLED_MS = (1400.0, 3000.0)
# Gradient echoes: T2* of white matter is 50 to 65 ms, so that it begins to tell at a TE of 15.
T1_GRADIENT_ECHO_MS, T2_STAR_ECHO_MS = 12.0, 15.0
WHITE_MATTER_T1_MS = {1.5: 884.0, 3.0: 1084.0}  # Stanisz 2005, table 1
# Shares of white matter's Ernst angle: from it on, T1 rules; well below, proton density.
T1_FLIP, PD_FLIP = 0.8, 0.6
STEADY_REPETITION_MS = 1000.0  # beyond, TR is of a whole train of pulses, not between two
BALANCED_REPETITION_MS, BALANCED_FLIP = 10.0, 35.0  # at such a TR, spoiled echoes flip by 5 to 25
# Where nothing names the sequence: spin echoes need longer times and flip by 90 or more.
SPIN_REPETITION_MS, SPIN_ECHO_MS, GRADIENT_FLIP = 100.0, 6.0, 60.0

_SHORTEST_NAME = 4  # shorter words of a sequence are DICOM's codes, such as OSP
_NAMED_KINDS: tuple[tuple[Kind, str], ...] = (  # vendors' names of sequences, upper case
    ("echo planar imaging", r"\*?EP(?:\dD|FID|SE|I|_)|.*\bEPI\b"),
    ("spin echo", r"\*?(?:T?G?SE|T?IR|H)\dD|\*?SPC|.*(?:FSE|TSE|HASTE|CUBE|SPIN[ _-]?ECHO)"),
    ("gradient echo", r"\*?T?F[IL]\dD|.*(?:GRE|FFE|SPGR|MP-?RAGE|FLASH|BRAVO|GRADIENT)"),
)
_STEADY_STATE = re.compile(r"\*?(?:TFI|CI|DE|PSIF)\dD")
_IMAGE_TYPES = {  # values of ImageType that are no magnitude of one weighting
    **dict.fromkeys(("P", "PHASE", "PHASE MAP"), "a phase image"),
    **dict.fromkeys(("ADC", "FA", "TRACEW", "DIFFUSION", "EXP"), "a diffusion image"),
    **dict.fromkeys(("T1 MAP", "T2 MAP", "T2_STAR MAP", "R2 MAP"), "a map of relaxation times"),
    **dict.fromkeys(("ASL", "PERFUSION", "CBF", "CBV", "MTT"), "a perfusion image"),
    **dict.fromkeys(("LOCALIZER", "FIELD_MAP", "SUBTRACTION"), "no image of one weighting"),
}
# What a description says and TR and TE can't tell: other uses of the same sequences.
_B, _E = r"(?<![a-z0-9])", r"(?![a-z0-9])"  # where a word begins and ends; "_" parts words
_OTHER_USES = (
    (rf"{_B}(?:dwi|dti|dsi|adc|ep_b\d+|b\d{{3,4}}|trace|diff(?:usion)?){_E}", "diffusion"),
    (rf"{_B}(?:e?t2(?:w)?[ _-]?(?:\*|star)|swi|swan|venobold|t2_star)", "T2*-weighted"),
    (rf"{_B}(?:bold|fmri|p?c?asl|dsc|perf(?:usion)?){_E}", "functional or perfusion"),
    (rf"{_B}(?:tof|mra|angio\w*|venc|flow_encoded){_E}", "angiography"),
    (rf"{_B}(?:trufi|true ?fisp|fiesta|b-?ffe|b?ssfp|ciss|dess|psif){_E}", "steady state"),
    (rf"{_B}(?:stir|dir){_E}", "inversion recovery of fat or of two tissues (STIR, DIR)"),
    (
        rf"{_B}(?:(?:gre_)?field_?map\w*|b[01]_?map|t[12][ _]?map|mapit|t1[ _-]?rho|inv-?2){_E}",
        "no image of one weighting",
    ),
    (rf"{_B}(?:localizer|localiser|scout|survey|aahead\w*){_E}", "a localizer"),
    (rf"{_B}(?:subtr\w*|sub(?![a-z0-9-]))", "a difference of images"),
)
_BEFORE = rf"{_B}(?:3d|2d|ax|cor|sag|tra|s|e)?"  # glued to the weighting, as in sT1W_3D_TFE, AXT2
_WEIGHTINGS: tuple[tuple[Contrast, str], ...] = (
    ("T1", rf"{_BEFORE}t1(?!\d)|mp-?rage|{_B}f?spgr|{_B}bravo"),
    ("T2", rf"{_BEFORE}t2(?!\d)"),
    ("PD", rf"{_BEFORE}pd(?:w|fs)?(?![a-z])|proton[ _-]?dens"),
    ("FLAIR", r"flair|dark[ _-]?fluid|da-fl|fluid[ _-]?atten"),
)
_AFTER_AGENT = re.compile(
    rf"{_B}(?:gd|gad\w*|dotarem|magnevist|post(?![ _-]?op)|t1_?ce?|ce|km){_E}|\+ ?(?:c|gd|km){_E}"
)
_BEFORE_AGENT = re.compile(rf"{_B}(?:pre|native?|without|w/?o|non|no){_E}")


@dataclass(frozen=True)
class Verdict:
    """The contrast of a volume, and why.

    Attributes:
        contrast: "" where it is unknown, or none of these.
        evidence: One line for people.
    """

    contrast: Contrast
    evidence: str


def classify(acquisition: Acquisition) -> Verdict:
    """Judge the contrast by modality, then physics, then words.

    Where physics and words contradict each other, physics wins and the evidence says both.
    """
    if acquisition.modality == "CT":
        return Verdict("CT", "modality CT")
    if acquisition == Acquisition():
        return Verdict("", "neither header nor sidecar says how it was acquired")
    if acquisition.modality not in ("MR", ""):
        return Verdict("", f"modality {acquisition.modality}, neither MR nor CT")
    other = _other_use(acquisition)
    if other:
        return Verdict("", other)
    verdict = _join(_judge(acquisition), acquisition)
    if not verdict.contrast:
        return verdict
    return Verdict(verdict.contrast, verdict.evidence + _after_agent(acquisition))


def read_words(text: str) -> Contrast:
    """The contrast that a description names; "" where it names none, or several."""
    named = {name for name, pattern in _WEIGHTINGS if re.search(pattern, text.casefold())}
    if named == {"FLAIR", "T2"}:  # what FLAIR means
        return "FLAIR"
    if named == {"FLAIR", "T1"}:  # T1 FLAIR is T1-weighted: it has another inversion time
        return "T1"
    return named.pop() if len(named) == 1 else ""


def ernst_angle(repetition_ms: float, t1_ms: float) -> float:
    """Flip angle of the largest spoiled signal, in degrees: cos a = exp(-TR / T1)."""
    return math.degrees(math.acos(math.exp(-repetition_ms / t1_ms)))


def _other_use(acquisition: Acquisition) -> str:
    """Why this is no image of one weighting, whatever its times; "" where it may be."""
    if acquisition.b_value is not None:
        return f"a diffusion image (b = {acquisition.b_value:g} s/mm²)"
    for value in acquisition.image_type:
        if value in _IMAGE_TYPES:
            return f"{_IMAGE_TYPES[value]} (ImageType {value})"
    for source, text in _texts(acquisition):
        for pattern, use in _OTHER_USES:
            if re.search(pattern, text.casefold()):
                return f"{use}: '{text}' in the {source}"
    if _kind(acquisition) == "echo planar imaging":
        return "echo planar imaging: diffusion, perfusion or function"
    if _is_balanced(acquisition):
        return f"{_facts(acquisition)}: a balanced or unspoiled steady state, T2 over T1"
    return ""


def _texts(acquisition: Acquisition) -> list[tuple[str, str]]:
    """What may name the contrast in words, and where it stands; the scanner's word first."""
    texts = [("AcquisitionContrast", acquisition.stated_contrast)]
    texts.append(("description", acquisition.description))
    texts += [
        ("sequence's name", name) for name in acquisition.sequence if len(name) >= _SHORTEST_NAME
    ]
    return [(source, text) for source, text in texts if text]


def _kind(acquisition: Acquisition) -> Kind:
    """How the echo is made: as ScanningSequence says, else by the sequence's name, else numbers."""
    codes = set(acquisition.sequence)
    named = _kind_by_name(acquisition)
    if "EP" in codes or named == "echo planar imaging":
        return "echo planar imaging"
    if "SE" in codes:  # also with GR (GRASE): the contrast is that of the spin echoes
        return "spin echo"
    return "gradient echo" if "GR" in codes else named or _kind_by_numbers(acquisition)


def _kind_by_name(acquisition: Acquisition) -> Kind:
    names = [name for name in acquisition.sequence if len(name) >= _SHORTEST_NAME]
    for kind, pattern in _NAMED_KINDS:
        if any(re.match(pattern, name) for name in names):
            return kind
    return ""


def _kind_by_numbers(acquisition: Acquisition) -> Kind:
    flip = acquisition.flip_degrees
    fast = (acquisition.repetition_ms or math.inf) < SPIN_REPETITION_MS
    if fast or (acquisition.echo_ms or math.inf) < SPIN_ECHO_MS:
        return "gradient echo"
    if flip is not None:
        return "gradient echo" if flip <= GRADIENT_FLIP else "spin echo"
    return ""


def _is_balanced(acquisition: Acquisition) -> bool:
    codes, flip = set(acquisition.sequence), acquisition.flip_degrees
    if any(_STEADY_STATE.match(name) for name in codes):
        return True
    if _kind(acquisition) != "gradient echo" or "SP" in codes:
        return False
    fast = (acquisition.repetition_ms or math.inf) <= BALANCED_REPETITION_MS
    return "SS" in codes or (fast and flip is not None and flip >= BALANCED_FLIP)


@dataclass(frozen=True)
class _Judgement:
    """What the numbers say: `contrast` is None where they leave it open."""

    contrast: Contrast | None
    reason: str = ""


def _judge(acquisition: Acquisition) -> _Judgement:
    if _kind(acquisition) == "gradient echo":
        return _judge_gradient_echo(acquisition)
    return _judge_spin_echo(acquisition)


def _judge_spin_echo(acquisition: Acquisition) -> _Judgement:
    """By TR and TE, and of an inversion recovery by TI."""
    repetition, echo = acquisition.repetition_ms, acquisition.echo_ms
    inversion = acquisition.inversion_ms
    if repetition is None or echo is None:
        return _unknown(TR=repetition, TE=echo)
    if inversion is None and "IR" in acquisition.sequence:
        return _unknown(TI=inversion)
    if inversion is not None:
        if inversion <= FAT_NULLED_MS:
            return _Judgement("", "fat is nulled (STIR)")
        if echo <= T1_ECHO_MS and _within(inversion, T1_INVERSION_MS):
            return _Judgement("T1")
        liquor = _within(inversion, LIQUOR_NULLED_MS) and repetition > LONG_REPETITION_MS
        return _Judgement("FLAIR" if liquor and echo >= T2_ECHO_MS else None, "between the ranges")
    if repetition <= SHORT_REPETITION_MS and echo <= T1_ECHO_MS:
        return _Judgement("T1")
    if repetition >= LONG_REPETITION_MS and echo <= PD_ECHO_MS:
        return _Judgement("PD")
    if repetition >= LONG_REPETITION_MS and echo >= T2_ECHO_MS:
        return _Judgement("T2")
    return _Judgement(None, "between the ranges of T1, PD and T2")


def _judge_gradient_echo(acquisition: Acquisition) -> _Judgement:
    """By TE, then the preparation, then the flip angle as a share of the Ernst angle."""
    repetition, echo = acquisition.repetition_ms, acquisition.echo_ms
    inversion, flip = acquisition.inversion_ms, acquisition.flip_degrees
    if echo is None:
        return _unknown(TE=echo)
    if echo >= T2_STAR_ECHO_MS:
        return _Judgement("", "T2*-weighted")
    if echo > T1_GRADIENT_ECHO_MS:
        return _Judgement(None, "between the ranges of T1 and T2*")
    if inversion is not None:
        t1 = _within(inversion, T1_INVERSION_MS)
        return _Judgement("T1" if t1 else None, "between the ranges")
    if "MP" in acquisition.sequence:  # magnetisation-prepared
        return _Judgement("T1")
    if repetition is None or flip is None:
        return _unknown(TR=repetition, flip_angle=flip)
    if repetition > STEADY_REPETITION_MS:
        return _unknown(TI=inversion)
    field = 1.5 if (acquisition.field_tesla or 1.5) < 2.2 else 3.0
    angle = ernst_angle(repetition, WHITE_MATTER_T1_MS[field])
    if flip >= T1_FLIP * angle:
        return _Judgement("T1")
    return _Judgement("PD" if flip <= PD_FLIP * angle else None, "between the ranges of PD and T1")


def _unknown(**numbers: float | None) -> _Judgement:
    absent = [name.replace("_", " ") for name, number in numbers.items() if number is None]
    return _Judgement(None, f"{' and '.join(absent)} unknown")


def _within(number: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= number <= bounds[1]


def _join(physics: _Judgement, acquisition: Acquisition) -> Verdict:
    """Physics where it decides, else words; both in the evidence where they differ."""
    named = ((read_words(text), f"'{text}' in the {src}") for src, text in _texts(acquisition))
    words, where = next((found for found in named if found[0]), ("", ""))
    facts = _facts(acquisition)
    if physics.contrast is None:
        why = "; ".join(filter(None, (facts, physics.reason, *acquisition.notes)))
        if words:
            return Verdict(words, f"{where} ({why})")
        return Verdict("", f"{why}; no word names one contrast")
    reason = f"{facts}: {physics.reason}" if physics.reason and not physics.contrast else facts
    if words in ("", physics.contrast) or (words, physics.contrast) == ("T2", "FLAIR"):
        return Verdict(physics.contrast, reason)  # FLAIR is a T2 with inversion
    if (physics.contrast, words) == ("T2", "FLAIR") and acquisition.inversion_ms is None:
        return Verdict("FLAIR", f"{facts}, TI unknown; {where}")  # T2 but for what isn't said
    return Verdict(physics.contrast, f"{reason}; but {where} says {words}")


def _facts(acquisition: Acquisition) -> str:
    """The sequence in figures, as people say it."""
    times = (
        ("TR", acquisition.repetition_ms),
        ("TE", acquisition.echo_ms),
        ("TI", acquisition.inversion_ms),
    )
    flip = acquisition.flip_degrees
    known = [f"{name} {value:.4g} ms" for name, value in times if value is not None]
    known += [f"flip angle {flip:.4g}°"] if flip is not None else []
    return ", ".join(filter(None, (_kind(acquisition), *known)))


def _after_agent(acquisition: Acquisition) -> str:
    if acquisition.contrast_agent:
        return f", after contrast agent ({acquisition.contrast_agent})"
    text = acquisition.description.casefold()
    if _AFTER_AGENT.search(text) and not _BEFORE_AGENT.search(text):
        return f", after contrast agent ('{acquisition.description}')"
    return ""
