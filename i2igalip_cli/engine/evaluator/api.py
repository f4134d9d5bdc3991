"""Evaluation from Python: one prediction against its reference."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.engine.evaluator.grids import check_grid
from i2igalip_cli.engine.evaluator.reading import read_volume
from i2igalip_cli.engine.evaluator.scoring import DEFAULT_PROTOCOLS, Scoring, make_case
from i2igalip_cli.evaluation.protocols import ProtocolScores, ProtocolSettings
from i2igalip_cli.volumes import Volume

ImageLike = Volume | npt.NDArray[Any] | str | Path


def evaluate(
    prediction: ImageLike,
    reference: ImageLike,
    *,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    mask: ImageLike | None = None,
    settings: ProtocolSettings | None = None,
) -> Mapping[str, ProtocolScores]:
    """Score one prediction; nothing is changed.

        evaluate(t2, "truth.nii.gz")["fixed"]["psnr"]

    Args:
        prediction: A volume, a path, or an array (I, J, K) in RAS+ order.
        reference: Likewise, on the same grid.
        protocols: Names of protocols.
        mask: Where to look (above 0); the same grid.
        settings: Of the protocols; whether there is a mask needn't be said.

    Returns:
        Scores by protocol name; of each, values by measure.

    Raises:
        EvaluationError: An unknown protocol, grids that differ, or nothing to compare.
        VolumeError: A file can't be read, or a volume is constant.
    """
    chosen = replace(settings or ProtocolSettings(), masked=mask is not None)
    scoring = Scoring(protocols=tuple(protocols), settings=chosen)
    ours, theirs = _as_volume(prediction), _as_volume(reference)
    check_grid(ours, theirs, "prediction")
    outlines = {} if mask is None else {"mask": _as_volume(mask)}
    for what, outline in outlines.items():
        check_grid(outline, theirs, what)
    case = make_case(ours, theirs, outlines)
    return {name: protocol.score(case) for name, protocol in scoring.build().items()}


def _as_volume(image: ImageLike) -> Volume:
    if isinstance(image, Volume):
        return image
    if isinstance(image, str | Path):
        return read_volume(Path(image))
    return Volume(array=np.asarray(image, dtype=np.float32), affine=np.eye(4))
