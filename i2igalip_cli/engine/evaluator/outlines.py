"""Which mask or label map belongs to which pair."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from i2igalip_cli.engine.evaluator.listing import Image, list_side
from i2igalip_cli.engine.evaluator.naming import ACQUIRED, OUTLINES
from i2igalip_cli.errors import EvaluationError

_LOOSE = ACQUIRED | {"domain"}


def find_outlines(folder: Path, pairs: Sequence[tuple[Image, Image]]) -> Mapping[int, Path]:
    """The mask or label map of each pair that has one, by the pair's number.

    One of the same name as the reference or the prediction; or else the only one of the same
    subject and entities, such as sub-01_mask of sub-01_T2w.

    Args:
        folder: Where they lie.
        pairs: (prediction, reference).

    Raises:
        EvaluationError: It is one volume for many pairs, or nothing in it fits any pair.
    """
    side = list_side(folder)
    if side.single and len(pairs) > 1:
        raise EvaluationError(f"{folder}: one volume for {len(pairs)} pairs; give a folder of them")
    by_name = {image.name.path: image for image in side.images}
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in side.images:
        groups[image.name.identity(_LOOSE, flat=True)].append(image)
    found = {}
    for number, (ours, theirs) in enumerate(pairs):
        named = by_name.get(theirs.name.path) or by_name.get(ours.name.path)
        chosen = named or _only(groups[theirs.name.identity(_LOOSE, flat=True)])
        if chosen is not None:
            found[number] = chosen.path
    if not found:
        raise EvaluationError(
            f"{folder}: nothing in it has the name or the subject of a pair, such as "
            f"{pairs[0][1].name.path}; list the pairs with --pairs FILE"
        )
    return found


def _only(images: Sequence[Image]) -> Image | None:
    """The one that fits; among several the one that is called an outline."""
    outlines = [image for image in images if image.name.domain in ("", *OUTLINES)]
    fitting = outlines or images
    return fitting[0] if len(fitting) == 1 else None
