"""One row a volume and target: what became of it, and all that tells whether that still holds."""

import contextlib
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from i2igalip_cli.config import from_dict
from i2igalip_cli.engine.cohort.settings import Fingerprint
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import VolumeEntry
from i2igalip_cli.volumes.text_header import read_text_header

_OTHER_FILE = {".hdr": ".img", ".img": ".hdr", ".nhdr": ".raw", ".mhd": ".raw"}
Status = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of a volume's translation to a target.

    Attributes:
        input: Path of the source as it was found.
        series: DICOM: its series; "" otherwise.
        volume: Place on the fourth axis, from 0; None where there is none.
        output: Path below the output folder, with "/".
        status: How it ended.
        error: Why it failed or was skipped; "" if it is done.
        target: Name of the target domain; the fingerprint's other parts are here by name too.
        shape: Voxels along the three axes; empty unless done, as all that follows from reading.
        spacing_mm: Distance between neighbours along them.
        slices: Slices of the volume.
        empty_slices: Of these, slices without foreground.
        source_window: Intensities of the source that were 0 and 1 to the generator.
        output_window: Intensities that 0 and 1 of its output became.
        nonfinite_voxels: Voxels of the source that were NaN or infinite.
        stored_dtype: Type of the output's voxels.
        backend: What ran the generator.
        precision_loss_db: What reduced arithmetic costs at most, in dB of PSNR; None for float32.
        through_plane_jump: How far slices lie from the mean of their neighbours, in [0, 1]; None
            where too few have foreground.
        qc_score: Mean absolute error to be expected, of the range; it and all other `qc_` are None
            where the quality wasn't judged. They are the fields of `Quality` of these names.
        qc_calibrated: Whether that was fitted to true errors, or is the mean of disagreements.
        qc_cycle: Distance of the source from what comes back.
        qc_flips: Distance from the result of mirrored slices.
        qc_planes: Distance of the planes' results from their median.
        qc_edges: Agreement of edges with the source's, in [0, 1].
        qc_caption_in: Fit of the source to its domain's caption, in [0, 1].
        qc_caption_out: Fit of the result to the target's caption, in [0, 1].
        qc_distance: Of the source from the training distribution.
        qc_looks_like: Domain that the source is nearest to.
        warnings: What the user should know.
        seconds: Wall time of the translation, without reading and writing.
        output_sha256: Hash of the output's content.
        input_identity: Hash over sizes and times of the source's files.
        weights: Name of the checkpoint.
        version: Of this program.
        host: Machine that did it.
        attempt: How many times it was claimed since the folder's beginning, this one included.
        shard: "I/N", or "" without.
    """

    input: str
    series: str
    volume: int | None
    output: str
    status: Status
    error: str = ""
    weights_sha256: str
    target: str
    source: str
    caption: str
    irregular: str
    dtype: str
    format: str
    precision: str
    planes: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    slices: int = 0
    empty_slices: int = 0
    source_window: tuple[float, ...] = ()
    output_window: tuple[float, ...] = ()
    nonfinite_voxels: int = 0
    stored_dtype: str = ""
    backend: str = ""
    precision_loss_db: float | None = None
    through_plane_jump: float | None = None
    qc_score: float | None = None
    qc_calibrated: bool | None = None
    qc_cycle: float | None = None
    qc_flips: float | None = None
    qc_planes: float | None = None
    qc_edges: float | None = None
    qc_caption_in: float | None = None
    qc_caption_out: float | None = None
    qc_distance: float | None = None
    qc_looks_like: str | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    output_sha256: str = ""
    input_identity: str = ""
    weights: str
    version: str
    host: str
    attempt: int
    shard: str = ""

    @property
    def fingerprint(self) -> Fingerprint:
        """Settings that it was made with."""
        return Fingerprint(
            **{one.name: getattr(self, one.name) for one in dataclasses.fields(Fingerprint)}
        )

    def to_json(self) -> str:
        """The row as a file holds it."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Row":
        """The row of a file.

        Raises:
            ConfigError: Damaged, or of another version of this program.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"a damaged row ({error})") from error
        if not isinstance(values, dict) or values.get("status") not in get_args(Status):
            raise ConfigError("a damaged row")
        return from_dict(cls, values)


def rounded(value: float | None, digits: int) -> float | None:
    """A measured figure as rows and reports have it; None where there is none."""
    return None if value is None else round(value, digits)


def identify_input(entry: VolumeEntry) -> str:
    """Hash over names, sizes and modification times of a volume's files; "" where one is gone."""
    total = hashlib.sha256()
    try:
        for path in _source_files(entry):
            found = path.stat()
            total.update(os.fsencode(f"{path.name}\n{found.st_size}\n{found.st_mtime_ns}\n"))
    except OSError:
        return ""
    return total.hexdigest()


def _source_files(entry: VolumeEntry) -> list[Path]:
    path = entry.path
    if entry.files:
        folder = path if path.is_dir() else path.parent
        members = [folder / name if name else path for name in entry.files]
        # An archive's members are no files of their own.
        return members if path.is_dir() or all(one.is_file() for one in members) else [path]
    if path.suffix.lower() in (".nhdr", ".mhd"):
        with contextlib.suppress(VolumeError):  # what is wrong with it, reading it tells
            return [path, read_text_header(path).payload]
    return files_of(path)


def hash_content(path: Path) -> str | None:
    """SHA-256 of an output; None where it isn't there.

    That of a file's bytes; of a folder's names and their hashes; of a pair's likewise.
    """
    try:
        if path.is_dir():
            members = sorted(member for member in path.rglob("*") if member.is_file())
        elif len(members := sorted(files_of(path))) == 1:
            return _hash_file(path)
        total = hashlib.sha256()
        for member in members:
            name = member.relative_to(path if path.is_dir() else path.parent).as_posix()
            total.update(os.fsencode(f"{name}\n{_hash_file(member)}\n"))
        return total.hexdigest()
    except OSError:
        return None


def _hash_file(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files_of(path: Path) -> list[Path]:
    """The files that an output of this name consists of: one, or a header and its voxels."""
    other = _OTHER_FILE.get(path.suffix.lower())
    if other is None:
        return [path]
    return [path, path.with_suffix(other.upper() if path.suffix.isupper() else other)]
