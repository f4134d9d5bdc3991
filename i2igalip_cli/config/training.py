"""One training run; defaults are the paper's (I2I-Galip, MIDL 2025)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from i2igalip_cli.config.faults import raise_faults
from i2igalip_cli.config.networks import GeneratorConfig, HeadConfig, LossWeights

Precision = Literal["float32", "bfloat16", "float16"]
CaptionContext = Literal["pooled", "tokens"]


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
        raise_faults(
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
