"""How a volume was acquired, as far as its header or the sidecar beside it says.

DICOM says it in every image; a NIfTI file only through the JSON sidecar that BIDS and dcm2niix put
beside it, or in the few words of its `descrip` field.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2igalip_cli.errors import VolumeError, first_line, one_line
from i2igalip_cli.volumes.acquired import Acquisition, agent_of, one_value
from i2igalip_cli.volumes.content import named, read_head
from i2igalip_cli.volumes.entry import VolumeEntry
from i2igalip_cli.volumes.formats import FORMATS, find_format, volume_suffix

# Longest times in seconds that an image is acquired with; more are milliseconds in the wrong field.
_LONGEST_S = {"RepetitionTime": 60.0, "EchoTime": 2.0, "InversionTime": 10.0}
_REPETITIONS = ("RepetitionTime", "RepetitionTimeExcitation", "RepetitionTimePreparation")
_AGENTS = ("ContrastBolusAgent", "ContrastBolusIngredient")
_SEQUENCES = ("ScanningSequence", "SequenceVariant")
_SEQUENCE_NAMES = ("SequenceName", "PulseSequenceName", "PulseSequenceType")
BIDS_DESCRIPTION = "dataset_description.json"  # in the root of a BIDS dataset
_NIFTI_BYTES = 540  # a NIfTI-2 header, the longer one
# "TE=92;Time=151000.3" of dcm2niix, "3T 3D GR TR=2300ms/TE=2.98ms/FA=9deg" of SPM
_NUMBER = r"(\d+\.?\d*(?:e[+-]?\d+)?)"
_IN_DESCRIP = {key: re.compile(rf"\b{key}={_NUMBER}") for key in ("TR", "TE", "TI", "FA")}
_OF_SPM = re.compile(rf"^{_NUMBER}T [23]D (\S+) TR=")


def read_acquisition(entry: VolumeEntry) -> Acquisition:
    """How a volume was acquired; its voxels aren't read.

    Args:
        entry: From `list_volumes`. A DICOM volume is asked through its first image, any other
            through its sidecar (its own name with .json; in BIDS those it inherits, too), a NIfTI
            file without one through its `descrip` field.

    Returns:
        All unknown where nothing is said.

    Raises:
        VolumeError: A damaged header or sidecar; the message names the file.
    """
    known = find_format(entry.path)
    if known is FORMATS["dicom"]:
        from i2igalip_cli.volumes.dicom import acquisition  # pydicom: not for every run

        return acquisition.read_acquisition(entry)
    sidecars = _find_sidecars(entry.path)
    if sidecars:
        fields = [_read_sidecar(path) for path in sidecars]
        with named(sidecars[-1]):
            return _from_sidecar({k: v for one in fields for k, v in one.items()}, entry.volume)
    if known is FORMATS["nifti"]:
        return parse_descrip(_read_descrip(entry.path))
    return Acquisition()


def parse_descrip(descrip: str) -> Acquisition:
    """What dcm2niix or SPM wrote into a NIfTI file's `descrip` field; times there are in ms."""
    found = {key: pattern.search(descrip) for key, pattern in _IN_DESCRIP.items()}
    values = {key: one_value(key, [float(m[1])])[0] for key, m in found.items() if m}
    spm = _OF_SPM.search(descrip)
    return Acquisition(
        modality="MR" if values else "",
        repetition_ms=values.get("TR"),
        echo_ms=values.get("TE"),
        inversion_ms=values.get("TI"),
        flip_degrees=values.get("FA"),
        sequence=tuple(re.split(r"[\\/,_]", spm[2].upper())) if spm else (),
        field_tesla=float(spm[1]) if spm else None,
    )


def _read_descrip(path: Path) -> str:
    from i2igalip_cli.volumes.nifti_header import parse_header  # nibabel: not for every run

    with named(path):
        header = parse_header(read_head(path, _NIFTI_BYTES), path.suffix.lower() == ".hdr")
    return one_line(bytes(header.fields["descrip"]).rstrip(b"\0").decode("latin-1"))


def _find_sidecars(path: Path) -> list[Path]:
    """The sidecars of a file, the nearest last: what that says holds against the others.

    In a BIDS dataset a sidecar in any folder from its root on speaks for the files below that have
    all parts of its name (the inheritance principle).
    """
    stem = path.name[: -len(volume_suffix(path) or "")]
    folders = list(path.parents)
    roots = [n for n, f in enumerate(folders) if (f / BIDS_DESCRIPTION).is_file()]
    own = path.with_name(f"{stem}.json")
    if not roots:
        return [own] if own.exists() else []
    parts = stem.split("_")
    return [
        sidecar
        for folder in reversed(folders[: roots[0] + 1])
        for sidecar in sorted(folder.glob("*.json"), key=lambda one: len(one.stem))
        if sidecar.stem.split("_")[-1] == parts[-1] and {*sidecar.stem.split("_")} <= {*parts}
    ]


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise VolumeError(
            f"{path}: a damaged sidecar ({first_line(error)}); mend or remove it"
        ) from error
    if not isinstance(fields, dict):
        raise VolumeError(f"{path}: a sidecar is a JSON object {{...}}; mend or remove it")
    return fields


def _from_sidecar(fields: Mapping[str, Any], volume: int | None) -> Acquisition:
    """What a sidecar says; BIDS gives times in seconds."""
    repetition = next((name for name in _REPETITIONS if name in fields), _REPETITIONS[0])
    tr, tr_notes = one_value(repetition, _milliseconds(fields, repetition, volume))
    te, te_notes = one_value("EchoTime", _milliseconds(fields, "EchoTime", volume))
    ti, ti_notes = one_value("InversionTime", _milliseconds(fields, "InversionTime", volume))
    flip, flip_notes = one_value("FlipAngle", _numbers(fields, "FlipAngle", volume))
    field, field_notes = one_value(
        "MagneticFieldStrength", _numbers(fields, "MagneticFieldStrength")
    )
    measured = any(number is not None for number in (tr, te, ti, flip))
    return Acquisition(
        modality=_text(fields, "Modality").upper() or ("MR" if measured else ""),
        repetition_ms=tr,
        echo_ms=te,
        inversion_ms=ti,
        flip_degrees=flip,
        sequence=(
            *(word for name in _SEQUENCES for word in _words(fields, name)),
            *(text.upper() for name in _SEQUENCE_NAMES if (text := _text(fields, name))),
        ),
        image_type=_words(fields, "ImageType"),
        description=_text(fields, "SeriesDescription") or _text(fields, "ProtocolName"),
        stated_contrast=_text(fields, "AcquisitionContrast").upper(),
        contrast_agent=next(filter(None, (agent_of(_text(fields, name)) for name in _AGENTS)), ""),
        position=_text(fields, "PatientPosition").upper(),
        field_tesla=field,
        notes=(*tr_notes, *te_notes, *ti_notes, *flip_notes, *field_notes),
    )


def _milliseconds(fields: Mapping[str, Any], name: str, volume: int | None) -> list[float]:
    longest = next(limit for key, limit in _LONGEST_S.items() if name.startswith(key))
    seconds = _numbers(fields, name, volume)
    if seconds and max(seconds) > longest:
        raise VolumeError(
            f"{name} {max(seconds):g}: BIDS gives seconds, and more than {longest:g} can't be; "
            f"write {max(seconds) / 1000:g} if it is meant in milliseconds"
        )
    return [round(1000 * value, 6) for value in seconds]  # 2.46 ms, not 2.4600000000000002


def _numbers(fields: Mapping[str, Any], name: str, volume: int | None = None) -> list[float]:
    """A field's numbers; of an array with one for each volume, that of the volume."""
    found = fields.get(name)
    values = found if isinstance(found, list) else [] if found is None else [found]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_sane(value):
            raise VolumeError(f"{name} is {json.dumps(found)[:80]}, no number; mend or remove it")
    if volume is not None and len(values) > 1 and volume < len(values):
        values = [values[volume]]
    return [float(value) for value in values]


def _is_sane(value: float) -> bool:
    return abs(value) < 1e9 and math.isfinite(value)


def _text(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    values = found if isinstance(found, list) else [found]
    return one_line(" ".join(str(value) for value in values if value is not None))


def _words(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    r"""Words of a coded field: a list, "GR\IR", or "GR_IR" as dcm2niix writes it."""
    return tuple(word for word in re.split(r"[\\/,_ ]+", _text(fields, name).upper()) if word)
