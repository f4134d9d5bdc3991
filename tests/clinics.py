"""Raw folders of simulated people as archives lay theirs, and faults to plant in them.

People of `make_ixi` moved a little between contrasts, each of which has a grid of its own; those of
`make_gold_atlas` lie still, and CT sees more than MR. Both are the same for the same seed. A fault
changes the files that it returns and nothing else.
"""

import importlib.util
import sys
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

EXAMPLES = Path(__file__).parents[1] / "examples"
SITES = ("Guys", "HH", "IOP")
IXI_CONTRASTS = ("T1", "T2", "PD")
ATLAS_CONTRASTS = ("T1", "T2", "CT")
ANATOMY_MM = 3  # subjects are bent at this spacing, to be quick
NOISE_MM = 2  # voxels that the noise of simulate_brains.py is meant for
FIELD_LEFT = (0.03, 0.10)  # of the receive field, after the scanner's own correction
HEAD_MM = np.array([0.0, -18.0, 6.0])  # about its middle
STRANGER = 999_001  # a seed of nobody's in a made folder
# Field of view of a contrast along R, A and S in mm, and the axes that its array is stored in.
FIELDS = {
    "T1": ((176, 232, 208), "PSR"),
    "T2": ((192, 232, 172), "LPS"),
    "PD": ((184, 224, 180), "LPS"),
}
# Brains are no mirror images of themselves: the right half lies a little further forward (Toga and
# Thompson 2003, Nature Reviews Neuroscience 4), which the symmetric template leaves out.
TORQUE_MM = (1.5, 3.5)
MOVED_MM, TURNED_DEGREES = 3.0, 2.5  # of the head between two contrasts, at most, along each axis


def make_ixi(folder: Path, subjects: int, *, spacing_mm: float = 4.0, seed: int = 0) -> list[str]:
    """Write T1, T2 and PD of simulated heads as IXI lays them.

    Args:
        folder: Gets IXI-T1, IXI-T2 and IXI-PD.
        subjects: How many; the three hospitals by turns.
        spacing_mm: Of the voxels, along all axes.
        seed: Of the first subject; the next ones follow.

    Returns:
        The subjects as files name them, such as "IXI002-Guys-0828".
    """
    names = []
    for number in range(subjects):
        name = f"IXI{2 + 5 * number:03d}-{SITES[number % 3]}-{828 + 37 * number:04d}"
        for contrast in IXI_CONTRASTS:
            path = folder / f"IXI-{contrast}" / f"{name}-{contrast}.nii.gz"
            _write(*_scan_head(seed + number, contrast, spacing_mm), path)
        names.append(name)
    return names


def make_gold_atlas(
    folder: Path, subjects: int, *, spacing_mm: float = 6.0, seed: int = 0
) -> list[str]:
    """Write T1, T2 and CT of simulated pelves as the Gold Atlas lays them.

    Args:
        folder: Gets a folder a subject.
        subjects: How many; the three hospitals by turns.
        spacing_mm: Of the voxels, along all axes.
        seed: Of the first subject; the next ones follow.

    Returns:
        The subjects, such as "1_01_P".
    """
    pelves = _load("simulate_pelvis")
    names = [pelves.name_subject(number) for number in range(subjects)]
    for number, name in enumerate(names):
        pelves.simulate(folder / name, seed + number, spacing_mm)
    return names


def find_scan(folder: Path, subject: str, contrast: str) -> Path:
    """The file of a subject's contrast in a made folder, there or not."""
    if subject.startswith("IXI"):
        return folder / f"IXI-{contrast}" / f"{subject}-{contrast}.nii.gz"
    return folder / subject / f"{contrast}.nii.gz"


def list_scans(folder: Path, contrast: str = "") -> list[Path]:
    """All files of a contrast in a made folder, or of all contrasts."""
    return sorted(folder.rglob(f"*{contrast}.nii.gz"))


# Faults.


def swap_labels(folder: Path, subject: str, one: str = "T1", other: str = "T2") -> list[Path]:
    """Exchange the files of two contrasts of a subject."""
    first, second = find_scan(folder, subject, one), find_scan(folder, subject, other)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    return [first, second]


def flip_left_right(path: Path) -> list[Path]:
    """Mirror the array from left to right, and leave the affine."""
    return _flip(path, "R")


def turn_upside_down(path: Path) -> list[Path]:
    """Mirror the array from top to bottom, and leave the affine."""
    return _flip(path, "S")


def repeat_scan(source: Path, target: Path) -> list[Path]:
    """Save a scan under another name, too, in another type: the bytes differ, values nearly not."""
    image = nib.load(source)
    values = np.asarray(image.dataobj, np.float64)
    copy = nib.Nifti1Image(values, image.affine)
    copy.header.set_xyzt_units("mm")
    copy.header.set_data_dtype(np.uint16)  # nibabel scales to the whole range
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(copy, target)
    return [target]


def scan_again(
    path: Path, seed: int, contrast: str, *, spacing_mm: float = 4.0, time: int = 1
) -> list[Path]:
    """Write a later scan of a made head, in the same pose: only gain, shading and noise differ.

    Args:
        path: Of the new file.
        seed: Of the head; those of `make_ixi` have its own and the next ones.
        contrast: T1, T2 or PD.
        spacing_mm: Of the voxels, along all axes.
        time: Which later scan.
    """
    _write(*_scan_head(seed, contrast, spacing_mm, time), path)
    return [path]


def exchange_subject(path: Path, stranger: int = STRANGER) -> list[Path]:
    """Put the same contrast of somebody who is nowhere else under this one's name.

    Args:
        path: The file; its contrast and spacing are the new one's, too.
        stranger: Seed of the other person.
    """
    contrast = path.name.removesuffix(".nii.gz").rpartition("-")[2]
    spacing_mm = float(nib.load(path).header.get_zooms()[0])
    if path.name.startswith("IXI"):
        _write(*_scan_head(stranger, contrast, spacing_mm), path)
        return [path]
    pelves = _load("simulate_pelvis")
    pelves.write(*pelves.Pelvis(stranger).image(contrast, spacing_mm), path)
    return [path]


def drop(path: Path) -> list[Path]:
    """Remove a file."""
    path.unlink()
    return [path]


def cut_short(path: Path, share: float = 0.6) -> list[Path]:
    """Leave only the first part of a file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return [path]


def thin_out(folder: Path, contrast: str, kept: int = 2) -> list[Path]:
    """Remove all but a few volumes of a contrast."""
    removed = list_scans(folder, contrast)[kept:]
    for path in removed:
        path.unlink()
    return removed


def crop_field(folder: Path, contrast: str, share: float = 0.5) -> list[Path]:
    """Cut all volumes of a contrast to their upper part; the affines follow."""
    paths = list_scans(folder, contrast)
    for path in paths:
        image = nib.load(path)
        axis, upwards = _find_axis(image.affine, "S")
        dropped = image.shape[axis] - round(share * image.shape[axis])
        kept = slice(dropped, None) if upwards else slice(0, image.shape[axis] - dropped)
        place = [slice(None)] * 3
        place[axis] = kept
        nib.save(image.slicer[tuple(place)], path)
    return paths


def wrong_spacing(path: Path, factor: float = 2.0) -> list[Path]:
    """Let the header say voxels of another size, such as 2 or 0.1 times the true one."""
    image = nib.load(path)
    affine = image.affine @ np.diag([factor, factor, factor, 1.0])
    _write(np.asarray(image.dataobj), affine, path)
    return [path]


def _flip(path: Path, direction: str) -> list[Path]:
    image = nib.load(path)
    axis, _ = _find_axis(image.affine, direction)
    _write(np.flip(np.asarray(image.dataobj), axis), image.affine, path)
    return [path]


def _find_axis(affine: np.ndarray, direction: str) -> tuple[int, bool]:
    """The array's axis along R, A or S, and whether it runs that way."""
    orientation = io_orientation(affine)
    axis = int(np.flatnonzero(orientation[:, 0] == "RAS".index(direction))[0])
    return axis, bool(orientation[axis, 1] > 0)


# Heads.


@cache
def _load(name: str, **constants: float) -> ModuleType:
    """A module of the examples of our own, with some of its constants changed."""
    label = f"clinics_{name}"
    spec = importlib.util.spec_from_file_location(label, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses look there
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLES))
    vars(module).update(constants)
    return module


def _brains() -> ModuleType:
    return _load("simulate_brains", SPACING_MM=ANATOMY_MM)


@cache
def _anatomy() -> object:
    return _brains().Anatomy()


@lru_cache(maxsize=40)
def _person(seed: int) -> tuple[object, dict[str, np.ndarray]]:
    """A subject, and its images without noise in all contrasts."""
    subject, draw = _brains().Subject(_anatomy(), seed), _brains().sample_sequence
    truths = {name: subject.truth(draw(name, subject.rng)) for name in IXI_CONTRASTS}
    return subject, truths


def _scan_head(
    seed: int, contrast: str, spacing_mm: float, time: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """One acquisition of a head that has moved since the last: array int16, affine."""
    brains = _brains()
    subject, truths = _person(seed)
    torque_mm = np.random.default_rng([seed, 0]).uniform(*TORQUE_MM)
    rng = np.random.default_rng([seed, 1 + IXI_CONTRASTS.index(contrast)])
    affine, shape = _place_field(*FIELDS[contrast], spacing_mm, rng)
    places = _find_anatomy(affine, shape, torque_mm, rng)
    if time:
        rng = np.random.default_rng([seed, 1 + IXI_CONTRASTS.index(contrast), time])
    voxels = np.moveaxis(apply_affine(np.linalg.inv(subject.affine), places), -1, 0)
    truth = np.maximum(ndimage.map_coordinates(truths[contrast], voxels, order=3), 0)
    brain = ndimage.map_coordinates(subject.brain.astype(np.float32), voxels, order=1) > 0.5
    field = brains.smooth_field(shape, 4, rng)
    field *= rng.uniform(*FIELD_LEFT) / np.abs(field[brain]).max()
    averaged = (NOISE_MM / spacing_mm) ** 1.5  # noise of so many of those voxels
    sigma = averaged * rng.uniform(*brains.NOISE) * truth[brain].mean()
    scan = brains.Scan(field, *(sigma * rng.standard_normal((2, *shape))), brain)
    image = scan.image(truth)
    gain = rng.uniform(400, 2500) / image.max()  # units are arbitrary
    return np.rint(image * gain).astype(np.int16), affine


def _place_field(
    field_mm: tuple[int, int, int], axes: str, spacing_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Affine and shape of a field of view around the head, stored in these axes."""
    shape = np.rint(np.array(field_mm) / spacing_mm).astype(int)
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = HEAD_MM + rng.uniform(-3, 3, 3) - spacing_mm * (shape - 1) / 2
    turned = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    stored = np.empty(3, int)
    stored[turned[:, 0].astype(int)] = shape
    return affine @ inv_ornt_aff(turned, tuple(shape)), tuple(int(side) for side in stored)


def _find_anatomy(
    affine: np.ndarray, shape: tuple[int, ...], torque_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Where in the resting head the voxels of a scan lie, (I, J, K, 3) in mm."""
    angles = np.deg2rad(rng.uniform(-TURNED_DEGREES, TURNED_DEGREES, 3))
    turn = nib.eulerangles.euler2mat(*angles)
    places = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    moved = (places - HEAD_MM + rng.uniform(-MOVED_MM, MOVED_MM, 3)) @ turn.T + HEAD_MM
    moved[..., 1] -= torque_mm * np.tanh(moved[..., 0] / 25)
    return moved


def _write(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    for place in (image.set_qform, image.set_sform):
        place(affine, code=1)
    nib.save(image, path)
