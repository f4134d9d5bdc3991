"""Captions in people's words: a run's own for its domains, a free one for a translation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeCaption:
    """A caption that is in no checkpoint, encoded.

    Attributes:
        text: The caption.
        embedding: (E,) float32, unit length.
        tokens: (M, C) float32, where the checkpoint's generator attends to every caption token.
    """

    text: str
    embedding: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.float32] | None = None


def name_captions(domains: Sequence[Domain], captions: Mapping[str, str]) -> tuple[Domain, ...]:
    """The domains with a run's own captions.

    Args:
        domains: Of the dataset.
        captions: Caption by domain name, in any case.

    Raises:
        ConfigError: A caption for a domain that the dataset hasn't, or an empty one.
    """
    for caption in captions.values():
        _refuse_blank(caption)
    given = {find_domain(name, domains, "the dataset").name: c for name, c in captions.items()}
    return tuple(replace(d, caption=given.get(d.name, d.caption)) for d in domains)


def _refuse_blank(caption: str) -> None:
    if not caption.strip():
        raise ConfigError("a caption is empty: say what the images are")


def encode_caption(
    text: str,
    checkpoint: Checkpoint,
    encoder: str | None = None,
    weights: str | Path | None = None,
) -> FreeCaption:
    """Encode a caption with the encoder that a checkpoint was trained with.

    Args:
        text: The caption.
        checkpoint: Names its encoder.
        encoder: Where that is found, if not under its own name.
        weights: What the checkpoint was loaded from; where it is a bundle of
            `download-weights --to`, the encoder is looked up there first.

    Raises:
        ConfigError: The caption is empty, or the method reads none.
        CheckpointError: The encoder isn't on this machine, or it is another one.
    """
    _refuse_blank(text)
    if not checkpoint.config.reads_captions:
        raise ConfigError(
            f"--caption: {checkpoint.name} is of {checkpoint.config.method}, which reads no "
            "captions; leave it out"
        )
    from i2igalip_cli.engine.encoders import open_encoder_of

    opened = open_encoder_of(checkpoint, encoder, weights)
    tokens = None
    if checkpoint.tokens is not None:
        tokens = opened.encode_caption_tokens([text])[0].numpy()
    return FreeCaption(
        text=text, embedding=opened.encode_captions([text])[0].numpy(), tokens=tokens
    )


def with_caption(checkpoint: Checkpoint, domain: Domain, caption: FreeCaption) -> Checkpoint:
    """The checkpoint with another caption for a domain; its row of the label table stays."""
    row = checkpoint.domains.index(domain)
    domains = list(checkpoint.domains)
    domains[row] = replace(domain, caption=caption.text)
    captions = checkpoint.captions.copy()
    captions[row] = caption.embedding
    tokens = checkpoint.tokens
    if tokens is not None:
        tokens = tokens.copy()
        tokens[row] = caption.tokens
    return replace(checkpoint, domains=tuple(domains), captions=captions, tokens=tokens)


def compare_caption(
    checkpoint: Checkpoint, domain: Domain, caption: FreeCaption
) -> tuple[str, ...]:
    """A warning where a caption lies nearer to that of another domain than to its own."""
    cosines = checkpoint.captions @ caption.embedding  # (D, E) @ (E,) -> (D,)
    nearest = checkpoint.domains[int(np.argmax(cosines))]
    if nearest == domain:
        return ()
    return (
        f"the caption '{caption.text}' lies nearer to {nearest.name} ('{nearest.caption}', cosine "
        f"{cosines.max():.3f}) than to {domain.name} "
        f"({cosines[checkpoint.domains.index(domain)]:.3f})",
    )
