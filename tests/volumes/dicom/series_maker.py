"""Valid MR and CT series made by hand: any orientation, spacing, scale, attributes and syntax."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

ABSENT = object()  # as a value: the element is left out
SOP_CLASSES = {"MR": MRImageStorage, "CT": CTImageStorage}
SHAPE = (7, 5, 4)  # columns, rows, slices
SPACING_MM = (0.8, 1.25, 3.0)
_AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
_MODALITY_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "MR": {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "FS",
        "MRAcquisitionType": "2D",
        "RepetitionTime": "550",
        "EchoTime": "9.4",
        "EchoTrainLength": "1",
        "EchoNumbers": "1",
        "FlipAngle": "150",
        "SequenceName": "*se2d1",
        "MagneticFieldStrength": "3",
    },
    "CT": {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "KVP": "120",
        "Exposure": "180",
        "XRayTubeCurrent": "210",
        "ConvolutionKernel": "B30f",
        "GantryDetectorTilt": "0",
        "RescaleType": "HU",
    },
}


def affine_of(axes: str, spacing_mm: Sequence[float] = SPACING_MM) -> np.ndarray:
    """(4, 4) voxel to RAS+ mm of an array whose axes run towards these three directions."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(axes):
        row, sign = _AXES[letter]
        affine[row, column] = sign * spacing_mm[column]
    affine[:3, 3] = -31.4, 15.9, 26.5
    return affine


def oblique(axes: str, spacing_mm: Sequence[float] = SPACING_MM) -> np.ndarray:
    """The same, turned about three axes: no direction is close to one of the patient's."""
    affine = affine_of(axes, spacing_mm)
    for plane, angle in (((0, 1), 0.31), ((1, 2), -0.47), ((0, 2), 0.22)):
        turn = np.eye(4)
        first, second = plane
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        affine = turn @ affine
    return affine


def ramp(shape: Sequence[int] = SHAPE, dtype: Any = np.uint16, low: int = 0) -> np.ndarray:
    """Stored values (columns, rows, slices) that differ in every voxel."""
    return (np.arange(np.prod(shape)).reshape(shape) * 3 + low).astype(dtype)


def make_series(
    folder: Path | None = None,
    *,
    stored: np.ndarray | None = None,
    affine: np.ndarray | None = None,
    modality: str = "MR",
    slopes: float | Sequence[float] | None = None,
    intercepts: float | Sequence[float] = 0.0,
    extra: Mapping[str, Any] | None = None,
    per_slice: Sequence[Mapping[str, Any]] | None = None,
    transfer_syntax: UID = ExplicitVRLittleEndian,
    names: Sequence[str] | None = None,
) -> list[FileDataset]:
    """One single-frame dataset a slice, in order of the third axis; also written where wanted.

    Args:
        folder: Where to write them; None writes nothing.
        stored: Stored values (columns, rows, slices), int16 or uint16; None for a ramp.
        affine: Voxel indices of `stored` to RAS+ mm; None for axial (LPS). Slices may run against
            the normal, or drift as in a tilted gantry.
        modality: "MR" or "CT".
        slopes: RescaleSlope of all slices or of each; None leaves both rescale elements out of MR.
        intercepts: RescaleIntercept, likewise.
        extra: Attributes of every slice by keyword; `ABSENT` leaves one out.
        per_slice: Attributes of each slice, after `extra`.
        transfer_syntax: Uncompressed: explicit or implicit little endian.
        names: Names of the files; None for 'IM0001' ... in order.
    """
    stored = ramp() if stored is None else stored
    affine = affine_of("LPS") if affine is None else affine
    count = stored.shape[2]
    common = {**_study(modality), **_MODALITY_ATTRIBUTES[modality], **_plane(affine)}
    if modality == "CT" and slopes is None:
        slopes = 1.0
    datasets = []
    for k in range(count):
        own: dict[str, Any] = {
            **_pixels(stored[:, :, k]),
            "SOPInstanceUID": generate_uid(),
            "InstanceNumber": k + 1,
            "ImagePositionPatient": [_ds(x) for x in _lps(affine @ (0, 0, k, 1))[:3]],
        }
        if slopes is not None:
            own["RescaleSlope"] = _ds(np.broadcast_to(slopes, count)[k])
            own["RescaleIntercept"] = _ds(np.broadcast_to(intercepts, count)[k])
        chosen = {**common, **own, **(extra or {}), **(per_slice[k] if per_slice else {})}
        datasets.append(_dataset(chosen, transfer_syntax))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for k, dataset in enumerate(datasets):
            name = names[k] if names else f"IM{k + 1:04d}"
            dataset.save_as(folder / name, enforce_file_format=True)
    return datasets


def pack_lossless_jpeg(file: Path, out: Path, *, first_order: bool = True) -> None:
    """Write an image again as lossless JPEG (process 14), by GDCM.

    Args:
        file: An uncompressed image.
        out: Where to.
        first_order: Selection value 1 (.70); otherwise any (.57).
    """
    import gdcm

    reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
    reader.SetFileName(str(file))
    assert reader.Read()
    kinds = gdcm.TransferSyntax
    kind = kinds.JPEGLosslessProcess14_1 if first_order else kinds.JPEGLosslessProcess14
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(out))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def without_pixels(datasets: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """Copies as a header holds them."""
    copies = copy.deepcopy(list(datasets))
    for dataset in copies:
        dataset.pop("PixelData")
    return tuple(copies)


def _lps(vector: np.ndarray) -> np.ndarray:
    turned = np.array(vector, dtype=np.float64)
    turned[:2] *= -1
    return turned


def _ds(number: float) -> str:
    return format_number_as_ds(float(round(number, 10)) + 0.0)


def _plane(affine: np.ndarray) -> dict[str, Any]:
    steps = [_lps(affine[:3, axis]) for axis in range(3)]
    lengths = [np.linalg.norm(step) for step in steps]
    cosines = [_ds(x) for axis in (0, 1) for x in steps[axis] / lengths[axis]]
    return {
        "ImageOrientationPatient": cosines,
        "PixelSpacing": [_ds(lengths[1]), _ds(lengths[0])],  # between rows, between columns
        "SliceThickness": _ds(lengths[2]),
        "SpacingBetweenSlices": _ds(lengths[2]),
    }


def _study(modality: str) -> dict[str, Any]:
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": SOP_CLASSES[modality],
        "Modality": modality,
        "PatientName": "Müller^Jörg",
        "PatientID": "P-17",
        "PatientBirthDate": "19600229",
        "PatientSex": "M",
        "PatientAge": "064Y",
        "PatientWeight": "82.5",
        "StudyInstanceUID": generate_uid(),
        "StudyDate": "20240301",
        "StudyTime": "101112",
        "StudyID": "S4",
        "StudyDescription": "Head",
        "AccessionNumber": "ACC9",
        "ReferringPhysicianName": "House^Gregory",
        "SeriesInstanceUID": generate_uid(),
        "SeriesNumber": 7,
        "SeriesDate": "20240301",
        "SeriesTime": "101512",
        "SeriesDescription": "t1_se_tra",
        "ProtocolName": "t1_se_tra",
        "BodyPartExamined": "HEAD",
        "PatientPosition": "HFS",
        "FrameOfReferenceUID": generate_uid(),
        "PositionReferenceIndicator": "",
        "AcquisitionDate": "20240301",
        "AcquisitionTime": "101600",
        "AcquisitionNumber": 3,
        "Manufacturer": "SCANNERS INC",
        "ManufacturerModelName": "Magneto",
        "DeviceSerialNumber": "123456",
        "SoftwareVersions": "VE11",
        "StationName": "MR1",
        "InstitutionName": "St. Elsewhere",
        "WindowCenter": "40",
        "WindowWidth": "80",
        "SmallestImagePixelValue": 0,
        "LargestImagePixelValue": 4095,
    }


def _pixels(plane: np.ndarray) -> dict[str, Any]:
    """The pixel elements of one slice, (columns, rows)."""
    columns, rows = plane.shape
    assert plane.dtype in (np.int16, np.uint16)
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(plane.dtype == np.int16),
        "PixelData": np.ascontiguousarray(plane.T).astype(plane.dtype.newbyteorder("<")).tobytes(),
    }


def _dataset(attributes: Mapping[str, Any], transfer_syntax: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = attributes["SOPClassUID"]
    meta.MediaStorageSOPInstanceUID = attributes["SOPInstanceUID"]
    meta.TransferSyntaxUID = transfer_syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword, value in attributes.items():
        if value is not ABSENT:
            setattr(dataset, keyword, value)
            if keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
                dataset[keyword].VR = "SS" if attributes.get("PixelRepresentation") else "US"
            if keyword == "PixelData":
                dataset["PixelData"].VR = "OW"
    return dataset
