"""The frozen text-image encoder: one small interface over open_clip.

Everything a method needs of a slice comes from one image pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.errors import CheckpointError

CLASS_BLOCKS = 4  # the last blocks whose class tokens are compared (Eq. 6)


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What the encoder sees in N slices.

    Attributes:
        embedding: (N, E), unit length: comparable with captions.
        patches: For each asked block the normed patch tokens, (N, L, C).
        classes: Normed class tokens of the last blocks, concatenated, (N, CLASS_BLOCKS x C).
    """

    embedding: Tensor
    patches: list[Tensor]
    classes: Tensor


class TextImageEncoder(nn.Module):
    """A frozen open_clip model; gradients flow through it, never into it.

    Args:
        model: An open_clip model with a vision transformer.
        tokenizer: Its tokenizer: list of captions -> (N, T) int64.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        tower: Any = model.visual  # open_clip's towers have no common type
        settings, size = tower.preprocess_cfg, tower.image_size
        self.side: int = size[0] if isinstance(size, tuple) else size
        self.depth: int = len(tower.transformer.resblocks)  # blocks of the image tower
        self.width: int = tower.transformer.width  # channels of a patch token
        self.register_buffer("mean", torch.tensor(settings["mean"]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(settings["std"]).view(1, 3, 1, 1))

    @classmethod
    def from_folder(cls, folder: Path) -> "TextImageEncoder":
        """Open a local open_clip folder (`open_clip_config.json` and its weights).

        Raises:
            CheckpointError: The folder isn't there or open_clip can't load it.
        """
        if not (folder / "open_clip_config.json").is_file():
            raise CheckpointError(f"{folder}: no open_clip_config.json; an encoder folder has one")
        name = f"local-dir:{folder}"
        try:
            model = open_clip.create_model(name, require_pretrained=True)
            return cls(model, open_clip.get_tokenizer(name))
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{folder}: open_clip can't load it ({reason})") from error

    def train(self, mode: bool = True) -> "TextImageEncoder":
        """Stay in evaluation mode: the encoder is frozen."""
        return super().train(False)

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed captions: (N, E) float32, unit length."""
        tokens = self.tokenizer(list(captions)).to(self.mean.device)
        model: Any = self.model
        embedding: Tensor = model.encode_text(tokens, normalize=True).float()
        return embedding

    @torch.no_grad()
    def encode_caption_tokens(self, captions: Sequence[str]) -> Tensor:
        """The text tower's normed token embeddings before pooling: (N, T, C) float32."""
        model: Any = self.model
        tower = getattr(model, "text", model)
        # A Hugging Face tower holds a whole model, open_clip's own end in a norm.
        last = tower.ln_final if hasattr(tower, "ln_final") else tower.transformer
        caught: list[Any] = []
        hook = last.register_forward_hook(lambda module, given, out: caught.append(out))
        try:
            model.encode_text(self.tokenizer(list(captions)).to(self.mean.device))
        finally:
            hook.remove()
        tokens: Tensor = getattr(caught[0], "last_hidden_state", caught[0]).float()
        return tokens

    def forward(self, slices: Tensor, blocks: Sequence[int] = ()) -> ImageFeatures:
        """Look at slices (N, 1, H, W) in [0, 1]; `blocks` asks for their patch tokens.

        The slices enter as three equal channels, bicubic at the encoder's side.
        """
        sized = F.interpolate(
            slices.float(), (self.side, self.side), mode="bicubic", align_corners=False
        )
        image = (sized.expand(-1, 3, -1, -1) - self.mean) / self.deviation  # -> (N, 3, S, S)
        last = list(range(self.depth - CLASS_BLOCKS, self.depth))
        indices = sorted({*blocks, *last})
        tower: Any = self.model.visual
        seen = tower.forward_intermediates(
            image,
            indices=indices,
            normalize_intermediates=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        patches = dict(zip(indices, seen["image_intermediates"], strict=True))
        classes = dict(zip(indices, seen["image_intermediates_prefix"], strict=True))
        return ImageFeatures(
            embedding=F.normalize(seen["image_features"].float(), dim=-1),
            patches=[patches[block] for block in blocks],
            classes=torch.cat([classes[block][:, 0] for block in last], dim=1).float(),
        )
