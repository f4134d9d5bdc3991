"""Pairs predictions with references and scores them under every protocol."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from i2igalip_cli.errors import EvaluationError, GalipError
from i2igalip_cli.evaluation.protocols import PROTOCOLS, Scale, Scores
from i2igalip_cli.volumes import Volume, load_volume, volume_suffix
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array

AFFINE_TOLERANCE = 1e-3  # mm; other programs round their affines to float32
Image = Volume | npt.NDArray[Any] | str | Path


@dataclass(frozen=True, kw_only=True)
class VolumeRow:
    """One prediction and its scores by protocol."""

    name: str
    scores: Mapping[str, Scores]


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Every volume's scores, in order, and what the user should know."""

    rows: tuple[VolumeRow, ...]
    warnings: tuple[str, ...]

    def summary(self, protocol: str, metric: str) -> tuple[float, float] | None:
        """Mean and standard deviation over volumes; None where the protocol lacks the metric.

        The deviation is that of a sample (n - 1), and 0 for one volume.
        """
        values = [getattr(row.scores[protocol], metric) for row in self.rows]
        if any(value is None for value in values):
            return None
        if any(math.isinf(value) for value in values):
            return math.inf, 0.0
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values, unrounded; an infinite PSNR is null beside a flag."""
        mean: dict[str, Any] = {}
        for protocol in PROTOCOLS:
            mean[protocol] = {}
            for metric in ("psnr", "ssim", "mae"):
                summary = self.summary(protocol, metric)
                if summary is not None:
                    mean[protocol][metric] = summary[0]
                    mean[protocol][f"{metric}_deviation"] = summary[1]
        return {
            "volumes": [
                {
                    "name": row.name,
                    **{
                        protocol: _finite(asdict(scores)) for protocol, scores in row.scores.items()
                    },
                }
                for row in self.rows
            ],
            "mean": {protocol: _finite(values) for protocol, values in mean.items()},
            "warnings": list(self.warnings),
        }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    infinite = math.isinf(values["psnr"])
    kept = {name: value for name, value in values.items() if value is not None}
    return {**kept, "psnr": None if infinite else values["psnr"], "psnr_infinite": infinite}


def evaluate(
    prediction: Image, reference: Image, mask: Image | None = None, scale: Scale | None = None
) -> dict[str, Scores]:
    """Score one prediction under every protocol; nothing is changed.

    Args:
        prediction: A volume, a file, or an array (I, J, K) in RAS+ order.
        reference: The same grid.
        mask: Where to look (above 0); the same grid.
        scale: Of the fixed protocol.

    Returns:
        Scores by protocol name.

    Raises:
        EvaluationError: Shapes or affines differ, or there is nothing to compare.
        VolumeError: A file can't be read, or a volume is constant.
    """
    ours, theirs = _as_volume(prediction), _as_volume(reference)
    _check_grid(ours, theirs, "prediction")
    where = None
    if mask is not None:
        outline = _as_volume(mask)
        _check_grid(outline, theirs, "mask")
        where = _axial(outline) > 0
    scale = scale or Scale()
    return {
        name: protocol(_axial(ours), _axial(theirs), where, scale)
        for name, protocol in PROTOCOLS.items()
    }


def evaluate_paths(
    prediction: Path,
    reference: Path,
    mask: Path | None = None,
    scale: Scale | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Score a file against a file, or the volumes of a folder against those of the same names.

    Args:
        prediction: A volume file or a folder of them.
        reference: Likewise; it may hold more than the predictions.
        mask: Likewise.
        scale: Of the fixed protocol.
        on_progress: Called with (volumes done, volumes in all).

    Raises:
        EvaluationError: Nothing to pair, a prediction without a reference, or unequal grids.
        VolumeError: A file can't be read, or a volume is constant.
    """
    rows, warnings = [], []
    pairs = _pair(prediction, reference, mask)
    for number, (name, ours, theirs, outline) in enumerate(pairs):
        volumes = [load_volume(path) for path in (ours, theirs)]
        for volume, path in zip(volumes, (ours, theirs), strict=True):
            if volume.nonfinite_voxels:
                warnings.append(
                    f"{path}: {volume.nonfinite_voxels} voxels were not finite; counted as 0"
                )
            if (scale is None or scale.value_range is None) and volume.array.min() < 0:
                warnings.append(
                    f"{path}: below 0; the fixed protocol cuts there (CT: give --range)"
                )
        try:
            where = None if outline is None else load_volume(outline)
            scores = evaluate(volumes[0], volumes[1], where, scale)
        except GalipError as error:
            raise type(error)(f"{ours} against {theirs}: {error}") from error
        rows.append(VolumeRow(name=name, scores=scores))
        if on_progress is not None:
            on_progress(number + 1, len(pairs))
    return EvaluationReport(rows=tuple(rows), warnings=tuple(warnings))


def _as_volume(image: Image) -> Volume:
    if isinstance(image, Volume):
        return image
    if isinstance(image, str | Path):
        return load_volume(image)
    return Volume(array=np.asarray(image, dtype=np.float32), affine=np.eye(4))


def _axial(volume: Volume) -> Array:
    """Slices along the third axis in RAS order, (N, H, W)."""
    return view_slices(volume.array, volume.affine, "axial")


def _check_grid(volume: Volume, reference: Volume, what: str) -> None:
    if volume.shape != reference.shape:
        raise EvaluationError(
            f"the {what} has shape {volume.shape}, the reference {reference.shape}; resample it"
        )
    distance = float(np.abs(volume.affine - reference.affine).max())
    if distance > AFFINE_TOLERANCE:
        raise EvaluationError(
            f"the affines of {what} and reference differ by {distance:.4g} mm; resample one of them"
        )


def _pair(
    prediction: Path, reference: Path, mask: Path | None
) -> list[tuple[str, Path, Path, Path | None]]:
    """(name, prediction, reference, mask) of each volume."""
    for path in (prediction, reference, *([mask] if mask else [])):
        if not path.exists():
            raise EvaluationError(f"{path}: no such file or folder")
        if path.is_dir() != prediction.is_dir():
            raise EvaluationError(f"{prediction} and {path}: give two files or two folders")
    if not prediction.is_dir():
        return [(prediction.name, prediction, reference, mask)]
    found = _volumes_of(prediction)
    if not found:
        raise EvaluationError(f"{prediction}: holds no volumes")
    references = _volumes_of(reference)
    masks = _volumes_of(mask) if mask else None
    for what, known in (("reference", references), ("mask", masks)):
        missing = [stem for stem in found if known is not None and stem not in known]
        if missing:
            raise EvaluationError(
                f"{found[missing[0]]}: no {what} of that name "
                f"({len(missing)} of {len(found)} predictions have none)"
            )
    return [
        (stem, path, references[stem], masks[stem] if masks is not None else None)
        for stem, path in found.items()
    ]


def _volumes_of(folder: Path) -> dict[str, Path]:
    """The volumes of a folder by name without suffix."""
    found = {}
    for path in sorted(folder.iterdir()):
        suffix = volume_suffix(path)
        if suffix is not None and not path.name.startswith("."):
            found[path.name[: -len(suffix)]] = path
    return found
