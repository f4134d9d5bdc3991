"""The frozen text-image encoder: one small interface over open_clip.

Everything a method needs of a slice comes from one image pass. Image towers are vision
transformers, open_clip's own or timm's (BiomedCLIP); text towers open_clip's own or Hugging Face's.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2igalip_cli.errors import CheckpointError, first_line

CLASS_BLOCKS = 4  # the last blocks whose class tokens are compared (Eq. 6)
_PROBE = "This MRI is T1-weighted"  # what a fingerprint lets the tokenizer read
# What open_clip, transformers and huggingface_hub raise on folders and names that can't be loaded.
_FAULTS = (RuntimeError, ValueError, OSError, KeyError, TypeError, AttributeError)


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

    Raises:
        CheckpointError: The image tower is no vision transformer with a class token.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:  # noqa: ANN401 (no common type)
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        tower: Any = model.visual  # open_clip's towers have no common type
        settings, size = tower.preprocess_cfg, tower.image_size
        self.side: int = size[0] if isinstance(size, tuple) else size
        self.depth, self.width = _measure(tower)  # blocks; channels of a patch token
        _put_sequence_first(tower)
        self.register_buffer("mean", torch.tensor(settings["mean"]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(settings["std"]).view(1, 3, 1, 1))

    @classmethod
    def from_folder(cls, folder: Path, text_tower: Path | None = None) -> "TextImageEncoder":
        """Open a local open_clip folder (`open_clip_config.json` and its weights), no network.

        Args:
            folder: With the configuration and the weights.
            text_tower: With the configuration and the tokenizer of a Hugging Face text tower; by
                default `folder/text_tower`, or `folder` itself where there is none.

        Raises:
            CheckpointError: The folder isn't there or open_clip can't load it.
        """
        import open_clip  # seven seconds that a translation does without

        path = folder / "open_clip_config.json"
        if not path.is_file():
            raise CheckpointError(f"{folder}: no open_clip_config.json; an encoder folder has one")
        if text_tower is None:
            inner = folder / "text_tower"
            text_tower = inner if inner.is_dir() else folder
        name = f"local-dir:{folder}"
        try:
            text = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
            changes: dict[str, Any] = {}
            if "hf_model_name" in text:
                # open_clip would ask the hub for the tower's configuration.
                local = {"hf_model_name": str(text_tower), "hf_model_pretrained": False}
                changes["text_cfg"] = {**text, **local}
            model = open_clip.create_model(name, require_pretrained=True, **changes)
            tokenizer = _read_tokenizer(name, text, text_tower)
            return cls(model, tokenizer)
        except _FAULTS as error:
            raise CheckpointError(
                f"{folder}: open_clip can't load it ({first_line(error)})"
            ) from error

    @classmethod
    def from_name(cls, name: str) -> "TextImageEncoder":
        """Open a model by its open_clip name, fetched by open_clip where it isn't cached.

        Args:
            name: MODEL:TAG, such as ViT-B-16:laion2b_s34b_b88k, or hf-hub:ORGANISATION/REPOSITORY.

        Raises:
            CheckpointError: open_clip has no such model, or can't fetch or load it.
        """
        import open_clip

        model_name, _, tag = name.partition(":")
        on_hub = model_name == "hf-hub"
        if not on_hub and model_name not in open_clip.list_models():
            raise CheckpointError(
                f"no encoder '{name}': neither a folder, nor a name that download-weights --list "
                "shows, nor one of open_clip (MODEL:TAG, such as ViT-B-16:laion2b_s34b_b88k)"
            )
        if not tag:
            known = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
            raise CheckpointError(f"encoder '{name}': write MODEL:TAG; its tags are {known}")
        try:
            if on_hub:
                model = open_clip.create_model(name, require_pretrained=True)
                return cls(model, open_clip.get_tokenizer(name))
            model = open_clip.create_model(model_name, pretrained=tag, require_pretrained=True)
            return cls(model, open_clip.get_tokenizer(model_name))
        except _FAULTS as error:
            raise CheckpointError(
                f"encoder '{name}': open_clip can't fetch or load it ({first_line(error)})"
            ) from error

    def fingerprint(self) -> str:
        """SHA-256 over the weights and over how a caption is cut into tokens."""
        total = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            values = tensor.detach().cpu().float().contiguous().numpy()
            total.update(f"{name} {values.shape}".encode())
            total.update(values.data)
        total.update(self.tokenizer([_PROBE]).numpy().tobytes())
        return total.hexdigest()

    def train(self, mode: bool = True) -> "TextImageEncoder":
        """Stay in evaluation mode: the encoder is frozen."""
        return super().train(False)

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed captions, each by itself so that it is the same in any company.

        Args:
            captions: N texts.

        Returns:
            (N, E) float32, unit length.
        """
        model: Any = self.model
        return torch.cat(
            [model.encode_text(self._tokenize(text), normalize=True).float() for text in captions]
        )

    def _tokenize(self, caption: str) -> Tensor:
        tokens: Tensor = self.tokenizer([caption]).to(self.mean.device)  # (1, T)
        return tokens

    @torch.no_grad()
    def encode_caption_tokens(self, captions: Sequence[str]) -> Tensor:
        """The text tower's normed token embeddings before pooling, of each caption by itself.

        Args:
            captions: N texts.

        Returns:
            (N, T, C) float32.
        """
        model: Any = self.model
        tower = getattr(model, "text", model)
        # A Hugging Face tower holds a whole model, open_clip's own end in a norm.
        last = tower.ln_final if hasattr(tower, "ln_final") else tower.transformer
        caught: list[Any] = []
        hook = last.register_forward_hook(lambda module, given, out: caught.append(out))
        try:
            for text in captions:
                model.encode_text(self._tokenize(text))
        finally:
            hook.remove()
        return torch.cat([getattr(out, "last_hidden_state", out).float() for out in caught])

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


def _read_tokenizer(name: str, text: dict[str, Any], text_tower: Path) -> Any:  # noqa: ANN401
    """The tokenizer that a folder's configuration asks for, from files alone."""
    import open_clip

    if not text.get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(name)
    return open_clip.tokenizer.HFTokenizer(
        str(text_tower),
        context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=text.get("tokenizer_mode"),
        local_files_only=True,
        **text.get("tokenizer_kwargs", {}),
    )


def _measure(tower: Any) -> tuple[int, int]:  # noqa: ANN401 (no common type)
    """Blocks and width of an image tower."""
    trunk: Any = getattr(tower, "trunk", None)
    if hasattr(trunk, "blocks") and getattr(trunk, "num_prefix_tokens", 0) > 0:
        return len(trunk.blocks), trunk.embed_dim
    transformer = getattr(tower, "transformer", None)
    if transformer is None:
        raise CheckpointError(
            "the encoder's image tower is no vision transformer with a class token; choose one "
            "that is, such as ViT-B-16"
        )
    return len(transformer.resblocks), transformer.width


def _put_sequence_first(tower: Any) -> None:  # noqa: ANN401 (no common type)
    """Let open_clip's own towers hold (L, N, C) inside, which changes no result.

    Torch's attention then multiplies by the frozen weights as they are; with the batch first it
    hands on a strided view, for which the weights are copied for every token.
    """
    transformer = getattr(tower, "transformer", None)
    blocks = getattr(transformer, "resblocks", ())
    if transformer is None or not all(isinstance(b.attn, nn.MultiheadAttention) for b in blocks):
        return
    transformer.batch_first = False
    for block in blocks:
        block.attn.batch_first = False
