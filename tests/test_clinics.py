"""The made clinics: laid as the archives lay theirs, truthful, and each fault is what it says."""

import gzip
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import clinics
import nibabel as nib
import numpy as np
import pytest
from clinics import (
    ATLAS_CONTRASTS,
    IXI_CONTRASTS,
    crop_field,
    cut_short,
    drop,
    exchange_subject,
    find_scan,
    flip_left_right,
    list_scans,
    make_gold_atlas,
    make_ixi,
    repeat_scan,
    swap_labels,
    thin_out,
    turn_upside_down,
    wrong_spacing,
)
from scipy import ndimage

from i2igalip_cli.config import PrepareConfig
from i2igalip_cli.engine.prepare import plan

PEOPLE = 4
FAULTS = {
    "swap_labels": lambda folder, name: swap_labels(folder, name),
    "flip_left_right": lambda folder, name: flip_left_right(find_scan(folder, name, "T1")),
    "turn_upside_down": lambda folder, name: turn_upside_down(find_scan(folder, name, "T2")),
    "repeat_scan": lambda folder, name: repeat_scan(
        find_scan(folder, name, "T1"), find_scan(folder, name + "-again", "T1")
    ),
    "exchange_subject": lambda folder, name: exchange_subject(find_scan(folder, name, "T2")),
    "drop": lambda folder, name: drop(find_scan(folder, name, "T2")),
    "cut_short": lambda folder, name: cut_short(find_scan(folder, name, "T1")),
    "thin_out": lambda folder, name: thin_out(folder, "T2", kept=1),
    "crop_field": lambda folder, name: crop_field(folder, "T1"),
    "wrong_spacing": lambda folder, name: wrong_spacing(find_scan(folder, name, "T1"), 0.1),
}


@pytest.fixture(scope="module")
def ixi(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("ixi")
    return folder, make_ixi(folder, PEOPLE)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("atlas")
    return folder, make_gold_atlas(folder, 3)


@pytest.fixture(params=["ixi", "atlas"])
def clinic(request, tmp_path) -> tuple[Path, list[str]]:
    """A copy of either folder, to spoil."""
    folder, names = request.getfixturevalue(request.param)
    shutil.copytree(folder, tmp_path / "raw")
    return tmp_path / "raw", names


@pytest.fixture
def spoilt(ixi, tmp_path) -> tuple[Path, list[str]]:
    shutil.copytree(ixi[0], tmp_path / "raw")
    return tmp_path / "raw", ixi[1]


def contents(folder: Path) -> dict[Path, int]:
    return {path: zlib.crc32(path.read_bytes()) for path in list_scans(folder)}


def canonical(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Array along R, A, S and its affine."""
    image = nib.as_closest_canonical(nib.load(path))
    return image.get_fdata(), image.affine


def middle_mm(path: Path) -> np.ndarray:
    """Where the middle of what is bright lies in the patient."""
    array, affine = canonical(path)
    return nib.affines.apply_affine(affine, ndimage.center_of_mass(array > array.mean()))


def overlay(moving: Path, fixed: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two volumes on the grid of the second, by their affines."""
    target, onto = canonical(fixed)
    source, affine = canonical(moving)
    to_source = np.linalg.inv(affine) @ onto
    return ndimage.affine_transform(
        source, to_source, output_shape=target.shape, order=1, cval=source.min()
    ), target


def test_ixi_is_found_as_ixi_is(ixi) -> None:
    folder, names = ixi
    planned = plan(folder, PrepareConfig(preset="ixi", split=(2, 1, 1)))
    assert Counter(one.domain for one in planned.volumes) == dict.fromkeys(IXI_CONTRASTS, PEOPLE)
    assert {one.subject for one in planned.volumes} == {name.split("-")[0] for name in names}
    assert {one.site for one in planned.volumes} == {"Guys", "HH", "IOP"}
    assert Counter(planned.split_of.values()) == {"train": 2, "val": 1, "test": 1}
    assert not planned.found.left_out


def test_contrasts_of_a_head_have_grids_of_their_own(ixi) -> None:
    folder, names = ixi
    for name in names:
        images = [nib.load(find_scan(folder, name, contrast)) for contrast in IXI_CONTRASTS]
        assert ["".join(nib.aff2axcodes(i.affine)) for i in images] == ["PSR", "LPS", "LPS"]
        assert len({image.shape for image in images}) == 3
        assert len({str(image.affine.round(3)) for image in images}) == 3
        for image in images:
            array = np.asarray(image.dataobj)
            assert array.dtype == np.int16
            shell = array.copy()
            shell[1:-1, 1:-1, 1:-1] = 0
            assert not shell.any(), "a head that leaves the field"


def test_heads_move_a_little_between_contrasts(ixi) -> None:
    folder, names = ixi
    moved = [
        np.linalg.norm(np.subtract(*(middle_mm(find_scan(folder, n, c)) for c in ("T1", "T2"))))
        for n in names
    ]
    assert min(moved) > 0.2 and max(moved) < 12
    for name in names:
        t1, pd = overlay(*(find_scan(folder, name, c) for c in ("T1", "PD")))
        overlap = 2 * ((t1 > 0) & (pd > 0)).sum() / ((t1 > 0).sum() + (pd > 0).sum())
        assert 0.85 < overlap < 0.99


def test_the_gold_atlas_is_found_as_it_is(atlas) -> None:
    folder, names = atlas
    planned = plan(folder, PrepareConfig(preset="gold-atlas", split=(1, 1, 1)))
    assert Counter(one.domain for one in planned.volumes) == {"pelvic-MR": 3, "pelvic-CT": 3}
    assert {one.subject for one in planned.volumes} == set(names)
    assert [one.site for one in planned.volumes if one.domain == "pelvic-CT"] == ["1", "2", "3"]


def test_ct_and_mr_show_one_body(atlas) -> None:
    folder, names = atlas
    for name in names:
        ct, t1 = overlay(find_scan(folder, name, "CT"), find_scan(folder, name, "T1"))
        _, t2 = overlay(find_scan(folder, name, "CT"), find_scan(folder, name, "T2"))
        body, skin = ndimage.binary_fill_holes(ct > -500), t1 > 0.2 * t1.max()
        filled = ndimage.binary_fill_holes(skin)
        assert 2 * (body & filled).sum() / (body.sum() + filled.sum()) > 0.97
        # Fat is the brightest in T1, cortex dark in both, and urine the brightest in T2.
        assert np.median(t1[(ct > -130) & (ct < -70)]) > 1.5 * np.median(t1[(ct > 30) & (ct < 80)])
        assert np.median(t1[ct > 700]) < np.median(t1[(ct > 30) & (ct < 80)])
        brightest = ct[t2 > 0.8 * np.percentile(t2, 99.9)]
        assert -30 < np.median(brightest) < 30


def test_ct_is_in_hounsfield_units(atlas) -> None:
    folder, names = atlas
    for name in names:
        image = nib.load(find_scan(folder, name, "CT"))
        array = np.asarray(image.dataobj)
        assert array.dtype == np.int16
        assert np.median(array[0]) == pytest.approx(-1000, abs=15)
        assert array.min() >= -1024 and 700 < array.max() < 1500
        inside = array[array > -200]
        fat, muscle = inside[inside < -40], inside[(inside > 0) & (inside < 110)]
        assert np.median(fat) == pytest.approx(-100, abs=25)
        assert np.median(muscle) == pytest.approx(55, abs=20)


def test_left_and_right_of_a_pelvis_tell_apart(atlas) -> None:
    folder, names = atlas
    for name in names:
        array, affine = canonical(find_scan(folder, name, "CT"))
        slices = [ndimage.binary_fill_holes(one > -500) for one in np.moveaxis(array, 2, 0)]
        body = np.stack(slices, axis=2)
        inside = ndimage.binary_erosion(body, np.ones((3, 3, 1)), iterations=3)
        gas = inside & (array < -400)
        x, _, z = nib.affines.apply_affine(affine, np.argwhere(gas)).T
        assert np.median(x[z > 55]) > 40, "gas of the caecum lies on the right"


def test_the_pelvis_example_runs(tmp_path) -> None:
    command = [sys.executable, clinics.EXAMPLES / "simulate_pelvis.py", tmp_path / "raw"]
    options = ["--subjects", "2", "--spacing", "12", "--seed", "5"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    names = make_gold_atlas(tmp_path / "again", 2, spacing_mm=12, seed=5)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted(names)
    for name in names:
        for contrast in ATLAS_CONTRASTS:
            one, other = (
                nib.load(find_scan(tmp_path / where, name, contrast)) for where in ("raw", "again")
            )
            assert one.header.get_zooms() == (12, 12, 12)
            np.testing.assert_array_equal(one.get_fdata(), other.get_fdata())


def test_people_differ_and_seeds_repeat(tmp_path) -> None:
    for make, contrasts in ((make_ixi, IXI_CONTRASTS), (make_gold_atlas, ATLAS_CONTRASTS)):
        names = make(tmp_path / "one", 2)
        clinics._person.cache_clear()
        make(tmp_path / "other", 2)
        for contrast in contrasts:
            first, second = (find_scan(tmp_path / "one", n, contrast) for n in names)
            again = find_scan(tmp_path / "other", names[0], contrast)
            one, two, same = (nib.load(path) for path in (first, second, again))
            np.testing.assert_array_equal(one.get_fdata(), same.get_fdata())
            np.testing.assert_array_equal(one.affine, same.affine)
            assert np.corrcoef(one.get_fdata().ravel(), two.get_fdata().ravel())[0, 1] < 0.98


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_what_it_says_and_nothing_else(clinic, fault) -> None:
    folder, names = clinic
    before = contents(folder)
    spoiled = FAULTS[fault](folder, names[1])
    after = contents(folder)
    changed = {path for path in before | after if before.get(path) != after.get(path)}
    assert changed == set(spoiled) and spoiled


def test_swapped_labels_are_undone_by_swapping(spoilt) -> None:
    folder, names = spoilt
    before = contents(folder)
    first, second = swap_labels(folder, names[0])
    assert contents(folder)[first] == before[second]
    swap_labels(folder, names[0])
    assert contents(folder) == before


@pytest.mark.parametrize("fault,axis", [(flip_left_right, 0), (turn_upside_down, 2)])
@pytest.mark.parametrize("contrast", IXI_CONTRASTS)
def test_mirrored_along_an_axis_of_the_patient(spoilt, fault, axis, contrast) -> None:
    path = find_scan(spoilt[0], spoilt[1][0], contrast)
    array, affine = canonical(path)
    assert fault(path) == [path]
    mirrored, same = canonical(path)
    np.testing.assert_array_equal(np.flip(mirrored, axis), array)
    np.testing.assert_array_equal(same, affine)


def test_a_repeated_scan_has_other_bytes_and_nearly_the_same_values(clinic) -> None:
    folder, names = clinic
    source, target = find_scan(folder, names[0], "T1"), find_scan(folder, names[2], "T1")
    repeat_scan(source, target)
    one, other = nib.load(source), nib.load(target)
    assert gzip.decompress(source.read_bytes()) != gzip.decompress(target.read_bytes())
    assert one.get_data_dtype() != other.get_data_dtype()
    assert other.dataobj.slope != 1
    assert not np.array_equal(one.get_fdata(), other.get_fdata())
    np.testing.assert_allclose(other.get_fdata(), one.get_fdata(), atol=0.1)
    np.testing.assert_array_equal(one.affine, other.affine)


def test_an_exchanged_scan_is_of_nobody_here(spoilt) -> None:
    folder, names = spoilt
    path = find_scan(folder, names[0], "T2")
    exchange_subject(path)
    stranger, spacing = nib.load(path).get_fdata(), nib.load(path).header.get_zooms()
    assert spacing == pytest.approx((4, 4, 4))
    for name in names[1:]:
        assert not np.array_equal(stranger, nib.load(find_scan(folder, name, "T2")).get_fdata())


def test_a_file_cut_short_can_not_be_read(spoilt) -> None:
    folder, names = spoilt
    (path,) = cut_short(find_scan(folder, names[0], "PD"))
    with pytest.raises((EOFError, OSError, zlib.error)):
        nib.load(path).get_fdata()


def test_few_are_left_of_a_thinned_contrast(spoilt) -> None:
    folder, _ = spoilt
    thin_out(folder, "T2", kept=2)
    counts = [len(list_scans(folder, contrast)) for contrast in IXI_CONTRASTS]
    assert counts == [PEOPLE, 2, PEOPLE]


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_a_cropped_field_keeps_the_upper_half_in_place(spoilt, contrast) -> None:
    folder, names = spoilt
    path = find_scan(folder, names[0], contrast)
    array, affine = canonical(path)
    crop_field(folder, contrast)
    upper, moved = canonical(path)
    dropped = array.shape[2] - upper.shape[2]
    assert upper.shape[2] == round(array.shape[2] / 2)
    np.testing.assert_array_equal(upper, array[:, :, dropped:])
    np.testing.assert_allclose(moved @ [0, 0, 0, 1], affine @ [0, 0, dropped, 1], atol=1e-4)


@pytest.mark.parametrize("factor", [0.1, 2.0])
def test_a_wrong_spacing_stands_in_the_header_alone(spoilt, factor) -> None:
    path = find_scan(spoilt[0], spoilt[1][0], "T1")
    before = nib.load(path).get_fdata()
    wrong_spacing(path, factor)
    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(), before)
    assert image.header.get_zooms() == pytest.approx([4 * factor] * 3)
    assert image.header["pixdim"][1:4] == pytest.approx([4 * factor] * 3)
