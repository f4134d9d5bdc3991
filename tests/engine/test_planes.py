"""Planes: which a checkpoint allows, how three are fused, what lies outside of the foreground."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import IdentityBackend, head, make_checkpoint

from i2igalip_cli.config import PLANES, CropPolicy
from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.planes import LEVELS, choose_planes, fuse
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import Translator, translate_volume
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.evaluation.metrics import through_plane_jump
from i2igalip_cli.volumes import Volume

ISOTROPIC = np.diag([-2.0, 2.0, 2.0, 1.0])
THREE = dict.fromkeys(PLANES, (2.0, 2.0))


def volume(shape=(22, 26, 19)) -> Volume:
    return Volume(array=head(shape=shape), affine=ISOTROPIC)


def test_a_checkpoint_is_used_in_the_planes_it_was_trained_for() -> None:
    axial, three = make_checkpoint(), make_checkpoint(planes=THREE)
    assert choose_planes(axial, None) == ("axial",)
    assert choose_planes(make_checkpoint(planes={"coronal": (1.0, 1.0)}), None) == ("coronal",)
    assert choose_planes(three, "sagittal") == ("sagittal",)
    assert choose_planes(three, "all") == PLANES
    with pytest.raises(ConfigError, match=r"wasn.t trained for coronal and sagittal .* axial"):
        choose_planes(axial, "all")
    with pytest.raises(ConfigError, match="--planes oblique: one of axial, coronal"):
        TranslationOptions(planes="oblique")


def test_the_median_of_three_is_numpys() -> None:
    parts = np.random.default_rng(0).integers(0, LEVELS + 1, (3, 5, 7, 4)).astype(np.uint16)
    out = np.empty((5, 7, 4), np.float32)
    fuse(list(parts), out)
    np.testing.assert_allclose(out, np.median(parts, axis=0) / LEVELS, rtol=1e-6)


def test_three_planes_of_an_identity_are_the_volume(identity) -> None:
    checkpoint = make_checkpoint(planes=THREE)
    one = translate_volume(volume(), checkpoint, "T2", options=identity)
    three = translate_volume(volume(), checkpoint, "T2", options=replace(identity, planes="all"))
    assert (one.planes, three.planes) == (("axial",), PLANES)
    scale = one.window.high
    np.testing.assert_allclose(three.volume.array / scale, one.volume.array / scale, atol=1e-5)


class JumpingBackend(IdentityBackend):
    """Makes every second slice of a call darker, as a 2-D generator might."""

    def __call__(self, slices, source, target):
        dark = slices.copy()
        dark[::2] *= 0.8
        return dark


def test_three_planes_take_out_the_jumps_of_one(monkeypatch) -> None:
    monkeypatch.setitem(BACKENDS, "jumping", JumpingBackend)
    monkeypatch.setitem(BACKENDS, "identity", IdentityBackend)
    checkpoint = make_checkpoint(planes=THREE)

    def jump(backend: str, planes: str) -> float:
        options = TranslationOptions(backend=backend, planes=planes, batch_size=64)
        result = translate_volume(volume(), checkpoint, "T2", options=options)
        assert result.jump is not None
        return result.jump

    smooth = jump("identity", "axial")
    single, fused = jump("jumping", "axial"), jump("jumping", "all")
    assert single > smooth + 0.05
    assert fused - smooth < 0.7 * (single - smooth)


def test_the_jump_by_hand() -> None:
    slices = np.full((5, 2, 2), 0.5, np.float32)
    slices[2] = 0.8
    slices[:, 0, 0] = 0.05  # too dark to count
    # Slices 1 to 3 have two neighbours: |0.5 - 0.65|, |0.8 - 0.5|, |0.5 - 0.65|.
    assert through_plane_jump(slices) == pytest.approx((0.15 + 0.3 + 0.15) / 3)
    ramp = np.linspace(0.2, 0.9, 6, dtype=np.float32)[:, None, None] * np.ones(
        (6, 3, 3), np.float32
    )
    assert through_plane_jump(ramp) == pytest.approx(0, abs=1e-6)
    assert through_plane_jump(slices[:2]) is None
    slices[0] = 0  # an empty neighbour is no neighbour
    assert through_plane_jump(slices) == pytest.approx((0.3 + 0.15) / 2)


class CountingBackend(IdentityBackend):
    """Remembers the slices that it was given."""

    seen: list[tuple[int, ...]] = []  # noqa: RUF012 (one list for the test)

    def __call__(self, slices, source, target):
        self.seen.append(slices.shape)
        return slices + np.float32(0.25)


@pytest.fixture
def counting(monkeypatch) -> TranslationOptions:
    monkeypatch.setitem(BACKENDS, "counting", CountingBackend)
    monkeypatch.setattr(CountingBackend, "seen", [])
    return TranslationOptions(backend="counting", batch_size=5)


@pytest.mark.parametrize("plane", PLANES)
def test_only_the_foreground_is_translated(counting, plane) -> None:
    array = np.zeros((60, 70, 50), np.float32)
    array[20:40, 30:45, 10:24] = 700
    array[20:40, 30:45, 15] = 0  # an empty slice inside
    source = Volume(array=array, affine=np.eye(4))
    checkpoint = make_checkpoint(crop=CropPolicy(margin_mm=4), planes={plane: (1.0, 1.0)})
    result = translate_volume(source, checkpoint, "T2", options=counting)
    sides = {"axial": (24, 28), "coronal": (22, 28), "sagittal": (22, 24)}[plane]
    assert {shape[2:] for shape in counting_shapes()} == {sides}
    slices = {"axial": 13, "coronal": 15, "sagittal": 20}[plane]
    assert sum(shape[0] for shape in counting_shapes()) == slices
    assert result.empty == {"axial": 50, "coronal": 70, "sagittal": 60}[plane] - slices
    outside = np.ones(array.shape, bool)
    outside[16:44, 26:49, 6:28] = False
    assert not result.volume.array[outside].any()
    np.testing.assert_allclose(result.volume.array[22, 32, 12], 1.25 * 700, rtol=1e-5)


def counting_shapes() -> list[tuple[int, ...]]:
    return CountingBackend.seen


def test_air_of_a_ct_becomes_the_low_end_of_the_window(identity) -> None:
    from i2igalip_cli.domains import DOMAINS

    array = np.full((30, 30, 6), -1000, np.float32)
    array[10:20, 10:20] = 40
    domains = (DOMAINS["pelvic-MR"], DOMAINS["pelvic-CT"], DOMAINS["T1"])
    checkpoint = make_checkpoint(domains=domains, crop=CropPolicy(margin_mm=2))
    source = Volume(array=array, affine=np.eye(4), modality="CT")
    result = translate_volume(source, checkpoint, "pelvic-CT", "pelvic-CT", identity).volume.array
    assert result[0, 0, 0] == -1024
    np.testing.assert_allclose(result[12, 12, 3], 40, atol=1e-3)


def test_targets_share_the_backend_and_differ(checkpoint) -> None:
    first = Translator(checkpoint, "T2")
    second = first.to("pd")
    assert second.backend is first.backend
    one, other = first(volume()), second(volume())
    assert (one.target.name, other.target.name) == ("T2", "PD")
    assert np.abs(one.volume.array - other.volume.array).max() > 1e-3
    alone = translate_volume(volume(), checkpoint, "PD")
    np.testing.assert_array_equal(other.volume.array, alone.volume.array)


class RoughBackend(IdentityBackend):
    """An identity whose reduced arithmetic adds noise of a chosen size."""

    noise = 0.0

    def __init__(self, checkpoint, device, threads, precision, compile) -> None:
        super().__init__()
        self.precision = precision

    def __call__(self, slices, source, target):
        if self.precision == "float32":
            return slices
        rng = np.random.default_rng(0)
        return slices + rng.normal(0, self.noise, slices.shape).astype(np.float32)


def test_reduced_arithmetic_is_judged_and_refused_where_it_costs_too_much(monkeypatch) -> None:
    monkeypatch.setitem(BACKENDS, "rough", RoughBackend)
    options = TranslationOptions(backend="rough", precision="bfloat16")
    checkpoint = make_checkpoint(provenance={"psnr": 30.0})
    # Mean squared error 1e-3 at 30 dB; noise of variance 1e-5 adds 10 log10(1.01) = 0.043 dB.
    monkeypatch.setattr(RoughBackend, "noise", 1e-5**0.5)
    result = translate_volume(volume(), checkpoint, "T2", options=options)
    assert result.precision_loss == pytest.approx(0.0432, rel=0.2)
    monkeypatch.setattr(RoughBackend, "noise", 1e-2)
    with pytest.raises(ConfigError, match=r"bfloat16 costs about 0\.4\d dB of PSNR .* float32"):
        translate_volume(volume(), checkpoint, "T2", options=options)
    assert translate_volume(volume(), checkpoint, "T2").precision_loss is None


def test_tissue_that_lies_outside_of_the_box_is_told(identity) -> None:
    checkpoint = make_checkpoint(crop=CropPolicy(margin_mm=2))
    array = np.zeros((40, 40, 60), np.float32)
    array[10:30, 10:30] = 800 * np.exp(-np.arange(60) / 22)  # a coil's fall-off along the body
    source = Volume(array=array, affine=np.eye(4))
    told = translate_volume(source, checkpoint, "T2", options=identity).warnings
    (line,) = [line for line in told if "outside of the foreground's box" in line]
    assert "8-32 x 8-32 x 0-" in line
    flat = translate_volume(volume(), checkpoint, "T2", options=identity).warnings
    assert not any("outside" in line for line in flat)


def test_mr_made_of_ct_is_positive(identity) -> None:
    from i2igalip_cli.domains import DOMAINS

    domains = (DOMAINS["pelvic-MR"], DOMAINS["pelvic-CT"], DOMAINS["T1"])
    checkpoint = make_checkpoint(domains=domains)
    array = np.full((20, 20, 6), -1000, np.float32)
    array[5:15, 5:15] = 988
    source = Volume(array=array, affine=np.eye(4), modality="CT")
    result = translate_volume(source, checkpoint, "pelvic-MR", "pelvic-CT", identity)
    assert result.volume.array.min() >= 0
    np.testing.assert_allclose(result.volume.array[8, 8, 3], 500, rtol=1e-4)
    assert (result.out_window.low, result.out_window.high) == (0, 1000)
