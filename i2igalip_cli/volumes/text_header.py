"""The text headers of NRRD and MetaImage, checked before ITK sees a file.

ITK's readers of both formats believe a header: they take memory for any size that it claims, read
what is there of truncated voxels, and write on stderr. A file that passes here is whole.
"""

import io
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from i2igalip_cli.errors import VolumeError, first_line
from i2igalip_cli.volumes.content import MAX_DEFLATE, Inflater, check_plausible, named, read_head

_MAX_BYTES = 2**20
_MAX_LINE = 4000  # MetaIO's buffers are longer
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), 1),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int"), 2),
    **dict.fromkeys(("int16", "int16_t", "uint16", "uint16_t", "ushort", "unsigned short"), 2),
    **dict.fromkeys(("unsigned short int",), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), 4),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t", "float"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), 8),
    **dict.fromkeys(("signed long long", "signed long long int", "double"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), 8),
    **dict.fromkeys(("unsigned long long int",), 8),
}
_META_BYTES = {
    **{"MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4},
    **{"MET_UINT": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8},
}
_META_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_META_VECTORS = ("Offset", "Position", "Origin", "ElementSpacing", "ElementSize")
_META_NUMBERS = ("ElementMin", "ElementMax", "ID", "ParentID", "ElementNBits")
# MetaIO reads these two and ITK applies neither.
_META_SCALE = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}


@dataclass(frozen=True, kw_only=True)
class TextHeader:
    """What matters of a text header.

    Attributes:
        fields: By name; NRRD's in lower case without blanks.
        payload: File of the voxels.
        offset: Bytes before them.
        size: Bytes of them, decompressed.
        compressed: Whether they are deflated.
        compressed_size: Bytes that ITK inflates; None for all that follow.
    """

    fields: dict[str, str]
    payload: Path
    offset: int
    size: int
    compressed: bool
    compressed_size: int | None = None

    @property
    def is_nrrd(self) -> bool:
        """NRRD rather than MetaImage."""
        return "sizes" in self.fields

    def check_payload(self) -> None:
        """Read the voxels' file through: it must hold all that the header claims.

        Raises:
            VolumeError: Truncated, damaged, or absurdly compressed.
        """
        present = self._size_on_disk() - self.offset
        most = present * (MAX_DEFLATE if self.compressed else 1)
        if self.size > most or (self.compressed_size or 0) > present:
            raise VolumeError(
                f"{self.payload}: truncated: its header asks for {self.size} bytes of voxels, "
                f"{present}{' compressed ones' if self.compressed else ''} follow"
            )
        if self.compressed:
            check_plausible(self.payload, self.size, present)
            self._inflate()

    def _size_on_disk(self) -> int:
        try:
            return self.payload.stat().st_size
        except OSError as error:
            raise VolumeError(f"{self.payload}: can't be read ({first_line(error)})") from error

    def _inflate(self) -> None:
        unfolded = 0
        try:
            with self.payload.open("rb") as file:
                file.seek(self.offset)
                packed = io.BytesIO(file.read(self.compressed_size))
                for piece in Inflater(packed, zlib.MAX_WBITS | 32):  # zlib or gzip
                    unfolded += len(piece)
                    if unfolded > self.size:
                        break
        except (OSError, EOFError, zlib.error) as error:
            raise VolumeError(
                f"{self.payload}: damaged or truncated ({first_line(error)})"
            ) from error
        if unfolded != self.size:
            raise VolumeError(
                f"{self.payload}: damaged: its voxels unfold to another size than {self.size} bytes"
            )


def read_text_header(path: Path) -> TextHeader:
    """Read and check the header of a .nrrd, .nhdr, .mha or .mhd file.

    Raises:
        VolumeError: Absent, damaged, or of a kind that isn't read.
    """
    content = read_head(path, _MAX_BYTES)
    with named(path):
        if path.suffix.lower() in (".nrrd", ".nhdr"):
            return _parse_nrrd(path, content)
        return _parse_meta(path, content)


def _parse_nrrd(path: Path, content: bytes) -> TextHeader:
    gap = re.search(rb"\r?\n\r?\n", content)
    head = content[: gap.start()] if gap else content
    if content[:7] != b"NRRD000":
        raise VolumeError("not a readable NRRD file (it doesn't begin with NRRD000)")
    fields: dict[str, str] = {}
    for line in _lines(head)[1:]:
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#") and not value.startswith("="):
            fields[name.strip().lower().replace(" ", "")] = value.strip()
    _require(fields, ("type", "dimension", "sizes", "encoding"))
    shape = _whole_numbers(fields, "sizes", _whole_numbers(fields, "dimension", 1)[0])
    kind = fields["type"].lower()
    if kind not in _NRRD_BYTES:
        raise VolumeError(f"type '{kind}'; only scalar volumes can be translated")
    encoding = fields["encoding"].lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise VolumeError(f"encoding '{encoding}'; save it as raw or gzip")
    for name in ("lineskip", "byteskip"):
        if fields.get(name, "0") != "0":
            raise VolumeError(f"'{name}' is not read; save it without")
    units = fields.get("spaceunits", "").replace('"', " ").split()
    if any(unit not in ("mm", "millimeter", "millimeters") for unit in units[:3]):
        raise VolumeError(f"space units {', '.join(units)}; convert it to mm")
    payload, offset = path, gap.end() if gap else 0
    if "datafile" in fields:
        payload, offset = _payload(path, fields["datafile"]), 0
    elif not gap:
        raise VolumeError("damaged: its header has no end")
    return TextHeader(
        fields=fields,
        payload=payload,
        offset=offset,
        size=math.prod(shape) * _NRRD_BYTES[kind],
        compressed=encoding != "raw",
    )


def _parse_meta(path: Path, content: bytes) -> TextHeader:
    fields: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in fields:
        end = content.find(b"\n", place)
        line = "" if end < 0 else _lines(content[place:end])[0]
        found = re.fullmatch(r"([^=:]+)[=:](.*)", line)  # MetaIO takes either sign, the first
        if not found:
            raise VolumeError("not a readable MetaImage file (no header of 'name = value' lines)")
        name = found[1].strip()
        if name in fields and name != "Comment":  # MetaIO and we would take other ones
            raise VolumeError(f"damaged: its header says {name} twice")
        fields[name] = found[2].strip()
        place = end + 1
    _require(fields, ("NDims", "DimSize", "ElementType"))
    dimension = _whole_numbers(fields, "NDims", 1)[0]
    shape = _whole_numbers(fields, "DimSize", dimension)
    _check_numbers(fields, dimension)
    kind = fields["ElementType"]
    if kind not in _META_BYTES:
        raise VolumeError(f"ElementType {kind}; only scalar volumes can be translated")
    if not _is_true(fields.get("BinaryData", "True")):
        raise VolumeError("voxels in text; save it with BinaryData = True")
    if fields.get("HeaderSize", "0") != "0":
        raise VolumeError(f"HeaderSize {fields['HeaderSize']} is not read; save it without")
    channels, packed = 1, None
    compressed = _is_true(fields.get("CompressedData", "False"))
    if compressed:  # MetaIO would guess it, and read nothing where it guesses wrong
        _require(fields, ("CompressedDataSize",))
    if fields.get("CompressedDataSize", "0") != "0":
        packed = _whole_numbers(fields, "CompressedDataSize", 1)[0]
    if "ElementNumberOfChannels" in fields:
        channels = _whole_numbers(fields, "ElementNumberOfChannels", 1)[0]
    local = fields["ElementDataFile"] in ("LOCAL", "Local", "local")  # as MetaIO has it
    return TextHeader(
        fields=fields,
        payload=path if local else _payload(path, fields["ElementDataFile"]),
        offset=place if local else 0,
        size=math.prod(shape) * channels * _META_BYTES[kind],
        compressed=compressed,
        compressed_size=packed,
    )


def _is_true(value: str) -> bool:
    """As MetaIO has it."""
    return value[:1] in ("T", "t", "1")


def _check_numbers(fields: dict[str, str], dimension: int) -> None:
    counts = {
        **dict.fromkeys(_META_MATRICES, dimension**2),
        **dict.fromkeys((*_META_VECTORS, "CenterOfRotation"), dimension),
        **dict.fromkeys((*_META_NUMBERS, *_META_SCALE), 1),
    }
    for name in counts.keys() & fields.keys():
        try:
            values = [float(value) for value in fields[name].split()]
        except ValueError:
            values = []
        if len(values) != counts[name] or not all(map(math.isfinite, values)):
            raise VolumeError(f"damaged: its header says {name} = {fields[name]}")
        if values[0] != _META_SCALE.get(name, values[0]):
            raise VolumeError(f"{name} = {fields[name]} is not read; save it with its intensities")


def _payload(path: Path, name: str) -> Path:
    """The one file of the voxels that a header names."""
    if not name or name.upper().startswith("LIST") or "%" in name:
        raise VolumeError(f"voxels in several files ({name}); save it as one file")
    payload = path.parent / name
    try:
        found = payload.is_file()
    except OSError:  # a name that no file system takes
        found = False
    if not found:
        raise VolumeError(f"there is no {payload}, the file of its voxels")
    return payload


def _lines(head: bytes) -> list[str]:
    lines = head.decode("utf-8", "replace").split("\n")
    if max(map(len, lines)) > _MAX_LINE or b"\0" in head:
        raise VolumeError("damaged: its header is no text")
    return [line.rstrip("\r") for line in lines]


def _require(fields: dict[str, str], names: tuple[str, ...]) -> None:
    absent = [name for name in names if name not in fields]
    if absent:
        raise VolumeError(f"damaged: its header lacks {', '.join(absent)}")


def _whole_numbers(fields: dict[str, str], name: str, count: int) -> list[int]:
    """The positive integers of a field, `count` of them.

    Raises:
        VolumeError: It holds anything else.
    """
    words = fields[name].split()
    plain = all(word.isascii() and word.isdigit() and len(word) < 16 for word in words)
    values = [int(word) for word in words] if plain else [0]
    if (
        len(values) != count
        or min(values) < 1
        or (name in ("dimension", "NDims") and values[0] > 5)
    ):
        raise VolumeError(f"damaged: its header says {name} = {fields[name]}")
    return values
