"""Volumes to write as DICOM, and what was written, read back without this program."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset, FileDataset
from pydicom.pixels import apply_rescale
from volumes.dicom.series_maker import ABSENT, affine_of, make_series, without_pixels

from i2igalip_cli.domains import Modality
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.write import write
from i2igalip_cli.volumes.volume import Derivation, Volume

FLOAT = np.dtype(np.float32)


def derivation(target: str = "T2", modality: Modality = "MR", **changes) -> Derivation:
    values = {
        "source": "T1",
        "target": target,
        "modality": modality,
        "caption": "This MRI is T2-weighted",
        "model": "galip-mr-demo",
        "model_sha256": "0123456789abcdef" * 4,
        "version": "1.2.3",
    }
    return Derivation(**{**values, **changes})


def source_volume(
    datasets: Sequence[FileDataset],
    affine: np.ndarray | None = None,
    frames: Sequence[int | None] | None = None,
    regular: bool = True,
    **changes,
) -> Volume:
    """A translated volume with the header of its source series."""
    header = DicomHeader(
        datasets=without_pixels(datasets),
        frames=tuple(frames) if frames else (None,) * len(datasets),
        regular=regular,
    )
    array = np.stack([d.pixel_array.T for d in datasets], axis=-1).astype(np.float32)
    values = {"array": array, "derivation": derivation(), "header": header}
    affine = affine_of("LPS") if affine is None else affine
    return Volume(**{**values, "affine": affine, **changes})


def bare_volume(affine: np.ndarray | None = None, **changes) -> Volume:
    """A translated volume whose source wasn't DICOM."""
    rng = np.random.default_rng(5)
    values = {
        "array": rng.uniform(0, 2000, (7, 5, 4)).astype(np.float32),
        "affine": affine_of("LPS") if affine is None else affine,
        "derivation": derivation(),
    }
    return Volume(**{**values, **changes})


def written(volume: Volume, path: Path, dtype: np.dtype = FLOAT, **options) -> list[FileDataset]:
    write(volume, path, dtype=dtype, **options)
    return [pydicom.dcmread(file) for file in sorted(path.iterdir())]


def intensities(datasets: Sequence[Dataset]) -> np.ndarray:
    """(columns, rows, slices) in the unit of the series."""
    return np.stack([apply_rescale(d.pixel_array, d).T for d in datasets], axis=-1)


def position(dataset: Dataset, column: float, row: float) -> np.ndarray:
    """LPS mm of a pixel (PS3.3 C.7.6.2.1.1), by hand."""
    place = np.array([float(x) for x in dataset.ImagePositionPatient])
    cosines = [float(x) for x in dataset.ImageOrientationPatient]
    between_rows, between_columns = (float(x) for x in dataset.PixelSpacing)
    place = place + column * between_columns * np.array(cosines[:3])
    return place + row * between_rows * np.array(cosines[3:])


ENHANCED = {"SOPInstanceUID": "1.2.3.4", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1"}


def sparse_series() -> list[FileDataset]:
    """As some anonymising programs leave it: only what an image can't do without."""
    gone = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyID")
    gone += ("StudyTime", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber")
    gone += ("PatientPosition", "FrameOfReferenceUID", "PositionReferenceIndicator", "Manufacturer")
    gone += ("SliceThickness", "AcquisitionNumber", "ScanOptions", "EchoTime", "StudyInstanceUID")
    return make_series(extra=dict.fromkeys(gone, ABSENT))


KINDS = {
    "MR from MR": lambda: source_volume(make_series()),
    "CT from MR": lambda: source_volume(
        make_series(), derivation=derivation("pelvic-CT", "CT", source="pelvic-MR")
    ),
    "MR without source": bare_volume,
    "CT without source": lambda: bare_volume(derivation=derivation("pelvic-CT", "CT", source="")),
}
MORE = {
    "MR as read": lambda: source_volume(make_series(), derivation=None, modality="MR"),
    "CT as read": lambda: source_volume(make_series(modality="CT"), derivation=None, modality="CT"),
    "MR from CT": lambda: source_volume(make_series(modality="CT")),
    "MR from little": lambda: source_volume(sparse_series()),
    "CT from little": lambda: source_volume(
        sparse_series(), derivation=derivation("pelvic-CT", "CT")
    ),
    "MR from frames": lambda: source_volume(make_series(extra=ENHANCED), frames=(2, 4, 1, 3)),
    "MR resampled": lambda: source_volume(make_series(), regular=False),
}
