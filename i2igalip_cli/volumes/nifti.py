"""NIfTI in and out: scalar 3-D volumes, the header kept, the file written at once or not at all."""

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Extension
from nibabel.spatialimages import HeaderDataError

from i2igalip_cli.errors import VolumeError, first_line
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry
from i2igalip_cli.volumes.files import whole_file
from i2igalip_cli.volumes.volume import Volume

SUFFIXES: tuple[str, ...] = (".nii", ".nii.gz")
_READ_FAULTS = (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError)


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The one volume of a file."""
    return (VolumeEntry(path=path),)


def read(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume.

    Voxels that are not finite become 0 and are counted in the volume.

    Args:
        entry: Of a .nii or .nii.gz file.
        irregular: Nothing here is irregular.

    Raises:
        VolumeError: No such file, not NIfTI, truncated, not 3-D, not scalar, or nothing finite.
    """
    path = entry.path
    try:
        image = nib.load(path)
    except _READ_FAULTS as error:
        raise VolumeError(f"{path}: not a readable NIfTI file ({first_line(error)})") from error
    if not isinstance(image, nib.Nifti1Image):
        raise VolumeError(f"{path}: {type(image).__name__}, not a NIfTI file; convert it first")
    kind = image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        what = "RGB" if kind.fields is not None else "complex"
        raise VolumeError(f"{path}: {what} voxels ({kind}); only scalar volumes can be translated")
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or 0 in shape:
        raise VolumeError(f"{path}: shape {image.shape}; give one 3-D volume, not a series")
    try:
        array = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
    except _READ_FAULTS as error:
        raise VolumeError(f"{path}: damaged or truncated ({first_line(error)})") from error
    finite = np.isfinite(array)
    if not finite.any():
        raise VolumeError(f"{path}: none of its {array.size} voxels is finite")
    bad = int(array.size - np.count_nonzero(finite))
    return Volume(
        array=np.where(finite, array, np.float32(0)) if bad else array,
        affine=image.affine,
        header=image.header.copy(),
        nonfinite_voxels=bad,
    )


def write(volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False) -> None:
    """Write a volume with the header it came with, atomically.

    Args:
        volume: Its header's geometry codes, units, description and extensions are kept; its
            derivation becomes one more extension (code 6).
        path: A .nii or .nii.gz file in an existing folder.
        dtype: Of the voxels.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    image = _image(volume, dtype)
    suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
    with whole_file(path, suffix, overwrite=overwrite) as temporary:
        nib.save(image, temporary)


def _image(volume: Volume, dtype: np.dtype[Any]) -> nib.Nifti1Image:
    """An image whose header differs from the volume's in the intensities only."""
    kept = volume.header
    kind = nib.Nifti2Image if isinstance(kept, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(np.asarray(volume.array), volume.affine, kept, dtype=dtype)
    header = image.header
    header.set_data_dtype(dtype)
    header["cal_min"], header["cal_max"] = 0, 0  # a display window of the source's intensities
    if volume.derivation is not None:
        comment = volume.derivation.describe().encode()
        header.extensions.append(Nifti1Extension("comment", comment))
    if kept is not None:
        # nibabel rewrites both transforms when the affine was given: put the source's back.
        for name in ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"):
            header[name] = kept[name]
        for name in ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
            header[name] = kept[name]
    return image
