"""Quality of translations by generators whose disagreements are known by hand."""

import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, make_checkpoint
from quality_judging import make_judge, options_for

from i2igalip_cli.engine.translator import Translator, translate_volume
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window

ROTATED = np.array([[1.6, -0.6, 0, 9], [1.2, 0.8, 0, 2], [0, 0, 3, -15], [0, 0, 0, 1]])
PLANES = {"axial": (1.9, 1.9), "coronal": (3.0, 1.9), "sagittal": (3.0, 1.9)}


def judge(volume, options, checkpoint=None, source="T1"):
    weights = checkpoint or make_checkpoint()
    return translate_volume(volume, weights, "T2", source, options, judge=make_judge())


def same(slices, source, target):
    return slices


def unit(volume) -> np.ndarray:
    weights = make_checkpoint()
    return find_window(volume.array, None, weights.policy).to_unit(volume.array)


@pytest.mark.parametrize("affine", [ROTATED, OBLIQUE, np.diag([-2.0, 2, 3, 1])], ids=str)
@pytest.mark.parametrize("planes", [None, "all"])
def test_an_identity_agrees_with_itself(monkeypatch, affine, planes) -> None:
    source = Volume(array=head(shape=(17, 19, 5)), affine=affine)
    options = options_for(monkeypatch, same, planes=planes)
    quality = judge(source, options, make_checkpoint(planes=PLANES)).quality
    rounding = 1e-5 if planes else 0  # results that wait are stored in 16 bits
    for found in (quality.cycle, quality.flips, quality.planes, quality.map.max()):
        assert 0 <= found <= rounding
    assert quality.edges == pytest.approx(1, abs=1e-4)
    assert quality.map.shape == source.shape
    assert quality.map.dtype == np.float32


def test_the_cycle_leads_back_to_the_sources_domain(monkeypatch) -> None:
    seen = set()

    def run(slices, source, target):
        seen.add((source, target))
        return slices / 2 if target == "T2" else slices * 2 + 0.05

    source = Volume(array=head(), affine=ROTATED)
    quality = judge(source, options_for(monkeypatch, run)).quality
    assert seen == {("T1", "T2"), ("T2", "T1")}
    inside = unit(source) > 0.1
    back = np.minimum(unit(source) + np.float32(0.05), 1)
    expected = np.abs(back - unit(source))[inside].mean()
    assert quality.cycle == pytest.approx(expected, abs=1e-6)
    assert quality.flips == 0
    assert quality.planes is None


def test_a_generator_that_depends_on_the_place_disagrees_with_its_mirror_image(monkeypatch) -> None:
    """Half of x + 0.4 c / (W - 1) in column c, back from the mirror: |2 c - (W - 1)|."""

    def run(slices, source, target):
        column = np.arange(slices.shape[3]) / (slices.shape[3] - 1)
        return slices / 2 + 0.4 * column if target == "T2" else slices

    source = Volume(array=head() + 200, affine=np.diag([2.0, 2, 3, 1]))  # foreground throughout
    quality = judge(source, options_for(monkeypatch, run)).quality
    columns = np.arange(20)
    expected = np.abs(0.4 * (2 * columns - 19) / 19).mean()
    assert quality.flips == pytest.approx(expected, abs=1e-6)
    rows = judge(source, options_for(monkeypatch, lambda s, a, b: _down_rows(s))).quality
    assert rows.flips == 0


def _down_rows(slices):
    return slices / 2 + 0.4 * np.linspace(0, 1, slices.shape[2])[:, None]


@pytest.mark.parametrize("planes", [None, "coronal", "all"])
def test_planes_that_disagree_are_measured_whichever_was_asked_for(monkeypatch, planes) -> None:
    """Each slice becomes its maximum: three fields of the volume, by NumPy alone."""

    def run(slices, source, target):
        return np.broadcast_to(slices.max(axis=(2, 3), keepdims=True), slices.shape)

    source = Volume(array=head(shape=(17, 19, 5)), affine=np.diag([2.0, 2, 3, 1]))
    weights = make_checkpoint(planes=PLANES)
    result = judge(source, options_for(monkeypatch, run, planes=planes), weights)
    values = unit(source)
    fields = [
        np.broadcast_to(values.max(axis=axes, keepdims=True), values.shape)
        for axes in ((0, 1), (0, 2), (1, 2))
    ]
    deviation = np.abs(fields - np.median(fields, axis=0)).mean(axis=0)
    out = {None: fields[0], "coronal": fields[1], "all": np.median(fields, axis=0)}[planes]
    foreground = (values > 0.1) | (out > 0.1)
    assert result.quality.planes == pytest.approx(deviation[foreground].mean(), abs=2e-5)


@pytest.mark.parametrize("axes", ["LPS", "PIR", "SAL"])
def test_a_turned_source_has_the_turned_map(axes) -> None:
    image = nib.Nifti1Image(head(), np.diag([2.0, 2.0, 3.0, 1]))
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    straight = judge(Volume(array=head(), affine=image.affine), None).quality
    array = turned.get_fdata(dtype=np.float32)
    found = judge(Volume(array=array, affine=turned.affine), None).quality
    back = nib.as_closest_canonical(nib.Nifti1Image(found.map, turned.affine))
    np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), straight.map)
    assert straight.map.max() > 0.01  # an untrained generator doesn't agree with itself
    assert found.cycle == pytest.approx(straight.cycle)
    assert found.edges == pytest.approx(straight.edges, abs=1e-6)


def test_being_judged_changes_no_result_and_progress_counts_all(checkpoint) -> None:
    source, seen = Volume(array=head(), affine=OBLIQUE), []
    weights = replace(checkpoint, planes=PLANES)
    plain = translate_volume(source, weights, "T2", "T1")
    judged = translate_volume(
        source, weights, "T2", "T1", on_progress=lambda *at: seen.append(at), judge=make_judge()
    )
    np.testing.assert_array_equal(judged.volume.array, plain.volume.array)
    assert judged.out_window == plain.out_window
    assert plain.quality is None
    assert seen[-1][0] == seen[-1][1]
    assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(seen))


def test_a_source_is_judged_once_for_all_targets(checkpoint, identity) -> None:
    watched = make_judge()
    translator = Translator(checkpoint, "T2", "T1", identity, judge=watched)
    source = Volume(array=head(), affine=OBLIQUE)
    for count, target in ((2, "T2"), (3, "PD"), (4, "T1")):
        translator.to(target)(source)
        assert watched.encoder.calls == count  # the source once, each result once
    translator(Volume(array=head(seed=1), affine=OBLIQUE))
    assert watched.encoder.calls == 6


def test_a_source_is_judged_anew_where_the_question_is_another(checkpoint, identity) -> None:
    """Each asks one of domain, checkpoint and plane in another way: two views, not one."""
    watched = make_judge()
    source = Volume(array=head(), affine=OBLIQUE)
    weights = replace(checkpoint, planes=PLANES)

    def views(weights, said, planes=None) -> int:
        before = watched.encoder.calls
        options = replace(identity, planes=planes)
        translate_volume(source, weights, "T2", said, options, judge=watched)
        return watched.encoder.calls - before

    assert views(weights, "T1") == 2  # the source, and the result
    assert views(weights, "T1") == 1
    assert views(weights, "PD") == 2
    assert views(weights, None) == 2
    assert views(replace(weights), "T1") == 2
    assert views(weights, "T1", "coronal") == 2
    assert views(weights, "T1") == 1


def test_without_a_domain_the_source_is_told_what_it_is_taken_for(checkpoint, identity) -> None:
    source = Volume(array=head(), affine=OBLIQUE)
    result = judge(source, identity, checkpoint, source=None)
    assert result.source is None  # the result is made as without
    assert any(line.startswith("no --from: taken for ") for line in result.warnings)
    assert not any("no --from" in line for line in judge(source, identity, checkpoint).warnings)


def test_without_calibration_the_score_is_the_mean_of_the_disagreements(monkeypatch) -> None:
    def run(slices, source, target):
        return slices / 2 if target == "T2" else slices

    source = Volume(array=head(), affine=ROTATED)
    quality = judge(source, options_for(monkeypatch, run)).quality
    assert not quality.calibrated
    assert quality.score == pytest.approx((quality.cycle + 0) / 2)
    assert "not calibrated" in quality.describe()
    np.testing.assert_allclose(quality.map, unit(source) / 4, atol=1e-6)
    assert quality.columns()["qc_calibrated"] is False
    assert quality.columns()["qc_cycle"] == round(quality.cycle, 6)
