"""Where in a volume a translation is doubtful: the map, and its file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from i2igalip_cli.engine.laying import LaidVolume
from i2igalip_cli.errors import VolumeError, os_reason
from i2igalip_cli.volumes import Volume, list_volumes, save_volume, volume_suffix
from i2igalip_cli.volumes.volume import Array

MAP_SUFFIX = ".nii.gz"
_KIND = "(map of doubt)"  # in the derivation: what tells a map from a translation


def deviation_of_planes(results: Sequence[Array]) -> Array:
    """Mean distance of the planes' results from their median, voxel by voxel.

    Args:
        results: Two or three of (I, J, K) in [0, 1].

    Returns:
        (I, J, K) in [0, 1]; of two results half of their distance.
    """
    out: Array = np.empty(results[0].shape, np.float32, order="F")
    for k in range(out.shape[2]):  # a layer at a time, for memory
        layers = np.stack([result[:, :, k] for result in results])  # (P, I, J)
        out[:, :, k] = np.abs(layers - np.median(layers, axis=0)).mean(axis=0)
    return out


def join_maps(deviations: Sequence[Array], laid: LaidVolume) -> Array:
    """The mean of voxel-wise deviations on the source's grid.

    Args:
        deviations: At least one, (I, J, K) of the box, of the range.
        laid: Knows the box and both grids.

    Returns:
        (I, J, K) of the source, of the range; 0 outside of the box.
    """
    whole: Array = np.zeros(laid.straight.shape, np.float32, order="F")
    for deviation in deviations:
        whole[laid.box] += deviation
    whole /= np.float32(len(deviations))
    return laid.put_back(whole)


def map_name(name: str) -> str:
    """Name of the map beside an output: a compressed NIfTI file, whatever the output is."""
    return f"{name.removesuffix(volume_suffix(Path(name)) or '')}_qc{MAP_SUFFIX}"


def save_map(result: Volume, map: Array, path: Path, *, overwrite: bool = False) -> None:
    """Write a map with the geometry and the derivation of the translation that it is of.

    Args:
        result: The translation; its mark keeps the map from being taken for a measured image.
        map: (I, J, K) on the same grid, of the range.
        path: A .nii.gz file.
        overwrite: Replace an existing one.

    Raises:
        VolumeError: It exists, or can't be written.
    """
    made = result.derivation
    volume = replace(
        result.with_array(map),
        modality=None,
        stored_dtype=np.dtype(np.float32),
        derivation=None if made is None else replace(made, target=f"{made.target} {_KIND}"),
    )
    save_volume(volume, path, dtype="float32", overwrite=overwrite)


def remove_map(path: Path, *, sidecar: bool = False) -> None:
    """Remove the map of an output that gives way; a file that is no map of ours stays.

    Args:
        path: Where the map would lie.
        sidecar: Whether a .json beside it goes with it, as in BIDS.

    Raises:
        VolumeError: It can't be removed.
    """
    if not _is_map(path):
        return
    beside = path.with_name(f"{path.name.removesuffix(MAP_SUFFIX)}.json")
    try:
        path.unlink()
        if sidecar:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise VolumeError(f"can't remove {path}: {os_reason(error)}; remove it yourself") from error


def _is_map(path: Path) -> bool:
    """Whether a file says of itself that it is a map that `save_map` wrote."""
    if not path.is_file():
        return False
    try:
        synthetic = any(entry.synthetic for entry in list_volumes(path))
    except VolumeError:  # none that can be read
        return False
    if not synthetic:
        return False
    *_, last = nib.load(path).header.extensions  # those before it are the source's
    return _KIND in str(last.get_content())
