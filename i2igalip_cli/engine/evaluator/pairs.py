"""The pairs of an evaluation: from two files, or from two folders by name."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2igalip_cli.engine.evaluator.listing import Image, Side, list_side
from i2igalip_cli.engine.evaluator.matching import Matching, find_outlines, match_images
from i2igalip_cli.engine.evaluator.naming import NO_IMAGES, NamePattern
from i2igalip_cli.errors import EvaluationError

_SHOWN = 3  # names in a message
_WORDS = {"mask": "mask", "predicted_labels": "label map", "labels": "label map"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prediction and what it is compared with.

    Attributes:
        case: Its unique name.
        subject: Whose image it is: statistics are over subjects.
        target: Domain of the prediction; "" if it isn't known.
        prediction: A volume.
        reference: A volume.
        mask: Where to look (above 0).
        predicted_labels: Label map made of the prediction.
        labels: Label map of the reference.
        source: What the prediction was made of, for pictures.
        fault: Why it can't be evaluated; "" where it can.
    """

    case: str
    subject: str
    target: str
    prediction: Path
    reference: Path
    mask: Path | None = None
    predicted_labels: Path | None = None
    labels: Path | None = None
    source: Path | None = None
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """All pairs, and what has no partner.

    Attributes:
        pairs: In the order of the cases' names.
        missing: References without a prediction.
        extra: Predictions without a reference.
        notes: What was left aside, for the user to know.
    """

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Where the volumes of each kind lie, as the user named them.

    Attributes:
        prediction: A volume, or a folder of volumes.
        reference: Likewise, as all others.
        mask: Where to look.
        predicted_labels: Label maps made of the predictions.
        labels: Label maps of the references.
        pattern: How names are built, such as {subject}_{domain}.nii.gz.
        reference_pattern: How those of the references are, if differently.
    """

    prediction: Path
    reference: Path
    mask: Path | None = None
    predicted_labels: Path | None = None
    labels: Path | None = None
    pattern: str | None = None
    reference_pattern: str | None = None


def find_pairs(sides: Sides) -> Pairing:
    """Pair the volumes of two sides.

    Raises:
        EvaluationError: Nothing to pair, a volume against a folder of many, or names that fit in
            several ways.
        VolumeError: A folder without volumes.
    """
    patterns = [None if text is None else NamePattern(text) for text in _patterns(sides)]
    ours, theirs = (
        list_side(path, pattern)
        for path, pattern in zip((sides.prediction, sides.reference), patterns, strict=True)
    )
    if ours.single != theirs.single:
        raise EvaluationError(
            f"{sides.prediction} and {sides.reference}: give two volumes or two folders of volumes"
        )
    if ours.single:
        return _single(sides, ours.images[0], theirs.images[0])
    ignored = _unsaid(patterns)
    matching = match_images(ours.images, theirs.images, ignored)
    if not matching.pairs:
        raise EvaluationError(_no_pairs(ours, theirs))
    extra = [image for image in matching.extra if image.name.domain not in NO_IMAGES]
    wanted = {_target(*pair) for pair in matching.pairs} | {image.name.domain for image in extra}
    missing = [image for image in matching.missing if image.name.domain in wanted]
    others = [image for image in matching.missing if image.name.domain not in wanted]
    return Pairing(
        pairs=_complete(sides, matching),
        missing=tuple(image.label for image in missing),
        extra=tuple(image.label for image in extra),
        notes=(*_unfit(ours, theirs), *_other_domains(others)),
    )


def _patterns(sides: Sides) -> tuple[str | None, str | None]:
    return sides.pattern, sides.reference_pattern or sides.pattern


def _unsaid(patterns: Sequence[NamePattern | None]) -> frozenset[str]:
    """Placeholders that one pattern has and the other doesn't."""
    first, second = (set(p.placeholders) if p is not None else None for p in patterns)
    if first is None or second is None:
        return frozenset()
    return frozenset(first ^ second)


def _target(prediction: Image, reference: Image) -> str:
    return prediction.name.domain or reference.name.domain


def _single(sides: Sides, prediction: Image, reference: Image) -> Pairing:
    for path in (sides.mask, sides.predicted_labels, sides.labels):
        if path is not None and not list_side(path).single:
            raise EvaluationError(f"{path}: a folder of volumes; give the one of {prediction.path}")
    pair = Pair(
        case=PurePosixPath(prediction.name.path).name,
        subject=prediction.name.subject,
        target=_target(prediction, reference),
        prediction=prediction.path,
        reference=reference.path,
        mask=sides.mask,
        predicted_labels=sides.predicted_labels,
        labels=sides.labels,
    )
    return Pairing(pairs=(pair,))


def _complete(sides: Sides, matching: Matching) -> tuple[Pair, ...]:
    """The pairs with their masks and label maps; one that lacks any has a fault."""
    named = {
        "mask": sides.mask,
        "predicted_labels": sides.predicted_labels,
        "labels": sides.labels,
    }
    outlines = {
        kind: find_outlines(folder, matching.pairs, _WORDS[kind])
        for kind, folder in named.items()
        if folder is not None
    }
    stems = Counter(PurePosixPath(ours.name.path).name for ours, _ in matching.pairs)
    pairs = []
    for number, (ours, theirs) in enumerate(matching.pairs):
        own = {kind: found.paths.get(number) for kind, found in outlines.items()}
        faults = [found.faults[number] for found in outlines.values() if number in found.faults]
        stem = PurePosixPath(ours.name.path).name
        pairs.append(
            Pair(
                case=stem if stems[stem] == 1 else ours.name.path,
                subject=ours.name.qualified_subject,
                target=_target(ours, theirs),
                prediction=ours.path,
                reference=theirs.path,
                mask=own.get("mask"),
                predicted_labels=own.get("predicted_labels"),
                labels=own.get("labels"),
                fault="; ".join(faults),
            )
        )
    return tuple(sorted(pairs, key=lambda pair: pair.case))


def _no_pairs(ours: Side, theirs: Side) -> str:
    shown = [
        f"{side.path} has {', '.join(image.name.path for image in side.images[:_SHOWN])}"
        + (" ..." if len(side.images) > _SHOWN else "")
        for side in (ours, theirs)
    ]
    return (
        f"no prediction has a reference: {', '.join(shown)}; say how names are built with "
        "--pattern '{subject}_{domain}.nii.gz' (and --gt-pattern), or list the pairs with "
        "--pairs FILE"
    )


def _unfit(ours: Side, theirs: Side) -> list[str]:
    return [
        f"{side.path}: {len(side.unfit)} volumes don't fit the pattern and were left aside, such "
        f"as {side.unfit[0]}"
        for side in (ours, theirs)
        if side.unfit
    ]


def _other_domains(images: Sequence[Image]) -> list[str]:
    shown = [image for image in images if image.name.domain not in NO_IMAGES]
    if not shown:
        return []
    domains = ", ".join(sorted({image.name.domain or "unnamed" for image in shown}))
    return [
        f"{len(shown)} references of other domains ({domains}) were left aside: no prediction is "
        "of these"
    ]
