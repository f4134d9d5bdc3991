"""Which prediction belongs to which reference, by what their names say."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from i2igalip_cli.engine.evaluator.listing import Image
from i2igalip_cli.engine.evaluator.naming import ACQUIRED, DERIVED
from i2igalip_cli.errors import EvaluationError

Key = Callable[[Image], str]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """What belongs together.

    Attributes:
        pairs: (prediction, reference).
        extra: Predictions without a reference.
        missing: References without a prediction.
    """

    pairs: tuple[tuple[Image, Image], ...]
    extra: tuple[Image, ...]
    missing: tuple[Image, ...]


def match_images(
    predictions: Sequence[Image],
    references: Sequence[Image],
    ignored: frozenset[str] = frozenset(),
) -> Matching:
    """Pair images by name, from the strictest rule to the loosest; never by guess.

    First by the same name, then by subject, domain and all entities but those that say how an
    image was derived, then without those that say how it was acquired. Folders tell images apart
    where both sides have them.

    Args:
        predictions: Of one side.
        references: Of the other.
        ignored: What else of a name doesn't matter, as one side doesn't say it.

    Raises:
        EvaluationError: By the loosest rule several fit each other.
    """
    flat = any(not any(i.name.context for i in side) for side in (predictions, references))
    keys: tuple[Key, ...] = (
        lambda image: image.name.path,
        lambda image: image.name.identity(DERIVED | ignored, flat=flat),
        lambda image: image.name.identity(ACQUIRED | ignored, flat=flat),
    )
    pairs: list[tuple[Image, Image]] = []
    ours, theirs = list(predictions), list(references)
    for key in keys:
        for left, right in _groups(ours, theirs, key):
            if len(left) == len(right) == 1:
                pairs.append((left[0], right[0]))
                ours.remove(left[0])
                theirs.remove(right[0])
    for left, right in _groups(ours, theirs, keys[-1]):
        _refuse(left, right)
    pairs.sort(key=lambda pair: pair[0].name.path)
    return Matching(pairs=tuple(pairs), extra=tuple(ours), missing=tuple(theirs))


def _groups(
    ours: Sequence[Image], theirs: Sequence[Image], key: Key
) -> list[tuple[list[Image], list[Image]]]:
    """The images of both sides that share a key."""
    left: dict[str, list[Image]] = defaultdict(list)
    right: dict[str, list[Image]] = defaultdict(list)
    for side, images in ((left, ours), (right, theirs)):
        for image in images:
            side[key(image)].append(image)
    return [(left[name], right[name]) for name in left if name in right]


def _refuse(left: Sequence[Image], right: Sequence[Image]) -> None:
    raise EvaluationError(
        f"it isn't clear what belongs together: {_listed(left)} and {_listed(right)}; say so with "
        "--pairs FILE, or how names are built with --pattern"
    )


def _listed(images: Sequence[Image]) -> str:
    return ", ".join(image.label for image in images[:4]) + (" ..." if len(images) > 4 else "")
