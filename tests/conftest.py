"""What many tests need: small heads, a prepared dataset, a tiny encoder, a tiny checkpoint."""

import json
import os
import sys
import tempfile
from pathlib import Path

# Before anything reads it: ONNX graphs that tests make are kept for the other tests of the run,
# in whichever process, not for the user.
os.environ["HF_HOME"] = str(
    Path(
        tempfile.gettempdir(),
        f"i2igalip-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID') or os.getpid()}",
    )
)

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.checkpoints import Checkpoint, save_checkpoint
from i2igalip_cli.config import (
    CONFIGS,
    CropPolicy,
    GeneratorConfig,
    HeadConfig,
    IntensityPolicy,
    TimedUnetConfig,
    TrainConfig,
)
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.volumes import Derivation

TINY_GENERATOR = GeneratorConfig(
    context=16,
    width=8,
    multipliers=(1, 2),
    residual_blocks=1,
    attention_reductions=(2,),
    head_width=8,
    embedding=8,
    norm_groups=4,
)
TINY_TIMED_UNET = TimedUnetConfig(
    width=8,
    multipliers=(1, 2),
    residual_blocks=1,
    attention_reductions=(2,),
    head_width=8,
    norm_groups=4,
)
# Sizes at which each method of the registry is tested: slices of 32 x 24 are enough for them.
TINY_SIZES = {
    "galip": {
        "generator": TINY_GENERATOR,
        "heads": HeadConfig(blocks=(1, 4), kernel=3, projection=8),
    },
    "cut": {
        "width": 8,
        "blocks": 1,
        "discriminator_width": 8,
        "layers": (0, 2, 4),
        "patches": 16,
        "projection": 8,
    },
    "cyclegan": {"width": 8, "blocks": 1, "discriminator_width": 8, "pool": 3},
    "egsde": {
        "score": TINY_TIMED_UNET,
        "classifier": TINY_TIMED_UNET,
        "steps_back": 4,
        "low_pass": 8,
    },
    "syndiff": {
        "width": 8,
        "multipliers": (1, 2),
        "residual_blocks": 1,
        "attention_reductions": (2,),
        "latent": 5,
        "style": 8,
        "translator_width": 8,
        "translator_blocks": 1,
        "discriminator_width": 8,
        "noisy_width": 4,
        "noisy_levels": 4,
        "penalty_every": 3,
    },
    "ugatit": {
        "light": True,
        "width": 8,
        "blocks": 1,
        "discriminator_width": 8,
        "global_layers": 4,
        "local_layers": 3,
    },
    "unit": {
        "width": 8,
        "blocks": 1,
        "discriminator_width": 8,
        "discriminator_levels": 2,
        "scales": 2,
    },
}
OBLIQUE = np.array([[1.9, 0.2, 0, -20], [-0.2, 1.9, 0.1, -25], [0, -0.1, 3.0, -15], [0, 0, 0, 1.0]])
DERIVATION = Derivation(
    source="T1",
    target="T2",
    modality="MR",
    caption="This MRI is T2-weighted",
    model="tiny",
    model_sha256="0" * 64,
    version="1.0",
)
LEVELS = {"T1": (300, 700), "T2": (900, 250), "PD": (600, 500)}  # core, shell


def head(contrast: str = "T1", seed: int = 0, shape=(20, 24, 9)) -> np.ndarray:
    """An ellipsoid shell around a core in air, with noise; (I, J, K) float32."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1.2, 1.2, n) for n in shape]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    core, shell = LEVELS[contrast]
    clean = np.where(radius < 0.5, core, np.where(radius < 1, shell, 0))
    noisy = clean * (1 + 0.05 * rng.standard_normal(shape))
    return np.where(radius < 1, noisy, 0).astype(np.float32)


def write_head(path: Path, contrast: str = "T1", seed: int = 0, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(head(contrast, seed, **kwargs), OBLIQUE), path)
    return path


def find_raw(raw: Path, **settings):
    """What `prepare` finds in a folder with these settings."""
    from i2igalip_cli.config import PrepareConfig
    from i2igalip_cli.engine.prepare import find_volumes
    from i2igalip_cli.engine.prepare.naming import name_domains

    chosen = PrepareConfig(**settings)
    return find_volumes(raw, name_domains(chosen), chosen.layout)


@pytest.fixture
def t1(tmp_path: Path) -> Path:
    return write_head(tmp_path / "in.nii.gz")


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for subject in range(5):
        for contrast in LEVELS:
            write_head(folder / f"sub-{subject}_{contrast}.nii.gz", contrast, seed=subject)
    return folder


@pytest.fixture(scope="session")
def dataset(raw: Path, tmp_path_factory) -> Path:
    from i2igalip_cli.engine.prepare import prepare

    out = tmp_path_factory.mktemp("prepared") / "dataset"
    prepare(raw, out)
    return out


WIDE = (36, 40, 3)  # large enough for the tiny discriminators of every method


@pytest.fixture(scope="session")
def wide_dataset(tmp_path_factory) -> Path:
    """A prepared dataset of three domains whose slices every tiny method can learn from."""
    from i2igalip_cli.engine.prepare import prepare

    folder = tmp_path_factory.mktemp("wide")
    for subject in range(4):
        for contrast in LEVELS:
            name = f"sub-{subject}_{contrast}.nii.gz"
            write_head(folder / "raw" / name, contrast, subject, shape=WIDE)
    prepare(folder / "raw", folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory) -> Path:
    """An open_clip folder with random weights, of the shipped encoder's layout."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("encoder")
    vision = {"image_size": 32, "layers": 5, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def biomedclip_folder(tmp_path_factory) -> Path:
    """An encoder folder of BiomedCLIP's layout: timm ViT, Hugging Face BERT, WordPiece; random."""
    import open_clip
    import torch
    from transformers import BertConfig

    folder = tmp_path_factory.mktemp("biomedclip")
    text_tower = folder / "text_tower"
    text_tower.mkdir()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["this", "is", "mri", "ct", "pelvic", "t1", "t2", "pd", "weighted", "of", "the", "a"]
    vocabulary = [*special, *words, "picture", "-"]
    (text_tower / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (text_tower / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.3,  # captions differ clearly
    ).save_pretrained(text_tower)
    name = "an-organisation/that-no-hub-has"
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {
                "timm_model_name": "test_vit",  # 6 blocks of width 64
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": 160,
            },
            "text_cfg": {
                "hf_model_name": name,
                "hf_tokenizer_name": name,
                "hf_proj_type": "mlp",
                "hf_pooler_type": "cls_last_hidden_state_pooler",
                "context_length": 32,
            },
        },
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
    }
    local = {**config["model_cfg"]["text_cfg"], "hf_model_name": str(text_tower)}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.create_model(
            f"local-dir:{folder}",
            load_weights=False,
            text_cfg={**local, "hf_model_pretrained": False},
        )
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def tiny_config(encoder: Path | str = "demo", method: str = "galip", **changes) -> TrainConfig:
    settings = {
        "encoder": str(encoder),
        **TINY_SIZES[method],
        "steps": 4,
        "batch": 2,
        "preview_every": 2,
        "save_every": 2,
    }
    return CONFIGS[method](**{**settings, **changes})


def flatten(value, name: str = ""):
    """Leaves of nested dictionaries, with their names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}")
    else:
        yield name, value


def make_checkpoint(**changes) -> Checkpoint:
    from i2igalip_cli.networks.unet import Generator

    captions = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    generator = Generator(TINY_GENERATOR, seed=1)
    state = {f"generator.{k}": v.numpy().copy() for k, v in generator.state_dict().items()}
    # The fresh network's last convolution is nearly zero; a larger one makes outputs differ.
    state["generator.out.2.weight"] *= 10
    values = {
        "config": tiny_config(),
        "domains": tuple(DOMAINS[name] for name in ("T1", "T2", "PD")),
        "captions": captions / np.linalg.norm(captions, axis=1, keepdims=True),
        "policy": IntensityPolicy(),
        "crop": CropPolicy(whole=True),
        "planes": {"axial": (1.9, 1.9)},
        "provenance": {"steps": 0},
        "tensors": state,
        "name": "tiny",
    }
    return Checkpoint(**{**values, **changes})


class IdentityBackend:
    """A generator that changes nothing: what moves a voxel then is a fault."""

    name, precision, chunk = "identity", "float32", 1

    def __init__(self, *args, **kwargs) -> None:
        self.warnings: list[str] = []

    def __call__(self, slices, source, target):
        return slices


@pytest.fixture
def identity(monkeypatch):
    """Options under which translations run an identity."""
    from i2igalip_cli.engine.backends import BACKENDS
    from i2igalip_cli.engine.translation import TranslationOptions

    monkeypatch.setitem(BACKENDS, "identity", IdentityBackend)
    return TranslationOptions(backend="identity")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return make_checkpoint()


@pytest.fixture
def checkpoint_file(checkpoint, tmp_path) -> Path:
    save_checkpoint(checkpoint, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def program(monkeypatch, capsys):
    """Run the program as the console script does, in this process."""
    from i2igalip_cli import cli

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["i2igalip", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call
