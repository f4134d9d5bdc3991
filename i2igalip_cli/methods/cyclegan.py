"""CycleGAN (Zhu et al. 2017): two generators that undo each other, two patch discriminators."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2igalip_cli.config import CycleGanConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.adversarial import AdversarialMethod, Made, Terms
from i2igalip_cli.methods.base import Part
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.patch_discriminator import PatchDiscriminator
from i2igalip_cli.networks.resnet import ResnetGenerator


class SlicePool:
    """Translated slices of earlier steps, shown again (Shrivastava et al. 2017).

    Each process of a run has its own; a resumed one begins in all of them with the first one's.

    Args:
        size: How many it holds; 0 shows each slice as it comes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.slices: list[Tensor] = []  # (1, H, W) each

    def exchange(self, made: Tensor, chance: Chance) -> Tensor:
        """Half of the slices (N, 1, H, W) for older ones, which they replace, once it is full."""
        if self.size == 0:
            return made
        swaps = (chance.uniform() < 0.5).tolist()
        places = chance.integers(self.size).tolist()
        shown = []
        for slice_, swap, place in zip(made, swaps, places, strict=True):
            if len(self.slices) < self.size:
                self.slices.append(slice_.clone())
                shown.append(slice_)
            elif swap:
                shown.append(self.slices[place])
                self.slices[place] = slice_.clone()
            else:
                shown.append(slice_)
        return torch.stack(shown)


class CycleGan(AdversarialMethod[CycleGanConfig]):
    """CycleGAN; arguments as in `Method`."""

    def build(self) -> None:
        """Make a generator for each direction, and what judges each domain."""
        c = self.config
        self.exported = nn.ModuleDict(
            {
                "generator_to_second": ResnetGenerator(c.width, c.blocks),
                "generator_to_first": ResnetGenerator(c.width, c.blocks),
            }
        )
        initialise_normal(self.exported)
        if self.learns:
            self.judge_first = PatchDiscriminator(c.discriminator_width)
            self.judge_second = PatchDiscriminator(c.discriminator_width)
            initialise_normal(*self.judges())
        self.pools = {name: SlicePool(c.pool) for name in ("first", "second")}

    def judges(self) -> Sequence[nn.Module]:
        """A discriminator for each domain."""
        return (self.judge_first, self.judge_second)

    def parts(self) -> Mapping[str, Part]:
        """A generator and a discriminator for each direction."""
        return {
            "generator": Part(networks=[self.exported["generator_to_second"]], each="direction"),
            "discriminator": Part(networks=[self.judge_second], each="direction"),
        }

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to one of the two domains; they are taken for the other."""
        names = ("generator_to_first", "generator_to_second")
        generator = self.exported[names[self.index_of[target.name]]]
        return to_unit(generator(to_signed(slices)).float()).clamp(0, 1)

    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """Adversarial and cycle losses, and identity as a share of the cycle's."""
        weights = self.config.weights
        to_second, to_first = self.exported.values()
        second, first = to_second(pair.first).float(), to_first(pair.second).float()
        back_first, back_second = to_first(second).float(), to_second(first).float()
        terms: Terms = {
            "adversarial": (
                weights.adversarial,
                losses.adversarial_generator(self.judge_second(second))
                + losses.adversarial_generator(self.judge_first(first)),
            ),
            "cycle": (
                weights.cycle,
                losses.cycle_consistency(back_first, pair.first)
                + losses.cycle_consistency(back_second, pair.second),
            ),
        }
        if weights.identity > 0:
            kept_first, kept_second = to_first(pair.first).float(), to_second(pair.second).float()
            terms["identity"] = (
                weights.identity * weights.cycle,
                losses.identity_preservation(kept_first, pair.first)
                + losses.identity_preservation(kept_second, pair.second),
            )
        return terms, Made(second=second.detach(), first=first.detach())

    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """Real slices are 1, translated ones of this step and earlier ones 0; halved as there."""
        assert made.first is not None, "both ways are taught"
        first = self.pools["first"].exchange(made.first, pair.chance)
        second = self.pools["second"].exchange(made.second, pair.chance)
        judged = losses.adversarial_discriminator(
            self.judge_first(pair.first), self.judge_first(first)
        ) + losses.adversarial_discriminator(
            self.judge_second(pair.second), self.judge_second(second)
        )
        return {"discriminator": (0.5, judged)}

    def run_state(self) -> dict[str, Any]:
        """All that training goes on from, the pools too."""
        return {**super().run_state(), "pools": {k: p.slices for k, p in self.pools.items()}}

    def load_run_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `run_state` gave."""
        super().load_run_state(state)
        for name, pool in self.pools.items():
            pool.slices = list(state["pools"][name])
