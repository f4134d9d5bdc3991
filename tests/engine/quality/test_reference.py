"""What is remembered of training: distances by the textbook, limits that aren't optimistic."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_checkpoint, tiny_config
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

from i2igalip_cli.checkpoints import (
    Distribution,
    TrainingReference,
    load_checkpoint,
    load_reference,
    save_reference,
)
from i2igalip_cli.engine.dataset import read_index
from i2igalip_cli.engine.encoders import open_encoder
from i2igalip_cli.engine.quality import reference as module
from i2igalip_cli.engine.quality.embedding import choose_slices, embed_slices
from i2igalip_cli.engine.quality.reference import (
    choose_shards,
    fit_distribution,
    judge_lies,
    make_reference,
)
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.errors import CheckpointError


def clouds(count: int, slices: int = 12, size: int = 20, seed: int = 0) -> list[np.ndarray]:
    """Embeddings of volumes, each about a middle of its own; most of the spread is in 3 axes."""
    rng = np.random.default_rng(seed)
    spread = np.where(np.arange(size) < 3, 1.0, 0.05)
    return [
        (rng.normal(0, spread) + rng.normal(0, spread, (slices, size))).astype(np.float32)
        for _ in range(count)
    ]


def covariance(one: Distribution) -> np.ndarray:
    across = np.eye(len(one.mean)) - one.directions.T @ one.directions
    return one.directions.T @ np.diag(one.variances) @ one.directions + one.residual * across


def test_the_distance_is_mahalanobis() -> None:
    one = fit_distribution(clouds(8))
    seen = clouds(1, seed=5)[0]
    inverse = np.linalg.inv(covariance(one).astype(np.float64))
    each = [mahalanobis(row, one.mean, inverse) for row in seen]
    assert one.distance(seen) == pytest.approx(np.sqrt(np.mean(np.square(each)) / 20), rel=1e-3)
    assert one.relative(seen) == pytest.approx(one.distance(seen) / one.limit)


def test_the_fit_is_probabilistic_principal_components(monkeypatch) -> None:
    monkeypatch.setattr(module, "RANK", 3)
    volumes = clouds(8)
    one = fit_distribution(volumes)
    known = PCA(n_components=3, svd_solver="full").fit(np.concatenate(volumes))
    np.testing.assert_allclose(one.mean, known.mean_, atol=1e-5)
    np.testing.assert_allclose(covariance(one), known.get_covariance(), atol=1e-4)
    assert one.residual == pytest.approx(known.noise_variance_, rel=1e-3)


def test_a_shift_of_the_embeddings_raises_the_distance() -> None:
    one = fit_distribution(clouds(12))
    seen = clouds(1, seed=9)[0]
    distances = [one.distance(seen + shift) for shift in (0, 0.5, 1, 2)]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


def test_the_limit_is_that_of_volumes_it_wasnt_fitted_to() -> None:
    """Few volumes in many dimensions: those that were fitted to lie nearer than others."""
    volumes = clouds(9, slices=4, size=30)
    one = fit_distribution(volumes)
    seen = np.median([one.distance(volume) for volume in volumes])
    unseen = np.median([one.distance(volume) for volume in clouds(60, slices=4, size=30, seed=1)])
    assert seen < unseen
    assert one.usual > (seen + unseen) / 2
    assert one.usual < one.limit


def test_unseen_volumes_lie_within_and_strange_ones_beyond() -> None:
    one = fit_distribution(clouds(32))
    far = [one.relative(volume) > one.far for volume in clouds(200, seed=1)]
    assert np.mean(far) < 0.02
    assert all(one.relative(volume + 0.5) > one.far for volume in clouds(20, seed=2))


def test_far_is_twice_as_far_from_usual_as_the_limit() -> None:
    one = fit_distribution(clouds(8))
    usual, limit = one.usual / one.limit, 1.0
    assert one.far == pytest.approx(max(limit + (limit - usual), 1.25))


@pytest.mark.parametrize(
    "volumes", [clouds(1), [clouds(1)[0][:1]], [v[:1] for v in clouds(2)], [np.ones((3, 8))] * 2]
)
def test_few_or_equal_volumes_have_a_finite_distance(volumes) -> None:
    one = fit_distribution(volumes)
    assert np.isfinite(one.distance(volumes[0] + 1))
    assert one.residual > 0
    json.dumps([one.residual, one.usual, one.limit])  # as its file has them
    assert (one.variances > 0).all()
    assert np.isfinite(one.relative(volumes[0] + 1))
    assert one.relative(volumes[0]) <= 1
    assert one.far > 1


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_that_nothing_can_be_divided_by_is_refused(limit, tmp_path) -> None:
    path = tmp_path / "reference.safetensors"
    one = replace(fit_distribution(clouds(4)), limit=limit)
    template = {"T1": np.zeros((2, 2, 2), np.float32)}
    save_reference(
        TrainingReference(
            distributions={("T1", "axial"): one},
            templates=template,
            likeness=0.9,
            gain=0.0,
            volumes=4,
        ),
        path,
    )
    with pytest.raises(CheckpointError, match=r"limit .* of T1 isn't above 0"):
        load_reference(path)


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return open_encoder(str(encoder_folder))


@pytest.fixture(scope="module")
def remembered(dataset, encoder):
    return make_reference(dataset, make_checkpoint(), encoder)


def test_every_domain_and_plane_is_remembered(remembered, dataset) -> None:
    assert set(remembered.distributions) == {(name, "axial") for name in ("T1", "T2", "PD")}
    assert set(remembered.templates) == {"T1", "T2", "PD"}
    index = read_index(dataset)
    trained = [shard for shard in index.shards if shard.split == "train"]
    assert remembered.volumes == len(trained)
    assert remembered.likeness > 0.9  # balls of the same size
    assert remembered.gain == pytest.approx(0, abs=0.05)  # a ball lies well in every way


def test_only_training_volumes_are_looked_at(dataset) -> None:
    shards = choose_shards(read_index(dataset), "T2", "axial")
    assert {(shard.split, shard.domain, shard.plane) for shard in shards} == {
        ("train", "T2", "axial")
    }


def test_a_large_dataset_is_sampled_evenly(dataset, monkeypatch) -> None:
    index = read_index(dataset)
    every = choose_shards(index, "T1", "axial")
    assert len(every) > 2
    monkeypatch.setattr(module, "VOLUMES", 2)
    assert choose_shards(index, "T1", "axial") == [every[0], every[len(every) // 2]]


def test_templates_are_judged_by_others_volumes(remembered) -> None:
    rng = np.random.default_rng(0)
    cubes = {"T1": [rng.normal(size=(24, 24, 24)).astype(np.float32) for _ in range(8)]}
    lies = judge_lies(cubes)
    assert len(lies) == 8
    assert max(abs(lie.correlation) for lie in lies) < 0.05  # noise is like no other noise
    assert min(lie.gain for lie in lies) > -0.05


def test_slices_are_spread_over_the_full_ones() -> None:
    slices = np.zeros((12, 1, 8, 8), np.float32)
    slices[2:10] = 1
    slices[10, :, :1] = 1  # an end with an eighth of the foreground
    assert choose_slices(slices, 4).tolist() == [3, 5, 7, 9]
    assert choose_slices(slices, 100).tolist() == list(range(2, 10))
    assert choose_slices(np.zeros((3, 1, 8, 8)), 2).tolist() == [0, 2]


def test_slices_are_embedded_as_the_encoder_does(encoder) -> None:
    slices = np.random.default_rng(0).random((5, 1, 17, 19)).astype(np.float32)
    state = torch.get_rng_state()
    seen = embed_slices(encoder, slices)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(slices)).embedding.numpy()
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_remembers_once_and_tells_it_in_every_checkpoint(
    dataset, encoder_folder, tmp_path, monkeypatch
) -> None:
    """A resumed run has the reference that it began with, to the bit, and makes no other."""
    out = tmp_path / "run"
    first = Trainer(dataset, out, tiny_config(encoder_folder, steps=2), "cpu")
    path = first.run()
    loaded = load_checkpoint(path).reference
    assert loaded is not None
    kept = (out / "reference.safetensors").read_bytes()
    monkeypatch.setattr("i2igalip_cli.engine.trainer.make_reference", None)
    resumed = Trainer(dataset, out, tiny_config(encoder_folder, steps=2), "cpu")
    resumed.run()
    assert (out / "reference.safetensors").read_bytes() == kept
    again = resumed.checkpoint().reference
    own = load_reference(out / "reference.safetensors")
    for one, two in ((loaded, own), (own, again)):
        ours, theirs = one.pack(), two.pack()
        assert ours[1] == theirs[1]
        for name, array in ours[0].items():
            np.testing.assert_array_equal(array, theirs[0][name])


def test_a_new_run_in_a_folder_makes_its_own(dataset, encoder_folder, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "reference.safetensors").write_bytes(b"of another run that never saved")
    run = Trainer(dataset, tmp_path / "run", tiny_config(encoder_folder, steps=1), "cpu")
    assert load_checkpoint(run.run()).reference is not None


def test_a_run_of_an_older_version_gets_the_reference_that_it_would_have_had(
    dataset, encoder_folder, tmp_path
) -> None:
    config = tiny_config(encoder_folder, steps=2)
    Trainer(dataset, tmp_path / "run", config, "cpu").run()
    kept = tmp_path / "run" / "reference.safetensors"
    before = kept.read_bytes()
    kept.unlink()
    Trainer(dataset, tmp_path / "run", config, "cpu").run()
    assert kept.read_bytes() == before
