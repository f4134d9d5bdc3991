"""What is known of how a volume was acquired, whatever says it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NO_AGENT = re.compile(r"(?:no|none|n|non|nil|without)\b.*|n/?a|0|-+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What a header says of the measurement; None and "" where it says nothing.

    Attributes:
        subject: PatientID; "" for other formats than DICOM.
        modality: "MR", "CT", or whatever DICOM calls it.
        repetition_ms: TR; of prepared gradient echoes some vendors give that of the whole train.
        echo_ms: TE, the effective one of an echo train.
        inversion_ms: TI.
        flip_degrees: Flip angle of the excitation; of some spin echoes the refocusing one.
        sequence: Words of ScanningSequence and SequenceVariant ("GR", "SP" ...) and the sequence's
            names, upper case.
        image_type: Words of ImageType, upper case.
        description: SeriesDescription, or ProtocolName.
        stated_contrast: AcquisitionContrast, upper case: the scanner's own word for the contrast.
        contrast_agent: Its name; "" where none was given or nothing is said.
        b_value: Diffusion weighting, s/mm².
        position: PatientPosition ("HFS" ...).
        field_tesla: Strength of the magnet.
        notes: What the header leaves open, for people.
    """

    subject: str = ""
    modality: str = ""
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    flip_degrees: float | None = None
    sequence: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    description: str = ""
    stated_contrast: str = ""
    contrast_agent: str = ""
    b_value: float | None = None
    position: str = ""
    field_tesla: float | None = None
    notes: tuple[str, ...] = ()


def agent_of(text: str) -> str:
    """The contrast agent's name; "" where the field says in words that there was none."""
    return "" if _NO_AGENT.fullmatch(text) else text


def one_value(name: str, values: Sequence[float]) -> tuple[float | None, tuple[str, ...]]:
    """The number that a field gives for one volume, and a note where it gives several.

    Args:
        name: Of the field, for the note.
        values: Zero stands for "not known" in vendors' headers.
    """
    known = sorted({value for value in values if value > 0})
    if len(known) > 1:
        listed = ", ".join(f"{value:.4g}" for value in known)
        return None, (f"{name} has {len(known)} values for one volume ({listed})",)
    return (known[0] if known else None), ()
