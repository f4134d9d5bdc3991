"""Protocols on CT: SynthRAD's against scikit-image, errors in Hounsfield units by hand."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from test_multiscale import slow_synthrad2025
from test_protocols import RAS, case, score

from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.protocols import PROTOCOLS, ProtocolSettings
from i2igalip_cli.volumes import Volume

CT = ProtocolSettings(modality="CT")


def bodies(shape=(17, 19, 9), seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prediction, reference, mask: beyond the range at some voxels."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 600, shape).astype(np.float32)
    reference[5, 6, 2], reference[7, 7, 2] = 3500, -1500
    prediction = (0.8 * reference + rng.normal(20, 90, shape)).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[3:14, 4:15, 1:-1] = rng.random((11, 11, shape[2] - 2)) > 0.3
    mask[5, 6, 2] = mask[7, 7, 2] = mask[8, 9, shape[2] // 2] = True
    return prediction, reference, mask


def test_synthrad2023_equals_scikit_image() -> None:
    prediction, reference, mask = bodies()
    got = score("synthrad2023", prediction, reference, mask)
    assert got["mae"] == pytest.approx(np.abs(prediction - reference)[mask].mean(), rel=1e-6)
    ours, theirs = (np.clip(a.astype(float), -1024, 3000) for a in (prediction, reference))
    psnr = peak_signal_noise_ratio(theirs[mask], ours[mask], data_range=4024)
    assert got["psnr"] == pytest.approx(psnr, abs=1e-6)
    _, full = structural_similarity(
        np.where(mask, ours, -1024) + 1024,
        np.where(mask, theirs, -1024) + 1024,
        data_range=4024,
        full=True,
    )
    inner = tuple(slice(3, size - 3) for size in mask.shape)
    assert got["ssim"] == pytest.approx(full[inner][mask[inner]].mean(), abs=1e-6)
    assert got["mean"] == pytest.approx(prediction[mask].mean(), rel=1e-5)
    assert (got.slices, got.empty) == (7, 2)


def test_synthrad2025_equals_its_loop() -> None:
    prediction, reference, mask = bodies((17, 19, 5))
    got = score("synthrad2025", prediction, reference, mask)
    blank = [
        np.where(mask, np.clip(a.astype(float), -1024, 3000) + 1024, 0)
        for a in (prediction, reference)
    ]
    expected = slow_synthrad2025(*blank, mask, 4024)
    assert got["ms_ssim_synthrad2025"] == pytest.approx(expected, abs=1e-6)
    # MAE and PSNR are those of 2023.
    before = score("synthrad2023", prediction, reference, mask)
    assert (got["mae"], got["psnr"]) == (before["mae"], before["psnr"])


def phantom() -> np.ndarray:
    """A body of soft tissue (0 HU) with bone (500) and gas (-700) in air, (24, 26, 6)."""
    ct = np.full((24, 26, 6), -1000, np.float32)
    ct[4:20, 5:21] = 0
    ct[6:10, 7:11] = 500
    ct[14:17, 12:16] = -700
    return ct


def test_without_a_mask_the_widened_outline_is_the_region_and_says_so() -> None:
    reference = np.pad(phantom(), ((12, 12), (12, 12), (0, 0)), constant_values=-1000)
    prediction = reference.copy()
    prediction[:5, 24] = 900  # 12 voxels before the body, which is widened by 10
    got = score("synthrad2023", prediction, reference)
    assert got["mae"] == 0
    assert all(one.measure.region == "computed outline" for one in got.scores)
    prediction[7, 24] = 900  # 9 voxels before it
    assert score("synthrad2023", prediction, reference)["mae"] > 0
    assert (
        PROTOCOLS["synthrad2023"](CT).hash
        != PROTOCOLS["synthrad2023"](ProtocolSettings(modality="CT", masked=True)).hash
    )


def test_errors_by_tissue_in_hounsfield_units_by_hand() -> None:
    reference = phantom()
    change = np.select([reference == 500, reference == -700, reference == 0], [-80, 40, 6], 300)
    prediction = (reference + change).astype(np.float32)
    got = score("fixed", prediction, reference, settings=CT)
    errors = {"bone": -80, "air": 40, "soft tissue": 6}
    counts = {"bone": 16, "air": 12, "soft tissue": 16 * 16 - 28}
    for region, error in errors.items():
        assert got[f"mae[{region}]"] == pytest.approx(abs(error), rel=1e-6)
        assert got[f"mean_error[{region}]"] == pytest.approx(error, rel=1e-5)
    levels = {"bone": 500, "air": -700, "soft tissue": 0}
    body = sum(counts[r] * abs(errors[r]) for r in errors) / 256
    # Corners of the body may be rounded by its opening, no more than one voxel each.
    assert got["mae[body]"] == pytest.approx(body, abs=0.5)
    assert got["mean[bone]"] == pytest.approx(420)
    assert all(got[f"reference_mean[{r}]"] == pytest.approx(levels[r]) for r in levels)
    units = {one.measure.key: one.measure.unit for one in got.scores}
    assert units["mae"] == units["mae[bone]"] == "HU"
    assert got.scores[0].measure.data_range == (-1024, 3000)


def test_a_class_that_is_absent_has_no_error() -> None:
    reference = np.where(phantom() == 500, 0, phantom())
    got = score("fixed", reference, reference, settings=CT)
    assert got["mae[bone]"] is None
    assert got["mean[bone]"] is None
    assert got["mae[air]"] == 0


@pytest.mark.parametrize(
    ("settings", "modality", "expected"),
    [
        (ProtocolSettings(), None, False),
        (ProtocolSettings(), "CT", True),
        (ProtocolSettings(modality="MR"), "CT", False),
        (ProtocolSettings(value_range=(-1024, 3000)), None, True),
        (ProtocolSettings(value_range=(0, 3000)), None, False),
        (ProtocolSettings(value_range=(-1, 1)), None, False),
        (ProtocolSettings(value_range=(-160, 240)), None, False),  # a window of abdominal CT
        (ProtocolSettings(value_range=(-160, 240)), "CT", True),
        (ProtocolSettings(value_range=(-5, 900), modality="MR"), None, False),
    ],
)
def test_tissues_are_told_where_the_reference_is_ct(settings, modality, expected) -> None:
    reference = Volume(array=phantom(), affine=RAS, modality=modality)
    one = case(phantom(), phantom())
    one = type(one)(prediction=one.prediction, reference=reference)
    got = PROTOCOLS["fixed"](settings).score(one)
    assert ("mae[bone]" in got) == expected
    if settings.value_range is not None and not expected:
        assert {one.measure.key: one.measure.unit for one in got.scores}["mae"] == ""


def test_the_fixed_protocol_with_a_range_by_hand() -> None:
    reference = np.full((16, 16, 2), -1024, np.float32)
    reference[4:12, 4:12] = 0
    settings = ProtocolSettings(value_range=(-1024, 3000))
    got = score("fixed", reference + 100, reference, reference > -500, settings=settings)
    assert got["psnr"] == pytest.approx(20 * math.log10(4024 / 100), rel=1e-4)
    assert got["mae"] == pytest.approx(100, rel=1e-4)
    assert got["mean"] == pytest.approx(100, abs=1e-3)
    assert got["reference_mean"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["synthrad2023", "synthrad2025"])
def test_what_is_no_ct_is_refused(name) -> None:
    mr = ProtocolSettings(modality="MR")
    with pytest.raises(EvaluationError, match="reference is MR"):
        score(name, phantom(), phantom(), settings=mr)
    with pytest.raises(EvaluationError, match="above -500 HU"):
        score(name, phantom() - 3000, phantom() - 3000)
    with pytest.raises(EvaluationError, match="mask is empty"):
        score(name, phantom(), phantom(), np.zeros(phantom().shape, bool))


@pytest.mark.parametrize("name", ["synthrad2023", "synthrad2025"])
def test_what_neither_says_nor_shows_that_it_is_ct_is_no_ct(name) -> None:
    def run(settings: ProtocolSettings, modality: str | None):
        low = 900 * (phantom() > -900).astype(np.float32)  # air at 0, as MR has it
        volume = Volume(array=low, affine=RAS, modality=modality)
        one = case(low, low)
        return PROTOCOLS[name](settings).score(type(one)(prediction=volume, reference=volume))

    with pytest.raises(EvaluationError, match=r"nothing below 0.*--modality CT"):
        run(ProtocolSettings(), None)
    assert run(CT, None)["mae"] == 0
    assert run(ProtocolSettings(), "CT")["mae"] == 0
