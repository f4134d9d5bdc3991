"""Axes of a volume in another order and sense: permutation and flips alone, no interpolation."""

from dataclasses import replace

import nibabel as nib

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.volume import Volume

_OPPOSITES = ({"L", "R"}, {"P", "A"}, {"I", "S"})


def reorient(volume: Volume, axes: str = "RAS") -> Volume:
    """A volume whose axes I, J, K run nearest to the directions named.

    Oblique volumes stay oblique: each axis takes the direction that it is nearest to. Every voxel
    keeps its value and its place in the patient.

    Args:
        volume: Of any orientation.
        axes: Where the indices I, J, K grow to: left or right, posterior or anterior, inferior or
            superior, in any order.

    Raises:
        VolumeError: `axes` doesn't name one direction of each pair.
    """
    named = [[letter in pair for letter in axes.upper()].count(True) for pair in _OPPOSITES]
    if len(axes) != 3 or named != [1, 1, 1]:
        raise VolumeError(
            f"axes '{axes}' name no orientation: give one of L and R, of P and A, of I and S, "
            f"such as RAS or LPS"
        )
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(volume.affine),
        nib.orientations.axcodes2ornt(tuple(axes.upper())),
    )
    array = nib.orientations.apply_orientation(volume.array, turn)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
    return replace(volume, array=array, affine=affine)
