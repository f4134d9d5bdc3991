"""NIfTI in and out: scalar 3-D volumes, the header kept, the file written at once or not at all."""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Extension
from nibabel.spatialimages import HeaderDataError

from i2igalip_cli.errors import VolumeError, first_line
from i2igalip_cli.volumes.volume import Volume

SUFFIXES = (".nii", ".nii.gz")
_READ_FAULTS = (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError)


def read(path: Path) -> Volume:
    """Read a volume.

    Voxels that are not finite become 0 and are counted in the volume.

    Args:
        path: A .nii or .nii.gz file.

    Raises:
        VolumeError: No such file, not NIfTI, truncated, not 3-D, not scalar, or nothing finite.
    """
    if not path.exists():
        raise VolumeError(f"{path}: no such file")
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


def write(volume: Volume, path: Path, *, overwrite: bool = False) -> None:
    """Write a volume as float32 with the header it came with, atomically.

    Args:
        volume: Its header's geometry codes, units, description and extensions are kept; its comment
            becomes one more extension (code 6).
        path: A .nii or .nii.gz file in an existing folder.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, or its folder is absent, read-only or full.
    """
    if path.exists() and not overwrite:
        raise VolumeError(f"{path} exists; give another -o or --overwrite")
    image = _image(volume)
    try:
        with _atomic(path) as temporary:
            nib.save(image, temporary)
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise VolumeError(f"can't write {path}: {reason}; choose another -o") from error


def _image(volume: Volume) -> nib.Nifti1Image:
    """A float32 image whose header differs from the volume's in the intensities only."""
    kept = volume.header
    kind = nib.Nifti2Image if isinstance(kept, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(np.asarray(volume.array), volume.affine, kept, dtype=np.float32)
    header = image.header
    header.set_data_dtype(np.float32)
    header["cal_min"], header["cal_max"] = 0, 0  # a display window of the source's intensities
    if volume.comment:
        header.extensions.append(Nifti1Extension("comment", volume.comment.encode()))
    if kept is not None:
        # nibabel rewrites both transforms when the affine was given: put the source's back.
        for name in ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"):
            header[name] = kept[name]
        for name in ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
            header[name] = kept[name]
    return image


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well."""
    suffix = ".nii.gz" if path.name.lower().endswith(".gz") else ".nii"
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; outputs are ordinary ones
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
