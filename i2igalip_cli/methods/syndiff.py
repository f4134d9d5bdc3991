"""SynDiff (Özbey et al. 2023): a few large steps from noise to a slice, guided by its source.

What undoes a step, a diffusive generator, learns from pairs, and there are none: so translators
without diffusion learn beside it, and make a source for each real slice of the target domain. Once
trained, the diffusive generators translate alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.config import SynDiffConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.adversarial import AdversarialMethod, Made, Terms
from i2igalip_cli.methods.base import Part, StepReport, UnpairedBatch
from i2igalip_cli.methods.chance import Chance, Noise
from i2igalip_cli.methods.diffusion import Schedule, large_betas
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.ncsnpp import NcsnPP
from i2igalip_cli.networks.noisy_discriminator import NoisyDiscriminator
from i2igalip_cli.networks.patch_discriminator import PatchDiscriminator
from i2igalip_cli.networks.resnet import ResnetGenerator

SIDES = ("first", "second")
OTHER = {"first": "second", "second": "first"}


@dataclass(frozen=True, eq=False, kw_only=True)
class StepBack:
    """One step of diffusion and two ways before it, in slices (N, 1, H, W) of one domain.

    Attributes:
        step: Which one, from 0, (N,) int64.
        noisy: After it.
        real: Before it, of the real slice.
        made: Before it, drawn as the generator's guess has it.
        clean: That guess.
    """

    step: Tensor
    noisy: Tensor
    real: Tensor
    made: Tensor
    clean: Tensor

    def detach(self) -> "StepBack":
        """Cut off from the generators."""
        return replace(self, made=self.made.detach(), clean=self.clean.detach())

    def judge_both(self, judge: nn.Module) -> tuple[Tensor, Tensor]:
        """Logits (N,) of the real way and of the made one, in one call."""
        both = torch.cat([self.real, self.made])
        logits = judge(both, self.noisy.repeat(2, 1, 1, 1), self.step.repeat(2))
        real, made = logits.chunk(2)
        return real, made


@dataclass(frozen=True, eq=False, kw_only=True)
class MadeInSteps(Made):
    """What translators made of a pair, and the steps that diffusive generators went back."""

    back: Mapping[str, StepBack]  # by the side of the real slice


def logistic_generator(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of a generator: its slices should be judged real.

    Args:
        fake_logits: Of its slices, of any shape.

    Returns:
        Scalar, above 0 (Goodfellow et al. 2014): the mean of log(1 + exp(-logit)).
    """
    return F.softplus(-fake_logits).mean()


def logistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Cross-entropy of a discriminator, summed over real and made slices.

    Args:
        real_logits: Of real slices, of any shape.
        fake_logits: Of made slices.

    Returns:
        Scalar, above 0.
    """
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gradient_penalty(judge: nn.Module, back: StepBack) -> Tensor:
    """R1: half of the squared slope of a discriminator at real slices (Mescheder et al. 2018).

    In float32 whatever the run's arithmetic, as a slope is differentiated once more.

    Args:
        judge: Called with slices before and after a step, and the step.
        back: Where it is measured.

    Returns:
        Scalar, at least 0: summed over pixels, averaged over slices.
    """
    with torch.autocast(back.real.device.type, enabled=False):
        real = back.real.detach().requires_grad_(True)
        logits = judge(real, back.noisy, back.step)
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2, 3)).mean()  # (N, 1, H, W) -> (N,) -> ()


class SynDiff(AdversarialMethod[SynDiffConfig]):
    """SynDiff; arguments as in `Method`."""

    def build(self) -> None:
        """Make a diffusive generator for each domain, and what only training needs."""
        c = self.config
        self.schedule = Schedule(large_betas(c.diffusion_steps, c.beta_min, c.beta_max))
        self.steps_done = 0
        self.exported = nn.ModuleDict(
            {f"generator_to_{side}": self._make_diffusive() for side in SIDES}
        )
        if self.learns:
            self._add_what_trains()

    def learners(self) -> Sequence[nn.Module]:
        """Diffusive generators, and translators."""
        return (self.exported, self.translators)

    def _make_diffusive(self) -> NcsnPP:
        c = self.config
        return NcsnPP(
            c.width, c.multipliers, c.residual_blocks, c.attention_reductions, c.latent, c.style
        )

    def _add_what_trains(self) -> None:
        """Translators and discriminators, by the domain that they make or judge."""
        c = self.config
        self.translators, self.slice_judges, self.step_judges = (
            nn.ModuleDict({side: make() for side in SIDES})
            for make in (
                lambda: ResnetGenerator(c.translator_width, c.translator_blocks),
                lambda: PatchDiscriminator(c.discriminator_width),
                lambda: NoisyDiscriminator(c.noisy_width, c.noisy_levels),
            )
        )
        initialise_normal(self.translators, self.slice_judges)

    def judges(self) -> Sequence[nn.Module]:
        """Two discriminators for each domain: of slices, and of steps of diffusion."""
        return (self.slice_judges, self.step_judges)

    def parts(self) -> Mapping[str, Part]:
        """Two generators and two discriminators for each direction."""
        networks = {
            "diffusive generator": self.exported["generator_to_second"],
            "generator": self.translators["second"],
            "diffusive discriminator": self.step_judges["second"],
            "discriminator": self.slice_judges["second"],
        }
        return {
            name: Part(networks=[network], each="direction") for name, network in networks.items()
        }

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to one of the two domains; they are taken for the other.

        Each step guesses the clean slice and goes back to what may have been before the step, given
        that guess: the last one to the guess itself.
        """
        generator = self.exported[f"generator_to_{SIDES[self.index_of[target.name]]}"]
        noise = Noise(self.config.seed, slices.device)
        signed = to_signed(slices).float()
        noisy = noise.normal(signed)
        for number in reversed(range(len(self.schedule))):
            step = torch.full((len(slices),), number, device=slices.device)
            latent = noise.normal(signed.new_empty(len(slices), self.config.latent))
            clean = generator(noisy, signed, step, latent).float()
            mean, variance = self.schedule.step_back(clean, noisy, step)
            noisy = mean + variance.sqrt() * noise.normal(signed)
        return to_unit(noisy).clamp(0, 1)

    def go_back(self, side: str, real: Tensor, source: Tensor, chance: Chance) -> StepBack:
        """Add noise to real slices up to a step drawn at random, and let a generator undo the step.

        Args:
            side: Of the domain.
            real: Slices of it, (N, 1, H, W) in [-1, 1].
            source: Those slices as they look in the other domain, the same.
            chance: What decides step, noise and latent.
        """
        step = chance.integers(len(self.schedule))
        shape = real.shape[1:]
        before = self.schedule.add_noise(real, step - 1, chance.normal(*shape))
        noisy = self.schedule.go_on(before, step, chance.normal(*shape))
        latent = chance.normal(self.config.latent)
        clean = self.exported[f"generator_to_{side}"](noisy, source, step, latent).float()
        mean, variance = self.schedule.step_back(clean, noisy, step)
        made = mean + variance.sqrt() * chance.normal(*shape)
        return StepBack(step=step, noisy=noisy, real=before, made=made, clean=clean)

    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """Adversarial and cycle losses of translators and of diffusive generators.

        The guess of a diffusive generator closes a cycle: from a real slice through a translator to
        the other domain, and back.
        """
        real = {"first": pair.first, "second": pair.second}
        made = {side: self.translators[side](real[OTHER[side]]).float() for side in SIDES}
        returned = {side: self.translators[side](made[OTHER[side]]).float() for side in SIDES}
        back = {
            side: self.go_back(side, real[side], made[OTHER[side]], pair.chance) for side in SIDES
        }
        sums = {
            "adversarial": [logistic_generator(self.slice_judges[s](made[s])) for s in SIDES],
            "cycle": [losses.cycle_consistency(returned[s], real[s]) for s in SIDES],
            "diffusive_adversarial": [
                logistic_generator(self.step_judges[s](back[s].made, back[s].noisy, back[s].step))
                for s in SIDES
            ],
            "diffusive_cycle": [losses.cycle_consistency(back[s].clean, real[s]) for s in SIDES],
        }
        terms = {
            name: (getattr(self.config.weights, name), torch.stack(values).sum())
            for name, values in sums.items()
        }
        return terms, MadeInSteps(
            first=made["first"].detach(),
            second=made["second"].detach(),
            back={side: one.detach() for side, one in back.items()},
        )

    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """Real against made, in slices and in steps back; a penalty every so many steps.

        In the steps between the penalty is 0, in the log too.
        """
        assert isinstance(made, MadeInSteps), "what `teach_generators` made"
        assert made.first is not None, "both ways are taught"
        slices = {"first": (pair.first, made.first), "second": (pair.second, made.second)}
        due = self.steps_done % self.config.penalty_every == 0
        of_slices, of_steps, penalties = [], [], []
        for side, back in made.back.items():
            slice_judge, step_judge = self.slice_judges[side], self.step_judges[side]
            of_slices.append(logistic_discriminator(*slice_judge(torch.cat(slices[side])).chunk(2)))
            of_steps.append(logistic_discriminator(*back.judge_both(step_judge)))
            nothing = back.clean.new_zeros(())
            penalties.append(gradient_penalty(step_judge, back) if due else nothing)
        return {
            "discriminator": (1.0, torch.stack(of_slices).sum()),
            "diffusive_discriminator": (1.0, torch.stack(of_steps).sum()),
            "penalty": (self.config.weights.penalty, torch.stack(penalties).sum()),
        }

    def step(self, batch: UnpairedBatch) -> StepReport:
        """A turn of the generators, then one of the discriminators."""
        report = super().step(batch)
        self.steps_done += 1
        return report

    def run_state(self) -> dict[str, Any]:
        """All that training goes on from, and when the next penalty is due."""
        return {**super().run_state(), "steps_done": self.steps_done}

    def load_run_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `run_state` gave."""
        super().load_run_state(state)
        self.steps_done = state["steps_done"]
