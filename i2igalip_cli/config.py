"""Every setting, as frozen dataclasses: TOML in, JSON into the checkpoint.

A configuration checks itself when it is made and reports all of its faults together. Defaults are
the paper's (I2I-Galip, MIDL 2025); `examples/demo.toml` holds those of the shipped checkpoint.
"""

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from i2igalip_cli.errors import ConfigError

Plane = Literal["axial", "coronal", "sagittal"]
Precision = Literal["float32", "bfloat16", "float16"]
CaptionContext = Literal["pooled", "tokens"]

_Config = TypeVar("_Config")


def _raise_faults(owner: object, faults: list[tuple[bool, str]]) -> None:
    """Raise one ConfigError that lists every fault whose condition holds."""
    found = [message for condition, message in faults if condition]
    if found:
        raise ConfigError(f"{type(owner).__name__}: " + "; ".join(found))


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of the generator; the defaults give the paper's 13,242,881 parameters.

    Attributes:
        domains: Rows of the table of target domains.
        context: Width of a caption token: 512 for the pooled embedding, 768 for BERT's tokens.
        width: Channels of the first level.
        multipliers: Channel multiplier of each level; each level but the first halves the side.
        residual_blocks: Residual blocks a level on the way down (one more on the way up).
        attention_reductions: Levels, by their reduction of the side, with a spatial transformer.
        head_width: Channels of one attention head.
        embedding: Width of the domain embedding added in each residual block.
        norm_groups: Groups of each GroupNorm (at most the channels it normalises).
    """

    domains: int = 3
    context: int = 512
    width: int = 32
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    residual_blocks: int = 2
    attention_reductions: tuple[int, ...] = (8, 16, 32)
    head_width: int = 32
    embedding: int = 128
    norm_groups: int = 32

    def __post_init__(self) -> None:
        """Report sizes that no network can have."""
        widths = [self.width * multiplier for multiplier in self.multipliers]
        attended = [
            width for level, width in enumerate(widths) if 2**level in self.attention_reductions
        ]
        deepest = 2 ** (len(self.multipliers) - 1)
        _raise_faults(
            self,
            [
                (self.domains < 1, f"domains = {self.domains}: at least 1"),
                (self.context < 1, f"context = {self.context}: at least 1"),
                (not self.multipliers, "multipliers: at least one level"),
                (min(self.multipliers, default=1) < 1, "multipliers: whole numbers from 1"),
                (self.residual_blocks < 1, "residual_blocks: at least 1"),
                (
                    any(width % self.norm_groups for width in widths),
                    f"norm_groups = {self.norm_groups} doesn't divide the widths {widths}",
                ),
                (
                    any(width % self.head_width for width in attended),
                    f"head_width = {self.head_width} doesn't divide the widths {attended}",
                ),
                (
                    any(r > deepest or r & (r - 1) for r in self.attention_reductions),
                    f"attention_reductions: powers of 2 up to {deepest}",
                ),
            ],
        )

    @property
    def side_multiple(self) -> int:
        """What the height and width of a slice must be a multiple of."""
        return int(2 ** (len(self.multipliers) - 1))


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The projected discriminator heads of one domain (sizes of the paper).

    Attributes:
        blocks: Encoder blocks (from 0) whose normed patch tokens get a head each.
        kernel: Kernel of the residual convolution along the tokens.
        projection: Width in which features and caption are compared.
    """

    blocks: tuple[int, ...] = (2, 5, 8, 11)
    kernel: int = 9
    projection: int = 64

    def __post_init__(self) -> None:
        """Report sizes that no head can have."""
        _raise_faults(
            self,
            [
                (not self.blocks, "blocks: at least one"),
                (self.kernel % 2 == 0, f"kernel = {self.kernel}: an odd number"),
                (self.projection < 1, "projection: at least 1"),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the generator's losses (section 4.1 of the paper: cycle 10, the others 1).

    `paired` isn't in the paper, hence 0: the L1 distance to the true slice of the target domain,
    for slices whose registered partner the dataset's index knows.
    """

    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 1.0
    clip: float = 1.0
    cls: float = 1.0
    paired: float = 0.0

    def __post_init__(self) -> None:
        """Report negative weights."""
        negative = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) < 0]
        _raise_faults(self, [(bool(negative), f"negative weights: {', '.join(negative)}")])


@dataclass(frozen=True, kw_only=True)
class IntensityPolicy:
    """How a volume of arbitrary units is brought to [0, 1].

    Zero stays zero (no signal), and the percentile of the foreground becomes 1; what lies beyond
    is cut. The foreground is every voxel above the mean of the volume, after Nyul and Udupa's
    observation (1999) that the overall mean separates air from tissue in MR.

    Attributes:
        percentile: Percentile of the foreground that becomes 1, in percent.
    """

    percentile: float = 99.5

    def __post_init__(self) -> None:
        """Report a percentile outside (0, 100]."""
        outside = not 0 < self.percentile <= 100
        _raise_faults(self, [(outside, f"percentile = {self.percentile}: from above 0 to 100")])


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run; defaults are the paper's.

    Attributes:
        method: Name in `METHODS`.
        encoder: Text-image encoder: "biomedclip" (the paper's), "demo" (shipped), an open_clip
            folder or an open_clip name.
        start: Checkpoint whose networks the run begins with, for fine-tuning: a file or a shipped
            name, with the same domains and sizes; "" begins with random ones.
        captions: Captions by domain, over the dataset's.
        domains: The only domains to train on; () takes all of the dataset.
        caption_context: What the generator attends to: the pooled embedding as one token (the
            paper's 13.2 M parameters) or every caption token of the text tower (14.1 M).
        generator: Sizes of the generator; domains and context are set by dataset and encoder.
        heads: The discriminator's heads.
        weights: Weights of the losses.
        epochs: Passes over the larger domain's training slices.
        steps: Length in steps instead of epochs; 0 leaves it to `epochs`.
        batch: Pairs of slices that are held in memory at once.
        accumulate: Batches whose gradients are averaged into one step.
        recompute: Compute activations a second time on the way back instead of keeping them:
            less memory, more time, the same gradients.
        distinct_domains: The two slices of a pair are of different domains; off in the paper,
            where both are drawn from all domains.
        learning_rate: Of the generator's Adam; constant for half of the run, then linear to 0.
        discriminator_rate: Of the discriminator's Adam, likewise; the paper's is the same.
        betas: Of both Adams.
        ema_decay: Decay a step of the averaged generator.
        crop: Height and width of a random window of each slice; () takes whole slices, as in the
            paper.
        zoom: Slices are magnified by up to this factor and cropped; 1 is off, as in the paper.
        mirror: Mirror half of the slices left-right; off in the paper.
        precision: Arithmetic of the networks: bfloat16 or float16 autocast (the latter with scaled
            losses, for GPUs without bfloat16), or float32.
        seed: Of weights, order and augmentation.
        validate_every: Steps between validations, where the dataset has paired subjects for it.
        validation_slices: Slices of each validation volume that are scored, evenly spaced; 0 takes
            all.
        preview_every: Steps between preview panels.
        save_every: Steps between saved states.
    """

    method: str = "galip"
    encoder: str = "biomedclip"
    start: str = ""
    captions: Mapping[str, str] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    caption_context: CaptionContext = "pooled"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    heads: HeadConfig = field(default_factory=HeadConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    epochs: int = 100
    steps: int = 0
    batch: int = 4
    accumulate: int = 1
    recompute: bool = False
    distinct_domains: bool = False
    learning_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)
    ema_decay: float = 0.99
    crop: tuple[int, ...] = ()
    zoom: float = 1.0
    mirror: bool = False
    precision: Precision = "float32"
    seed: int = 0
    validate_every: int = 2000
    validation_slices: int = 16
    preview_every: int = 500
    save_every: int = 500

    def __post_init__(self) -> None:
        """Report every setting outside its range."""
        _raise_faults(
            self,
            [
                (self.epochs < 1, f"epochs = {self.epochs}: at least 1"),
                (
                    min(self.steps, self.validation_slices) < 0,
                    f"steps = {self.steps}, validation_slices = {self.validation_slices}: "
                    "at least 0",
                ),
                (
                    min(self.batch, self.accumulate) < 1,
                    f"batch = {self.batch}, accumulate = {self.accumulate}: at least 1",
                ),
                (
                    len(self.domains) == 1 or len(set(self.domains)) < len(self.domains),
                    f"domains = {list(self.domains)}: at least two different ones, or nothing",
                ),
                (
                    self.caption_context not in get_args(CaptionContext),
                    f"caption_context = '{self.caption_context}': pooled or tokens",
                ),
                (
                    min(self.learning_rate, self.discriminator_rate) <= 0,
                    f"learning_rate = {self.learning_rate}, "
                    f"discriminator_rate = {self.discriminator_rate}: above 0",
                ),
                (not 0 <= self.ema_decay < 1, f"ema_decay = {self.ema_decay}: from 0 to below 1"),
                (
                    bool(self.crop) and (len(self.crop) != 2 or min(self.crop) < 1),
                    f"crop = {list(self.crop)}: height and width, or nothing",
                ),
                (
                    any(side % self.generator.side_multiple for side in self.crop),
                    f"crop = {list(self.crop)}: multiples of {self.generator.side_multiple}, "
                    "which the generator halves",
                ),
                (self.zoom < 1, f"zoom = {self.zoom}: at least 1"),
                (
                    self.precision not in get_args(Precision),
                    f"precision = '{self.precision}': {', '.join(get_args(Precision))}",
                ),
                (
                    min(self.preview_every, self.save_every, self.validate_every) < 1,
                    "preview_every, save_every, validate_every: from 1",
                ),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a raw folder becomes a dataset: the table [prepare] of a settings file.

    Attributes:
        patterns: File-name pattern of each domain; none given: `*NAME*` for T1, T2 and PD.
        captions: Captions by domain: of one that isn't known yet, or over a known one's.
        plane: Which plane the slices lie in.
        split: Subjects for train, val and test: numbers of subjects when all are whole and one is
            above 1, else shares of all of them.
        seed: Of the split.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    plane: Plane = "axial"
    split: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0

    def __post_init__(self) -> None:
        """Report what no split or plane can be."""
        _raise_faults(
            self,
            [
                (
                    self.plane not in get_args(Plane),
                    f"plane '{self.plane}': one of {', '.join(get_args(Plane))}",
                ),
                (
                    len(self.split) != 3 or min(self.split) < 0 or sum(self.split) <= 0,
                    f"split = {list(self.split)}: three numbers from 0, for train, val and test",
                ),
            ],
        )

    @property
    def counts_subjects(self) -> bool:
        """Whether `split` holds numbers of subjects rather than shares."""
        return max(self.split) > 1 and all(float(part).is_integer() for part in self.split)


def parse_assignments(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Texts such as T1='*T1*', as on the command line.

    Args:
        option: Whose they are, for the message.
        texts: DOMAIN=TEXT each.

    Raises:
        ConfigError: A text without "=", or one domain twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value) or name in found:
            raise ConfigError(f"{option} '{text}': write DOMAIN='...', each domain once")
        found[name] = value
    return found


def to_dict(config: object) -> dict[str, Any]:
    """The configuration as JSON-ready values."""
    return dataclasses.asdict(config)  # type: ignore[call-overload,no-any-return]  # any dataclass


def from_dict(kind: type[_Config], values: Mapping[str, Any]) -> _Config:
    """Build a configuration, its nested ones included, from plain values.

    Args:
        kind: The dataclass to build.
        values: Settings by name; absent ones keep their default.

    Raises:
        ConfigError: An unknown setting or a value out of range.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(
            f"{kind.__name__} has no setting {', '.join(unknown)}; it has {', '.join(hints)}"
        )
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints[name]
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        if nested and isinstance(value, Mapping):
            arguments[name] = from_dict(hint, value)
        elif nested or not _fits(hint, value):
            wanted = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
            raise ConfigError(f"{kind.__name__}: {name} = {value!r} is not of the kind {wanted}")
        else:
            arguments[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{kind.__name__}: a value of the wrong type ({error})") from error


def _fits(hint: Any, value: object) -> bool:  # noqa: ANN401 (annotations have no common type)
    """Whether a plain value is of an annotation's kind; whole numbers may stand for others."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return isinstance(value, str)  # which one it may be, the configuration itself says
    if origin in (Union, UnionType):
        return any(_fits(one, value) for one in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return len(kinds) == len(value) and all(map(_fits, kinds, value))
    if hint in (int, float):
        kinds = (int, float) if hint is float else (int,)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return not isinstance(origin or hint, type) or isinstance(value, origin or hint)


def load_train_config(path: Path | None = None, changes: Sequence[str] = ()) -> TrainConfig:
    """Read the training settings of a settings file: all of it but the table [prepare].

    Args:
        path: The file; without one the paper's settings.
        changes: NAME=VALUE each, over the file's: a dotted name and a value in TOML, such as
            "weights.cls=0"; text may go without its quotes.

    Raises:
        ConfigError: The file is absent, is not TOML, or holds unknown settings.
    """
    values = {} if path is None else _read_toml(path)
    values.pop("prepare", None)
    for change in changes:
        _merge(values, _read_change(change))
    return from_dict(TrainConfig, values)


def _read_change(text: str) -> dict[str, Any]:
    name, separator, value = text.partition("=")
    # Words needn't be quoted; what looks like a list or a number is one.
    plain = re.fullmatch(r"[A-Za-z./~][^\"']*", value) and value not in ("true", "false")
    written = json.dumps(value) if plain else value
    try:
        if separator and name.strip():
            return tomllib.loads(f"{name} = {written}")
    except tomllib.TOMLDecodeError:
        pass
    raise ConfigError(f"--set '{text}': write NAME=VALUE, such as weights.cls=0 or ema_decay=0.999")


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put nested values over nested values, in place."""
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value


def load_prepare_config(path: Path) -> PrepareConfig:
    """Read the table [prepare] of a settings file.

    Raises:
        ConfigError: The file is absent, is not TOML, or holds unknown settings.
    """
    return from_dict(PrepareConfig, _read_toml(path).get("prepare", {}))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the configuration {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
