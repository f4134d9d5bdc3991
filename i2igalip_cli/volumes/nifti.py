"""NIfTI in and out: scalar volumes, the header kept, the files written whole or not at all."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.checks import find_place, list_entries
from i2igalip_cli.volumes.content import check_claim, named, read_block, read_head, write_whole
from i2igalip_cli.volumes.entry import Irregular, VolumeEntry
from i2igalip_cli.volumes.grid import SILENT_SHEAR_DEGREES, shear_degrees
from i2igalip_cli.volumes.nifti_affine import find_affine
from i2igalip_cli.volumes.nifti_header import (
    MAX_HEADER_BYTES,
    NiftiHeader,
    adapt_header,
    make_header,
    pack_header,
    parse_header,
)
from i2igalip_cli.volumes.pair import whole_pair
from i2igalip_cli.volumes.volume import SYNTHETIC_MARK, Volume
from i2igalip_cli.volumes.voxels import (
    StoredVoxels,
    check_stored_type,
    holds_integers,
    make_finite,
    store_as_is,
    store_scaled,
    to_intensities,
    write_voxels,
)

_OTHER_HALF = {".hdr": ".img", ".img": ".hdr"}
_COMMENT = 6  # code of an extension in plain text


def list_volumes(path: Path) -> tuple[VolumeEntry, ...]:
    """The volumes of a file or pair, by its header.

    Either name of a pair gives the same entries, under the header's name.

    Raises:
        VolumeError: Absent, damaged, truncated, or no scalar volume.
    """
    header_file, voxel_file = _files(path)
    header = _read_header(header_file, voxel_file)
    mark = SYNTHETIC_MARK.encode()
    synthetic = any(content.startswith(mark) for _, content in header.extensions)
    return list_entries(header_file, header.shape, synthetic=synthetic)


def read(entry: VolumeEntry, irregular: Irregular = "fail") -> Volume:
    """Read a volume; of a series, only its own voxels.

    Voxels that are not finite become 0 and are counted in the volume.

    Args:
        entry: Of a NIfTI file or pair.
        irregular: Nothing here is irregular.

    Raises:
        VolumeError: No such file, not NIfTI, truncated, an invalid transform, not scalar, or
            nothing finite.
    """
    header_file, voxel_file = _files(entry.path)
    header = _read_header(header_file, voxel_file)
    place, shape = find_place(entry, header.shape)
    with named(header_file):
        affine, warnings = find_affine(header)
    warnings += entry.notes
    if math.isinf(float(header.fields["scl_slope"])):
        warnings += ("its scl_slope is infinite: its voxels are taken as they are",)
    size = math.prod(shape) * header.dtype.itemsize
    end = header.voxel_offset + math.prod(header.shape) * header.dtype.itemsize
    raw, trailing = read_block(voxel_file, header.voxel_offset + place * size, size, end)
    if trailing:
        warnings += (f"{trailing} bytes after its voxels are ignored",)
    stored = np.frombuffer(raw, header.dtype).reshape(shape, order="F")
    with named(voxel_file):
        array, nonfinite = make_finite(to_intensities(stored, *header.scale))
    return Volume(
        array=array,
        affine=affine,
        header=header,
        stored_dtype=header.dtype.newbyteorder("="),
        nonfinite_voxels=nonfinite,
        warnings=warnings,
    )


def write(volume: Volume, path: Path, *, dtype: np.dtype[Any], overwrite: bool = False) -> None:
    """Write a volume with the header it came with, whole or not at all.

    An integer type holds the intensities themselves where they are HU or were integers in their
    file, and otherwise one scale for the file.

    Args:
        volume: Its NIfTI header's transforms, units, description and extensions are kept; one from
            another format gives a fresh header. Its derivation becomes one more extension.
        path: A .nii or .nii.gz file, or either name of a pair, in an existing folder.
        dtype: Of the voxels: one of `voxels.STORED_TYPES`.
        overwrite: Replace an existing file.

    Raises:
        VolumeError: The file exists, its folder is absent, read-only or full, or another type.
    """
    header_file, voxel_file = _files(path)
    paired = header_file != voxel_file
    header = _header_for(volume)
    dtype = check_stored_type(dtype)
    stored = _store(volume, dtype, header)
    header = adapt_header(header, dtype, stored.slope, stored.inter)
    if volume.derivation is not None:
        comment = (_COMMENT, volume.derivation.describe().encode())
        header = replace(header, extensions=(*header.extensions, comment))
    if not paired:
        gzipped = path.name.lower().endswith(".gz")
        with write_whole(path, gzipped, overwrite=overwrite) as file:
            file.write(pack_header(header, paired))
            write_voxels(stored.array, header.dtype, file)
        return
    with whole_pair(header_file, voxel_file, overwrite=overwrite) as folder:
        (folder / header_file.name).write_bytes(pack_header(header, paired))
        with (folder / voxel_file.name).open("wb") as file:
            write_voxels(stored.array, header.dtype, file)


def _files(path: Path) -> tuple[Path, Path]:
    """The files of header and voxels: one and the same, or the halves of a pair."""
    half = path.suffix.lower()
    if half not in _OTHER_HALF:
        return path, path
    other = _OTHER_HALF[half]
    spellings = [other.upper(), other] if path.suffix.isupper() else [other, other.upper()]
    partners = [path.with_suffix(spelling) for spelling in spellings]
    partner = next((file for file in partners if file.exists()), partners[0])
    return (path, partner) if half == ".hdr" else (partner, path)


def _read_header(header_file: Path, voxel_file: Path) -> NiftiHeader:
    """The checked header, whose voxels the file can hold.

    Raises:
        VolumeError: It isn't so.
    """
    paired = header_file != voxel_file
    for half in (header_file, voxel_file):
        if paired and not half.exists():
            raise VolumeError(f"{header_file}: a pair of .hdr and .img, but there is no {half}")
    with named(header_file):
        content = read_head(header_file, MAX_HEADER_BYTES if paired else 540)
        header = parse_header(content, paired)
        if not paired:
            header = parse_header(read_head(header_file, header.voxel_offset), paired)
    size = math.prod(header.shape) * header.dtype.itemsize
    check_claim(voxel_file, header.voxel_offset + size)
    return header


def _header_for(volume: Volume) -> NiftiHeader:
    """The volume's own header where it says the volume's own place, else a fresh one."""
    kept = volume.header
    if isinstance(kept, NiftiHeader) and kept.shape[:3] == volume.shape:
        affine, _ = find_affine(kept)
        if np.array_equal(affine, volume.affine):
            return kept
    orthogonal = shear_degrees(volume.affine) <= SILENT_SHEAR_DEGREES
    header = make_header(volume.affine, volume.shape, orthogonal)
    header.fields["descrip"] = b"i2igalip synthetic" if volume.derivation else b"i2igalip"
    return header


def _are_integers(volume: Volume, dtype: np.dtype[Any]) -> bool:
    """As `holds_integers`, but integers with a scale in their file made no integer intensities."""
    kept = volume.header
    scaled = isinstance(kept, NiftiHeader) and kept.scale != (1.0, 0.0)
    return holds_integers(volume, dtype) and (volume.modality == "CT" or not scaled)


def _store(volume: Volume, dtype: np.dtype[Any], header: NiftiHeader) -> StoredVoxels:
    if dtype.kind == "f" or _are_integers(volume, dtype):
        return store_as_is(volume, dtype)
    return store_scaled(volume, dtype, header.fields["scl_slope"].dtype.newbyteorder("="))
