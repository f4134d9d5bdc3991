"""Where the slices of a derived series lie: as the source says, or as the affine says."""

import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.decimals import DS_LENGTH, coordinates
from i2igalip_cli.volumes.dicom.header import DicomHeader
from i2igalip_cli.volumes.dicom.kept import keep, text
from i2igalip_cli.volumes.grid import MAX_SHEAR_DEGREES, shear_degrees
from i2igalip_cli.volumes.volume import Volume

_MOVED_MM = 0.01  # an affine that differs more from the source's places was changed on purpose
_PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
_EXTRAS = ("SpacingBetweenSlices", "SliceLocation")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
Matrix = npt.NDArray[np.float64]


def along_normal(volume: Volume) -> Volume:
    """The same voxels at the same places, with slices that run along their normal.

    Rows' direction cross columns' direction is the normal; a left-handed grid has its slices
    turned round, data and affine together.
    """
    if np.linalg.det(volume.affine[:3, :3]) > 0:
        return volume
    turned = np.array(volume.affine)
    turned[:3, 3] += turned[:3, 2] * (volume.shape[2] - 1)
    turned[:3, 2] *= -1
    header = volume.header
    if isinstance(header, DicomHeader):
        header = replace(header, datasets=header.datasets[::-1], frames=header.frames[::-1])
    return replace(volume, array=volume.array[:, :, ::-1], affine=turned, header=header)


def as_viewed(volume: Volume) -> Volume:
    """The same voxels at the same places, with rows and columns as radiologists see them.

    Of a volume that is no DICOM, the third axis stays that of the slices, but for its sense; rows
    run to the patient's left (sagittal: posterior), columns to posterior (coronal and sagittal:
    inferior).
    """
    normal = nib.aff2axcodes(volume.affine)[2]
    codes = {"S": "LPS", "I": "LPS", "A": "LIP", "P": "LIP", "L": "PIR", "R": "PIR"}[normal]
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(volume.affine), nib.orientations.axcodes2ornt(codes)
    )
    array = nib.orientations.apply_orientation(volume.array, turn)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
    return replace(volume, array=array, affine=affine)


def numbers_of(volume: Volume) -> range:
    """InstanceNumbers of slices along their normal, from 1, or backwards as in their source."""
    count = volume.shape[2]
    if isinstance(volume.header, DicomHeader):
        ends = [text(volume.header.datasets[k], "InstanceNumber") for k in (0, -1)]
        if all(end.isdecimal() for end in ends) and int(ends[0]) > int(ends[1]):
            return range(count, 0, -1)
    return range(1, count + 1)


def slice_planes(volume: Volume) -> list[Dataset]:
    """The Image Plane elements (PS3.3 C.7.6.2) of every slice.

    They are the source slices' own, to the last digit, where the volume still lies on them.

    Args:
        volume: Slices run along the normal.

    Raises:
        VolumeError: The grid is sheared by more than half a degree.
    """
    if isinstance(volume.header, DicomHeader) and lies_on_source(volume, volume.header):
        return [_copied(source) for source in volume.header.datasets]
    return _computed(volume)


def lies_on_source(volume: Volume, header: DicomHeader) -> bool:
    """Whether every slice of the volume lies where its source slice does."""
    columns, rows, _ = volume.shape
    size = (str(columns), str(rows))
    if not header.regular or any(
        (text(source, "Columns"), text(source, "Rows")) != size for source in header.datasets
    ):
        return False
    last = len(header.datasets) - 1
    return all(_moved_mm(volume, k, header.datasets[k]) <= _MOVED_MM for k in {0, last})


def _moved_mm(volume: Volume, k: int, source: Dataset) -> float:
    """How far, at most, corners of a slice are from where a header puts them; inf if nowhere."""
    position = _numbers(source, "ImagePositionPatient", 3)
    orientation = _numbers(source, "ImageOrientationPatient", 6)
    spacing = _numbers(source, "PixelSpacing", 2)  # between rows, between columns
    if position is None or orientation is None or spacing is None:
        return math.inf
    affine = _RAS_TO_LPS @ volume.affine
    columns, rows, _ = volume.shape
    moved = []
    for i, j in ((0, 0), (columns - 1, 0), (0, rows - 1)):
        place = position + i * spacing[1] * orientation[:3] + j * spacing[0] * orientation[3:]
        moved.append(np.linalg.norm((affine @ (i, j, k, 1))[:3] - place))
    return float(max(moved))


def _numbers(source: Dataset, keyword: str, count: int) -> Matrix | None:
    values = text(source, keyword).split("\\")
    try:
        return np.array(values, dtype=np.float64) if len(values) == count else None
    except ValueError:  # pydicom hands on a decimal string that is none
        return None


def _copied(source: Dataset) -> Dataset:
    plane = keep(source, (*_PLANE, *_EXTRAS))
    for element in plane:
        if any(len(string) > DS_LENGTH for string in text(plane, element.keyword).split("\\")):
            numbers = _numbers(plane, element.keyword, element.VM)
            element.value = None if numbers is None else coordinates(numbers)
    if "SliceThickness" not in plane:
        plane.SliceThickness = None
    return plane


def _computed(volume: Volume) -> list[Dataset]:
    cosines, spacing, origin = _orthonormal(volume)
    common = Dataset()
    common.ImageOrientationPatient = coordinates([*cosines[:, 0], *cosines[:, 1]])
    common.PixelSpacing = coordinates([spacing[1], spacing[0]])  # between rows, between columns
    common.SliceThickness = common.SpacingBetweenSlices = coordinates([spacing[2]])[0]
    planes = []
    for k in range(volume.shape[2]):
        plane = Dataset()
        plane.update(common)
        plane.ImagePositionPatient = coordinates(origin + k * spacing[2] * cosines[:, 2])
        planes.append(plane)
    return planes


def _orthonormal(volume: Volume) -> tuple[Matrix, Matrix, Matrix]:
    """Directions (3, 3) in columns, spacing (3) in mm and the first voxel's place, all LPS.

    Rounded directions are mended by the nearest rotation (polar decomposition), about the
    volume's centre.

    Raises:
        VolumeError: The grid is sheared by more than half a degree.
    """
    affine = _RAS_TO_LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    shear = shear_degrees(affine)
    if shear > MAX_SHEAR_DEGREES:
        raise VolumeError(
            f"its grid is sheared by {shear:.2f} degrees, and DICOM slices are rectangles stacked "
            f"along their normal; resample it to an orthogonal grid, or write NIfTI"
        )
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    cosines = left @ right
    centre = (np.array(volume.shape) - 1) / 2
    origin = (affine @ (*centre, 1))[:3] - cosines @ (spacing * centre)
    return cosines, spacing, origin
