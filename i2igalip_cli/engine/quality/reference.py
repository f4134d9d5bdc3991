"""What a checkpoint remembers of its training data, made of the prepared dataset.

Bounded whatever the dataset's size: `VOLUMES` volumes a domain, some slices of each. Nothing in it
is random, so the same dataset and encoder give the same reference.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint, Distribution, TrainingReference
from i2igalip_cli.config import CropPolicy, Plane
from i2igalip_cli.engine.dataset import DatasetIndex, Shard, open_shard, read_index, select_domains
from i2igalip_cli.engine.quality.embedding import Embeddings, choose_slices, embed_slices
from i2igalip_cli.engine.quality.orientation import Lie, judge_lie, shrink
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.slicing import pad_slices, slice_affine
from i2igalip_cli.volumes.volume import Array

VOLUMES = 32  # of each domain
RANK = 32  # principal directions
FOLDS = 4  # a volume is judged by what was made of the other folds' volumes
PERCENTILE = 99  # of training volumes: what lies beyond is rare
_LEAST_LIMIT = 0.1  # standard deviations; a single slice, or equal volumes, lie at 0
_LEAST = 1e-3  # variance of the residual over the mean one: an embedding may have dead directions


def make_reference(
    dataset: Path, checkpoint: Checkpoint, encoder: TextImageEncoder
) -> TrainingReference:
    """Look at a dataset's training volumes as translations look at their sources.

    Args:
        dataset: A prepared dataset, the one that the checkpoint was trained on.
        checkpoint: Whose domains and planes to remember.
        encoder: The one that it was trained with.

    Raises:
        ConfigError: The dataset lacks a domain.
        DatasetError: It can't be read.
    """
    names = [domain.name for domain in checkpoint.domains]
    index = select_domains(read_index(dataset), names)
    multiple = checkpoint.config.side_multiple
    distributions: dict[tuple[str, Plane], Distribution] = {}
    cubes: dict[str, list[Array]] = {}
    for name in names:
        for plane in checkpoint.planes:
            shards = choose_shards(index, name, plane)
            if not shards:
                continue
            seen = [_embed(dataset, shard, multiple, encoder) for shard in shards]
            distributions[name, plane] = fit_distribution(seen)
            if name not in cubes:
                cubes[name] = [_shrink(dataset, shard, checkpoint.crop) for shard in shards]
    lies = judge_lies(cubes)
    return TrainingReference(
        distributions=distributions,
        templates={name: np.mean(of_domain, axis=0) for name, of_domain in cubes.items()},
        likeness=float(np.percentile([lie.correlation for lie in lies], 100 - PERCENTILE)),
        gain=float(np.percentile([lie.gain for lie in lies], PERCENTILE)),
        volumes=sum(len(of_domain) for of_domain in cubes.values()),
    )


def choose_shards(index: DatasetIndex, domain: str, plane: Plane) -> list[Shard]:
    """At most `VOLUMES` training volumes of a domain in a plane, evenly spread."""
    found = [
        shard
        for shard in index.shards
        if (shard.split, shard.domain, shard.plane) == ("train", domain, plane)
    ]
    places = np.linspace(0, len(found), min(VOLUMES, len(found)), endpoint=False)
    return [found[int(place)] for place in places]


def _embed(dataset: Path, shard: Shard, multiple: int, encoder: TextImageEncoder) -> Embeddings:
    """A volume's slices as the encoder sees them in a translation, (n, E)."""
    stored = open_shard(dataset, shard)
    chosen = np.asarray(stored[choose_slices(stored)], np.float32)
    return embed_slices(encoder, pad_slices(chosen, multiple))


def _shrink(dataset: Path, shard: Shard, crop: CropPolicy) -> Array:
    """A volume as a cube, see `shrink`."""
    stored = np.asarray(open_shard(dataset, shard), np.float32)
    return shrink(Volume(array=stored, affine=slice_affine(shard.plane)), crop)


def fit_distribution(volumes: Sequence[Embeddings]) -> Distribution:
    """A distribution of embeddings, and how far volumes lie that it wasn't fitted to.

    Args:
        volumes: Embeddings of the slices of each, (n, E).

    Returns:
        Fitted to all of them. Its `usual` and `limit` are of each fold of the volumes under a fit
        to the other folds; a single volume is its own measure. `limit` is at least `_LEAST_LIMIT`.
    """
    distances = []
    for fold in range(min(FOLDS, len(volumes))):
        others = [seen for number, seen in enumerate(volumes) if number % FOLDS != fold]
        fitted = _fit(np.concatenate(others or list(volumes)))
        distances += [fitted.distance(seen) for seen in volumes[fold::FOLDS]]
    return _fit(
        np.concatenate(list(volumes)),
        usual=float(np.median(distances)),
        limit=max(float(np.percentile(distances, PERCENTILE)), _LEAST_LIMIT),
    )


def _fit(embeddings: Embeddings, usual: float = 1.0, limit: float = 1.0) -> Distribution:
    """Probabilistic principal components of embeddings (n, E), at most `RANK` of them."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(embeddings - mean, full_matrices=False)
    variances = singular**2 / max(len(embeddings) - 1, 1)  # decreasing
    dimensions = embeddings.shape[1]
    rank = min(RANK, len(variances), dimensions - 1)
    floor = max(_LEAST * float(variances.sum()) / dimensions, float(np.finfo(np.float32).eps))
    residual = max(float(variances[rank:].sum()) / (dimensions - rank), floor)
    return Distribution(
        mean=mean.astype(np.float32),
        directions=directions[:rank].astype(np.float32),
        variances=np.maximum(variances[:rank], residual).astype(np.float32),
        residual=residual,
        usual=usual,
        limit=limit,
    )


def judge_lies(cubes: Mapping[str, Sequence[Array]]) -> list[Lie]:
    """How each volume lies against templates of the other folds' volumes.

    Args:
        cubes: Of each domain's volumes, see `shrink`.
    """
    lies = []
    for fold in range(FOLDS):
        templates = {name: _template(of_domain, fold) for name, of_domain in cubes.items()}
        for of_domain in cubes.values():
            lies += [judge_lie(cube, templates) for cube in of_domain[fold::FOLDS]]
    return lies


def _template(cubes: Sequence[Array], without: int) -> Array:
    """Mean of the cubes outside of a fold; of all where no other is left."""
    others = [cube for number, cube in enumerate(cubes) if number % FOLDS != without]
    template: Array = np.mean(others or list(cubes), axis=0)
    return template
