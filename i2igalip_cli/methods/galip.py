"""I2I-Galip (MIDL 2025): one caption-conditioned generator, judged through a frozen encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.base import Method, StepReport, UnpairedBatch
from i2igalip_cli.networks.discriminator import Discriminator
from i2igalip_cli.networks.text_image_encoder import ImageFeatures, TextImageEncoder
from i2igalip_cli.networks.unet import Generator


class Galip(Method):
    """The paper's method; arguments as in `Method`."""

    encoder: TextImageEncoder | None

    def __init__(
        self,
        config: TrainConfig,
        domains: Sequence[Domain],
        captions: Tensor,
        encoder: TextImageEncoder | None = None,
    ) -> None:
        super().__init__(config, domains, captions, encoder)
        generator = Generator(config.generator, seed=config.seed)
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
        tokens = self.captions[domains].unsqueeze(1)  # (N,) -> (N, 1, E)
        translated: Tensor = self.exported["generator"](slices, tokens, domains)
        return translated.float()

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) to the target domain; the source needs no naming here."""
        index = self.generator_of[target.name]
        domains = torch.full((len(slices),), index, device=slices.device)
        return self._generate(slices, domains).clamp(0, 1)

    def step(self, batch: UnpairedBatch) -> StepReport:
        """Generator step (Eq. 1), then discriminator step (Eq. 3)."""
        assert self.encoder is not None, "training needs the encoder"
        weights = self.config.weights
        blocks = self.config.heads.blocks
        real = torch.cat([batch.first, batch.second])  # -> (2N, 1, H, W)
        own = torch.cat([batch.first_domains, batch.second_domains])
        other = torch.cat([batch.second_domains, batch.first_domains])

        with self.autocast():
            fake = self._generate(real, other)
            cycled = self._generate(fake, own)
            kept = self._generate(real, own)
            fake_seen: ImageFeatures = self.encoder(fake, blocks)
            with torch.no_grad():
                real_seen: ImageFeatures = self.encoder(real, blocks)
            self.discriminator.requires_grad_(False)
            judged = self.discriminator(fake_seen.patches, self.captions[other], other)
        # The real slices of each fake's domain are the other half of the batch.
        real_classes = real_seen.classes.roll(len(batch.first), dims=0)
        terms = {
            "adversarial": losses.adversarial_generator(judged),
            "cycle": losses.cycle_consistency(cycled, real),
            "identity": losses.identity_preservation(kept, real),
            "clip": losses.clip_alignment(fake_seen.embedding, self.captions[other]),
            "cls": losses.class_token_distance(fake_seen.classes, real_classes),
        }
        total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
        self._update("generator", total)

        self.discriminator.requires_grad_(True)
        with self.autocast():
            detached = [tokens.detach() for tokens in fake_seen.patches]
            real_logits = self.discriminator(real_seen.patches, self.captions[own], own)
            fake_logits = self.discriminator(detached, self.captions[other], other)
        terms["discriminator"] = losses.adversarial_discriminator(real_logits, fake_logits)
        self._update("discriminator", terms["discriminator"])
        return StepReport({name: term.detach() for name, term in terms.items()})

    def _update(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
