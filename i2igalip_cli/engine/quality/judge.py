"""Judges translations without their truth: runs the generator again and compares."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import Plane
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.directions import learned_back
from i2igalip_cli.engine.laying import LaidVolume
from i2igalip_cli.engine.planes import LEVELS, Levels
from i2igalip_cli.engine.quality.captions import caption_fit
from i2igalip_cli.engine.quality.embedding import embed_slices
from i2igalip_cli.engine.quality.indicators import edge_agreement, find_foreground, mean_within
from i2igalip_cli.engine.quality.inputs import InputJudgement, judge_input
from i2igalip_cli.engine.quality.maps import deviation_of_planes, join_maps
from i2igalip_cli.engine.quality.quality import Quality
from i2igalip_cli.engine.quality.score import expected_error
from i2igalip_cli.engine.quality.variants import Variants
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.volume import Array, freeze

if TYPE_CHECKING:
    from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

# Of one volume: by checkpoint, then by what it was said to be and the plane that was looked at.
_Judged = WeakKeyDictionary[Checkpoint, dict[tuple[Domain | None, Plane], InputJudgement]]
_SHOWN = 32  # slices of a volume that the encoder may choose from, spread over its foreground


class QualityJudge:
    """An encoder that looks at sources and results, for any number of volumes.

    A source is judged once for a checkpoint, however many targets it is translated to; said to be
    of another domain, or looked at in another plane, it is judged anew.

    Args:
        encoder: The one that the checkpoint was trained with.
    """

    def __init__(self, encoder: "TextImageEncoder") -> None:
        self.encoder = encoder
        self._sources: WeakKeyDictionary[Volume, _Judged] = WeakKeyDictionary()

    def count(self, laid: LaidVolume, checkpoint: Checkpoint, target: Domain) -> int:
        """Slices that the generator is to translate for a judgement: back, and mirrored."""
        others = [plane for plane in checkpoint.planes if plane not in laid.slices]
        again = sum(len(laid.lay(plane, checkpoint).filled) for plane in others)
        back = any(learned_back(checkpoint, domain, target) for domain in checkpoint.domains)
        return again + (1 + back) * len(laid.slices[laid.first].filled)

    def __call__(self, variants: Variants, result: Array, parts: Levels) -> Quality:
        """Judge a translation.

        Args:
            variants: Runs its generator on its source again.
            result: (I, J, K) of the box, in [0, 1].
            parts: What each plane came to by itself, where it was fused of three.
        """
        laid, checkpoint = variants.laid, variants.checkpoint
        about = self._judge_source(variants)
        source = laid.inner.to_unit(laid.straight.array[laid.box])
        found = _Deviations.of(variants, source, result, parts, about.source)
        foreground = find_foreground(source, result)
        seen = embed_slices(self.encoder, _show(laid, result))
        quality = Quality(
            score=0.0,  # of what follows
            calibrated=False,
            cycle=None if found.cycle is None else mean_within(found.cycle, foreground),
            flips=mean_within(found.flips, foreground),
            planes=None if found.planes is None else mean_within(found.planes, foreground),
            edges=edge_agreement(source, result, laid.straight.spacing_mm, foreground),
            caption_in=about.caption_fit,
            caption_out=caption_fit(seen, checkpoint, variants.target),
            distance=about.distance,
            looks_like=about.looks_like,
            map=freeze(join_maps(found.all, laid)),
            warnings=about.warnings,
        )
        score, calibrated = expected_error(quality.indicators, checkpoint.calibration)
        return replace(quality, score=score, calibrated=calibrated)

    def _judge_source(self, variants: Variants) -> InputJudgement:
        laid = variants.laid
        judged = self._sources.setdefault(laid.source, WeakKeyDictionary())
        known = judged.setdefault(variants.checkpoint, {})
        asked = (variants.source, laid.first)
        if asked not in known:
            unit = laid.straight.with_array(freeze(laid.inner.to_unit(laid.straight.array)))
            shown = laid.slices[laid.first].read(_choose(laid))
            known[asked] = judge_input(
                unit, shown, variants.checkpoint, self.encoder, variants.source, laid.first
            )
        return known[asked]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Deviations:
    """How far the generator disagrees with itself, (I, J, K) of the box, of the range."""

    cycle: Array | None
    flips: Array
    planes: Array | None

    @classmethod
    def of(
        cls, variants: Variants, source: Array, result: Array, parts: Levels, domain: Domain
    ) -> "_Deviations":
        """Those of a translation whose source (I, J, K) of the box is of a domain."""
        known: dict[Plane, Array] = {variants.laid.first: result}
        known |= {plane: np.float32(1 / LEVELS) * part for plane, part in parts.items()}
        return cls(
            cycle=_compare_cycle(variants, source, result, domain),
            flips=np.abs(variants.mirrored() - known[variants.laid.first]),
            planes=_compare_planes(variants, known),
        )

    @property
    def all(self) -> list[Array]:
        """Those that there are."""
        return [one for one in (self.cycle, self.flips, self.planes) if one is not None]


def _compare_cycle(
    variants: Variants, source: Array, result: Array, domain: Domain
) -> Array | None:
    """Deviation of what comes back of a result; None where the method has no way back."""
    if not learned_back(variants.checkpoint, domain, variants.target):
        return None
    deviation: Array = np.abs(variants.cycled(result, domain) - source)
    return deviation


def _compare_planes(variants: Variants, known: Mapping[Plane, Array]) -> Array | None:
    """Deviation of all of the checkpoint's planes; None where it has one."""
    planes = tuple(variants.checkpoint.planes)
    if len(planes) < 2:
        return None
    return deviation_of_planes([known[p] if p in known else variants.of_plane(p) for p in planes])


def _choose(laid: LaidVolume) -> npt.NDArray[np.intp]:
    """Slices of the first plane for the encoder, spread over those with foreground."""
    slices = laid.slices[laid.first]
    known = slices.filled if slices.filled.size else np.arange(len(slices.source))
    places = (np.arange(_SHOWN) + 0.5) / _SHOWN * len(known)
    chosen: npt.NDArray[np.intp] = np.unique(known[places.astype(np.intp)])
    return chosen


def _show(laid: LaidVolume, result: Array) -> Array:
    """The same slices of a result (I, J, K) of the box, (n, 1, H, W) in [0, 1]."""
    return laid.lay_result(result).read(_choose(laid))
