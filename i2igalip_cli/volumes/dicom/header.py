"""What a volume read from DICOM remembers of its source."""

from dataclasses import dataclass

from pydicom import Dataset


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomHeader:
    """The source headers behind the slices of a volume.

    The volume's array is (columns, rows, slices): `array[i, j, k]` is column i of row j of slice k,
    and slices run along the normal, rows' direction cross columns' direction.

    Attributes:
        datasets: One a slice, in order of the third axis, without pixel data. Those of an enhanced
            multi-frame image are flattened: functional groups stand at the top level as in a
            single-frame image. A slice that resampling made has its nearest source slice's.
        frames: Number in its file, from 1, of the frame behind each slice; None for single-frame
            images.
        regular: Whether slice k lies exactly where `datasets[k]` says; False after resampling.
    """

    datasets: tuple[Dataset, ...]
    frames: tuple[int | None, ...]
    regular: bool = True
