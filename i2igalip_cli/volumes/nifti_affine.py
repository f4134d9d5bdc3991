"""Where a NIfTI file's voxels lie: which of its transforms counts, in millimetres.

The rules are those of nifti1.h: the sform if its code is set, else the qform, else the size of the
voxels alone.
"""

import math

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.checks import check_affine
from i2igalip_cli.volumes.nifti_header import NiftiHeader

CONFLICT_MM = 0.1  # corners that sform and qform place farther apart are worth a warning
QUATERNION_ROUNDING = 1e-4  # a quaternion longer than 1 by less was rounded, not damaged

_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # metre and micron; 2 is millimetre, 0 says nothing
_UNIT_NAMES = {1: "metres", 3: "micrometres"}

Affine = npt.NDArray[np.float64]


def find_affine(header: NiftiHeader) -> tuple[Affine, tuple[str, ...]]:
    """Voxel indices to RAS+ millimetres: the sform if its code is set, else the qform.

    Where neither is set, only the voxels' size is known; nibabel's convention then centres the
    volume and lets the first axis run to the left.

    Args:
        header: A checked header.

    Returns:
        (4, 4) float64, and warnings about what was chosen.

    Raises:
        VolumeError: Without the file's name: the transform that counts is invalid.
    """
    fields, warnings = header.fields, []
    unit = int(fields["xyzt_units"]) & 7
    to_mm = np.diag([*[_MM_PER_UNIT.get(unit, 1.0)] * 3, 1.0])
    has_sform, has_qform = int(fields["sform_code"]) > 0, int(fields["qform_code"]) > 0
    if has_sform:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are judged next
            sform = to_mm @ fields.get_sform()
        affine = check_affine(sform, "sform")
        if has_qform:
            warnings += _compare_with_qform(affine, header, to_mm)
    elif has_qform:
        affine = _find_qform(fields, to_mm)
    else:
        _check_pixdim(fields)
        affine = check_affine(to_mm @ fields.get_base_affine(), "voxel size")
        warnings.append(
            "sform and qform are both unset: left and right are unknown, the first axis is taken "
            "to run to the left"
        )
    if unit in _MM_PER_UNIT:
        warnings.append(f"its unit is {_UNIT_NAMES[unit]}; they are converted to millimetres")
    elif unit not in (0, 2):
        warnings.append(f"its unit {unit} is none of the standard's; millimetres are assumed")
    return affine, tuple(warnings)


def _find_qform(fields: nib.Nifti1Header, to_mm: Affine) -> Affine:
    _check_pixdim(fields)
    fields = fields.copy()
    if fields["pixdim"][0] == 0:
        fields["pixdim"][0] = 1  # as the standard has it
    names = ("quatern_b", "quatern_c", "quatern_d")
    length = math.hypot(*(float(fields[name]) for name in names))
    if 1 < length < 1 + QUATERNION_ROUNDING:
        for name in names:
            fields[name] /= length
    try:
        with np.errstate(all="ignore"):
            return check_affine(to_mm @ fields.get_qform(), "qform")
    except (ValueError, HeaderDataError) as error:
        values = [float(fields[name]) for name in names]
        raise VolumeError(
            f"its qform is invalid: quaternion {values}, qfac {float(fields['pixdim'][0])}; "
            f"mend the header"
        ) from error


def _check_pixdim(fields: nib.Nifti1Header) -> None:
    pixdim = [float(mm) for mm in fields["pixdim"][1:4]]
    if not all(0 < mm < math.inf for mm in pixdim):
        raise VolumeError(f"its voxels have the size pixdim = {pixdim}; mend the header")


def _compare_with_qform(sform: Affine, header: NiftiHeader, to_mm: Affine) -> list[str]:
    try:
        qform = _find_qform(header.fields, to_mm)
    except VolumeError as error:
        return [f"{error} (its sform is used)"]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in header.shape[:3]])).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])  # (4, 8)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    if apart <= CONFLICT_MM:
        return []
    return [f"sform and qform place its corners up to {apart:.3g} mm apart; sform is used"]
