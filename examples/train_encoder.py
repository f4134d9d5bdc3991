"""Train the small text-image encoder that ships in `weights/`.

    python examples/train_encoder.py DATASET OUT [--steps 1500]

Contrastive training (Radford et al. 2021) on slices and captions. A caption names the contrast,
and sometimes the level in the head; slices that were blurred or made noisy on the way are
captioned so, which makes the features see image quality, and a slice of another contrast that was
given this one's histogram is captioned as counterfeit, which makes them see which tissue is bright
and which dark: the mistake that translation without pairs makes first. A caption fits every slice
that it describes, so rows and columns of the batch may have several right answers (Khosla et al.
2020).
OUT becomes a folder that open_clip loads as `local-dir:OUT`.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy import ndimage
from skimage.exposure import match_histograms

from i2igalip_cli.config import GalipConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.augmentation import augment
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 112, "layers": 6, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 49408,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}
PREPROCESSING = {"mean": [0.2, 0.2, 0.2], "std": [0.3, 0.3, 0.3], "interpolation": "bicubic"}
# What the generator's training shows the encoder: other scales, and windows of slices.
AUGMENTATION = GalipConfig(mirror=True, zoom=2.5)
LEVELS = ("at the level of the cerebellum", "at the level of the ventricles", "near the vertex")
QUALITIES = ("", "blurred", "noisy", "counterfeit")
SHARES = (0.45, 0.12, 0.13, 0.3)
PHRASES = {
    "T1": ("T1-weighted", "T1 weighted", "T1w", "T1"),
    "T2": ("T2-weighted", "T2 weighted", "T2w", "T2"),
    "PD": ("PD-weighted", "proton density weighted", "PDw", "PD"),
}
SENTENCES = (
    "This MRI is {}",
    "This is a {} MRI",
    "{} image of the brain",
    "a {} MR slice",
    "{} brain MRI",
)


@dataclass(frozen=True)
class Content:
    """What a slice shows or a caption says; a level of None isn't mentioned."""

    contrast: str
    quality: str
    level: int | None

    def fits(self, shown: "Content") -> bool:
        """Whether this, said of a slice, is true."""
        return (self.contrast, self.quality) == (shown.contrast, shown.quality) and (
            self.level is None or self.level == shown.level
        )


def say(content: Content, domain: Domain, rng: np.random.Generator) -> str:
    """A caption of the content; half of the plain ones are the domain's own."""
    if not content.quality and content.level is None and rng.random() < 0.5:
        return domain.caption
    phrase = rng.choice(PHRASES.get(content.contrast, (content.contrast,)))
    if content.quality:
        phrase = f"{content.quality} {phrase}"
    sentence = str(rng.choice(SENTENCES)).format(phrase)
    return sentence if content.level is None else f"{sentence} {LEVELS[content.level]}"


def degrade(slices: np.ndarray, quality: str, rng: np.random.Generator) -> np.ndarray:
    """Blur (sigma 0.8-2 pixels) or add noise (5-15 %) to a slice (H, W)."""
    if quality == "blurred":
        return ndimage.gaussian_filter(slices, rng.uniform(0.8, 2.0))
    if quality == "noisy":
        noise = rng.uniform(0.05, 0.15) * rng.standard_normal(slices.shape)
        return np.clip(slices + noise * (slices > 0), 0, 1).astype(np.float32)
    return slices


def disguise(slice_: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Give the foreground of a slice the histogram of another contrast's, order kept."""
    inside, wanted = slice_ > 0, model[model > 0]
    out = np.zeros_like(slice_)
    out[inside] = match_histograms(slice_[inside], wanted)
    return out


def draw(
    data: SliceDataset, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """A batch: slices (N, 1, H, W), a caption each, and which caption fits which slice (N, N)."""
    numbers = rng.integers(len(data), size=size)
    slices = data.read(numbers)
    shown, said, captions = [], [], []
    for row, number in enumerate(numbers):
        domain = data.index.domains[data.domains[number]]
        quality = str(rng.choice(QUALITIES, p=SHARES))
        level = min(int(3 * data.place(int(number))), 2)
        if quality == "counterfeit":
            other = rng.choice(np.flatnonzero(data.domains != data.domains[number]))
            slices[row, 0] = disguise(data.read([other])[0, 0], slices[row, 0])
        slices[row, 0] = degrade(slices[row, 0], quality, rng)
        shown.append(Content(domain.name, quality, level))
        said.append(Content(domain.name, quality, level if rng.random() < 0.4 else None))
        captions.append(say(said[-1], domain, rng))
    fits = torch.tensor([[s.fits(w) for s in said] for w in shown], dtype=torch.float32)
    return augment(torch.from_numpy(slices), AUGMENTATION, rng), captions, fits


def contrast_accuracy(encoder: TextImageEncoder, data: SliceDataset) -> float:
    """Share of slices whose embedding lies nearest to the caption of their own contrast."""
    captions = encoder.encode_captions([domain.caption for domain in data.index.domains])
    right = 0
    with torch.no_grad():
        for start in range(0, len(data), 32):
            numbers = np.arange(start, min(start + 32, len(data)))
            seen = encoder(torch.from_numpy(data.read(numbers))).embedding
            right += int(((seen @ captions.T).argmax(1).numpy() == data.domains[numbers]).sum())
    return right / len(data)


def write_folder(model: torch.nn.Module, out: Path) -> None:
    """Write what `open_clip.create_model('local-dir:OUT')` reads, in half precision."""
    out.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(tensors, out / "open_clip_model.safetensors")


def main() -> None:
    """Train and write the encoder."""
    parser = argparse.ArgumentParser(description="Train the small text-image encoder.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--start", type=Path, help="encoder folder to begin from")
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    # Made from a folder whose only content is the configuration: the weights start at random.
    write_folder(torch.nn.Module(), options.out)
    name = f"local-dir:{options.out}"
    model = open_clip.create_model(name, load_weights=False)
    encoder = TextImageEncoder(model, open_clip.get_tokenizer(name))
    if options.start is not None:
        model.load_state_dict(TextImageEncoder.from_folder(options.start).model.state_dict())
    model.requires_grad_(True)
    data = SliceDataset(options.dataset, "train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=options.steps)
    for step in range(1, options.steps + 1):
        slices, captions, fits = draw(data, options.batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            seen = encoder(slices).embedding
            read = model.encode_text(encoder.tokenizer(captions), normalize=True)
        logits = model.logit_scale.exp() * seen @ read.float().T  # (N, N)
        rows, columns = fits / fits.sum(1, keepdim=True), fits.T / fits.T.sum(1, keepdim=True)
        loss = (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, columns)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
        if step % 50 == 0:
            print(f"step {step}/{options.steps} loss {loss:.3f}", flush=True)
    write_folder(model, options.out)
    encoder = TextImageEncoder.from_folder(options.out)
    accuracy = contrast_accuracy(encoder, SliceDataset(options.dataset, "test"))
    print(f"contrast of held-out slices by caption: {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
