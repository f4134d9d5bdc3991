"""Whether a source is what it is said to be, and whether the training data were like it."""

from collections.abc import Mapping
from dataclasses import dataclass

from i2igalip_cli.checkpoints import Checkpoint, TrainingReference
from i2igalip_cli.config import Plane
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.quality.captions import caption_fits
from i2igalip_cli.engine.quality.embedding import Embeddings, embed_slices
from i2igalip_cli.engine.quality.orientation import check_anatomy
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.volume import Array

AHEAD = 0.1  # of distance, or of caption fit: nearer by less is as near


@dataclass(frozen=True, kw_only=True)
class InputJudgement:
    """What is known of a source.

    Attributes:
        source: Its domain: as it was said, or the one that it looks like.
        caption_fit: How well it fits that domain's caption, in [0, 1]; see `captions`.
        distance: From that domain's training slices, where 99 of 100 training volumes lie within
            1; None where the checkpoint has no reference.
        looks_like: Name of the domain that it is nearest to; None without a reference.
        warnings: What doesn't fit.
    """

    source: Domain
    caption_fit: float
    distance: float | None
    looks_like: str | None
    warnings: tuple[str, ...]


def judge_input(
    unit: Volume,
    slices: Array,
    checkpoint: Checkpoint,
    encoder: TextImageEncoder,
    source: Domain | None,
    plane: Plane | None = None,
) -> InputJudgement:
    """Judge a source by the encoder and by what the checkpoint remembers of its training.

    Args:
        unit: The volume in [0, 1], on an orthogonal grid.
        slices: Its slices as the generator takes them, (N, 1, H, W) in [0, 1].
        checkpoint: What translates it.
        encoder: The one that the checkpoint was trained with.
        source: What it is said to be; None takes what it looks like.
        plane: Of the slices; None is the checkpoint's first.
    """
    embeddings = embed_slices(encoder, slices)
    of_slices: Plane = next(iter(checkpoint.planes)) if plane is None else plane
    fits = caption_fits(embeddings, checkpoint)
    distances = measure_distances(embeddings, checkpoint, of_slices)
    nearest = min(distances, key=lambda name: distances[name]) if distances else None
    likeliest = nearest or max(fits, key=lambda name: fits[name])
    warnings: tuple[str, ...] = ()
    if source is None:
        source = find_domain(likeliest, checkpoint.domains)
        warnings = (f"no --from: taken for {source.name}, which it looks like",)
    warnings += _compare_domains(source.name, likeliest, fits, distances)
    if checkpoint.reference is not None and checkpoint.reference.knows_strange:
        warnings += _tell_far(likeliest, distances, checkpoint.reference, of_slices)
        warnings += check_anatomy(unit, checkpoint.reference, checkpoint.crop)
    return InputJudgement(
        source=source,
        caption_fit=fits[source.name],
        distance=distances.get(source.name),
        looks_like=nearest,
        warnings=warnings,
    )


def measure_distances(
    embeddings: Embeddings, checkpoint: Checkpoint, plane: Plane
) -> dict[str, float]:
    """Distance of a volume's slices from each domain's of training, by name; {} if unknown.

    Args:
        embeddings: Of the slices, (n, E).
        checkpoint: Has the reference, or none.
        plane: Of the slices.
    """
    if checkpoint.reference is None:
        return {}
    return {
        domain: one.relative(embeddings)
        for (domain, of), one in checkpoint.reference.distributions.items()
        if of == plane
    }


def _compare_domains(
    claimed: str, likeliest: str, fits: Mapping[str, float], distances: Mapping[str, float]
) -> tuple[str, ...]:
    """A warning where another domain is clearly nearer than the claimed one."""
    if likeliest in distances and claimed in distances:
        ahead = distances[claimed] - distances[likeliest]
    else:
        ahead = fits[likeliest] - fits[claimed]
    if likeliest == claimed or ahead < AHEAD:
        return ()
    figures = f"caption fit {fits[likeliest]:.2f} against {fits[claimed]:.2f}"
    if likeliest in distances and claimed in distances:
        figures = f"distance {distances[likeliest]:.1f} against {distances[claimed]:.1f}; {figures}"
    return (f"looks like {likeliest}, not {claimed} ({figures})",)


def _tell_far(
    nearest: str, distances: Mapping[str, float], reference: TrainingReference, plane: Plane
) -> tuple[str, ...]:
    """A warning where even the nearest domain of training is far away."""
    if nearest not in distances:
        return ()
    far = reference.distributions[nearest, plane].far
    if distances[nearest] <= far:
        return ()
    return (
        f"unlike anything that was trained on: distance {distances[nearest]:.1f} from the nearest "
        f"domain, {nearest}; 99 of 100 training volumes lie within 1, told is {far:.2f} and beyond",
    )
