"""Sources that aren't what they are said to be, with an encoder whose view is known by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_checkpoint

from i2igalip_cli.checkpoints import Distribution, TrainingReference
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.quality.captions import caption_fit, caption_fits
from i2igalip_cli.engine.quality.inputs import judge_input
from i2igalip_cli.engine.quality.orientation import shrink
from i2igalip_cli.volumes import Volume

NAMES = ("T1", "T2", "PD")
SIZE = 16
BODY = np.zeros((17, 19, 5), np.float32)
BODY[2:15, 3:17] = np.linspace(0.4, 1, 14)[:, None]  # brightest in front, along RAS
BODY[:, :, 3:] *= 0.6  # and below


class FixedEncoder:
    """Sees one embedding in every slice."""

    mean = torch.zeros(1)

    def __init__(self, embedding: np.ndarray) -> None:
        self.embedding = torch.from_numpy(embedding.astype(np.float32))

    def __call__(self, slices):
        return SimpleNamespace(embedding=self.embedding.expand(len(slices), -1))


def axis(number: int) -> np.ndarray:
    return np.eye(SIZE)[number]


def distribution(middle: np.ndarray) -> Distribution:
    """Unit variance in every direction; training volumes lie at 0.5, at most at 1."""
    return Distribution(
        mean=middle.astype(np.float32),
        directions=np.eye(2, SIZE, dtype=np.float32),
        variances=np.ones(2, np.float32),
        residual=1.0,
        usual=0.5,
        limit=1.0,
    )


def reference(plane="axial") -> TrainingReference:
    """Domains of training, 10 apart from 0 along axes of their own."""
    template = shrink(Volume(array=BODY, affine=np.eye(4)), make_checkpoint().crop)
    return TrainingReference(
        distributions={
            (name, plane): distribution(10 * axis(number)) for number, name in enumerate(NAMES)
        },
        templates={"T1": template},
        likeness=0.9,
        gain=-0.1,
        volumes=4,
    )


def judged(embedding, source: str | None = "T1", body=BODY, **changes):
    """What is said of a source in which the encoder sees an embedding."""
    captions = np.eye(3, SIZE, dtype=np.float32)
    checkpoint = make_checkpoint(**{"captions": captions, "reference": reference(), **changes})
    unit = Volume(array=body, affine=np.eye(4))
    slices = np.moveaxis(body, 2, 0)[:, None]
    domain = None if source is None else DOMAINS[source]
    return judge_input(unit, slices, checkpoint, FixedEncoder(embedding), domain)


def test_a_source_that_is_what_it_is_said_to_be() -> None:
    found = judged(10 * axis(0) + 2 * axis(5))
    assert found.source == DOMAINS["T1"]
    assert found.looks_like == "T1"
    assert found.distance == pytest.approx(2 / np.sqrt(SIZE))  # root of the mean over dimensions
    assert found.caption_fit > 0.99
    assert found.warnings == ()


def test_another_domain_is_told_with_its_figures() -> None:
    """From T1 it lies root(200 / 16) away, from T2 not at all."""
    found = judged(10 * axis(1), "T1")
    (warning,) = found.warnings
    assert warning == (
        "looks like T2, not T1 (distance 0.0 against 3.5; caption fit 1.00 against 0.00)"
    )
    assert found.source == DOMAINS["T1"]
    assert found.distance == pytest.approx(np.sqrt(200 / 16))


@pytest.mark.parametrize(("step", "told"), [(0.04, False), (0.2, True)])
def test_a_domain_that_is_nearer_by_little_is_not_told(step, told) -> None:
    """Between T1 and T2, 1 apart: root(1 / 16) over a limit of 1 / 4, so 0.5 +- step from them."""
    near = {
        (name, "axial"): replace(distribution(place * axis(1)), usual=0.5 / 4, limit=1 / 4)
        for name, place in (("T1", 0), ("T2", 1), ("PD", 40))
    }
    found = judged((0.5 + step) * axis(1), reference=replace(reference(), distributions=near))
    assert found.looks_like == "T2"
    assert found.distance == pytest.approx(0.5 + step)
    assert bool(found.warnings) == told


@pytest.mark.parametrize(("volumes", "told"), [(3, 0), (4, 1)])
def test_few_training_volumes_say_nothing_of_strange_ones(volumes, told) -> None:
    few = replace(reference(), volumes=volumes)
    turned = np.ascontiguousarray(BODY[:, ::-1])
    assert len(judged(10 * axis(0), body=turned, reference=few).warnings) == told
    assert len(judged(10 * axis(0) + 10 * axis(7), reference=few).warnings) == told


def test_without_a_domain_it_is_the_one_that_it_looks_like() -> None:
    found = judged(10 * axis(2), None)
    assert found.source == DOMAINS["PD"]
    assert found.distance == 0
    assert found.warnings == ("no --from: taken for PD, which it looks like",)


@pytest.mark.parametrize(("away", "told"), [(1.4, False), (1.6, True)])
def test_what_is_unlike_all_training_is_told(away, told) -> None:
    """Beyond 1.5: as far again from the usual 0.5 as the limit 1 is."""
    found = judged(10 * axis(0) + away * np.sqrt(SIZE) * axis(7))
    assert found.distance == pytest.approx(away)
    assert [w for w in found.warnings if "unlike anything" in w] == list(found.warnings)
    assert bool(found.warnings) == told
    if told:
        assert "distance 1.6 from the nearest domain, T1" in found.warnings[0]


def test_a_turned_volume_is_told() -> None:
    found = judged(10 * axis(0), body=np.ascontiguousarray(BODY[:, ::-1]))
    (warning,) = found.warnings
    assert "looks back to front" in warning


def test_another_plane_has_its_own_distances() -> None:
    body = Volume(array=BODY, affine=np.eye(4))
    slices = np.moveaxis(BODY, 2, 0)[:, None]
    checkpoint = make_checkpoint(reference=reference("coronal"))
    view = FixedEncoder(10 * axis(0))
    coronal = judge_input(body, slices, checkpoint, view, DOMAINS["T1"], "coronal")
    assert (coronal.distance, coronal.looks_like) == (0, "T1")
    axial = judge_input(body, slices, checkpoint, view, DOMAINS["T1"])
    assert (axial.distance, axial.looks_like) == (None, None)


def test_without_a_reference_the_captions_decide() -> None:
    found = judged(axis(1), "T1", reference=None)
    assert (found.distance, found.looks_like) == (None, None)
    assert found.warnings == ("looks like T2, not T1 (caption fit 1.00 against 0.00)",)
    as_near = judged(axis(0) + 1.001 * axis(1), "T1", reference=None)
    assert as_near.warnings == ()
    assert judged(axis(1), None, reference=None).source == DOMAINS["T2"]


def test_the_fit_is_the_mean_of_the_slices_softmaxes() -> None:
    """Two slices: cosines 0.90, 0.88, 0.86 and 0.5, 0.5, 0; a hundredth is a factor of e."""
    checkpoint = make_checkpoint(captions=np.eye(3, SIZE, dtype=np.float32))
    seen = np.zeros((2, SIZE), np.float32)
    seen[:, :3] = [[0.90, 0.88, 0.86], [0.5, 0.5, 0.0]]
    fits = caption_fits(seen, checkpoint)
    first = 1 / (1 + np.exp(-2) + np.exp(-4))
    assert fits["T1"] == pytest.approx((first + 0.5) / 2, rel=1e-4)
    assert fits["T2"] == pytest.approx((first * np.exp(-2) + 0.5) / 2, rel=1e-4)
    assert sum(fits.values()) == pytest.approx(1)
    assert caption_fit(seen, checkpoint, DOMAINS["PD"]) == fits["PD"]


def test_the_order_of_slices_is_of_no_matter() -> None:
    checkpoint = make_checkpoint()
    seen = np.random.default_rng(0).normal(size=(7, SIZE)).astype(np.float32)
    one, two = caption_fits(seen, checkpoint), caption_fits(seen[::-1], checkpoint)
    assert one == pytest.approx(two)
