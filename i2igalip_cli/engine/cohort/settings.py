"""How volumes are translated, and which part of that makes a result what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import ALL_PLANES, Plane
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.captions import FreeCaption, encode_caption
from i2igalip_cli.engine.directions import find_direction
from i2igalip_cli.engine.planes import choose_planes
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import FORMATS, Irregular, Volume

if TYPE_CHECKING:
    from i2igalip_cli.engine.quality.judge import QualityJudge

DTYPES = ("auto", "float32", "int16", "uint16", "source")


@dataclass(frozen=True, kw_only=True)
class TranslationSettings:
    """What the user asked for, the same for all volumes.

    Attributes:
        targets: Target domains, by name or by caption: a result of each volume for each.
        source: Domain of the sources; None where the method needn't know.
        weights: What the checkpoint is loaded from.
        caption: What the generator attends to in place of the one target's own caption.
        encoder: Where the checkpoint's encoder is found; only a caption and `quality` need it.
        irregular: What to do with DICOM slices that make no regular grid.
        format: Name in `FORMATS`; None keeps that of the source.
        dtype: One of `DTYPES`.
        preview: Whether to draw source and result.
        quality: Whether to judge each result without its truth, and to map where it is doubtful.
        options: How to run.
    """

    targets: tuple[str, ...]
    source: str | None = None
    weights: str | None = None
    caption: str | None = None
    encoder: str | None = None
    irregular: Irregular = "fail"
    format: str | None = None
    dtype: str = "auto"
    preview: bool = False
    quality: bool = False
    options: TranslationOptions = field(default_factory=TranslationOptions)

    def __post_init__(self) -> None:
        """Refuse what isn't known.

        Raises:
            ConfigError: An unknown format, type or rule; no target, one twice, or one caption for
                several.
        """
        if not self.targets:
            raise ConfigError("no target domain: name one with --to")
        _refuse_twice(self.targets, self.targets)
        if self.caption is not None and len(self.targets) > 1:
            raise ConfigError(
                f"--caption says one target in your words, but --to names {len(self.targets)}: "
                "translate to each by itself"
            )
        if self.format is not None and self.format not in FORMATS:
            raise ConfigError(f"unknown format '{self.format}': known are {', '.join(FORMATS)}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"unknown type '{self.dtype}': known are {', '.join(DTYPES)}")
        if self.irregular not in ("fail", "resample", "nearest"):
            raise ConfigError(
                f"unknown rule '{self.irregular}' for irregular slices: fail, resample or nearest"
            )


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What of the settings decides on a result; outputs of two fingerprints don't mix.

    Attributes:
        weights_sha256: Identity of the checkpoint.
        target: Name of the target domain.
        source: Name of the sources' domain; "" if nothing was said.
        caption: The sentence that conditions the generator.
        irregular: As in the settings.
        dtype: As in the settings.
        format: As in the settings; "" keeps that of the source.
        precision: Arithmetic of the generator.
        planes: Plane that the slices lie in, or "all".
    """

    weights_sha256: str
    target: str
    source: str
    caption: str
    irregular: str
    dtype: str
    format: str
    precision: str
    planes: str

    def differences(self, other: "Fingerprint") -> str:
        """What differs, for people: "caption: 'a' there, 'b' now"; "" for the same."""
        there, now = asdict(other), asdict(self)
        return ", ".join(
            f"{one.name}: '{there[one.name]}' there, '{now[one.name]}' now"
            for one in fields(self)
            if there[one.name] != now[one.name]
        )


def take_fingerprints(
    settings: TranslationSettings, checkpoint: Checkpoint
) -> Mapping[str, Fingerprint]:
    """The fingerprints of settings with the checkpoint they name, by the targets' names.

    Raises:
        ConfigError: The checkpoint doesn't know a domain, a plane or a direction, or two targets
            are one.
    """
    planes = name_planes(choose_planes(checkpoint, settings.options.planes))
    directions = [
        find_direction(checkpoint, target.name, settings.source)
        for target in find_targets(settings, checkpoint)
    ]
    return {
        target.name: Fingerprint(
            weights_sha256=checkpoint.sha256,
            target=target.name,
            source="" if source is None else source.name,
            caption=settings.caption or target.caption,
            irregular=settings.irregular,
            dtype=settings.dtype,
            format=settings.format or "",
            precision=settings.options.precision,
            planes=planes,
        )
        for source, target in directions
    }


def find_targets(settings: TranslationSettings, checkpoint: Checkpoint) -> tuple[Domain, ...]:
    """The target domains of settings, in their order.

    Raises:
        ConfigError: The checkpoint doesn't know one, two are the same, or there are several for a
            method of two domains.
    """
    found = tuple(find_domain(text, checkpoint.domains) for text in settings.targets)
    if checkpoint.config.two_domains and len(found) > 1:
        raise ConfigError(
            f"{checkpoint.name} ({checkpoint.config.method}) takes a volume for the domain that "
            "--to isn't: name one --to"
        )
    _refuse_twice([domain.name for domain in found], settings.targets)
    return found


def encode_own_caption(settings: TranslationSettings, checkpoint: Checkpoint) -> FreeCaption | None:
    """The user's own caption, encoded; None where there is none.

    Raises:
        ConfigError: It is empty.
        CheckpointError: The checkpoint's encoder isn't here.
    """
    if settings.caption is None:
        return None
    return encode_caption(settings.caption, checkpoint, settings.encoder, settings.weights)


def make_translator(settings: TranslationSettings, checkpoint: Checkpoint) -> Translator:
    """What translates to the first target; `Translator.to` leads to the others.

    Raises:
        ConfigError: The checkpoint doesn't know a domain or a plane, or the caption is empty.
        CheckpointError: The encoder isn't here, and a caption or the judgement of quality needs it.
    """
    said = encode_own_caption(settings, checkpoint)
    return Translator(
        checkpoint,
        settings.targets[0],
        settings.source,
        settings.options,
        said,
        _make_judge(settings, checkpoint),
    )


def _make_judge(settings: TranslationSettings, checkpoint: Checkpoint) -> "QualityJudge | None":
    """What judges translations; None where nobody asks.

    Raises:
        CheckpointError: The checkpoint's encoder isn't here.
    """
    if not settings.quality:
        return None
    from i2igalip_cli.engine.encoders import open_encoder_of
    from i2igalip_cli.engine.quality.judge import QualityJudge

    return QualityJudge(open_encoder_of(checkpoint, settings.encoder, settings.weights))


def _refuse_twice(names: Sequence[str], said: Sequence[str]) -> None:
    """Refuse a target that is named twice, in any case of letters.

    Args:
        names: What the targets are known by.
        said: What the user wrote for each.

    Raises:
        ConfigError: It is.
    """
    firsts: dict[str, str] = {}
    for name, text in zip(names, said, strict=True):
        known = name.strip().casefold()
        if known in firsts:
            raise ConfigError(
                f"--to '{firsts[known]}' and --to '{text}' are one target: name it once"
            )
        firsts[known] = text


def name_planes(planes: tuple[Plane, ...]) -> str:
    """Planes in one word, as `--planes` takes it."""
    return planes[0] if len(planes) == 1 else ALL_PLANES


def check_dtype(dtype: str, target: Domain) -> None:
    """Refuse a type of voxels that no output of the target can have.

    Raises:
        VolumeError: CT in an unsigned type.
    """
    if target.modality == "CT" and dtype.startswith("uint"):
        raise VolumeError(f"CT has Hounsfield units below 0, {dtype} has no room for them")


def choose_dtype(dtype: str, target: Domain, source: Volume) -> str:
    """The type of an output's voxels.

    Args:
        dtype: One of `DTYPES`. "auto" is int16 for CT (whole Hounsfield units) and float32 for MR;
            "source" is the source's integer type, float32 where that is none.
        target: Domain of the output.
        source: What it was made of.

    Raises:
        VolumeError: CT in an unsigned type, which has no room for Hounsfield units below 0.
    """
    chosen = _choose(dtype, target, source)
    check_dtype(chosen, target)
    return chosen


def _choose(dtype: str, target: Domain, source: Volume) -> str:
    if dtype == "auto":
        return "int16" if target.modality == "CT" else "float32"
    if dtype == "source":
        stored = np.dtype(source.stored_dtype)
        return str(stored.newbyteorder("=")) if stored.kind in "iu" else "float32"
    return dtype
