"""I2I-Galip (MIDL 2025): one caption-conditioned generator, judged through a frozen encoder."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from i2igalip_cli.config import GalipConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.base import Method, Part, StepReport, UnpairedBatch
from i2igalip_cli.networks.discriminator import Discriminator
from i2igalip_cli.networks.text_image_encoder import ImageFeatures, TextImageEncoder
from i2igalip_cli.networks.unet import Generator


@dataclass(frozen=True, eq=False, kw_only=True)
class _Direction:
    """N slices on their way to other domains, and real ones of those to compare with.

    Attributes:
        slices: (N, 1, H, W).
        own: Their domains, (N,).
        other: Where they go, (N,).
        truth: As in `UnpairedBatch`, with `known`.
        known: For which of them.
        patches: What the discriminator's heads see in `slices`, (N, L, C) each.
        target_classes: Class tokens of real slices of the other domains, (N, K).
    """

    slices: Tensor
    own: Tensor
    other: Tensor
    truth: Tensor
    known: Tensor
    patches: list[Tensor]
    target_classes: Tensor


class _Graph(nn.Module):
    """A generator and what `translate` does around it."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, slices: Tensor, tokens: Tensor, domain: Tensor) -> Tensor:
        """Translate slices (N, 1, H, W) under tokens (1, M, C) into a domain (1,)."""
        n = slices.shape[0]
        translated: Tensor = self.generator(slices, tokens.expand(n, -1, -1), domain.expand(n))
        return translated.clamp(0, 1)


class Galip(Method[GalipConfig]):
    """The paper's method; arguments as in `Method`."""

    encoder: TextImageEncoder | None

    def build(self) -> None:
        """Make the generator, and the heads of each domain on the encoder.

        Raises:
            ConfigError: A head on a block that the encoder hasn't.
        """
        config, encoder = self.config, self.encoder
        generator = Generator(config.generator, seed=config.seed)
        generator.recompute = config.recompute
        self.exported = nn.ModuleDict({"generator": generator})
        if encoder is None:
            return
        deepest = max(config.heads.blocks)
        if deepest >= encoder.depth:
            raise ConfigError(f"heads: block {deepest}, but the encoder has {encoder.depth}")
        self.discriminator = Discriminator(
            len(self.domains), encoder.width, self.captions.shape[1], config.heads, config.seed + 1
        )

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One for each side."""
        return {
            "generator": self.adam(self.config.learning_rate, self.exported["generator"]),
            "discriminator": self.adam(self.config.discriminator_rate, self.discriminator),
        }

    def _generate(self, slices: Tensor, domains: Tensor) -> Tensor:
        """Translate slices (N, 1, H, W), each into its domain (N,)."""
        translated: Tensor = self.exported["generator"](slices, self.tokens[domains], domains)
        return translated.float()

    def _generate_in_training(self, slices: Tensor, domains: Tensor) -> Tensor:
        with self.autocast():
            return self._generate(slices, domains)

    def _look(self, slices: Tensor) -> ImageFeatures:
        """One image pass of the encoder: embedding, patch tokens of the heads, class tokens."""
        assert self.encoder is not None, "training needs the encoder"
        blocks = self.config.heads.blocks
        if self.config.recompute and torch.is_grad_enabled():
            seen: ImageFeatures = checkpoint(self.encoder, slices, blocks, use_reentrant=False)
        else:
            seen = self.encoder(slices, blocks)
        return seen

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to the target domain; the source needs no naming here."""
        index = self.index_of[target.name]
        domains = torch.full((len(slices),), index, device=slices.device)
        return self._generate(slices, domains).clamp(0, 1)

    def parts(self) -> Mapping[str, Part]:
        """One generator, and a set of heads for each domain."""
        return {
            "generator": Part(networks=[self.exported["generator"]], each="model"),
            "discriminator": Part(networks=[self.discriminator.sets[0]], each="domain"),
        }

    def graph(self) -> nn.Module:
        """The generator, its caption and its domain the same for all slices."""
        return _Graph(self.exported["generator"])

    def step(self, batch: UnpairedBatch) -> StepReport:
        """Generator step (Eq. 1) and discriminator step (Eq. 3).

        A batch is gone through one direction at a time, and above `config.batch` pairs in pieces
        of that size; the gradients are averaged.
        """
        self.discriminator.iterate_norms()
        reports: list[dict[str, Tensor]] = []
        for piece in batch.split(self.config.batch):
            share = len(piece) / len(batch) / 2  # of a direction in the step
            for direction in self._directions(piece):
                report = self._gather(direction, share)
                reports.append({name: share * value for name, value in report.items()})
        self.update("generator")
        self.update("discriminator")
        self.scaler.update()
        mean = {name: torch.stack([row[name] for row in reports]).sum() for name in reports[0]}
        return StepReport(losses=mean, change=mean.pop("change"))

    def _directions(self, batch: UnpairedBatch) -> list[_Direction]:
        """A batch as the two directions of translation, first to second and back."""
        with torch.no_grad(), self.autocast():
            seen = self._look(torch.cat([batch.first, batch.second]))  # (2N, ...)
        halves = (
            (batch.first, batch.first_domains, batch.first_truth, batch.first_known),
            (batch.second, batch.second_domains, batch.second_truth, batch.second_known),
        )
        directions = []
        for half, (slices, own, truth, known) in enumerate(halves):
            directions.append(
                _Direction(
                    slices=slices,
                    own=own,
                    other=halves[1 - half][1],
                    truth=truth,
                    known=known,
                    patches=[tokens.chunk(2)[half] for tokens in seen.patches],
                    target_classes=seen.classes.chunk(2)[1 - half],
                )
            )
        return directions

    def _gather(self, given: _Direction, share: float) -> dict[str, Tensor]:
        """Add the gradients of one direction; returns its losses and its mean change.

        The way back is gone in parts, so that the activations of one are freed before the next is
        computed. What is made of the translations leaves its gradients on `fake`, a copy cut off
        from the generator; the translations themselves come last.

        Args:
            given: Slices and where they go.
            share: Of these gradients in the step's.
        """
        weights = self.config.weights
        terms: dict[str, Tensor] = {}
        if weights.identity > 0:
            kept = self._generate_in_training(given.slices, given.own)
            terms["identity"] = losses.identity_preservation(kept, given.slices)
            self.backward(share * weights.identity * terms["identity"])
        translated = self._generate_in_training(given.slices, given.other)
        fake = translated.detach().requires_grad_()
        if weights.cycle > 0:
            returned = self._generate_in_training(fake, given.own)
            terms["cycle"] = losses.cycle_consistency(returned, given.slices)
            self.backward(share * weights.cycle * terms["cycle"])
        if weights.paired > 0:
            terms["paired"] = losses.paired_translation(fake, given.truth, given.known)
            self.backward(share * weights.paired * terms["paired"])
        terms |= self._judge(given, fake, share)
        translated.backward(fake.grad)  # type: ignore[no-untyped-call]  # torch's own
        terms["change"] = (fake - given.slices).abs().mean()
        return {name: term.detach() for name, term in terms.items()}

    def _judge(self, given: _Direction, fake: Tensor, share: float) -> dict[str, Tensor]:
        """Losses of what the encoder sees; adds their gradients to `fake` and the discriminator.

        A slice is judged once. The way back through the heads is gone twice: to the tokens of the
        translations for the generator, to the heads' weights for the discriminator.
        """
        weights, scale = self.config.weights, self.scaler.scale
        captions = self.captions[given.other]
        with self.autocast():
            seen = self._look(fake)
        tokens = [patches.detach().requires_grad_() for patches in seen.patches]
        with self.autocast():
            fake_logits = self.discriminator(tokens, captions, given.other)
            real_logits = self.discriminator(given.patches, self.captions[given.own], given.own)
        terms = {
            "adversarial": losses.adversarial_generator(fake_logits),
            "clip": losses.clip_alignment(seen.embedding, captions),
            "cls": losses.class_token_distance(seen.classes, given.target_classes),
            "discriminator": losses.adversarial_discriminator(real_logits, fake_logits),
        }
        adversarial = scale(share * weights.adversarial * terms["adversarial"])
        gradients = torch.autograd.grad(adversarial, tokens, retain_graph=True)
        torch.autograd.backward(
            scale(share * terms["discriminator"]), inputs=list(self.discriminator.parameters())
        )
        direct = scale(share * (weights.clip * terms["clip"] + weights.cls * terms["cls"]))
        torch.autograd.backward([direct, *seen.patches], [None, *gradients])
        return terms
