"""I2I-Galip (MIDL 2025): one caption-conditioned generator, judged through a frozen encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.base import Method, StepReport, UnpairedBatch
from i2igalip_cli.networks.discriminator import Discriminator
from i2igalip_cli.networks.text_image_encoder import ImageFeatures, TextImageEncoder
from i2igalip_cli.networks.unet import Generator


@dataclass(frozen=True, eq=False)
class _Seen:
    """Patch tokens of real and of translated slices, cut off from the generator."""

    real: list[Tensor]
    own: Tensor
    fake: list[Tensor]
    other: Tensor


class Galip(Method):
    """The paper's method; arguments as in `Method`."""

    encoder: TextImageEncoder | None

    def __init__(
        self,
        config: TrainConfig,
        domains: Sequence[Domain],
        captions: Tensor,
        tokens: Tensor | None = None,
        encoder: TextImageEncoder | None = None,
    ) -> None:
        super().__init__(config, domains, captions, tokens, encoder)
        generator = Generator(config.generator, seed=config.seed)
        generator.recompute = config.recompute
        self.exported = nn.ModuleDict({"generator": generator})
        self.generator_of = {domain.name: index for index, domain in enumerate(self.domains)}
        if encoder is not None:
            self.discriminator = Discriminator(
                len(self.domains), encoder.width, captions.shape[1], config.heads, config.seed + 1
            )
            self.optimizers = {
                "generator": self._adam(generator, config.learning_rate),
                "discriminator": self._adam(self.discriminator, config.discriminator_rate),
            }

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=rate, betas=self.config.betas)

    def _generate(self, slices: Tensor, domains: Tensor) -> Tensor:
        """Translate slices (N, 1, H, W), each into its domain (N,)."""
        translated: Tensor = self.exported["generator"](slices, self.tokens[domains], domains)
        return translated.float()

    def _look(self, slices: Tensor) -> ImageFeatures:
        """One image pass of the encoder: embedding, patch tokens of the heads, class tokens."""
        assert self.encoder is not None, "training needs the encoder"
        blocks = self.config.heads.blocks
        if not (self.config.recompute and torch.is_grad_enabled()):
            seen: ImageFeatures = self.encoder(slices, blocks)
            return seen
        # torch's checkpoint passes on tuples of tensors, not what holds them.
        embedding, classes, *patches = checkpoint(self._look_flat, slices, use_reentrant=False)
        return ImageFeatures(embedding=embedding, patches=patches, classes=classes)

    def _look_flat(self, slices: Tensor) -> tuple[Tensor, ...]:
        assert self.encoder is not None
        seen: ImageFeatures = self.encoder(slices, self.config.heads.blocks)
        return (seen.embedding, seen.classes, *seen.patches)

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to the target domain; the source needs no naming here."""
        index = self.generator_of[target.name]
        domains = torch.full((len(slices),), index, device=slices.device)
        return self._generate(slices, domains).clamp(0, 1)

    def step(self, batch: UnpairedBatch) -> StepReport:
        """Generator step (Eq. 1), then discriminator step (Eq. 3).

        A batch above `config.batch` pairs is gone through in pieces of that size, and the
        gradients are averaged.
        """
        pieces = batch.split(self.config.batch)
        reports: list[dict[str, Tensor]] = []
        seen = []
        self.discriminator.iterate_norms()
        self.discriminator.requires_grad_(False)
        for piece in pieces:
            terms, change, tokens = self._generator_terms(piece)
            self.backward(self._weigh(terms) * (len(piece) / len(batch)))
            reports.append({**terms, "change": change})
            seen.append(tokens)
        self.update("generator")

        self.discriminator.requires_grad_(True)
        for piece, tokens, report in zip(pieces, seen, reports, strict=True):
            report["discriminator"] = self._discriminator_term(tokens)
            self.backward(report["discriminator"] * (len(piece) / len(batch)))
        self.update("discriminator")
        self.scaler.update()

        shares = [len(piece) / len(batch) for piece in pieces]
        mean = {
            name: torch.stack(
                [share * row[name].detach() for share, row in zip(shares, reports, strict=True)]
            ).sum()
            for name in reports[0]
        }
        return StepReport(losses=mean, change=mean.pop("change"))

    def _weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """The total loss of the generator (Eq. 1)."""
        weights = self.config.weights
        return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()

    def _generator_terms(self, batch: UnpairedBatch) -> tuple[dict[str, Tensor], Tensor, _Seen]:
        """The generator's losses, how much it changed, and what the discriminator will judge."""
        real = torch.cat([batch.first, batch.second])  # -> (2N, 1, H, W)
        own = torch.cat([batch.first_domains, batch.second_domains])
        other = torch.cat([batch.second_domains, batch.first_domains])
        with self.autocast():
            fake = self._generate(real, other)
            cycled = self._generate(fake, own)
            kept = self._generate(real, own)
            fake_seen = self._look(fake)
            with torch.no_grad():
                real_seen = self._look(real)
            judged = self.discriminator(fake_seen.patches, self.captions[other], other)
        # The real slices of each fake's domain are the other half of the batch.
        real_classes = real_seen.classes.roll(len(batch), dims=0)
        terms = {
            "adversarial": losses.adversarial_generator(judged),
            "cycle": losses.cycle_consistency(cycled, real),
            "identity": losses.identity_preservation(kept, real),
            "clip": losses.clip_alignment(fake_seen.embedding, self.captions[other]),
            "cls": losses.class_token_distance(fake_seen.classes, real_classes),
        }
        if self.config.weights.paired > 0:
            truth = torch.cat([batch.first_truth, batch.second_truth])
            known = torch.cat([batch.first_known, batch.second_known])
            terms["paired"] = losses.paired_translation(fake, truth, known)
        detached = [tokens.detach() for tokens in fake_seen.patches]
        change = (fake.detach() - real).abs().mean()
        return terms, change, _Seen(real_seen.patches, own, detached, other)

    def _discriminator_term(self, seen: _Seen) -> Tensor:
        """The discriminator's loss (Eq. 3)."""
        with self.autocast():
            real_logits = self.discriminator(seen.real, self.captions[seen.own], seen.own)
            fake_logits = self.discriminator(seen.fake, self.captions[seen.other], seen.other)
        return losses.adversarial_discriminator(real_logits, fake_logits)
