"""One training step of I2I-Galip as the paper's program takes it: nothing shared, nothing grouped.

It is what `train_step.py` measures ours against, written from the paper's equations:

- captions go through the text tower in every step;
- the four translations and the two identities are generator calls of their own;
- every generated slice is seen by the encoder twice: for the CLIP loss, and for its features;
- heads judge one slice at a time, and every fake again in the discriminator's step;
- tensors are laid out as torch makes them, and activations are kept.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import torch
import torch.nn.functional as F
from torch import Tensor

from i2igalip_cli.methods import UnpairedBatch
from i2igalip_cli.methods.galip import Galip


class Clock:
    """Seconds spent in each named part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.running = False

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part."""
        began, self.running = time.perf_counter(), True
        yield
        self.running = False
        self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - began

    def timed(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """A function whose calls count as a part; one inside another counts as the outer's."""

        @wraps(function)
        def call(*given: object, **named: object) -> object:
            if self.running:
                return function(*given, **named)
            with self.part(name):
                return function(*given, **named)

        return call


def fooled(logits: Tensor) -> Tensor:
    """Mean squared distance of logits from 1."""
    return (logits - 1).square().mean()


def cosine(one: Tensor, two: Tensor) -> Tensor:
    """Mean cosine similarity of the rows."""
    return F.cosine_similarity(one, two).mean()


class LiteralStep:
    """The literal step on the networks, optimizers and encoder of a method."""

    def __init__(self, method: Galip, clock: Clock) -> None:
        assert method.encoder is not None
        self.method = method
        self.encoder = method.encoder
        self.clock = clock

    def _translate(self, slices: Tensor, caption: Tensor, domains: Tensor) -> Tensor:
        out: Tensor = self.method.exported["generator"](slices, caption.unsqueeze(1), domains)
        return out

    def _embed(self, slices: Tensor) -> Tensor:
        """The encoder's embedding of each slice."""
        with self.clock.part("encoder"):
            return self.encoder(slices).embedding

    def _features(self, slices: Tensor) -> tuple[list[list[Tensor]], Tensor]:
        """Patch tokens of every slice by head, and class tokens."""
        with self.clock.part("encoder"):
            seen = self.encoder(slices, self.method.config.heads.blocks)
        by_head = [patches.split(1) for patches in seen.patches]
        return [list(one) for one in zip(*by_head, strict=True)], seen.classes

    def _judge(self, patches: list[list[Tensor]], caption: Tensor, domains: Tensor) -> Tensor:
        """Logits of every slice, one slice and one head at a time."""
        with self.clock.part("heads"):
            rows = []
            for n, domain in enumerate(domains.tolist()):
                heads = self.method.discriminator.sets[domain]
                judged = [
                    head(tokens, caption[n : n + 1])
                    for head, tokens in zip(heads, patches[n], strict=True)
                ]
                rows.append(torch.cat(judged, dim=1))
            return torch.cat(rows)

    def __call__(self, batch: UnpairedBatch) -> dict[str, Tensor]:
        """Take one step; returns the losses by name."""
        method, clock = self.method, self.clock
        discriminator, weights = method.discriminator, method.config.weights
        a, b = batch.first, batch.second
        domain_a, domain_b = batch.first_domains, batch.second_domains
        with clock.part("captions"):
            text = [domain.caption for domain in method.domains]
            caption_a, caption_b = (
                self.encoder.encode_captions([text[n] for n in domains.tolist()])
                for domains in (domain_a, domain_b)
            )
        discriminator.iterate_norms()
        discriminator.requires_grad_(False)

        with clock.part("translations"):
            fake_b = self._translate(a, caption_b, domain_b)
            fake_a = self._translate(b, caption_a, domain_a)
            again_a = self._translate(fake_b, caption_a, domain_a)
            again_b = self._translate(fake_a, caption_b, domain_b)
        with clock.part("identity"):
            same_a = self._translate(a, caption_a, domain_a)
            same_b = self._translate(b, caption_b, domain_b)
        embedded_a, embedded_b = self._embed(fake_a), self._embed(fake_b)
        patches_fake_a, classes_fake_a = self._features(fake_a)
        patches_fake_b, classes_fake_b = self._features(fake_b)
        with torch.no_grad():
            patches_a, classes_a = self._features(a)
            patches_b, classes_b = self._features(b)
        judged_a = self._judge(patches_fake_a, caption_a, domain_a)
        judged_b = self._judge(patches_fake_b, caption_b, domain_b)

        # Each term is the mean over both directions.
        terms = {
            "adversarial": (fooled(judged_a) + fooled(judged_b)) / 2,  # Eq. 2
            "cycle": (F.l1_loss(again_a, a) + F.l1_loss(again_b, b)) / 2,  # Eq. 4
            "identity": (F.l1_loss(same_a, a) + F.l1_loss(same_b, b)) / 2,  # section 3.1
            "clip": -(cosine(embedded_a, caption_a) + cosine(embedded_b, caption_b)) / 2,  # Eq. 5
            "cls": 1 - (cosine(classes_fake_a, classes_a) + cosine(classes_fake_b, classes_b)) / 2,
        }
        total = sum(getattr(weights, name) * term for name, term in terms.items())
        with clock.part("generator's backward"):
            total.backward()
        with clock.part("updates"):
            method.update("generator")

        discriminator.requires_grad_(True)
        fakes_a = [[tokens.detach() for tokens in one] for one in patches_fake_a]
        fakes_b = [[tokens.detach() for tokens in one] for one in patches_fake_b]
        real_a = self._judge(patches_a, caption_a, domain_a)
        real_b = self._judge(patches_b, caption_b, domain_b)
        fake_a = self._judge(fakes_a, caption_a, domain_a)
        fake_b = self._judge(fakes_b, caption_b, domain_b)
        real, fake = (
            fooled(real_a) + fooled(real_b),
            fake_a.square().mean() + fake_b.square().mean(),
        )
        terms["discriminator"] = (real + fake) / 2  # Eq. 3
        with clock.part("discriminator's backward"):
            terms["discriminator"].backward()
        with clock.part("updates"):
            method.update("discriminator")
        return {name: term.detach() for name, term in terms.items()}
