"""Volumes as an evaluation takes them: one a path, on the reference's grid."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2igalip_cli.engine.evaluator.grids import bring_to_grid, check_grid, describe_grids
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.protocols import IntArray
from i2igalip_cli.volumes import Volume, choose_entries, list_volumes, load_entry


@dataclass(frozen=True, kw_only=True, eq=False)
class OnGrid:
    """A volume on its reference's grid.

    Attributes:
        volume: With the reference's affine and shape.
        resampled: Whether it had to be brought there.
        warnings: What the user should know of that.
    """

    volume: Volume
    resampled: bool = False
    warnings: tuple[str, ...] = ()


def read_volume(path: Path) -> Volume:
    """Read the one volume of a path.

    Raises:
        EvaluationError: It holds several.
        VolumeError: It can't be read.
    """
    entries = list_volumes(path)
    if entries[0].volume is not None and len(entries) > 1:
        raise EvaluationError(
            f"{path}: {len(entries)} volumes on a fourth axis, and single volumes are compared; "
            "write each into a file of its own"
        )
    usable = [entry for entry in entries if not entry.refusal]
    if len(usable) > 1:
        listed = "; ".join(entry.describe() for entry in usable)
        raise EvaluationError(
            f"{path}: {len(usable)} DICOM series, and single volumes are compared; give the folder "
            f"of one: {listed}"
        )
    return load_entry(usable[0] if usable else choose_entries(entries)[0])


def read_on_grid(
    path: Path, reference: Volume, what: str, *, resample: bool, nearest: bool = False
) -> OnGrid:
    """Read a volume that must lie on its reference's grid.

    Args:
        path: Of the volume.
        reference: Has the grid.
        what: The volume, for messages.
        resample: Bring it there where it doesn't, rather than refuse it.
        nearest: By the nearest voxel, for masks and label maps.

    Raises:
        EvaluationError: It lies elsewhere.
        VolumeError: It can't be read.
    """
    volume = read_volume(path)
    if not resample:
        check_grid(volume, reference, what)
        return OnGrid(volume=volume)
    difference = describe_grids(volume, reference)
    if not difference:
        return OnGrid(volume=volume)
    moved, covered = bring_to_grid(volume, reference, nearest=nearest)
    warnings = [f"the {what} was resampled to the reference's grid: {difference}"]
    if covered < 1:
        warnings.append(
            f"the {what} covers {100 * covered:.1f} % of the reference's voxels; elsewhere it "
            "counts as its minimum"
        )
    return OnGrid(volume=moved, resampled=True, warnings=tuple(warnings))


def as_labels(volume: Volume, what: str) -> IntArray:
    """The label map of a volume, (I, J, K).

    Args:
        volume: Whole numbers.
        what: The volume, for the message.

    Raises:
        EvaluationError: It holds fractions.
    """
    labels = volume.array.astype(np.int32)
    wrong = volume.array[labels != volume.array]
    if wrong.size:
        raise EvaluationError(f"{what}: no label map, it holds fractions such as {wrong[0]:g}")
    return labels
