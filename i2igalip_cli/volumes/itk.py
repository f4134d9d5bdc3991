"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) in and out, through SimpleITK.

ITK's patient space is LPS; it is turned to RAS at this door.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError, first_line
from i2igalip_cli.volumes.checks import (
    check_affine,
    check_shape,
    find_place,
    list_entries,
    squeeze,
)
from i2igalip_cli.volumes.content import named
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry
from i2igalip_cli.volumes.files import whole_file
from i2igalip_cli.volumes.pair import whole_pair
from i2igalip_cli.volumes.text_header import read_text_header
from i2igalip_cli.volumes.volume import Volume
from i2igalip_cli.volumes.voxels import make_finite, store_unscaled, to_intensities

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - its own name for itself

_PAIRED = (".nhdr", ".mhd")
_NRRD = (".nrrd", ".nhdr")
_ITKS_OWN = ("ITK_", "NRRD_")  # what ITK says of a file itself, and writes anew
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_DERIVATION = "i2igalip"


@dataclass(frozen=True, kw_only=True)
class ItkHeader:
    """The header of a file that ITK read.

    Attributes:
        nrrd: NRRD rather than MetaImage.
        spacing: Millimetres between voxels along I, J, K.
        origin: Centre of the first voxel, LPS mm.
        direction: LPS unit vectors of I, J, K as columns of a matrix, row by row.
        metadata: What else the file says, as (name, value).
    """

    nrrd: bool
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    metadata: tuple[tuple[str, str], ...]

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """(4, 4) voxel indices to RAS+ mm."""
        affine = np.eye(4)
        axes = np.reshape(self.direction, (3, 3)) * self.spacing
        affine[:3, :3] = _LPS_TO_RAS @ axes
        affine[:3, 3] = _LPS_TO_RAS @ self.origin
        return affine


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes of a file, by its header.

    Raises:
        VolumeError: Absent, damaged, or no scalar volume.
    """
    reader = _open(path)
    synthetic = _DERIVATION in reader.GetMetaDataKeys()
    return list_entries(path, squeeze(reader.GetSize()), synthetic=synthetic)


def read(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume.

    Args:
        entry: Of a file of this format.
        irregular: Nothing here is irregular.

    Raises:
        VolumeError: No such file, damaged, truncated, no place in space, or nothing finite.
    """
    import SimpleITK as sitk  # noqa: N813

    path = entry.path
    reader = _open(path)
    place, shape = find_place(entry, squeeze(reader.GetSize()))
    text = read_text_header(path)
    text.check_payload()
    more = len(reader.GetSize()) - 3
    if more:
        reader.SetExtractIndex([0, 0, 0, place, 0][: 3 + more])
        reader.SetExtractSize([*shape, *[0] * more])
    header = _header(reader, text.is_nrrd)
    with named(path):
        check_affine(header.affine, "transform")
        try:
            stored = sitk.GetArrayFromImage(reader.Execute()).T  # (K, J, I) -> (I, J, K)
        except (RuntimeError, MemoryError) as error:
            raise VolumeError(f"damaged ({_reason(error)})") from error
        array, nonfinite = make_finite(to_intensities(stored))
    warnings = [*entry.notes]
    if text.is_nrrd and not _is_anatomical(text.fields.get("space", "")):
        warnings.append(
            "it names no patient space: its axes are taken as left, posterior, superior"
        )
    lost = len(_metadata_keys(reader)) - len(header.metadata)
    if lost:
        warnings.append(f"{lost} metadata entries aren't in UTF-8 and are not kept")
    return Volume(
        array=array,
        affine=header.affine,
        header=header,
        stored_dtype=stored.dtype,
        nonfinite_voxels=nonfinite,
        warnings=tuple(warnings),
    )


def write(volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False) -> None:
    """Write a volume, whole or not at all; .nhdr and .mhd with a .raw file of voxels beside.

    Args:
        volume: The geometry and metadata of a source of the same format are kept.
        path: A file of this format, in an existing folder.
        dtype: Of the voxels: one of `voxels.STORED_TYPES`, integers only for integers.
        overwrite: Replace existing files.

    Raises:
        VolumeError: A file exists, the folder is absent, read-only or full, or another type.
    """
    stored = store_unscaled(volume, dtype, path)
    image = _image(volume, stored.array, nrrd=path.suffix.lower() in _NRRD)
    suffix = path.suffix.lower()
    if suffix not in _PAIRED:
        with whole_file(path, suffix, overwrite=overwrite) as temporary:
            _write(image, temporary, compress=True)
        return
    with whole_pair(path, path.with_suffix(".raw"), overwrite=overwrite) as folder:
        written = folder / path.with_suffix(suffix).name
        _write(image, written, compress=False)
        written.replace(folder / path.name)


def _open(path: Path) -> "sitk.ImageFileReader":
    """A reader that knows the file's header, which was checked to be one of scalar volumes."""
    import SimpleITK as sitk  # noqa: N813

    nrrd = read_text_header(path).is_nrrd
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK writes its warnings on stderr
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if nrrd else "MetaImageIO")  # suffixes in any case
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise VolumeError(f"{path}: not readable ({_reason(error)})") from error
    with named(path):
        if reader.GetNumberOfComponents() != 1:
            raise VolumeError("a vector at each voxel; give a scalar volume")
        check_shape(squeeze(reader.GetSize()))
    return reader


def _header(reader: "sitk.ImageFileReader", nrrd: bool) -> ItkHeader:
    side = len(reader.GetSize())
    direction = np.reshape(reader.GetDirection(), (side, side))[:3, :3]
    return ItkHeader(
        nrrd=nrrd,
        spacing=reader.GetSpacing()[:3],
        origin=reader.GetOrigin()[:3],
        direction=tuple(direction.ravel().tolist()),
        metadata=tuple(
            (key, reader.GetMetaData(key))
            for key in _metadata_keys(reader)
            if _is_utf8(key) and _is_utf8(reader.GetMetaData(key))
        ),
    )


def _metadata_keys(reader: "sitk.ImageFileReader") -> list[str]:
    return [key for key in reader.GetMetaDataKeys() if not key.startswith(_ITKS_OWN)]


def _is_utf8(text: str) -> bool:
    """Whether SimpleITK takes a text back: other bytes reach Python as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_anatomical(space: str) -> bool:
    words = space.lower().split("-")
    return (len(space) == 3 and space.isupper()) or "left" in words or "right" in words


def _image(volume: Volume, stored: npt.NDArray[Any], nrrd: bool) -> "sitk.Image":
    import SimpleITK as sitk  # noqa: N813

    kept = volume.header
    if not (isinstance(kept, ItkHeader) and np.array_equal(kept.affine, volume.affine)):
        axes = _LPS_TO_RAS @ volume.affine[:3, :3] / volume.spacing_mm
        kept = ItkHeader(
            nrrd=nrrd,
            spacing=volume.spacing_mm,
            origin=tuple((_LPS_TO_RAS @ volume.affine[:3, 3]).tolist()),
            direction=tuple(axes.ravel().tolist()),
            metadata=(),
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))  # (I, J, K) -> (K, J, I)
    image.SetSpacing(kept.spacing)
    image.SetOrigin(kept.origin)
    image.SetDirection(kept.direction)
    for key, value in kept.metadata if kept.nrrd == nrrd else ():
        image.SetMetaData(key, value)
    if volume.derivation is not None:
        image.SetMetaData(_DERIVATION, " ".join(volume.derivation.describe().split()))
    return image


def _write(image: "sitk.Image", path: Path, compress: bool) -> None:
    import SimpleITK as sitk  # noqa: N813

    try:
        sitk.WriteImage(image, str(path), useCompression=compress)
    except RuntimeError as error:
        raise OSError(_reason(error)) from error
    try:
        read_text_header(path).check_payload()  # ITK doesn't notice every disk that is full
    except VolumeError as error:
        raise OSError("it was not written whole; the disk may be full") from error


def _reason(error: BaseException) -> str:
    """The line of ITK's message that says what is wrong, without the address of its object."""
    lines = [line for line in str(error).splitlines() if "ERROR: " in line]
    text = lines[0].partition("ERROR: ")[2] if lines else first_line(error)
    return re.sub(r"\(0x[0-9a-f]+\)", "", text).strip()
