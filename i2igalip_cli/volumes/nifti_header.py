"""The header of a NIfTI-1 or NIfTI-2 file: what it says, what it may not say, what is kept of it.

The standard: nifti1.h and nifti2.h of the NIfTI Data Format Working Group. nibabel gives the
layout; the checks are ours, because nibabel mends or logs what a user must know.
"""

import math
import struct
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.checks import check_shape, squeeze

SINGLE_MAGIC = {348: b"n+1\0", 540: b"n+2\0\r\n\x1a\n"}
PAIR_MAGIC = {348: b"ni1\0", 540: b"ni2\0\r\n\x1a\n"}
MAX_HEADER_BYTES = 64 * 2**20  # with extensions

_SCALARS = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"},
    **{1024: "i8", 1280: "u8"},
}
_NO_SCALARS = {
    **{1: "binary", 32: "complex", 128: "RGB", 1536: "128-bit float", 1792: "complex"},
    **{2048: "complex", 2304: "RGBA"},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class NiftiHeader:
    """A header as it stands in a file.

    Attributes:
        fields: Every field, in the file's byte order.
        extensions: (code, content) of each, untouched.
    """

    fields: nib.Nifti1Header
    extensions: tuple[tuple[int, bytes], ...] = ()

    @property
    def size(self) -> int:
        """348 for NIfTI-1, 540 for NIfTI-2."""
        return int(self.fields.sizeof_hdr)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the axes, without the trailing axes of one voxel beyond the third."""
        dim = [int(n) for n in self.fields["dim"]]
        return squeeze(tuple(dim[1 : dim[0] + 1]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, in the file's byte order."""
        kind = np.dtype(_SCALARS[int(self.fields["datatype"])])
        return kind.newbyteorder(self.fields.endianness)

    @property
    def voxel_offset(self) -> int:
        """Where the voxels begin in their file."""
        return int(self.fields["vox_offset"])

    @property
    def scale(self) -> tuple[float, float]:
        """Slope and intercept of the voxels; (1, 0) where a slope of 0 or NaN means none."""
        slope = float(self.fields["scl_slope"])
        if slope == 0 or not math.isfinite(slope):
            return 1.0, 0.0
        return slope, float(self.fields["scl_inter"])


def parse_header(content: bytes, paired: bool) -> NiftiHeader:
    """Read a header and refuse what can't be a scalar volume or a series of them.

    Args:
        content: The file from its beginning to its voxels (single file), or all of it (.hdr).
        paired: Whether the voxels are in a file of their own.

    Raises:
        VolumeError: Without the file's name: not NIfTI, or a field against the standard.
    """
    fields = _find_fields(content)
    size = int(fields.sizeof_hdr)
    magic = content[344:348] if size == 348 else content[4:12]
    wanted, other = (PAIR_MAGIC, SINGLE_MAGIC) if paired else (SINGLE_MAGIC, PAIR_MAGIC)
    if magic == other[size]:
        raise VolumeError(
            "its header says that the voxels are in "
            + ("the same file: rename it to .nii" if paired else "another file: rename it to .hdr")
        )
    if magic != wanted[size]:
        what = (
            "Analyze 7.5 (or a damaged NIfTI): left and right are unknown; convert it to NIfTI "
            "with a program that knows how it was made"
        )
        raise VolumeError(what if size == 348 else "not NIfTI-2: its magic bytes are damaged")
    header = NiftiHeader(fields=fields)
    _check_fields(header, paired)
    end = len(content) if paired else header.voxel_offset
    return NiftiHeader(fields=fields, extensions=_parse_extensions(content[size:end], header))


def _find_fields(content: bytes) -> nib.Nifti1Header:
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        for order in "<>":
            size = int(kind.sizeof_hdr)
            if content[:4] == struct.pack(f"{order}i", size) and len(content) >= size:
                return kind(content[:size], endianness=order, check=False)
    raise VolumeError("not a readable NIfTI file (it doesn't begin with a whole header)")


def _check_fields(header: NiftiHeader, paired: bool) -> None:
    fields = header.fields
    dim = [int(n) for n in fields["dim"]]
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise VolumeError(f"damaged: its header says dim = {dim}")
    check_shape(header.shape)
    datatype = int(fields["datatype"])
    if datatype not in _SCALARS:
        kind = _NO_SCALARS.get(datatype, "unknown")
        raise VolumeError(
            f"{kind} voxels (datatype {datatype}); only scalar volumes can be translated"
        )
    lowest = 0 if paired else header.size + 4
    offset = float(fields["vox_offset"])
    highest = 2**53 if paired else MAX_HEADER_BYTES
    if not (lowest <= offset <= highest and offset.is_integer()):
        raise VolumeError(f"damaged: its header says vox_offset = {offset:g}")
    slope, inter = header.scale
    if not math.isfinite(inter):
        raise VolumeError(f"damaged: scl_slope is {slope:g}, but scl_inter is {inter}")


def _parse_extensions(content: bytes, header: NiftiHeader) -> tuple[tuple[int, bytes], ...]:
    """Whole extensions one after the other; what is no extension any more ends the list."""
    found: list[tuple[int, bytes]] = []
    place = 4
    if content[:1] in (b"", b"\0"):
        return ()
    while place + 8 <= len(content):
        size, code = struct.unpack_from(f"{header.fields.endianness}2i", content, place)
        if size < 16 or place + size > len(content):
            break
        found.append((code, content[place + 8 : place + size]))
        place += size
    return tuple(found)


def pack_header(header: NiftiHeader, paired: bool) -> bytes:
    """The header's bytes, up to the voxels of a single file; magic and offset are set to fit."""
    order = header.fields.endianness
    extensions = b""
    for code, content in header.extensions:
        padded = content + bytes(-(len(content) + 8) % 16)
        extensions += struct.pack(f"{order}2i", len(padded) + 8, code) + padded
    fields = header.fields.copy()
    fields["magic"] = (PAIR_MAGIC if paired else SINGLE_MAGIC)[header.size]
    fields["vox_offset"] = 0 if paired else header.size + 4 + len(extensions)
    flag = bytes([1 if extensions else 0, 0, 0, 0])
    return bytes(fields.binaryblock) + flag + extensions


def make_header(
    affine: npt.NDArray[np.float64], shape: tuple[int, int, int], orthogonal: bool
) -> NiftiHeader:
    """A fresh header in scanner space and millimetres.

    Args:
        affine: (4, 4) voxel indices to RAS+ mm.
        shape: Voxels along I, J, K.
        orthogonal: Whether a qform can hold the affine.
    """
    kind = nib.Nifti1Header if max(shape) < 2**15 else nib.Nifti2Header
    fields = kind()
    fields["dim"] = [3, *shape, 1, 1, 1, 1]
    fields.set_qform(affine, code=1 if orthogonal else 0)
    fields.set_sform(affine, code=1)
    fields["xyzt_units"] = 2
    return NiftiHeader(fields=fields)


def adapt_header(
    header: NiftiHeader, dtype: np.dtype[Any], slope: float, inter: float
) -> NiftiHeader:
    """A header for new voxels on the same grid: what it says of old intensities and times goes.

    Geometry, units, description and extensions stay as they are.
    """
    fields = header.fields.copy()
    if fields["dim"][0] > 3:
        for name in ("toffset", "slice_duration", "slice_start", "slice_end", "slice_code"):
            fields[name] = 0
        fields["pixdim"][4:] = 0
        fields["xyzt_units"] = int(fields["xyzt_units"]) & 7
    fields["dim"] = [3, *header.shape[:3], 1, 1, 1, 1]
    fields.set_data_dtype(dtype)  # bitpix too
    fields["scl_slope"], fields["scl_inter"] = slope, inter
    cleared = ("cal_min", "cal_max", "intent_code", "intent_p1", "intent_p2", "intent_p3")
    for name in (*cleared, "glmin", "glmax"):
        if name in fields:
            fields[name] = 0
    fields["intent_name"] = b""
    return NiftiHeader(fields=fields, extensions=header.extensions)
