"""A volume translated as a straightforward script does it: slice by slice, nothing shared.

    python examples/benchmarks/literal_translation.py IN CHECKPOINT TEXT_TOWER OUT JSON [--every 4]

It is what `translate.py` measures ours against. For each axial slice the caption goes through the
text tower and the whole frame through the generator: PyTorch as it is, one slice at a time, with
the threads that it takes by itself. Only every so-maniest slice is translated, and put in the place
of those up to the next; JSON tells the seconds of each. A frame (top, left, height, width) cuts the
slices.
"""

import argparse
import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertModel

from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.networks.unet import Generator
from i2igalip_cli.volumes.intensity import find_window
from i2igalip_cli.volumes.slicing import view_slices
from i2igalip_cli.volumes.volume import Array

TOKENS = 256  # BiomedCLIP's, with padding


def encode_caption(tower: BertModel, caption: str, width: int) -> Tensor:
    """The caption's embedding, (1, 1, width) of unit length.

    Letters stand for word pieces and the first numbers of the class token for its projection.
    """
    letters = [*caption.encode()][:TOKENS]
    numbers = torch.tensor([letters + [0] * (TOKENS - len(letters))])  # (1, T)
    with torch.no_grad():
        seen = tower(numbers, attention_mask=(numbers > 0).long()).last_hidden_state  # (1, T, C)
    return F.normalize(seen[:, :1, :width], dim=-1)


class LiteralTranslator:
    """A checkpoint's generator and a text tower."""

    def __init__(self, checkpoint: Checkpoint, text_tower: Path, target: Domain) -> None:
        self.tower = BertModel.from_pretrained(text_tower).eval()
        self.generator = Generator(checkpoint.config.generator).eval()
        self.generator.load_state_dict(
            {
                name.removeprefix("generator."): torch.from_numpy(tensor)
                for name, tensor in checkpoint.tensors.items()
            }
        )
        self.target = target
        self.index = torch.tensor([checkpoint.domains.index(target)])

    def encode(self) -> Tensor:
        """The target's caption, (1, 1, C)."""
        return encode_caption(self.tower, self.target.caption, self.generator.config.context)

    def generate(self, slice_: Array, caption: Tensor) -> Array:
        """Translate a slice (H, W) in [0, 1]."""
        with torch.no_grad():
            out = self.generator(torch.from_numpy(slice_)[None, None], caption, self.index)
        translated: Array = out.clamp(0, 1)[0, 0].numpy()
        return translated


def main() -> None:
    """Read, translate, write."""
    parser = argparse.ArgumentParser(description="Translate a volume slice by slice.")
    for name in ("volume", "checkpoint", "text_tower", "out", "json"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--to", default="T2")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--frame", type=int, nargs=4)
    options = parser.parse_args()

    image = nib.load(options.volume)
    array = image.get_fdata(dtype=np.float32)
    checkpoint = load_checkpoint(options.checkpoint)
    window = find_window(array, None, checkpoint.policy)
    target = find_domain(options.to, checkpoint.domains)
    translate = LiteralTranslator(checkpoint, options.text_tower, target)
    result = np.zeros_like(array)
    slices, out = (view_slices(one, image.affine) for one in (window.to_unit(array), result))
    if options.frame is not None:
        top, left, height, width = options.frame
        inside = np.s_[:, top : top + height, left : left + width]
        slices, out = slices[inside], out[inside]

    captions, generated = [], []
    for number in range(0, len(slices), options.every):
        began = time.perf_counter()
        caption = translate.encode()
        encoded = time.perf_counter()
        out[number : number + options.every] = translate.generate(slices[number].copy(), caption)
        captions.append(encoded - began)
        generated.append(time.perf_counter() - encoded)

    began = time.perf_counter()
    nib.save(nib.Nifti1Image(window.from_unit(result), image.affine), options.out)
    saving = time.perf_counter() - began
    told = {"captions": captions, "generated": generated, "saving": saving, "slices": len(slices)}
    options.json.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
