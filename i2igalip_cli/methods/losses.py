"""Losses, named and numbered as in I2I-Galip (MIDL 2025)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def adversarial_generator(fake_logits: Tensor) -> Tensor:
    """Least-squares loss of the generator: its slices should be judged 1 (Eq. 2).

    Args:
        fake_logits: Of translated slices, (N, L).

    Returns:
        Scalar, at least 0.
    """
    return ((fake_logits - 1) ** 2).mean()


def adversarial_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Least-squares loss of the discriminator: real slices 1, translated ones 0 (Eq. 3).

    Args:
        real_logits: Of real slices, (N, L).
        fake_logits: Of translated slices, (N, L).

    Returns:
        Scalar, at least 0.
    """
    return ((real_logits - 1) ** 2).mean() + (fake_logits**2).mean()


def cycle_consistency(returned: Tensor, original: Tensor) -> Tensor:
    """L1 between slices and what comes back of them (Eq. 4, as section 3.1 says it in words).

    Args:
        returned: Slices translated there and back, (N, 1, H, W).
        original: The slices themselves, (N, 1, H, W).

    Returns:
        Scalar, at least 0.
    """
    return F.l1_loss(returned, original)


def identity_preservation(kept: Tensor, original: Tensor) -> Tensor:
    """L1 between slices and their translation into their own domain (section 3.1).

    Args:
        kept: Slices translated to the domain they are of, (N, 1, H, W).
        original: The slices themselves, (N, 1, H, W).

    Returns:
        Scalar, at least 0.
    """
    return F.l1_loss(kept, original)


def paired_translation(translated: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """L1 between translated slices and the true slices of the target domain, where these are known.

    The mean runs over all slices of the batch, those without a partner counting as 0, so that a
    pair weighs the same whatever else is in the batch.

    Args:
        translated: Slices translated to the target domain, (N, 1, H, W).
        truth: Registered slices of the target domain, (N, 1, H, W); anything where unknown.
        known: Which of them are known, (N,) bool.

    Returns:
        Scalar, at least 0.
    """
    distances = (translated - truth).abs().mean(dim=(1, 2, 3))  # (N, 1, H, W) -> (N,)
    return torch.where(known, distances, 0.0).mean()


def clip_alignment(image_embedding: Tensor, caption_embedding: Tensor) -> Tensor:
    """Pull translated slices towards the caption of their target domain (Eq. 5).

    Args:
        image_embedding: Encoder embedding of the translated slices, (N, E), unit length.
        caption_embedding: Embedding of the target captions, (N, E), unit length.

    Returns:
        Scalar in [-1, 1]: minus the mean cosine similarity.
    """
    return -(image_embedding * caption_embedding).sum(dim=1).mean()  # (N, E) -> (N,) -> ()


def class_token_distance(fake_classes: Tensor, real_classes: Tensor) -> Tensor:
    """Bring the class tokens of translated slices near those of real ones (Eq. 6).

    Args:
        fake_classes: Concatenated class tokens of translated slices, (N, K).
        real_classes: Those of real, unpaired slices of the same domain, (N, K).

    Returns:
        Scalar in [0, 2]: one minus the mean cosine similarity.
    """
    return 1 - F.cosine_similarity(fake_classes, real_classes, dim=1).mean()
