"""BIDS datasets: which images are sources, and outputs as a BIDS derivative.

Sources are `sub-*/[ses-*/]anat/*_SUFFIX.nii[.gz]`; derivatives/ and sourcedata/ lie beside sub-*
and are never searched. An output keeps its source's entities, gets `desc-synth`, and has a sidecar.
"""

import fnmatch
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import i2igalip_cli
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.cohort.rows import Row
from i2igalip_cli.volumes.acquisition import BIDS_DESCRIPTION
from i2igalip_cli.volumes.files import whole_file

DERIVATIVE = Path("derivatives", "i2igalip")
_VERSION = "1.10.0"  # of BIDS
_SOURCE = "raw"  # what the derivative calls the dataset of its sources in URIs
_IGNORED = "# Not of BIDS: tables and state of i2igalip\nsummary*.csv\n"


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS dataset with subjects."""
    path = folder / BIDS_DESCRIPTION
    described = os.path.isfile(path)  # noqa: PTH113 (False where it can't tell)
    return described and any(folder.glob("sub-*/"))


def bids_suffix(domain: Domain) -> str:
    """Suffix of a domain's images: BIDS's own, or else the domain's letters and digits.

    The domains of an older checkpoint don't say theirs; known ones are looked up by name.
    """
    known = DOMAINS.get(domain.name)
    return domain.bids or (known.bids if known else "") or re.sub(r"[^A-Za-z0-9]", "", domain.name)


def find_sources(dataset: Path, suffix: str) -> tuple[list[Path], list[OSError]]:
    """The images of a dataset with a suffix.

    Returns:
        These, in order of their paths; and the errors of the folders that can't be listed.
    """
    unreadable: list[OSError] = []

    def within(folder: Path, pattern: str) -> list[Path]:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 (names alone)
        except NotADirectoryError:
            return []
        except OSError as error:
            unreadable.append(error)
            return []
        return [folder / name for name in names if fnmatch.fnmatchcase(name, pattern)]

    subjects = within(dataset, "sub-*")
    sessions = [session for subject in subjects for session in within(subject, "ses-*")]
    kinds = [kind for place in (*subjects, *sessions) for kind in within(place, "anat")]
    found = [path for kind in kinds for path in within(kind, f"*_{suffix}.nii*")]
    sources = sorted(path for path in found if path.name.endswith((".nii", ".nii.gz")))
    unique = {error.filename: error for error in unreadable}
    return [path for path in sources if not path.name.startswith(".")], list(unique.values())


def derivative_name(stem: str, target: Domain, volume: int | None) -> str:
    """Name of a derivative, without its ending.

    Args:
        stem: Of the source, such as "sub-01_acq-3d_run-2_T1w"; its `desc` entity gives way.
        target: Domain of the derivative.
        volume: Place on the fourth axis, if there is one.
    """
    entities = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    part = "" if volume is None else f"volume{volume:03d}"
    return "_".join([*entities, f"desc-synth{part}", bids_suffix(target)])


def map_name(derivative: str) -> str:
    """Name of the map of where a derivative is doubtful: its own, with another `desc`.

    Args:
        derivative: Name of one, with or without its ending, as `derivative_name` makes them.
    """
    return re.sub(r"_desc-(synth[^_]*)_", r"_desc-\1qc_", derivative)


def map_sidecar(inside: str) -> str:
    """The JSON text beside the map of where a derivative is doubtful.

    Args:
        inside: Path of the derivative's source in its dataset, with "/".
    """
    return _dump(
        {
            "Description": "How far the generator disagrees with itself on the synthetic image, "
            "voxel by voxel: no image, and no measurement",
            "Units": "arbitrary",
            "Range": [0, 1],
            "Sources": [f"bids:{_SOURCE}:{inside}"],
        }
    )


def write_descriptions(out: Path, dataset: Path) -> None:
    """Write what makes an output folder a BIDS derivative, where it isn't there yet.

    Raises:
        VolumeError: The folder can't be written to.
    """
    program = {
        "Name": "i2igalip",
        "Version": i2igalip_cli.__version__,
        "Description": "Image-to-image translation between imaging domains",
    }
    description = {
        "Name": f"Synthetic images made from {_dataset_name(dataset)}",
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [program],
        "DatasetLinks": {_SOURCE: os.path.relpath(dataset, out).replace(os.sep, "/")},
    }
    for name, text in ((BIDS_DESCRIPTION, _dump(description)), (".bidsignore", _IGNORED)):
        if not (out / name).exists():
            with whole_file(out / name, overwrite=True) as temporary:
                temporary.write_text(text, encoding="utf-8")


def sidecar(row: Row, source: Path, inside: str) -> str:
    """The JSON text beside a derivative: its sources and how it was made.

    Args:
        row: Of the derivative.
        source: The source's file; what its own sidecar says of the skull is kept.
        inside: Path of the source in its dataset, with "/".
    """
    content: dict[str, Any] = {
        "Description": f"Synthetic {row.target} image, no measurement",
        "Sources": [f"bids:{_SOURCE}:{inside}"],
        "Caption": row.caption,
        "ModelName": row.weights,
        "ModelSHA256": row.weights_sha256,
        "SourceDomain": row.source,
        "TargetDomain": row.target,
        "SourceIntensityWindow": row.source_window,
        "OutputIntensityWindow": row.output_window,
        "SlicePlanes": row.planes,
        "Precision": row.precision,
    }
    stripped = _source_sidecar(source).get("SkullStripped")
    if isinstance(stripped, bool):
        content["SkullStripped"] = stripped
    return _dump(content)


def _source_sidecar(source: Path) -> Mapping[str, Any]:
    path = source.with_name(source.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _dataset_name(dataset: Path) -> str:
    try:
        content = json.loads((dataset / BIDS_DESCRIPTION).read_text(encoding="utf-8"))
        return str(content["Name"])
    except (OSError, ValueError, KeyError, TypeError):
        return dataset.resolve().name


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
