"""FreeSurfer's MGH and its gzipped form MGZ, in and out."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.checks import (
    check_affine,
    check_shape,
    find_place,
    list_entries,
    squeeze,
)
from i2igalip_cli.volumes.content import check_claim, named, read_block, read_head, write_whole
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry
from i2igalip_cli.volumes.volume import Volume
from i2igalip_cli.volumes.voxels import make_finite, store_unscaled, to_intensities, write_voxels

_CODES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}  # nibabel's table; others are no scalars
# FreeSurfer's default: columns run to the left, rows to inferior, slices to anterior. nibabel's own
# default has the last two reversed.
_CORONAL = ((-1, 0, 0), (0, 0, -1), (0, 1, 0))


@dataclass(frozen=True, kw_only=True, eq=False)
class MghHeader:
    """The part of a header that stands before the voxels, as in the file.

    Attributes:
        content: 284 bytes, big-endian.
    """

    content: bytes

    @property
    def fields(self) -> MGHHeader:
        """The fields; a copy, with FreeSurfer's default place where the file has none."""
        fields = MGHHeader(self.content, check=False)
        if not self.has_place:
            fields["Mdc"] = _CORONAL
        return fields

    @property
    def has_place(self) -> bool:
        """Whether the file says where it lies (goodRASFlag)."""
        return any(self.content[28:30])

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along I, J, K, and frames where there are several."""
        return squeeze(tuple(int(n) for n in self.fields["dims"]))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, big-endian as always."""
        return np.dtype(f">{_CODES[int(self.fields['type'])]}")


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes of a file, one a frame, by its header.

    Raises:
        VolumeError: Absent, damaged, truncated, or no scalar volume.
    """
    return list_entries(path, _read_header(path).shape)


def read(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume; of several frames, only its own voxels.

    Args:
        entry: Of a .mgh or .mgz file.
        irregular: Nothing here is irregular.

    Raises:
        VolumeError: No such file, damaged, truncated, no place in space, or nothing finite.
    """
    path = entry.path
    header = _read_header(path)
    place, shape = find_place(entry, header.shape)
    size = math.prod(shape) * header.dtype.itemsize
    end = DATA_OFFSET + math.prod(header.shape) * header.dtype.itemsize
    raw, _ = read_block(path, DATA_OFFSET + place * size, size, end)  # tags may follow
    stored = np.frombuffer(raw, header.dtype).reshape(shape, order="F")
    with named(path):
        array, nonfinite = make_finite(to_intensities(stored))
    return Volume(
        array=array,
        affine=header.fields.get_affine(),
        header=header,
        stored_dtype=header.dtype.newbyteorder("="),
        nonfinite_voxels=nonfinite,
        warnings=_warnings(header),
    )


def write(volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False) -> None:
    """Write a volume, whole or not at all.

    The tags after the voxels of a source file are left out: they tell of its acquisition.

    Args:
        volume: An MGH header's geometry is kept bit for bit.
        path: A .mgh or .mgz file in an existing folder.
        dtype: Of the voxels: one of `voxels.STORED_TYPES`, integers only for integers.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, its folder is absent, read-only or full, or another type.
    """
    stored = store_unscaled(volume, dtype, path)
    content = bytearray(_header_for(volume).content)
    fields = np.frombuffer(content, MGHHeader._hdrdtype, count=1)  # a view: only these change
    fields["dims"] = [*volume.shape, 1]
    fields["type"] = next(
        code for code, kind in _CODES.items() if np.dtype(kind).name == dtype.name
    )
    gzipped = path.name.lower().endswith(".mgz")
    with write_whole(path, gzipped, overwrite=overwrite) as file:
        file.write(content)
        write_voxels(stored.array, stored.array.dtype.newbyteorder(">"), file)


def _header_for(volume: Volume) -> MghHeader:
    """The volume's own header where it says the volume's own place, else a fresh one."""
    kept = volume.header
    if isinstance(kept, MghHeader) and kept.shape[:3] == volume.shape:
        affine = kept.fields.get_affine()
        if np.array_equal(affine, volume.affine):
            return kept
    fields = MGHHeader()
    fields["dims"] = [*volume.shape, 1]
    fields["delta"] = volume.spacing_mm
    fields["Mdc"] = (volume.affine[:3, :3] / volume.spacing_mm).T
    centre = np.array([*[n / 2 for n in volume.shape], 1.0])  # of N voxels, voxel N / 2
    fields["Pxyz_c"] = (volume.affine @ centre)[:3]
    fields["goodRASFlag"] = 1
    return MghHeader(
        content=fields.binaryblock[: MGHHeader._hdrdtype.itemsize].ljust(DATA_OFFSET, b"\0")
    )


def _read_header(path: Path) -> MghHeader:
    content = read_head(path, DATA_OFFSET)
    with named(path):
        if len(content) < DATA_OFFSET or content[:4] != b"\0\0\0\1":
            raise VolumeError("not a readable MGH file (it doesn't begin with a whole header)")
        header = MghHeader(content=content)
        _check(header)
    check_claim(path, DATA_OFFSET + math.prod(header.shape) * header.dtype.itemsize)
    return header


def _check(header: MghHeader) -> None:
    fields = header.fields
    check_shape(header.shape)
    if int(fields["type"]) not in _CODES:
        raise VolumeError(
            f"voxels of type {int(fields['type'])}; only scalar volumes can be translated"
        )
    delta = [float(mm) for mm in fields["delta"]]
    if not all(0 < mm < math.inf for mm in delta):
        raise VolumeError(f"its voxels have the size {delta} mm; mend the header")
    with np.errstate(all="ignore"):
        check_affine(fields.get_affine(), "transform by direction cosines")


def _warnings(header: MghHeader) -> tuple[str, ...]:
    if header.has_place:
        return ()
    return (
        "goodRASFlag is unset: left and right are unknown, FreeSurfer's coronal default is taken",
    )
