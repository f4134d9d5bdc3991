"""One training run: what every method has. A method's own settings are a subclass (`methods`)."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args

from i2igalip_cli.config.faults import Faults, raise_faults

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(ABC):
    """One training run; defaults are those of I2I-Galip's paper unless a method has its own.

    Attributes:
        method: Name in `CONFIGS` and `METHODS`; each subclass has its own.
        encoder: Text-image encoder: "demo" (shipped), "biomedclip", an open_clip folder or an
            open_clip name. It embeds the captions and is what `--qc` judges translations with;
            only I2I-Galip is trained through it.
        start: Checkpoint whose networks the run begins with, for fine-tuning: a file or a shipped
            name, with the same domains and sizes; "" begins with random ones.
        captions: Captions by domain, over the dataset's.
        domains: The only domains to train on; () takes all of the dataset.
        epochs: Passes over the larger domain's training slices.
        steps: Length in steps instead of epochs; 0 leaves it to `epochs`.
        batch: Pairs of slices that are held in memory at once.
        accumulate: Batches whose gradients are averaged into one step.
        distinct_domains: The two slices of a pair are of different domains.
        learning_rate: Of Adam; constant for half of the run, then linear to 0.
        betas: Of Adam.
        weight_decay: L2 penalty that Adam adds to its gradients.
        ema_decay: Decay a step of the averaged networks that translate; 0 takes them as they are.
        crop: Height and width of a random window of each slice; () takes whole slices, as in the
            paper.
        zoom: Slices are magnified by up to this factor and cropped; 1 is off, as in the paper.
        mirror: Mirror half of the slices left-right; off in the paper.
        precision: Arithmetic of the networks: bfloat16 or float16 autocast (the latter with scaled
            losses, for GPUs without bfloat16), or float32.
        seed: Of weights, order, augmentation, and of what a method draws.
        validate_every: Steps between validations, where the dataset has paired subjects for it.
        validation_slices: Slices of each validation volume that are scored, evenly spaced; 0 takes
            all.
        preview_every: Steps between preview panels.
        save_every: Steps between saved states.
    """

    reads_captions: ClassVar[bool] = False  # whether a caption has a part in translation
    two_domains: ClassVar[bool] = False  # whether a run is of two domains, no more

    method: str = ""
    encoder: str = "demo"
    start: str = ""
    captions: Mapping[str, str] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    epochs: int = 100
    steps: int = 0
    batch: int = 4
    accumulate: int = 1
    distinct_domains: bool = False
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.99)
    weight_decay: float = 0.0
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
        raise_faults(self, self.faults())

    @property
    @abstractmethod
    def side_multiple(self) -> int:
        """What the height and width of a slice must be a multiple of."""

    @property
    def smallest_side(self) -> int:
        """What the height and width of a slice must be at least, in training."""
        return 1

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        own = type(self).method  # the field's default
        return [
            (self.method != own, f"method = '{self.method}': these are the settings of {own}"),
            (self.epochs < 1, f"epochs = {self.epochs}: at least 1"),
            (
                min(self.steps, self.validation_slices) < 0,
                f"steps = {self.steps}, validation_slices = {self.validation_slices}: at least 0",
            ),
            (
                min(self.batch, self.accumulate) < 1,
                f"batch = {self.batch}, accumulate = {self.accumulate}: at least 1",
            ),
            (
                len(self.domains) == 1 or len(set(self.domains)) < len(self.domains),
                f"domains = {list(self.domains)}: at least two different ones, or nothing",
            ),
            (self.learning_rate <= 0, f"learning_rate = {self.learning_rate}: above 0"),
            (self.weight_decay < 0, f"weight_decay = {self.weight_decay}: at least 0"),
            (not 0 <= self.ema_decay < 1, f"ema_decay = {self.ema_decay}: from 0 to below 1"),
            (
                bool(self.crop) and (len(self.crop) != 2 or min(self.crop) < 1),
                f"crop = {list(self.crop)}: height and width, or nothing",
            ),
            (
                any(side % self.side_multiple for side in self.crop),
                f"crop = {list(self.crop)}: multiples of {self.side_multiple}, as the networks of "
                f"{own} need",
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
        ]

    def translates(self, source: int, target: int) -> bool:
        """Whether a run translates from one domain to another.

        Args:
            source: Index of a domain in the run's order.
            target: Of another, or the same.
        """
        return True

    def fit(self, domains: int, context: int) -> Self:
        """The configuration with sizes that dataset and encoder decide.

        Args:
            domains: How many.
            context: Width of a caption token.
        """
        return self

    @property
    def caption_tokens(self) -> bool:
        """Whether translation attends to every token of a caption, not only to its embedding."""
        return False

    @property
    def needs_pairs(self) -> bool:
        """Whether it learns from registered pairs, where the dataset has them."""
        return False

    @property
    def graph_sizes(self) -> Mapping[str, Any] | None:
        """What the graph of a translation depends on; None where other runtimes can't run it."""
        return None
