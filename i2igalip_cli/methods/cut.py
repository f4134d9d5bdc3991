"""CUT (Park et al. 2020): one way, held to the source by contrasting patches."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.config import CutConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import losses
from i2igalip_cli.methods.adversarial import AdversarialMethod, Made, Terms
from i2igalip_cli.methods.base import Part
from i2igalip_cli.methods.chance import Chance
from i2igalip_cli.methods.pair import Pair, to_signed, to_unit
from i2igalip_cli.networks.initialise import initialise_normal
from i2igalip_cli.networks.patch_discriminator import PatchDiscriminator
from i2igalip_cli.networks.patch_projection import PatchProjection
from i2igalip_cli.networks.resnet import ResnetGenerator


def patch_contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """A patch of a translation should be likest to that of its source (Park et al. 2020, Eq. 3).

    Args:
        queries: Features of P places of each translation, (N, P, C), unit length.
        keys: Of the same places of its source, (N, P, C), unit length.
        temperature: Of the comparison.

    Returns:
        Scalar: mean cross-entropy of each place among those of its own slice.
    """
    with torch.autocast(queries.device.type, enabled=False):
        likeness = queries @ keys.transpose(1, 2) / temperature  # (N, P, P)
    places = torch.arange(queries.shape[1], device=queries.device)
    return F.cross_entropy(likeness.flatten(0, 1), places.repeat(len(queries)))


class Cut(AdversarialMethod[CutConfig]):
    """CUT; arguments as in `Method`."""

    def build(self) -> None:
        """Make the generator, what judges its domain, and what compares features."""
        c = self.config
        self.exported = nn.ModuleDict({"generator": ResnetGenerator(c.width, c.blocks)})
        initialise_normal(self.exported)
        if self.learns:
            self.judge = PatchDiscriminator(c.discriminator_width)
            initialise_normal(self.judge)
            # With as small weights as those, unit lengths would have large gradients.
            self.projection = PatchProjection(self._channels(), c.projection)

    def learners(self) -> Sequence[nn.Module]:
        """The generator, and what compares its features."""
        return (self.exported, self.projection)

    def _channels(self) -> list[int]:
        """Of the feature maps that are compared."""
        widths = [1, *(factor * self.config.width for factor in (1, 2, 4))]
        return [widths[min(layer, 3)] for layer in sorted(self.config.layers)]

    def judges(self) -> Sequence[nn.Module]:
        """The discriminator of the target domain."""
        return (self.judge,)

    def parts(self) -> Mapping[str, Part]:
        """All of them for one direction."""
        return {
            "generator": Part(networks=[self.exported["generator"]], each="direction"),
            "discriminator": Part(networks=[self.judge], each="direction"),
            "projection": Part(networks=[self.projection], each="direction"),
        }

    def translate(self, slices: Tensor, source: Domain | None, target: Domain) -> Tensor:
        """Map slices (N, 1, H, W) of the first domain to the second."""
        return to_unit(self.exported["generator"](to_signed(slices)).float()).clamp(0, 1)

    def teach_generators(self, pair: Pair) -> tuple[Terms, Made]:
        """Adversarial loss, and patches of translated and of target slices against their own."""
        weights = self.config.weights
        second = self.exported["generator"](pair.first).float()
        terms: Terms = {
            "adversarial": (weights.adversarial, losses.adversarial_generator(self.judge(second))),
            "contrastive": (weights.contrastive, self._contrast(second, pair.first, pair.chance)),
        }
        if weights.identity > 0:
            kept = self.exported["generator"](pair.second).float()
            terms["identity"] = (
                weights.identity,
                self._contrast(kept, pair.second, pair.chance),
            )
        return terms, Made(second=second.detach())

    def _contrast(self, made: Tensor, given: Tensor, chance: Chance) -> Tensor:
        """Mean over layers of what patches of `made` have in common with those of `given`.

        Both go through the generator's first half; places are drawn for each slice and layer.
        """
        config, generator = self.config, self.exported["generator"]
        assert isinstance(generator, ResnetGenerator)
        layers = sorted(config.layers)
        maps = generator.features(made, layers)
        places = [
            chance.uniform(features[0, 0].numel()).argsort(dim=1)[:, : config.patches]
            for features in maps
        ]
        queries = self.projection(maps, places)
        with torch.no_grad():  # the source is what it is
            keys = self.projection(generator.features(given, layers), places)
        contrasts = [
            patch_contrast(query, key, config.temperature)
            for query, key in zip(queries, keys, strict=True)
        ]
        return torch.stack(contrasts).mean()

    def teach_discriminators(self, pair: Pair, made: Made) -> Terms:
        """Real slices of the target are 1, translated ones 0; halved as in CycleGAN."""
        judged = losses.adversarial_discriminator(self.judge(pair.second), self.judge(made.second))
        return {"discriminator": (0.5, judged)}
