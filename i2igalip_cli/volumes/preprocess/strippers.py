"""Masks by name: our own of head and body, and those of the brain that other programs have learned.

The programs are no part of this one: they bring networks and weights of their own, are looked for
on PATH, and get a file and give one back. A new one is a row of `PROGRAMS`.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from i2igalip_cli.domains import Modality
from i2igalip_cli.errors import ConfigError, EmptyVolumeError, VolumeError, one_line, os_reason
from i2igalip_cli.volumes import nifti
from i2igalip_cli.volumes.preprocess.masks import Mask, find_mask
from i2igalip_cli.volumes.preprocess.reorienting import reorient
from i2igalip_cli.volumes.volume import Volume

_STANDARD = "RAS"  # axes of what programs get: HD-BET knows heads by the order of their voxels
_SAME_PLACE_MM = 1e-2  # what float32 and quaternions in headers round away
_LONGEST_S = 3600.0  # of a volume: minutes are usual, even without a GPU


@dataclass(frozen=True, kw_only=True)
class Stripper:
    """A program that finds the brain.

    Attributes:
        commands: Names of it; the first on PATH is taken.
        arguments: With {image}, {out} and {mask} for files.
        mask: Name of the file that its mask comes in, beside {out}.
        modalities: What it was made for.
        install: How people get it.
    """

    commands: tuple[str, ...]
    arguments: tuple[str, ...]
    mask: str
    modalities: tuple[Modality, ...]
    install: str


PROGRAMS = {
    # Hoopes et al., "SynthStrip: skull-stripping for any brain image", NeuroImage 260, 2022.
    "synthstrip": Stripper(
        commands=("mri_synthstrip", "synthstrip-docker", "synthstrip-singularity"),
        arguments=("-i", "{image}", "-m", "{mask}"),
        mask="mask.nii.gz",
        modalities=("MR", "CT"),
        install="FreeSurfer from 7.3 on has it, and surfer.nmr.mgh.harvard.edu/docs/synthstrip the "
        "scripts synthstrip-docker and synthstrip-singularity",
    ),
    # Isensee et al., "Automated brain extraction of multisequence MRI using artificial neural
    # networks", Human Brain Mapping 40, 2019. It names the mask after {out}.
    "hd-bet": Stripper(
        commands=("hd-bet",),
        arguments=(
            *("-i", "{image}", "-o", "{out}", "--save_bet_mask", "--no_bet_image"),
            *("-device", "cpu", "--disable_tta"),
        ),
        mask="out_bet.nii.gz",
        modalities=("MR",),
        install="pip install 'hd-bet>=2', in an environment of its own",
    ),
}


def find_program(name: str) -> str:
    """The path of a stripper's program.

    Raises:
        ConfigError: It isn't on PATH.
    """
    stripper = PROGRAMS[name]
    for command in stripper.commands:
        found = shutil.which(command)
        if found:
            return found
    raise ConfigError(
        f"mask = {name}: {' or '.join(stripper.commands)} isn't on PATH; {stripper.install}; or "
        "take the mask otsu"
    )


def strip(volume: Volume, name: str) -> Mask:
    """The brain, as a program finds it.

    Args:
        volume: Of any orientation; taken as MR unless its modality says CT.
        name: Of `PROGRAMS`.

    Returns:
        (I, J, K).

    Raises:
        ConfigError: The program isn't on PATH.
        EmptyVolumeError: It finds no brain.
        VolumeError: It isn't made for this modality, or fails.
    """
    stripper, modality = PROGRAMS[name], volume.modality or "MR"
    if modality not in stripper.modalities:
        raise VolumeError(f"{name} knows {' and '.join(stripper.modalities)} only, not {modality}")
    program = find_program(name)
    standard = reorient(replace(volume, header=None, derivation=None), _STANDARD)
    with tempfile.TemporaryDirectory(prefix="i2igalip-") as folder:
        image, mask = Path(folder, "image.nii.gz"), Path(folder, stripper.mask)
        nifti.write(standard, image, dtype=np.dtype(np.float32))
        places = {"image": image, "out": Path(folder, "out.nii.gz"), "mask": mask}
        _run(name, [program, *(part.format(**places) for part in stripper.arguments)])
        found = _read_mask(name, mask, standard)
    axes = "".join(nib.orientations.aff2axcodes(volume.affine))
    return reorient(found, axes).array > 0


def _run(name: str, command: list[str]) -> None:
    """Run a program to its end.

    Raises:
        VolumeError: It can't be run, takes too long, or fails; with the last line it says.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise VolumeError(f"{name} took longer than {_LONGEST_S:g} s, and was stopped") from error
    except OSError as error:
        raise VolumeError(f"{name} can't be run: {command[0]}: {os_reason(error)}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
        raise VolumeError(f"{name} failed (exit code {done.returncode}): {one_line(said[-1])}")


def _read_mask(name: str, path: Path, like: Volume) -> Volume:
    """A program's mask, 1 within, on the grid of what it got.

    Raises:
        EmptyVolumeError: There is nothing in it.
        VolumeError: There is none, or it lies elsewhere.
    """
    if not path.exists():
        raise VolumeError(f"{name} ended without a mask")
    mask = nifti.read(nifti.list_volumes(path)[0])
    if mask.shape != like.shape or not np.allclose(
        mask.affine, like.affine, rtol=0, atol=_SAME_PLACE_MM
    ):
        raise VolumeError(f"the mask of {name} lies on another grid than the volume")
    within = mask.array > 0
    if not within.any():
        raise EmptyVolumeError(f"{name} found no brain")
    return like.with_array(within.astype(np.float32))


MASKS: dict[str, Callable[[Volume], Mask]] = {
    "otsu": find_mask,
    **{name: partial(strip, name=name) for name in PROGRAMS},
}


def check_mask(name: str) -> None:
    """Refuse a mask that can't be found, before hours are spent.

    Args:
        name: Of `MASKS`.

    Raises:
        ConfigError: There is no such, or its program isn't on PATH.
    """
    if name not in MASKS:
        raise ConfigError(f"mask = {name}: of {', '.join(MASKS)}")
    if name in PROGRAMS:
        find_program(name)
