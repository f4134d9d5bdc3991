"""What the audit keeps of volumes and their registrations: thumbnails, templates, fits."""

import math
import re
from dataclasses import replace

import clinics
import nibabel as nib
import numpy as np
import pytest
from made_evidence import but, cohort, cube, evidence, shard

from i2igalip_cli.engine.audit import run
from i2igalip_cli.engine.audit.checks.persons import check_persons
from i2igalip_cli.engine.audit.pairs import Couple, Fit, fit_couple, look_closer
from i2igalip_cli.engine.audit.portraits import BODY
from i2igalip_cli.engine.audit.templates import Templates
from i2igalip_cli.engine.audit.thumbnails import PIXELS, make_thumbnail, open_thumbnail
from i2igalip_cli.engine.quality.orientation import SIDE
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import view_slices


def test_a_thumbnail_shows_the_middle_slices() -> None:
    values = np.random.default_rng(1).random((PIXELS,) * 3, np.float32)
    volume = Volume(array=values, affine=np.diag([-2.0, -2.0, 2.0, 1.0]))
    picture = open_thumbnail(make_thumbnail(volume))
    assert picture.shape == (PIXELS, 3 * PIXELS)
    for number, plane in enumerate(("axial", "coronal", "sagittal")):
        middle = view_slices(values, volume.affine, plane)[PIXELS // 2]
        shown = picture[:, number * PIXELS : (number + 1) * PIXELS]
        np.testing.assert_array_equal(shown, np.rint(255 * middle))


def test_a_flat_volume_is_shown_in_its_proportions() -> None:
    volume = Volume(array=np.ones((40, 20, 3), np.float32), affine=np.diag([1.0, 1.0, 5.0, 1.0]))
    picture = open_thumbnail(make_thumbnail(volume))
    axial, *_ = np.split(picture, 3, axis=1)
    rows, columns = (np.flatnonzero(axial.any(axis=1 - axis)) for axis in (0, 1))
    assert sorted((len(rows), len(columns))) == [48, 96]


def test_distances_are_from_the_medians_of_the_other_subjects() -> None:
    portraits = but(cohort("abcd"), "d_T1.nii", cube=np.ones((SIDE,) * 3, np.float16))
    distances = Templates(portraits).measure_distances(portraits)
    others = [one for one in portraits if one.shard.subject != "a"]
    medians = {
        name: np.median([one.cube.astype(float) for one in others if one.domain == name], axis=0)
        for name in ("T1", "T2")
    }
    inside = (medians["T1"] > BODY.threshold) & (medians["T2"] > BODY.threshold)
    own = cube("a", "T1").astype(float)
    for name, median in medians.items():
        expected = np.abs(own - median)[inside].mean()
        assert distances["a_T1.nii"][name] == pytest.approx(expected, abs=1e-3)
    assert Templates(cohort("a")).measure_distances(cohort("a"))["a_T1.nii"] == {}


def test_who_seems_mirrored_is_looked_at_closely_and_nobody_else(tmp_path, monkeypatch) -> None:
    noise = np.random.default_rng(1).random((12, 12, 12)).astype(np.float16)
    shards = []
    for name in "ab":
        for domain in ("T1", "T2"):
            source = f"{name}_{domain}.npy"
            np.save(tmp_path / source, noise)
            place = tuple(np.diag([9.0, 9.0, 9.0, 1.0]).ravel().tolist())
            own = {"source": source, "file": source, "shape": (12, 12, 12), "affine": place}
            shards.append(shard(name, domain, **own))
    index = evidence(cohort("ab")).index
    replace(index, shards=tuple(shards)).write(tmp_path)

    def fit(folder, couple):
        return Fit(couple=couple, own=0.6, mirrored=0.7 if couple.first.subject == "b" else 0.5)

    monkeypatch.setattr(run, "fit_couple", fit)
    monkeypatch.setattr(run, "look_closer", lambda _, fit: replace(fit, closer=(0.8, 0.7)))
    seen = run.gather(tmp_path)
    assert [one.closer for one in seen.fits] == [None, (0.8, 0.7)]
    assert check_persons(seen).findings == ()


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A folder with T1 and T2 of two simulated heads as shards, by (number, contrast)."""
    folder = tmp_path_factory.mktemp("heads")
    subjects = clinics.make_ixi(folder / "raw", 2)
    shards = {}
    for number, subject in enumerate(subjects):
        for contrast in ("T1", "T2"):
            image = nib.load(clinics.find_scan(folder / "raw", subject, contrast))
            values = np.asarray(image.dataobj, float)
            name = f"{number}{contrast}.npy"
            np.save(folder / name, (values / values.max()).astype(np.float16))
            place = tuple(image.affine.ravel().tolist())
            shards[number, contrast] = shard(
                str(number), contrast, file=name, shape=values.shape, affine=place
            )
    return folder, shards


def test_a_couple_fits_better_than_strangers_who_are_no_failure(heads) -> None:
    folder, shards = heads
    couple = Couple(first=shards[0, "T1"], second=shards[0, "T2"], stranger=shards[1, "T2"])
    fit = fit_couple(folder, couple)
    assert (fit.fault, fit.failure) == ("", "")
    assert fit.own > 1.1 * fit.other > 0
    strangers = fit_couple(folder, Couple(first=shards[0, "T1"], second=shards[1, "T2"]))
    assert strangers.failure == "", "so that it can be named"
    assert strangers.own == pytest.approx(fit.other)


def away(moved, by_mm: float):
    affine = np.reshape(moved.affine, (4, 4)).copy()
    affine[0, 3] += by_mm
    return replace(moved, affine=tuple(affine.ravel().tolist()))


def test_fields_that_lie_far_apart_are_a_failed_registration(heads) -> None:
    folder, shards = heads
    fit = fit_couple(folder, Couple(first=shards[0, "T1"], second=away(shards[0, "T2"], 500)))
    assert "don't overlap where the headers place them" in fit.failure
    assert math.isnan(fit.own)


def test_who_fits_far_off_is_no_stranger_and_a_stranger_there_is_one(heads) -> None:
    folder, shards = heads
    own, other = (away(shards[number, "T2"], 130) for number in (0, 1))
    fit = fit_couple(folder, Couple(first=shards[0, "T1"], second=own, stranger=other))
    assert fit.own > 1.1 * fit.other
    assert re.fullmatch(r"the motion found shifts by 13\d mm, above 100", fit.failure)
    assert fit_couple(folder, Couple(first=shards[0, "T1"], second=other)).failure == ""


def test_a_closer_look_tells_a_head_from_its_mirror_image(heads) -> None:
    folder, shards = heads
    couple = Couple(first=shards[0, "T1"], second=shards[0, "T2"])
    own, mirrored = look_closer(folder, Fit(couple=couple)).closer
    assert own > 1.03 * mirrored
    values = np.load(folder / shards[0, "T2"].file)  # stored LPS: left to right is the first axis
    np.save(folder / "flipped.npy", values[::-1])
    flipped = Couple(first=couple.first, second=replace(couple.second, file="flipped.npy"))
    own, mirrored = look_closer(folder, Fit(couple=flipped)).closer
    assert mirrored > 1.03 * own
