"""UNIT (Liu et al. 2017): slices of two domains are decoded from one space of latent codes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from i2igalip_cli.config import UnitConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.adversarial import AdversarialMethod, Made, Terms
from i2igalip_cli.methods.base import Part
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.unit import Decoder, Encoder, MultiscaleDiscriminator, SharedBlocks

Side = Literal["first", "second"]


def prior_distance(code: Tensor) -> Tensor:
    """Draw codes to their prior, a standard normal distribution, as UNIT's VAE losses do.

    Args:
        code: Means of the codes' distributions, whose variance is 1, (N, C, h, w).

    Returns:
        Scalar: the mean square, twice the Kullback-Leibler divergence of each number.
    """
    return code.square().mean()


def content_distance(found: Tensor, code: Tensor) -> Tensor:
    """L1 between the mean codes of slices and those found in their translations, (N, C, h, w)."""
    return (found - code).abs().mean()


def fool(judged: Sequence[Tensor]) -> Tensor:
    """The generator's least-squares loss, the mean over scales of logits (N, 1, h, w)."""
    return torch.stack([losses.adversarial_generator(logits) for logits in judged]).mean()


def tell_apart(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """The discriminator's least-squares loss, the mean over scales of logits (N, 1, h, w)."""
    each = [losses.adversarial_discriminator(*pair) for pair in zip(real, fake, strict=True)]
    return torch.stack(each).mean()


class Unit(AdversarialMethod[UnitConfig]):
    """UNIT; arguments as in `Method`."""

    def build(self) -> None:
        """Make what is each domain's, what both share, and what judges each."""
        c = self.config
        self.exported = nn.ModuleDict(
            {
                "encoder_first": Encoder(c.width, c.blocks),
                "encoder_second": Encoder(c.width, c.blocks),
                "encoder_shared": SharedBlocks(4 * c.width, c.shared_blocks),
                "decoder_shared": SharedBlocks(4 * c.width, c.shared_blocks),
                "decoder_first": Decoder(c.width, c.blocks),
                "decoder_second": Decoder(c.width, c.blocks),
            }
        )
        initialise_normal(self.exported)
        if self.learns:
            self.judge_first, self.judge_second = (
                MultiscaleDiscriminator(c.discriminator_width, c.discriminator_levels, c.scales)
                for _ in range(2)
            )
            initialise_normal(*self.judges())

    def judges(self) -> Sequence[nn.Module]:
        """A discriminator for each domain."""
        return (self.judge_first, self.judge_second)

    def parts(self) -> Mapping[str, Part]:
        """An encoder, a decoder and a discriminator for each direction, shared blocks in each."""
        nets = self.exported
        networks: dict[str, list[nn.Module]] = {
            "encoder": [nets["encoder_first"], nets["encoder_shared"]],
            "decoder": [nets["decoder_shared"], nets["decoder_second"]],
            "discriminator": [self.judge_second],
        }
        return {name: Part(networks=own, each="direction") for name, own in networks.items()}

    def encode(self, slices: Tensor, side: Side) -> Tensor:
        """Means of the codes (N, C, h, w) of slices (N, 1, H, W) in [-1, 1], in float32."""
        own = self.exported[f"encoder_{side}"](slices)
        code: Tensor = self.exported["encoder_shared"](own).float()
        return code

    def decode(self, code: Tensor, side: Side) -> Tensor:
        """Slices (N, 1, H, W) in [-1, 1] of codes (N, C, h, w), in float32."""
        common = self.exported["decoder_shared"](code)
        slices: Tensor = self.exported[f"decoder_{side}"](common).float()
        return slices

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to one of the two domains; they are taken for the other.

        They are decoded from the means of their codes, so nothing is drawn.
        """
        ways: tuple[tuple[Side, Side], ...] = (("second", "first"), ("first", "second"))
        start, end = ways[self.index_of[target.name]]
        return to_unit(self.decode(self.encode(to_signed(slices), start), end)).clamp(0, 1)

    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """The losses of both directions, added; and what the generators made."""
        to_second, second = self._teach_direction(pair.first, "first", "second", pair.chance)
        to_first, first = self._teach_direction(pair.second, "second", "first", pair.chance)
        terms = {
            name: (weight, term + to_first[name][1]) for name, (weight, term) in to_second.items()
        }
        return terms, Made(second=second, first=first)

    def _teach_direction(
        self, slices: Tensor, start: Side, end: Side, chance: Chance
    ) -> tuple[Terms, Tensor]:
        """Losses of slices in a domain, rebuilt and translated; and their translation."""
        judge = self.judge_second if end == "second" else self.judge_first
        code = self.encode(slices, start)
        drawn = code + chance.normal(*code.shape[1:])
        rebuilt, translated = self.decode(drawn, start), self.decode(drawn, end)
        found = self.encode(translated, end)
        returned = self.decode(found + chance.normal(*found.shape[1:]), start)
        weights = self.config.weights
        terms: Terms = {
            "adversarial": (weights.adversarial, fool(judge(translated))),
            "image": (weights.image, losses.identity_preservation(rebuilt, slices)),
            "cycle": (weights.image, losses.cycle_consistency(returned, slices)),
            "content": (weights.content, content_distance(found, code)),
            "kl": (weights.kl, prior_distance(code) + prior_distance(found)),
        }
        return terms, translated.detach()

    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """Real slices are 1, translated ones 0."""
        assert made.first is not None, "both ways are taught"
        judged = tell_apart(self.judge_first(pair.first), self.judge_first(made.first))
        judged = judged + tell_apart(self.judge_second(pair.second), self.judge_second(made.second))
        return {"discriminator": (1.0, judged)}
