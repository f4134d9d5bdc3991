"""Settings of I2I-Galip; defaults are the paper's (MIDL 2025)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, get_args

from i2igalip_cli.config.faults import Faults
from i2igalip_cli.config.methods.weights import Weights
from i2igalip_cli.config.networks import GeneratorConfig, HeadConfig
from i2igalip_cli.config.training import TrainConfig

CaptionContext = Literal["pooled", "tokens"]


@dataclass(frozen=True, kw_only=True)
class LossWeights(Weights):
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


@dataclass(frozen=True, kw_only=True)
class GalipConfig(TrainConfig):
    """A run of I2I-Galip, of any number of domains.

    Attributes:
        encoder: As in `TrainConfig`; what the discriminator sees through, "biomedclip" in the
            paper.
        distinct_domains: Off in the paper, where both slices are drawn from all domains.
        caption_context: What the generator attends to: the pooled embedding as one token (the
            paper's 13.2 M parameters) or every caption token of the text tower (14.1 M).
        generator: Sizes of the generator; domains and context are set by dataset and encoder.
        heads: The discriminator's heads.
        weights: Weights of the losses.
        discriminator_rate: Learning rate of the discriminator's Adam; the paper's is the same.
        recompute: Compute activations a second time on the way back instead of keeping them:
            less memory, more time, the same gradients.
    """

    reads_captions: ClassVar[bool] = True

    method: str = "galip"
    encoder: str = "biomedclip"
    caption_context: CaptionContext = "pooled"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    heads: HeadConfig = field(default_factory=HeadConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    discriminator_rate: float = 2e-4
    recompute: bool = False

    @property
    def side_multiple(self) -> int:
        """What the generator halves a slice's sides by."""
        return self.generator.side_multiple

    def faults(self) -> Faults:
        """What may be wrong: whether it is, and what to say then."""
        return [
            *super().faults(),
            (
                self.caption_context not in get_args(CaptionContext),
                f"caption_context = '{self.caption_context}': pooled or tokens",
            ),
            (
                self.discriminator_rate <= 0,
                f"discriminator_rate = {self.discriminator_rate}: above 0",
            ),
        ]

    def fit(self, domains: int, context: int) -> Self:
        """With the generator sized to dataset and encoder."""
        return replace(self, generator=replace(self.generator, domains=domains, context=context))

    @property
    def caption_tokens(self) -> bool:
        """Whether the generator attends to every token of a caption."""
        return self.caption_context == "tokens"

    @property
    def needs_pairs(self) -> bool:
        """Whether the loss on registered pairs has a weight."""
        return self.weights.paired > 0

    @property
    def graph_sizes(self) -> Mapping[str, Any]:
        """Sizes of the generator; how many domains there are, only its weights tell."""
        return asdict(replace(self.generator, domains=1))
