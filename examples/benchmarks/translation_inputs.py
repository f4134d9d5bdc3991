"""What translation is measured on: volumes, and checkpoints with random weights."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from literal_translation import encode_caption
from machine import TINY_GENERATOR
from nilearn import datasets
from transformers import BertConfig, BertModel

from i2igalip_cli.checkpoints import FILE_NAME, Checkpoint, load_checkpoint, save_checkpoint
from i2igalip_cli.config import CropPolicy, GalipConfig, GeneratorConfig, IntensityPolicy
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.networks.unet import Generator
from i2igalip_cli.volumes import Volume, save_volume
from i2igalip_cli.volumes.grid import resample

BRAIN = tuple(DOMAINS[name] for name in ("T1", "T2", "PD"))
PELVIS = tuple(DOMAINS[name] for name in ("pelvic-MR", "pelvic-CT"))
PSNR = 27.0  # dB, as between MR contrasts: what the loss of reduced arithmetic is held against
# For long volumes of large slices: without attention but at the smallest of six levels.
LIGHT_GENERATOR = replace(TINY_GENERATOR, multipliers=(1,) * 6, attention_reductions=())
TINY_TEXT = BertConfig(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is measured; the defaults are the paper's generator and a volume of IXI's size.

    Attributes:
        generator: Of the brain's checkpoint.
        text: Of the literal loop's text tower: by default BERT-base, as BiomedCLIP's.
        every: The literal loop translates one of so many slices.
        shape: Of the brain volume, (I, J, K).
        spacing_mm: Likewise.
        template_mm: Resolution of the template that is laid into it, and of the demo volume.
        ct_side: Rows and columns of the CT.
        ct_slices: Slices of a short and of a long CT.
        linear_side: Rows and columns of the volumes whose time a slice is compared.
        linear_slices: Their slices.
    """

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    text: BertConfig = field(default_factory=BertConfig)
    every: int = 4
    shape: tuple[int, int, int] = (256, 256, 130)
    spacing_mm: tuple[float, float, float] = (0.9375, 0.9375, 1.2)
    template_mm: int = 1
    ct_side: int = 512
    ct_slices: tuple[int, int] = (128, 800)
    linear_side: int = 64
    linear_slices: tuple[int, ...] = (16, 100, 400, 800)


SIZES = {
    "full": Sizes(),
    "small": Sizes(
        generator=TINY_GENERATOR,
        text=TINY_TEXT,
        every=1,
        shape=(36, 40, 9),
        spacing_mm=(7.0, 7.0, 20.0),
        template_mm=4,
        ct_side=64,
        ct_slices=(16, 48),
        linear_side=32,
        linear_slices=(16, 48),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a part is measured.

    Attributes:
        sizes: Of what.
        folder: For its files, empty.
        threads: Of the processor.
        repeats: Rounds, of which the median counts.
    """

    sizes: Sizes
    folder: Path
    threads: int
    repeats: int


def read_template(resolution: int) -> Volume:
    """The ICBM 152 T1 template that nilearn ships, brighter by 1000 and in whole numbers."""
    image = datasets.load_mni152_template(resolution=resolution)
    return Volume(array=np.round(1000 * image.get_fdata(dtype=np.float32)), affine=image.affine)


def lay_template(sizes: Sizes) -> Volume:
    """The template on the grid of an IXI volume: trilinear, the brain centred, its size kept."""
    template = read_template(sizes.template_mm)
    voxels = np.argwhere(template.array > 100)
    middle = (voxels.min(axis=0) + voxels.max(axis=0)) / 2
    affine = np.diag([*sizes.spacing_mm, 1.0])
    centre = (np.array(sizes.shape) - 1) / 2
    affine[:3, 3] = (template.affine @ [*middle, 1])[:3] - affine[:3, :3] @ centre
    array = resample(template.array, template.affine, affine, sizes.shape)
    return Volume(array=array, affine=affine)


def save_int16(volume: Volume, path: Path) -> Path:
    """Write a volume of whole numbers, as scanners do; returns where."""
    whole = replace(volume.with_array(np.round(volume.array)), stored_dtype=np.dtype(np.int16))
    save_volume(whole, path, dtype="int16")
    return path


def make_ct(side: int, slices: int) -> Volume:
    """A body of water with fat and noise around bone, in air: 0.8 x 0.8 x 1 mm, HU."""
    draw = np.random.default_rng(0)
    x, y = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2, indexing="ij")
    radius = np.hypot(x / 0.9, y / 0.6)
    plane = np.select([radius < 0.2, radius < 0.8, radius < 1], [700, 40, -100], -1000)
    noise = np.round(draw.normal(0, 10, (side, side))).astype(np.float32) * (radius < 1)
    array = np.empty((side, side, slices), np.float32, order="F")
    for number in range(slices):
        array[..., number] = plane + np.roll(noise, number, axis=0)
    return Volume(array=array, affine=np.diag([0.8, 0.8, 1.0, 1]), modality="CT")


def save_text_tower(sizes: Sizes, folder: Path) -> BertModel:
    """A text tower with random weights, in a folder."""
    torch.manual_seed(0)
    tower = BertModel(sizes.text).eval()
    tower.save_pretrained(folder)
    return tower


def embed_captions(tower: BertModel, domains: tuple[Domain, ...], width: int) -> np.ndarray:
    """What the literal loop computes for each slice, once: (D, width) float32."""
    rows = [encode_caption(tower, domain.caption, width)[0, 0] for domain in domains]
    return torch.stack(rows).numpy()


def save_random_checkpoint(
    folder: Path, config: GeneratorConfig, domains: tuple[Domain, ...], captions: np.ndarray
) -> Checkpoint:
    """A checkpoint with random weights in a folder of its own, read back."""
    folder.mkdir()
    config = replace(config, domains=len(domains))
    checkpoint = Checkpoint(
        config=GalipConfig(generator=config),
        domains=domains,
        captions=captions,
        policy=IntensityPolicy(),
        crop=CropPolicy(),
        planes={"axial": (0.9375, 0.9375)},
        provenance={"psnr": PSNR},
        tensors={f"generator.{k}": v.numpy() for k, v in _random_state(config).items()},
    )
    save_checkpoint(checkpoint, folder / FILE_NAME)
    return load_checkpoint(folder / FILE_NAME)


def _random_state(config: GeneratorConfig) -> dict[str, torch.Tensor]:
    """Weights whose slices lie mostly within [0, 1].

    Fresh ones have the gain 0.02 and give next to nothing.
    """
    generator = Generator(config)
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(50)
        last = generator.out[-1]
        last.weight.mul_(0.2)
        last.bias.fill_(0.4)
    return generator.state_dict()
