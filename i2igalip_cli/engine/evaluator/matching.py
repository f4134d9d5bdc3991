"""What belongs together by its name: predictions and references, and the masks of both."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from i2igalip_cli.engine.evaluator.listing import Image, list_side
from i2igalip_cli.engine.evaluator.naming import ACQUIRED, DERIVED, OUTLINES
from i2igalip_cli.errors import EvaluationError

Key = Callable[[Image], str]
_LOOSE = ACQUIRED | {"domain"}


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
    flat = not (_in_folders(predictions) and _in_folders(references))
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


def _in_folders(images: Sequence[Image]) -> bool:
    """Whether folders tell any of them apart."""
    return any(image.name.context for image in images)


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


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """The masks or label maps of pairs.

    Attributes:
        paths: By the pair's number.
        faults: Why a pair has none, by its number.
    """

    paths: Mapping[int, Path]
    faults: Mapping[int, str]


def find_outlines(folder: Path, pairs: Sequence[tuple[Image, Image]], what: str) -> Outlines:
    """The mask or label map of each pair, or why it has none.

    One of the same name as the reference or the prediction; or else the only one of the same
    subject and entities, such as sub-01_mask of sub-01_T2w. Folders tell subjects apart where both
    the outlines and the pairs have them; one outline is never shared by several subjects.

    Args:
        folder: Where they lie.
        pairs: (prediction, reference).
        what: "mask" or "label map", for messages.

    Raises:
        EvaluationError: It is one volume for many pairs, or nothing in it fits any pair.
    """
    side = list_side(folder)
    if side.single and len(pairs) > 1:
        raise EvaluationError(f"{folder}: one volume for {len(pairs)} pairs; give a folder of them")
    fitting = _fitting(side.images, pairs)
    owners: dict[Path, set[str]] = defaultdict(set)
    for number, images in fitting.items():
        for image in images:
            owners[image.path].add(pairs[number][0].name.qualified_subject)
    paths, faults = {}, {}
    for number, images in fitting.items():
        subjects = sorted(owners[images[0].path]) if images else []
        if not images:
            faults[number] = f"{folder} has no {what} of it"
        elif len(images) > 1:
            faults[number] = f"{len(images)} {what}s fit: {_listed(images)}"
        elif len(subjects) > 1:
            faults[number] = f"{images[0].label} fits several subjects: {', '.join(subjects[:4])}"
        else:
            paths[number] = images[0].path
    if not any(fitting.values()):
        raise EvaluationError(
            f"{folder}: nothing in it has the name or the subject of a pair, such as "
            f"{pairs[0][1].name.path}; list the pairs with --pairs FILE"
        )
    return Outlines(paths=paths, faults=faults)


def _fitting(
    outlines: Sequence[Image], pairs: Sequence[tuple[Image, Image]]
) -> dict[int, list[Image]]:
    """What fits each pair: one of its name, or else all of its subject and entities."""
    # A pair is known by the side that has folders, for one may lie flat.
    side = 1 if _in_folders([pair[1] for pair in pairs]) else 0
    flat = not (_in_folders(outlines) and _in_folders([pair[side] for pair in pairs]))
    by_name: dict[str, list[Image]] = defaultdict(list)
    by_subject: dict[str, list[Image]] = defaultdict(list)
    for image in outlines:
        by_name[image.name.path].append(image)
        by_subject[image.name.identity(_LOOSE, flat=flat)].append(image)
    return {
        number: by_name.get(pair[1].name.path)
        or by_name.get(pair[0].name.path)
        or _outlines_first(by_subject.get(pair[side].name.identity(_LOOSE, flat=flat), []))
        for number, pair in enumerate(pairs)
    }


def _outlines_first(images: list[Image]) -> list[Image]:
    """Those that are called outlines, where there are any."""
    return [image for image in images if image.name.domain in ("", *OUTLINES)] or images
