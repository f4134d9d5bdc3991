"""U-GAT-IT (Kim et al. 2020): generators that attend to what tells the two domains apart."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.config import UgatitConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.adversarial import AdversarialMethod, Made, Terms
from i2igalip_cli.methods.base import Part, StepReport, UnpairedBatch
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.ugatit import UgatitGenerator
from i2igalip_cli.networks.ugatit_discriminator import UgatitDiscriminators


def attention(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """Let a generator's attention tell its source domain, 1, from its target, 0 (section 2.2).

    Args:
        source_logits: Of slices of the domain that it translates from, (N, 2).
        target_logits: Of slices of the domain that it translates to, (N, 2).

    Returns:
        Scalar, at least 0: the sum of two binary cross-entropies.
    """
    of_source = F.binary_cross_entropy_with_logits(source_logits, torch.ones_like(source_logits))
    of_target = F.binary_cross_entropy_with_logits(target_logits, torch.zeros_like(target_logits))
    return of_source + of_target


def _translate(
    generator: nn.Module, source: Tensor, target: Tensor
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Slices of both domains through a generator at once, (N, 1, H, W) each.

    Returns:
        What it makes of those of its source and of its target, and its logits of them.
    """
    made, logits = generator(torch.cat([source, target]))  # (2N, 1, H, W)
    return made.chunk(2), logits.chunk(2)


class Ugatit(AdversarialMethod[UgatitConfig]):
    """U-GAT-IT; arguments as in `Method`."""

    def build(self) -> None:
        """Make a generator for each direction, and what judges each domain."""
        self.exported = nn.ModuleDict(
            {name: self._generator() for name in ("generator_to_second", "generator_to_first")}
        )
        if self.learns:
            self.judge_first = self._discriminators()
            self.judge_second = self._discriminators()

    def _generator(self) -> UgatitGenerator:
        config = self.config
        return UgatitGenerator(config.width, config.blocks, None if config.light else config.size)

    def _discriminators(self) -> UgatitDiscriminators:
        config = self.config
        return UgatitDiscriminators(
            config.discriminator_width, config.global_layers, config.local_layers
        )

    def judges(self) -> Sequence[UgatitDiscriminators]:
        """A pair of discriminators for each domain."""
        return (self.judge_first, self.judge_second)

    def parts(self) -> Mapping[str, Part]:
        """A generator and a pair of discriminators for each direction."""
        return {
            "generator": Part(networks=[self.exported["generator_to_second"]], each="direction"),
            "discriminators": Part(networks=[self.judge_second], each="direction"),
        }

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to one of the two domains; they are taken for the other.

        Raises:
            ConfigError: The full variant is made for slices of another size.
        """
        self._refuse_other_sides(slices)
        names = ("generator_to_first", "generator_to_second")
        generator = self.exported[names[self.index_of[target.name]]]
        return to_unit(generator(to_signed(slices))[0]).clamp(0, 1)

    def step(self, batch: UnpairedBatch) -> StepReport:
        """A turn of the generators, then one of the discriminators.

        Raises:
            ConfigError: The full variant is made for slices of another size.
        """
        self._refuse_other_sides(batch.first)
        return super().step(batch)

    def _refuse_other_sides(self, slices: Tensor) -> None:
        """Refuse slices that the full variant can't flatten."""
        (height, width), size = slices.shape[2:], self.config.size
        if not self.config.light and (height, width) != (size, size):
            raise ConfigError(
                f"slices of {height} x {width} pixels: ugatit was made for {size} x {size}; train "
                f"it with size = {max(height, width)}, or with light = true for slices of any size"
            )

    def update(self, name: str) -> None:
        """Let an optimizer step; then norms are brought to where its networks need them."""
        super().update(name)
        if name == "generators":
            for generator in self.exported.values():
                assert isinstance(generator, UgatitGenerator)
                generator.clip_shares()
        else:
            for judge in self.judges():
                judge.iterate_norms()

    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """Adversarial, cycle, identity and attention losses (section 2.2)."""
        weights = self.config.weights
        to_second, to_first = self.exported.values()
        (second, kept_second), seen_to_second = _translate(to_second, pair.first, pair.second)
        (first, kept_first), seen_to_first = _translate(to_first, pair.second, pair.first)
        back_first, back_second = to_first(second)[0], to_second(first)[0]
        judged = [*self.judge_second(second), *self.judge_first(first)]
        terms: Terms = {
            "adversarial": (
                weights.adversarial,
                torch.stack([losses.adversarial_generator(logits) for logits in judged]).sum(),
            ),
            "cycle": (
                weights.cycle,
                losses.cycle_consistency(back_first, pair.first)
                + losses.cycle_consistency(back_second, pair.second),
            ),
            "identity": (
                weights.identity,
                losses.identity_preservation(kept_first, pair.first)
                + losses.identity_preservation(kept_second, pair.second),
            ),
            "cam": (weights.cam, attention(*seen_to_second) + attention(*seen_to_first)),
        }
        return terms, Made(second=second.detach(), first=first.detach())

    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """Real slices are 1, translated ones 0: in patches, and by the attention."""
        assert made.first is not None, "both ways are taught"
        shown = (
            (self.judge_first, pair.first, made.first),
            (self.judge_second, pair.second, made.second),
        )
        judged = [
            losses.adversarial_discriminator(*logits.chunk(2))
            for judge, real, translated in shown
            for logits in judge(torch.cat([real, translated]))  # (2N, ...)
        ]
        return {"discriminator": (self.config.weights.adversarial, torch.stack(judged).sum())}
