"""Whole files of every format, and ways to damage them."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 (its own short name)
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from volumes.dicom.enhanced_maker import make_enhanced
from volumes.dicom.series_maker import make_series, pack_lossless_jpeg, ramp

from i2igalip_cli.volumes.dicom.frames import read_dataset

Whole = dict[str, bytes]  # file name -> content; the first one is damaged
HOSTILE = (0, 1, 2, 3, 4, 5, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**32 - 1)


def whole_files(folder: Path) -> dict[str, Whole]:
    """One small example of each kind, by name.

    Args:
        folder: An empty one to work in.
    """
    return {**_volume_files(folder / "files"), **_dicom_files(folder / "dicom")}


def _volume_files(folder: Path) -> dict[str, Whole]:
    folder.mkdir()
    array = np.random.default_rng(0).integers(0, 900, (9, 8, 7)).astype(np.int16)
    affine = np.diag([-1.0, 1.5, 3.0, 1.0])
    image = nib.Nifti1Image(array, affine)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept as it is"))
    big = nib.Nifti1Image(array, affine, nib.Nifti1Header(endianness=">"))
    for name, kind in [
        ("one.nii", image),
        ("zipped.nii.gz", image),
        ("big.nii", big),
        ("two.nii", nib.Nifti2Image(array, affine)),
        ("series.nii", nib.Nifti1Image(np.stack([array, array], axis=-1), affine)),
        ("pair.hdr", nib.Nifti1Pair(array, affine)),
        ("surfer.mgh", nib.MGHImage(array.astype(np.float32), affine)),
        ("surfer.mgz", nib.MGHImage(array.astype(np.float32), affine)),
    ]:
        nib.save(kind, folder / name)
    for name in ("itk.nrrd", "itk.mha", "nearly.nhdr", "meta.mhd"):
        compressed = name in ("itk.nrrd", "itk.mha")
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name), compressed)
    found = {file.name: {file.name: file.read_bytes()} for file in folder.iterdir()}
    for header, voxels in (("pair.hdr", "pair.img"), ("nearly.nhdr", "nearly.raw")):
        found[header] |= found.pop(voxels)
    found["meta.mhd"] |= found.pop("meta.raw")
    return found


def _dicom_files(folder: Path) -> dict[str, Whole]:
    found: dict[str, Whole] = {}
    stored = ramp((12, 11, 3))
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        datasets = make_series(folder / syntax.name, stored=stored)
        for dataset in datasets:
            dataset.file_meta.TransferSyntaxUID = syntax
        found[f"dicom {syntax.name}"] = _save_all(datasets)
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        datasets = make_series(stored=ramp((66, 65, 3)) & 0xFFF)
        for dataset in datasets:
            dataset.compress(syntax)
        found[f"dicom {syntax.name}"] = _save_all(datasets)
    found["dicom explicit"] = _save_all(make_series(stored=stored, modality="CT"))
    found["dicom enhanced"] = _save_all([make_enhanced(make_series(stored=stored))])
    make_series(folder / "jpeg", stored=stored)
    for file in sorted((folder / "jpeg").iterdir()):
        pack_lossless_jpeg(file, file)
    found["dicom lossless JPEG"] = {
        f.name: f.read_bytes() for f in sorted((folder / "jpeg").iterdir())
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in found["dicom explicit"].items():
            archive.writestr(name, content)
    found["dicom archive"] = {"archive.zip": packed.getvalue()}
    return found


def _save_all(datasets: list[pydicom.FileDataset]) -> Whole:
    found = {}
    for number, dataset in enumerate(datasets):
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        content.seek(0)
        read_dataset(content, header_only=False)
        found[f"{number}.dcm"] = content.getvalue()
    return found


def damage(content: bytes, rng: np.random.Generator, name: str) -> bytes:
    """Damage a file in one to four ways.

    A compressed file is damaged as it is, or unpacked, damaged and packed again.
    """
    packed = name.endswith(("gz", ".mgz")) and rng.random() < 0.6
    damaged = bytearray(gzip.decompress(content) if packed else content)
    for _ in range(rng.integers(1, 5)):
        if damaged:
            way = WAYS[int(rng.integers(len(WAYS)))]
            damaged = way(damaged, rng)
    return gzip.compress(bytes(damaged), 1) if packed else bytes(damaged)


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """Anywhere, but more often in the first kilobytes, where headers are."""
    end = len(content) if rng.random() < 0.4 else min(len(content), 2000)
    return int(rng.integers(end))


def _flip_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        content[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return content


def _set_bytes(content: bytearray, rng: np.random.Generator) -> bytearray:
    for _ in range(rng.integers(1, 9)):
        content[_place(content, rng)] = int(rng.integers(256))
    return content


def _set_number(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A number that programs stumble over, as 2, 4 or 8 bytes in either order."""
    size = int(rng.choice([2, 4, 8]))
    value = HOSTILE[int(rng.integers(len(HOSTILE)))] % 2 ** (8 * size)
    order = "little" if rng.random() < 0.7 else "big"
    place = _place(content, rng) // 2 * 2
    content[place : place + size] = value.to_bytes(size, order)
    return content


def _set_float(content: bytearray, rng: np.random.Generator) -> bytearray:
    value = np.float32(rng.choice([np.nan, np.inf, -np.inf, 0, 1e38, -1e-38]))
    place = _place(content, rng) // 4 * 4
    content[place : place + 4] = value.tobytes()
    return content


def _cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content[: _place(content, rng)]


def _remove(content: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(content, rng)
    del content[place : place + int(rng.integers(1, 200))]
    return content


def _repeat(content: bytearray, rng: np.random.Generator) -> bytearray:
    place, size = _place(content, rng), int(rng.integers(1, 400))
    content[place:place] = content[place : place + size]
    return content


def _insert(content: bytearray, rng: np.random.Generator) -> bytearray:
    place = _place(content, rng)
    content[place:place] = rng.bytes(int(rng.integers(1, 200)))
    return content


def _blank(content: bytearray, rng: np.random.Generator) -> bytearray:
    place, size = _place(content, rng), int(rng.integers(1, 300))
    fill = bytes([int(rng.choice([0, 255, 32]))])
    content[place : place + size] = fill * len(content[place : place + size])
    return content


def _exchange_digits(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Another digit, sign or point where text holds numbers (DICOM, NRRD and MHA headers)."""
    digits = [k for k in range(min(len(content), 4000)) if chr(content[k]).isdigit()]
    for _ in range(min(len(digits), int(rng.integers(1, 6)))):
        content[digits[int(rng.integers(len(digits)))]] = ord(rng.choice(list("0123456789.-+eE\\")))
    return content


Way = Callable[[bytearray, np.random.Generator], bytearray]
WAYS: tuple[Way, ...] = (
    *(_flip_bits, _set_bytes, _set_number, _set_number, _set_float, _cut, _remove, _repeat),
    *(_insert, _blank, _exchange_digits, _exchange_digits),
)
