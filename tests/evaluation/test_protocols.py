"""Protocols: `paper` and `fixed` on MR, what all share, and hashes that differ with the rules."""

import hashlib
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import OBLIQUE
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from threadpoolctl import threadpool_info, threadpool_limits

from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.errors import EvaluationError, VolumeError
from i2igalip_cli.evaluation.protocols import PROTOCOLS, Case, ProtocolScores, ProtocolSettings
from i2igalip_cli.volumes import Volume

RAS = np.diag([1.0, 0.9, 3.0, 1.0])
CT = ProtocolSettings(modality="CT")


def array(seed: int = 0, shape=(16, 18, 5)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def case(prediction, reference, mask=None, affine=RAS, **labels) -> Case:
    ours, theirs = (Volume(array=a, affine=affine) for a in (prediction, reference))
    return Case(prediction=ours, reference=theirs, mask=mask, **labels)


def score(name: str, *arrays, settings=None, **more) -> ProtocolScores:
    one = case(*arrays, **more)
    settings = replace(settings or ProtocolSettings(), masked=one.mask is not None)
    return PROTOCOLS[name](settings).score(one)


def settings_for(name: str) -> ProtocolSettings:
    return CT if name.startswith("synthrad") else ProtocolSettings()


def made_for(name: str, seed: int) -> np.ndarray:
    made = array(seed, (24, 25, 8))
    return 400 * made - 100 if name.startswith("synthrad") else made


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_protocol_changes_nothing_and_says_the_best_of_a_copy(name, masked) -> None:
    prediction, reference = made_for(name, 1), made_for(name, 2)
    before = prediction.copy(), reference.copy()
    mask = np.ones(reference.shape, bool) if masked else None
    got = score(name, prediction, reference, mask, settings=settings_for(name))
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(reference, before[1])
    same = score(name, reference, reference, mask, settings=settings_for(name))
    best = {"psnr": math.inf, "ssim": 100, "ms_ssim": 100, "mae": 0, "nmse": 0, "mean_error": 0}
    best["ms_ssim_synthrad2025"] = 1
    for one, other in zip(same.scores, got.scores, strict=True):
        assert one.measure == other.measure
        name_ = one.measure.name
        if name_ in best and one.value is not None:
            expected = best[name_] / (100 if one.measure.unit == "" and name_ == "ssim" else 1)
            assert one.value == pytest.approx(expected, abs=1e-6)
            assert other.value != pytest.approx(expected, abs=1e-3)
    if name != "multiscale":
        assert same["psnr"] == math.inf


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_number_says_what_it_is_and_all_of_it_is_hashed(name) -> None:
    protocol = PROTOCOLS[name](settings_for(name))
    described = protocol.describe()
    read_back = json.loads(json.dumps(described, allow_nan=False))
    text = json.dumps(read_back, sort_keys=True, separators=(",", ":"))
    assert protocol.hash == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert PROTOCOLS[name](settings_for(name)).hash == protocol.hash
    got = score(name, made_for(name, 1), made_for(name, 2), settings=settings_for(name))
    assert got.hash == protocol.hash
    assert len(set(got.keys())) == len(got.keys())
    for one in got.scores:
        assert described["measures"][one.measure.key] == asdict(one.measure)
        assert one.measure.definition
        assert one.measure.region
    with pytest.raises(KeyError, match="has "):
        got["gamma"]


def test_hashes_differ_where_numbers_do() -> None:
    hashes = [
        PROTOCOLS[name](settings).hash
        for name, settings in (
            *((name, ProtocolSettings()) for name in PROTOCOLS),
            *((name, ProtocolSettings(masked=True)) for name in PROTOCOLS),
            ("fixed", ProtocolSettings(value_range=(0, 1000))),
            ("fixed", ProtocolSettings(value_range=(0, 1200))),
            ("fixed", ProtocolSettings(policy=IntensityPolicy(percentile=99))),
            ("fixed", CT),
            ("fixed", ProtocolSettings(modality="MR")),
            ("multiscale", ProtocolSettings(value_range=(0, 1000))),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    # What a protocol doesn't use makes no other numbers.
    assert PROTOCOLS["paper"](ProtocolSettings(value_range=(0, 9))).hash == hashes[0]
    ranged = ProtocolSettings(value_range=(0, 1000), policy=IntensityPolicy(percentile=99))
    assert PROTOCOLS["fixed"](ranged).hash == hashes[2 * len(PROTOCOLS)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_settings_have_equal_hashes_whatever_types_their_numbers_have(name) -> None:
    hashes = {
        PROTOCOLS[name](ProtocolSettings(value_range=given)).hash
        for given in ((0, 1000), (0.0, 1000.0), (np.int16(0), np.float32(1000)), [0, 1000])
    }
    assert len(hashes) == 1


def test_the_settings_of_a_percentile_are_those_of_its_number() -> None:
    whole = ProtocolSettings(policy=IntensityPolicy(percentile=99))
    assert whole == ProtocolSettings(policy=IntensityPolicy(percentile=99.0))
    hashes = {
        PROTOCOLS["fixed"](ProtocolSettings(policy=IntensityPolicy(percentile=p))).hash
        for p in (99, 99.0, np.int64(99))
    }
    assert hashes == {PROTOCOLS["fixed"](whole).hash}


def test_scoring_takes_one_thread_and_gives_the_others_back() -> None:
    def threads() -> set[int]:
        return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}

    class Asked(PROTOCOLS["paper"]):
        def measure_case(self, case):
            seen.append(threads())
            return super().measure_case(case)

    seen: list[set[int]] = []
    with threadpool_limits(2, "blas"):
        before = threads()
        Asked(ProtocolSettings()).score(case(array(), array(1)))
        assert threads() == before
    assert before == {2}
    assert 1 in seen[0]


@pytest.mark.parametrize("name", ["paper", "fixed"])
@pytest.mark.parametrize("masked", [False, True])
def test_an_infinite_psnr_says_how_many_slices_are_equal(name, masked) -> None:
    prediction, reference = array(1), array(2)
    # The brightest voxels lie outside of the mask, so that both have one scale.
    prediction[0], reference[0] = 5, 5
    prediction[8:, :, 1:3] = reference[8:, :, 1:3]
    mask = np.zeros(reference.shape, bool)
    mask[8:] = True
    got = score(name, prediction, reference, mask if masked else None)
    if masked:
        assert got["psnr"] == math.inf
        assert len(got.warnings) == 1
        assert "2 of 5 slices" in got.warnings[0]
    else:
        assert math.isfinite(got["psnr"])
        assert got.warnings == ()


def test_the_paper_protocol_forgives_a_scale_per_slice_and_the_others_do_not() -> None:
    reference = array()
    scaled = reference * np.array([0.5, 1, 2, 4, 3], np.float32)
    got = score("paper", scaled, reference)
    assert got["psnr"] == math.inf
    assert got["ssim"] == pytest.approx(100)
    assert score("fixed", scaled, reference)["psnr"] < 25
    assert score("multiscale", scaled, reference)["ms_ssim"] < 90


@pytest.mark.parametrize("shape", [(17, 19, 5), (11, 23, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_the_paper_protocol_equals_scikit_image(shape, masked) -> None:
    prediction, reference = array(3, shape), array(4, shape)
    mask = np.random.default_rng(5).random(shape) > 0.5 if masked else None
    psnrs, ssims = [], []
    for k in range(shape[2]):
        ours, theirs = (a[..., k].astype(float) / a[..., k].max() for a in (prediction, reference))
        where = mask[..., k] if masked else np.ones(ours.shape, bool)
        psnrs.append(peak_signal_noise_ratio(theirs[where], ours[where], data_range=1))
        mean, full = structural_similarity(
            ours,
            theirs,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        ssims.append(100 * (full[where].mean() if masked else mean))
    got = score("paper", prediction, reference, mask)
    assert got["psnr"] == pytest.approx(np.mean(psnrs), abs=1e-5)
    assert got["ssim"] == pytest.approx(np.mean(ssims), abs=1e-5)


@pytest.mark.parametrize("name", ["paper", "fixed"])
def test_slices_are_axial_however_a_volume_is_stored(name) -> None:
    prediction, reference = array(1, (17, 19, 12)), array(2, (17, 19, 12))
    straight = score(name, prediction, reference, affine=OBLIQUE)
    turned = score(
        name,
        prediction.transpose(2, 0, 1)[:, ::-1],
        reference.transpose(2, 0, 1)[:, ::-1],
        affine=OBLIQUE[:, [2, 0, 1, 3]] @ np.diag([1.0, -1, 1, 1]),
    )
    for one, other in zip(straight.scores, turned.scores, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-9)


@pytest.mark.parametrize("name", ["paper", "fixed"])
def test_empty_references_are_left_out_and_empty_predictions_count_as_zeros(name) -> None:
    prediction, reference = array(1), array(2)
    reference[..., 0] = 0
    prediction[..., 1] = 0
    got = score(name, prediction, reference)
    assert (got.slices, got.empty) == (4, 1)
    if name == "paper":  # what has nothing above 0 can't be divided by its maximum
        below = prediction.copy()
        below[..., 1] = -5
        assert score(name, below, reference)["psnr"] == got["psnr"]
    alone = score(name, np.zeros_like(reference), reference)
    if name == "paper":
        filled = [reference[..., k] for k in range(1, 5)]
        expected = np.mean([-10 * np.log10(np.mean((r / r.max()) ** 2)) for r in filled])
        assert alone["psnr"] == pytest.approx(expected, rel=1e-5)
    else:
        assert alone["psnr"] < got["psnr"]
        assert alone["nmse"] == 1
        assert alone["mean"] == 0


def test_slices_without_mask_are_left_out() -> None:
    prediction, reference = array(1), array(2)
    mask = np.zeros(reference.shape, bool)
    mask[:, :9, 2:4] = True
    for name in ("paper", "fixed"):
        got = score(name, prediction, reference, mask)
        assert (got.slices, got.empty) == (2, 3)
        assert {one.measure.region for one in got.scores} <= {"mask", "foreground"}


def test_the_fixed_protocol_of_mr_by_hand() -> None:
    rng = np.random.default_rng(6)
    reference = np.zeros((12, 13, 5), np.float32)
    reference[3:10, 2:11, 1:4] = rng.uniform(20, 900, (7, 9, 3))
    prediction = 2 * reference + np.float32(10)  # its own percentile takes the factor away
    got = score("fixed", prediction, reference)

    def unit(image: np.ndarray) -> np.ndarray:
        return np.clip(image / np.percentile(image[image > image.mean()], 99.5), 0, 1)

    ours, theirs = unit(prediction.astype(float)), unit(reference.astype(float))
    inside = theirs > theirs.mean()
    assert got["mae"] == pytest.approx(np.abs(ours - theirs)[inside].mean(), abs=1e-6)
    assert got["nmse"] == pytest.approx(((ours - theirs) ** 2).sum() / (theirs**2).sum(), abs=1e-6)
    assert got["mean"] == pytest.approx(ours[inside].mean(), abs=1e-6)
    assert got["reference_mean"] == pytest.approx(theirs[inside].mean(), abs=1e-6)
    neighbours = (theirs[..., 1] + theirs[..., 3]) / 2
    seen = theirs[..., 2] > 0.1
    expected = np.abs(theirs[..., 2] - neighbours)[seen].mean()
    # Slices 1 and 3 lie beside empty ones: one slice is left.
    assert got["reference_through_plane_jump"] == pytest.approx(expected, abs=1e-6)
    assert "mae[bone]" not in got


def test_a_mask_moves_the_scores() -> None:
    reference = array(5)
    prediction = reference.copy()
    prediction[:9] += 0.2
    mask = np.zeros(reference.shape, bool)
    mask[12:] = True
    got = score("fixed", prediction, reference, mask, settings=ProtocolSettings(value_range=(0, 2)))
    assert got["mae"] == got["nmse"] == 0
    assert got["psnr"] == math.inf


@pytest.mark.parametrize(
    "name", [name for name in PROTOCOLS if name not in ("paper", "multiscale")]
)
def test_label_maps_add_overlap(name) -> None:
    reference = made_for(name, 1)
    labels = np.zeros(reference.shape, np.int16)
    labels[4:12, 5:14, 2:6] = 3
    labels[16:20, 5:14, 2:6] = 8
    predicted = np.where(labels == 8, 0, labels)
    got = score(
        name,
        reference,
        reference,
        settings=settings_for(name),
        labels=labels,
        predicted_labels=predicted,
    )
    assert (got["dice"], got["hd95"]) == (pytest.approx(0.5), math.inf)
    assert (got["dice[label 3]"], got["hd95[label 3]"]) == (pytest.approx(1), 0)
    assert got["dice[label 8]"] == 0


def test_what_cant_be_compared_is_refused() -> None:
    flat, empty = np.ones((16, 18, 5), np.float32), np.zeros((16, 18, 5), bool)
    with pytest.raises(EvaluationError, match="no slice"):
        score("paper", array(), 0 * flat)
    with pytest.raises(EvaluationError, match="no slice"):
        score("paper", array(), array(1), empty)
    with pytest.raises(VolumeError, match="constant"):
        score("fixed", array(), flat)
    with pytest.raises(EvaluationError, match="larger"):
        ProtocolSettings(value_range=(3, 3))
    for ends in ((0, math.inf), (-math.inf, 0), (math.nan, 1), (0, math.nan)):
        with pytest.raises(EvaluationError, match="finite"):
            ProtocolSettings(value_range=ends)
    with pytest.raises(EvaluationError, match="takes no mask"):
        PROTOCOLS["paper"](ProtocolSettings()).score(case(array(), array(1), ~empty))
    with pytest.raises(EvaluationError, match="needs a mask"):
        PROTOCOLS["paper"](ProtocolSettings(masked=True)).score(case(array(), array(1)))
    with pytest.raises(EvaluationError, match=r"prediction has shape \(16, 18, 4\)"):
        case(array(shape=(16, 18, 4)), array())
    with pytest.raises(EvaluationError, match="one label map of two"):
        case(array(), array(1), labels=empty.astype(np.int8))
