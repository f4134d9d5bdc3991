"""What is done to a subject's volumes before they are cut, and how it is undone.

In order: padding of CT, bias field, registration onto the reference or reorienting and resampling,
mask. What changes the grid is one rigid motion from the new grid's millimetres to the raw ones,
kept in every shard with the raw grid.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from i2igalip_cli.config import Steps
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.dataset import RawGrid
from i2igalip_cli.engine.prepare.finding import RawVolume
from i2igalip_cli.errors import DatasetError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.preprocess.bias import correct_bias
from i2igalip_cli.volumes.preprocess.masks import find_mask
from i2igalip_cli.volumes.preprocess.registration import register
from i2igalip_cli.volumes.preprocess.reorienting import reorient
from i2igalip_cli.volumes.preprocess.resampling import (
    AIR_HU,
    clear_padding,
    find_air,
    lay_onto,
    resample,
)
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform
from i2igalip_cli.volumes.preprocess.strippers import MASKS


@dataclass(frozen=True, kw_only=True, eq=False)
class Stepped:
    """A volume after all steps.

    Attributes:
        volume: Itself.
        raw: The grid it had, and the motion from the new one to it.
        log: What was done, a line a step.
    """

    volume: Volume
    raw: RawGrid
    log: tuple[str, ...]


def take_steps(
    volume: Volume, domain: Domain, steps: Steps, reference: Volume | None = None
) -> Stepped:
    """Take a volume through the steps that are asked for.

    Args:
        volume: As it was read.
        domain: Of it.
        steps: Which.
        reference: After its own steps; the volume is registered onto it. None for a volume that
            is a reference itself, or where nothing is registered.

    Raises:
        ConfigError: The mask's program isn't on PATH.
        DatasetError: The registration doesn't make the two agree better than they did.
        VolumeError: A volume that a step can't be taken with.
    """
    log: list[str] = []
    motion = RigidTransform.identity()
    made = _clear_padding(replace(volume, modality=domain.modality), log)
    if steps.bias and domain.modality == "MR":
        made, field = correct_bias(made, find_mask(made))
        log.append(f"bias field from {field.min():.2f} to {field.max():.2f} removed")
    if reference is not None:
        found = register(made, reference)
        if not found.kept:
            raise DatasetError(f"not registered: {found.reason}")
        motion = found.transform
        made = lay_onto(made, reference, motion)
        moved = not np.array_equal(motion.matrix, np.eye(4))
        log.append(
            f"registered: mutual information {found.before:.3f} before, {found.after:.3f} after"
            if moved
            else "not moved: it lies on the reference as its header says"
        )
    else:
        made = _regrid(made, steps, log)
    if steps.mask:
        mask = MASKS[steps.mask](made)
        made = replace(made, array=np.where(mask, made.array, np.float32(find_air(made))))
        log.append(f"mask of {mask.mean():.1%} of the voxels by {steps.mask}, air elsewhere")
    raw = RawGrid(
        shape=volume.shape,
        affine=tuple(volume.affine.ravel().tolist()),
        motion=tuple(motion.matrix.ravel().tolist()),
    )
    return Stepped(volume=made, raw=raw, log=tuple(log))


def _clear_padding(volume: Volume, log: list[str]) -> Volume:
    cleared = clear_padding(volume)
    if cleared is not volume:
        share = (volume.array < AIR_HU).mean()
        log.append(f"padding below {AIR_HU:g} HU, {share:.1%} of the voxels, set to it")
    return cleared


def _regrid(volume: Volume, steps: Steps, log: list[str]) -> Volume:
    if steps.reorient:
        volume = reorient(volume, steps.reorient)
        log.append(f"axes turned to {steps.reorient}")
    if steps.spacing_mm:
        volume = resample(volume, cast("tuple[float, float, float]", steps.spacing_mm))
        log.append(f"resampled to {' x '.join(f'{mm:g}' for mm in steps.spacing_mm)} mm")
    return volume


def undo_steps(volume: Volume, raw: RawGrid) -> Volume:
    """Lay a volume on the grid after the steps back onto the raw one.

    Args:
        volume: On the grid after the steps, such as a translation.
        raw: What a shard keeps.
    """
    grid = Volume(array=np.zeros(raw.shape, np.float32), affine=np.reshape(raw.affine, (4, 4)))
    back = RigidTransform(matrix=np.reshape(raw.motion, (4, 4))).inverse
    return lay_onto(volume, grid, back)


def order(volumes: Iterable[RawVolume], register: str) -> list[list[RawVolume]]:
    """Volumes by subject and visit; that of the reference's domain comes first in each.

    Args:
        volumes: All.
        register: Name of the reference's domain; "" for none.
    """
    groups: dict[tuple[str, str], list[RawVolume]] = {}
    for volume in volumes:
        groups.setdefault((volume.subject, volume.session), []).append(volume)
    return [sorted(group, key=lambda one: one.domain != register) for group in groups.values()]
