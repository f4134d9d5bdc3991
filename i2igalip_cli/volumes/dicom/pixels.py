"""One frame's stored values -> intensities, by its own header."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian

from i2igalip_cli.errors import VolumeError, first_line, one_line
from i2igalip_cli.volumes.dicom.lossless_jpeg import decode_lossless_jpeg
from i2igalip_cli.volumes.volume import Array

MAXIMUM_PIXELS = 2**24  # of an image; a larger claim is a damaged header
# The decoders of each family of transfer syntaxes, in pydicom's names and the order of trying.
# Others could, too, but end their process on damaged bytes, as gdcm does: it has one of its own.
_DECODERS = {
    "1.2.840.10008.1.2.5": ("pydicom",),  # RLE
    "1.2.840.10008.1.2.4.5": ("pillow", "pylibjpeg", "gdcm"),  # JPEG, lossless of 1994 too (.57)
    "1.2.840.10008.1.2.4.7": ("pylibjpeg", "gdcm"),  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.8": ("pyjpegls",),  # JPEG-LS
    "1.2.840.10008.1.2.4.9": ("pylibjpeg",),  # JPEG 2000
    "1.2.840.10008.1.2.4.20": ("pylibjpeg",),  # high-throughput JPEG 2000
}
_JPEG_2000 = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
_INCOMPLETE = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.7")  # 12 bits of lossy JPEG not


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """The intensities of one frame.

    Attributes:
        array: (rows, columns) float32 in the unit of its rescale.
        padding: Where the image says that there is no image (rows, columns); None for nowhere.
    """

    array: Array
    padding: npt.NDArray[np.bool_] | None


def decode_frame(dataset: Dataset, frame: Dataset, number: int | None) -> Plane:
    """Decode a frame and bring it to its unit: HU for CT, arbitrary for MR.

    Rescale is applied in float64, frame by frame, as its own header says. MONOCHROME1 is inverted,
    except where values are Hounsfield units: these have a meaning that no display changes.

    Args:
        dataset: The file, with pixels.
        frame: The frame's flattened dataset; the dataset itself for a single-frame image.
        number: Of the frame, from 1; None for a single-frame image.

    Raises:
        VolumeError: Colour, absurd, truncated or undecodable pixels.
    """
    _check_kind(dataset)
    stored = _clean(_decode(dataset, number), dataset)
    padding = _find_padding(stored, frame)
    if dataset.PhotometricInterpretation == "MONOCHROME1" and dataset.get("Modality") != "CT":
        stored = _invert(stored, dataset)
    values = _rescale(stored, frame)
    if not np.isfinite(values).all():
        raise VolumeError("its rescale makes intensities that are not finite")
    return Plane(array=values.astype(np.float32), padding=padding)


def _check_kind(dataset: Dataset) -> None:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise VolumeError("no pixel data")
    photometric = dataset.get("PhotometricInterpretation")
    if dataset.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise VolumeError(
            f"{one_line(str(photometric))} pixels; only monochrome images can be translated"
        )
    sides = [int(dataset.get(name) or 0) for name in ("Rows", "Columns")]
    if min(sides) < 1 or sides[0] * sides[1] > MAXIMUM_PIXELS:
        raise VolumeError(f"{sides[0]} x {sides[1]} pixels: a damaged header")


def _decode(dataset: Dataset, number: int | None) -> npt.NDArray[Any]:
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian))
    index = 0 if number is None else number - 1
    family = next((start for start in _DECODERS if syntax.startswith(start)), "")
    here = get_decoder(syntax).available_plugins if family else ("",)
    failures = []
    for decoder in (name for name in _DECODERS.get(family, ("",)) if name in here):
        try:
            array = _decode_by(decoder, dataset, index)
        except Exception as error:  # decoders meet damaged bytes with any error at all
            failures.append(_shorten(error))
            continue
        if array.shape != (dataset.Rows, dataset.Columns):
            raise VolumeError(
                f"pixels of shape {array.shape}, not {dataset.Rows} x {dataset.Columns}"
            )
        return array
    more = "; pip install 'i2igalip[jpeg]' may decode it" if family in _INCOMPLETE else ""
    why = "; ".join(failures) or "no decoder"
    raise VolumeError(f"pixels can't be decoded ({syntax.name}: {why}){more}")


def _decode_by(decoder: str, dataset: Dataset, index: int) -> npt.NDArray[Any]:
    if decoder == "gdcm":
        return decode_lossless_jpeg(dataset, index)
    if str(dataset.file_meta.TransferSyntaxUID).startswith(_JPEG_2000):
        _check_codestream(dataset, index)
    found: npt.NDArray[Any] = pixel_array(dataset, index=index, raw=True, decoding_plugin=decoder)
    return found


def _check_codestream(dataset: Dataset, index: int) -> None:
    """Refuse JPEG 2000 of another size than its image: decoders take the memory that it claims.

    The marker SIZ (ISO/IEC 15444-1 A.5.1) holds the ends and beginnings of the image area.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
    start = frame.find(b"\xff\x4f\xff\x51")
    size = frame[start + 8 : start + 24]
    right, bottom, left, top = (int.from_bytes(size[k : k + 4], "big") for k in (0, 4, 8, 12))
    if start < 0 or (bottom - top, right - left) != (dataset.Rows, dataset.Columns):
        raise VolumeError("its JPEG 2000 is damaged: not the size of the image")


def _shorten(error: Exception) -> str:
    """All that the decoders said, on one line."""
    said = one_line(str(error))
    return f"{said[:200]} ..." if len(said) > 200 else said


def _clean(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Drop what lies in the bits above and below the stored ones (old overlays, dirt)."""
    if stored.dtype.kind not in "iu":
        return stored
    bits, allocated = int(dataset.BitsStored), stored.dtype.itemsize * 8
    high = int(dataset.get("HighBit", bits - 1))
    if not 0 < bits <= allocated or not bits - 1 <= high < allocated:
        raise VolumeError(f"BitsStored {bits} and HighBit {high} of {allocated} bits")
    if bits == allocated:
        return stored
    kept: npt.NDArray[Any] = (stored.astype(np.int64) >> (high + 1 - bits)) & (2**bits - 1)
    if int(dataset.get("PixelRepresentation", 0)) == 1:
        kept = kept - ((kept >> (bits - 1)) << bits)
    return kept


def _find_padding(stored: npt.NDArray[Any], frame: Dataset) -> npt.NDArray[np.bool_] | None:
    value = frame.get("PixelPaddingValue")
    if value is None or isinstance(value, bytes):
        return None
    limit = frame.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    padding = (stored >= low) & (stored <= high)
    return padding if padding.any() else None


def _invert(stored: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Exchange black and white within the range of the stored bits."""
    if stored.dtype.kind not in "iu":
        return -stored
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    turned: npt.NDArray[Any] = (-1 if signed else 2**bits - 1) - stored.astype(np.int64)
    return turned


def find_rescale(frame: Dataset) -> tuple[float, float]:
    """Slope and intercept from stored values to intensities.

    The rescale counts or, where there is none, the real world value mapping; MR without both is as
    it is stored.

    Raises:
        VolumeError: CT without both: its Hounsfield units are unknown.
    """
    slope, intercept = frame.get("RescaleSlope"), frame.get("RescaleIntercept")
    if not any(_is_given(value) for value in (slope, intercept)):
        mapping = (frame.get("RealWorldValueMappingSequence") or [frame])[0]
        slope = mapping.get("RealWorldValueSlope")
        intercept = mapping.get("RealWorldValueIntercept")
        if not _is_given(slope) and frame.get("Modality") == "CT":
            raise VolumeError("CT without RescaleSlope and RescaleIntercept: its HU are unknown")
    return (
        float(slope) if _is_given(slope) else 1.0,
        float(intercept) if _is_given(intercept) else 0.0,
    )


def _is_given(value: object) -> bool:
    return value is not None and value != ""


def _rescale(stored: npt.NDArray[Any], frame: Dataset) -> npt.NDArray[Any]:
    try:
        if frame.get("ModalityLUTSequence"):
            return np.asarray(apply_modality_lut(stored.astype(np.int32), frame))
        factor, offset = find_rescale(frame)
    except VolumeError:
        raise
    except Exception as error:
        raise VolumeError(f"its rescale can't be read ({first_line(error)})") from error
    if factor == 0:
        raise VolumeError("RescaleSlope is 0: all of its intensities are one")
    return stored.astype(np.float64) * factor + offset
