"""A volume out as a derived DICOM series: a folder of single-frame MR or CT images."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from i2igalip_cli import __version__
from i2igalip_cli.errors import VolumeError, first_line, os_reason
from i2igalip_cli.volumes.dicom.derived import derived_series, new_uid
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.placement import along_normal, as_viewed, numbers_of, slice_planes
from i2igalip_cli.volumes.dicom.provenance import PROGRAM, slice_references
from i2igalip_cli.volumes.dicom.stored import StoredScale, find_scale, window_elements
from i2igalip_cli.volumes.files import whole_folder
from i2igalip_cli.volumes.volume import Volume

IMPLEMENTATION_CLASS_UID = UID("2.25.132041784439150413742774502810356504598")
_FILE_NAME = re.compile(r"\d{4,}\.dcm")


def write(volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False) -> None:
    """Write a volume as a new series: whole, or not at all.

    Args:
        volume: With the header of its DICOM source, the series joins the source's study and frame
            of reference; with another one or none, it begins a new study of an unknown patient.
            Says whether it is MR or CT.
        path: A folder to make; it holds 0001.dcm, 0002.dcm ... numbered along the
            slices' normal, or against it where the source's are.
        dtype: Of the stored values, int16 or uint16; a floating type leaves the choice to the
            modality and the intensities.
        overwrite: Replace a folder that this program wrote.

    Raises:
        VolumeError: Neither MR nor CT, a sheared grid, intensities that 16 bits can't hold, a
            folder in the way, or one that can't be written.
    """
    try:
        if not isinstance(volume.header, DicomHeader):
            volume = as_viewed(volume)
        volume = along_normal(volume)
        scale, slices = _describe(volume, dtype)
    except VolumeError as error:
        raise VolumeError(f"can't write {path}: {error}") from error
    if overwrite:
        _check_own(path)
    digits = max(4, len(str(len(slices))))
    with whole_folder(path, overwrite=overwrite) as folder:
        for k, (number, dataset) in enumerate(zip(numbers_of(volume), slices, strict=True)):
            stored = scale.store(volume.array[:, :, k]).T  # (columns, rows) -> (rows, columns)
            dataset.Rows, dataset.Columns = stored.shape
            dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
            dataset["PixelData"].VR = "OW"
            dataset.InstanceNumber = number
            try:
                _save(dataset, folder / f"{number:0{digits}d}.dcm")
            except VolumeError as error:
                raise VolumeError(f"can't write {path}: {error}") from error
            del dataset.PixelData


def _describe(volume: Volume, dtype: np.dtype[Any]) -> tuple[StoredScale, list[Dataset]]:
    """The scale of a series, and its datasets without pixels."""
    modality = volume.derivation.modality if volume.derivation else volume.modality
    if modality is None:
        raise VolumeError(
            "DICOM needs to know whether it is MR or CT, and nothing says so; "
            "set the volume's modality, or write NIfTI (.nii.gz)"
        )
    header = volume.header
    if isinstance(header, DicomHeader) and len(header.datasets) != volume.shape[2]:
        raise VolumeError(
            f"its header is of {len(header.datasets)} slices, its array of {volume.shape[2]}; "
            f"take the header away to write a series without source"
        )
    counts = dtype.kind in "iu" and volume.stored_dtype.kind in "iu"
    scale = find_scale(volume.array, modality, dtype, counts)
    common = derived_series(volume, modality)
    common.update(scale.elements())
    common.update(window_elements(volume.array, scale))
    slices = []
    for plane, reference in zip(slice_planes(volume), slice_references(volume), strict=True):
        dataset = Dataset()
        for part in (common, plane, reference):
            dataset.update(part)
        dataset.SOPInstanceUID = new_uid()
        slices.append(dataset)
    return scale, slices


def _check_own(path: Path) -> None:
    """Refuse to replace a folder of anything but this program's series: it might be the source."""
    try:
        foreign = [file.name for file in path.iterdir() if not _is_own(file)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise VolumeError(f"can't write {path}: {os_reason(error)}; choose another -o") from error
    if foreign:
        raise VolumeError(
            f"can't write {path}: {foreign[0]} in it isn't of a series that {PROGRAM} wrote, and "
            f"--overwrite replaces nothing else; choose another -o"
        )


def _is_own(file: Path) -> bool:
    if not _FILE_NAME.fullmatch(file.name):
        return False
    try:
        implementation = read_file_meta_info(file).get("ImplementationClassUID")
    except Exception:  # pydicom meets damaged bytes with any error at all
        return False
    return bool(implementation == IMPLEMENTATION_CLASS_UID)


def _save(dataset: Dataset, file: Path) -> None:
    """Write one image with its file meta information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = f"I2IGALIP_{__version__}"[:16]
    dataset.file_meta = meta
    try:
        dataset.save_as(file, enforce_file_format=True)
    except OSError:
        raise
    except Exception as error:  # pydicom meets illegal values with any error at all
        raise VolumeError(
            f"the source's header holds a value that isn't legal DICOM ({first_line(error)}); "
            f"mend it, or write NIfTI (.nii.gz)"
        ) from error
