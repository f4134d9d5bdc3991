"""EGSDE (Zhao et al. 2022): diffusion from the noisy source, guided by an energy.

"EGSDE: Unpaired image-to-image translation via energy-guided stochastic differential equations".
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.config import EgsdeConfig, EnergyWeights
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods.base import Method, Part, StepReport, UnpairedBatch
from i2igalip_cli.methods.chance import Noise
from i2igalip_cli.methods.diffusion import Schedule, linear_betas
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.score_unet import DomainClassifier, ScoreUnet


def low_pass(side: int, factor: int) -> Tensor:
    """What makes of a row of pixels its coarse look: down by a factor, and up again.

    Both are linear interpolation, on the way down with as wide a kernel as the factor (Choi et al.
    2021, "ILVR"); a side that isn't a multiple of the factor has one cell more.

    Args:
        side: Pixels of the row.
        factor: Pixels a cell.

    Returns:
        A matrix (side, side) for columns of pixels; constant ones stay as they are.
    """
    cells = -(-side // factor)
    pixels = torch.eye(side)[None, None]  # (1, 1, side, side)
    down = F.interpolate(pixels, size=(cells, side), mode="bilinear", antialias=True)
    return F.interpolate(down, size=(side, side), mode="bilinear")[0, 0]


class Energy:
    """What a sample of the target domain should have little of, beside its source.

    Args:
        classifier: Of the two domains.
        weights: Of its two terms.
        rows: Low-pass filter of columns of pixels, (H, H).
        columns: Of rows of pixels, (W, W).
    """

    def __init__(
        self, classifier: DomainClassifier, weights: EnergyWeights, rows: Tensor, columns: Tensor
    ) -> None:
        self.classifier = classifier
        self.weights = weights
        self.rows = rows
        self.columns = columns

    def coarse(self, slices: Tensor) -> Tensor:
        """The coarse look of slices, (N, 1, H, W)."""
        return self.rows @ slices @ self.columns.T

    def of(self, sample: Tensor, source: Tensor, step: Tensor) -> Tensor:
        """The energy of each sample, lambda_s S_s - lambda_i S_i of section 3.2.

        Args:
            sample: (N, 1, H, W) after `step`.
            source: The source slice, after as many.
            step: (N,) int64.

        Returns:
            (N,): S_s is the mean cosine similarity of the classifier's features, which tell the
            domains apart and shall differ; S_i minus the squared distance of the coarse looks,
            which the domains share.
        """
        theirs, ours = (self.classifier.features(x, step) for x in (source, sample))
        alike = F.cosine_similarity(theirs, ours, dim=1).mean(dim=(1, 2))  # (N, C, h, w) -> (N,)
        apart = self.coarse(sample - source).square().sum(dim=(1, 2, 3))
        return self.weights.realism * alike + self.weights.faithfulness * apart

    def slope(self, sample: Tensor, source: Tensor, step: Tensor) -> Tensor:
        """Its gradient at the sample, (N, 1, H, W), in float32: realism's weight may be tiny."""
        with torch.enable_grad(), torch.autocast(sample.device.type, enabled=False):
            sample = sample.detach().requires_grad_()
            energy = self.of(sample, source, step).sum()
            return torch.autograd.grad(energy, sample)[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Noisy:
    """N slices of each of two domains, with noise.

    Attributes:
        first: (N, 1, H, W).
        second: The same.
        first_noise: The standard normal noise in `first`.
        second_noise: That in `second`.
        step: Of each pair, (N,) int64.
    """

    first: Tensor
    second: Tensor
    first_noise: Tensor
    second_noise: Tensor
    step: Tensor


class Egsde(Method[EgsdeConfig]):
    """EGSDE from the first domain to the second; arguments as in `Method`.

    The score model of the second domain and the classifier need nothing of each other, so each
    step teaches both, and one run makes what the paper trains in two.
    """

    def build(self) -> None:
        """Make the score model and the classifier."""
        c = self.config
        self.exported = nn.ModuleDict(
            {"score": ScoreUnet(c.score), "classifier": DomainClassifier(c.classifier)}
        )
        self.schedule = Schedule(linear_betas(c.noise_steps))

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each of the two, which need nothing of each other."""
        return {
            "score": self.adam(self.config.learning_rate, self.exported["score"]),
            "classifier": self.adam(self.config.classifier_rate, self.exported["classifier"]),
        }

    def parts(self) -> Mapping[str, Part]:
        """A score model for each domain; a classifier for each direction, the paper counts none."""
        return {
            "score model": Part(networks=[self.exported["score"]], each="domain"),
            "classifier": Part(networks=[self.exported["classifier"]], each="direction"),
        }

    def step(self, batch: UnpairedBatch) -> StepReport:
        """Match the noise of noisy target slices, and tell them from noisy source slices.

        Above `config.batch` pairs it goes through them in pieces of that size; the gradients are
        averaged.
        """
        losses = {name: torch.zeros((), device=batch.first.device) for name in self.exported}
        changes = []
        for piece in batch.split(self.config.batch):
            share = len(piece) / len(batch)
            pair = Pair.of(piece)
            noisy = self._add_noise(pair)
            for name, lesson in (("score", self._match_noise), ("classifier", self._tell_apart)):
                with self.autocast():
                    loss = lesson(noisy)
                self.backward(share * loss)
                losses[name] += share * loss.detach()
            changes.append(share * self._change(pair.first[:1], noisy.first_noise[:1]))
        for name in self.optimizers:
            self.update(name)
        self.scaler.update()
        return StepReport(losses=losses, change=torch.stack(changes).sum())

    def _add_noise(self, pair: Pair) -> Noisy:
        """Both slices of each pair after one step, which is drawn for it."""
        shape = pair.first.shape[1:]
        step = pair.chance.integers(len(self.schedule))
        first_noise, second_noise = pair.chance.normal(*shape), pair.chance.normal(*shape)
        return Noisy(
            first=self.schedule.add_noise(pair.first, step, first_noise),
            second=self.schedule.add_noise(pair.second, step, second_noise),
            first_noise=first_noise,
            second_noise=second_noise,
            step=step,
        )

    def _match_noise(self, noisy: Noisy) -> Tensor:
        """Squared error of the noise found in target slices (Ho et al. 2020, Eq. 14)."""
        found = self.exported["score"](noisy.second, noisy.step).float()
        return F.mse_loss(found, noisy.second_noise)

    def _tell_apart(self, noisy: Noisy) -> Tensor:
        """Cross-entropy of the domains of source and target slices."""
        slices, step = torch.cat([noisy.first, noisy.second]), noisy.step.repeat(2)  # (2N, ...)
        labels = torch.arange(2, device=step.device).repeat_interleave(len(noisy.step))
        return F.cross_entropy(self.exported["classifier"](slices, step).float(), labels)

    @torch.no_grad()
    def _change(self, source: Tensor, noise: Tensor) -> Tensor:
        """How far source slices are from what the score model sees in them when a sample begins.

        A whole translation takes too many steps to be watched in training.
        """
        step = torch.full((len(source),), self.config.steps_back - 1, device=source.device)
        noisy = self.schedule.add_noise(source, step, noise)
        with self.autocast():
            found = self.exported["score"](noisy, step).float()
        clean = self.schedule.find_clean(noisy, step, found).clamp(-1, 1)
        return (to_unit(clean) - to_unit(source)).abs().mean()

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) of the first domain to the second; the noise is the seed's."""
        # The energy needs gradients, also of slices that were made where there are none.
        with torch.inference_mode(False), torch.no_grad():
            return to_unit(self._sample(to_signed(slices.clone()).float())).clamp(0, 1)

    def _sample(self, source: Tensor) -> Tensor:
        """Add noise to the source (N, 1, H, W) and undo it step by step (Algorithm 1)."""
        noise = Noise(self.config.seed, source.device)
        energy = self._energy(source)
        steps = torch.arange(self.config.steps_back, device=source.device)
        sample = self.schedule.add_noise(source, steps[-1:], noise.normal(source))
        for number in steps.flip(0):
            step = number.expand(len(source))  # () -> (N,)
            noisy_source = self.schedule.add_noise(source, step, noise.normal(source))
            sample = self._step_back(sample, step, energy.slope(sample, noisy_source, step), noise)
        return sample

    def _energy(self, source: Tensor) -> Energy:
        """The energy of samples as large as the source."""
        classifier = self.exported["classifier"]
        assert isinstance(classifier, DomainClassifier), "made so"
        rows, columns = (low_pass(n, self.config.low_pass) for n in source.shape[-2:])
        device = source.device
        return Energy(classifier, self.config.weights, rows.to(device), columns.to(device))

    def _step_back(self, sample: Tensor, step: Tensor, slope: Tensor, noise: Noise) -> Tensor:
        """A step of the score model, and down the slope by the variance that the step added."""
        found = self.exported["score"](sample, step).float()
        clean = self.schedule.find_clean(sample, step, found).clamp(-1, 1)
        mean, variance = self.schedule.step_back(clean, sample, step)
        beta = self.schedule.beta[step][:, None, None, None]  # (N,) -> (N, 1, 1, 1)
        return mean - beta * slope + variance.sqrt() * noise.normal(sample)
