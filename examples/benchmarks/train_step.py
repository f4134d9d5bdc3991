"""Time, peak memory and agreement of our training step with the literal one of the paper.

    python examples/benchmarks/train_step.py [--size 256] [--batch 2] [--tiny] [--json]

All rows take the same step: same weights, same batch, float32 but for the last row, which only
processors with bfloat16 of their own have (others take minutes for it). The encoder
has BiomedCLIP's sizes (timm ViT-B/16, BERT-base, 256 caption tokens, embedding 512) and random
weights, so nothing is fetched. Each row has a process of its own. Its first step gives losses,
gradients and the work (FLOP of matrix products and convolutions); of the steps after it the fastest
counts, since other programs can only slow one down. The peak is the largest resident memory of the
process in those steps, weights and Adam's moments included.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import open_clip
import torch
from literal_step import Clock, LiteralStep
from machine import TINY_GENERATOR, matrix_rate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from transformers import BertConfig

from i2igalip_cli.config import GalipConfig, GeneratorConfig, HeadConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.memory import keep_freed_memory, peak_bytes
from i2igalip_cli.methods import UnpairedBatch
from i2igalip_cli.methods.galip import Galip
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

DOMAINS_OF_IXI = tuple(DOMAINS[name] for name in ("T1", "T2", "PD"))
ROWS = {
    "literal": {},
    "ours": {},
    "ours, recompute": {"recompute": True},
    "ours, bfloat16": {"precision": "bfloat16"},
}
# A bias before an instance norm has the gradient 0, of which a program computes rounding errors
# only. So a difference is held against the tensor's largest gradient or this share of the
# network's largest, whichever is more.
FLOOR = 1e-3


@dataclass(frozen=True)
class Sizes:
    """What is measured: sizes of a run."""

    side: int = 256
    batch: int = 2
    vision: str = "vit_base_patch16_224"
    image: int = 224
    text_width: int = 768
    text_layers: int = 12
    context: int = 256
    embedding: int = 512
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    heads: HeadConfig = field(default_factory=HeadConfig)


TINY = Sizes(
    side=32,
    vision="test_vit",
    image=160,
    text_width=24,
    text_layers=2,
    context=32,
    embedding=16,
    generator=TINY_GENERATOR,
    heads=HeadConfig(blocks=(1, 2, 4, 5)),
)


def build_encoder(sizes: Sizes, folder: Path) -> TextImageEncoder:
    """An encoder of BiomedCLIP's layout with random weights, from a folder that this writes."""
    BertConfig(
        hidden_size=sizes.text_width,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=max(1, sizes.text_width // 64),
        intermediate_size=4 * sizes.text_width,
        max_position_embeddings=512,
    ).save_pretrained(folder)
    vision = {
        "timm_model_name": sizes.vision,
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": sizes.image,
    }
    text = {
        "hf_model_name": str(folder),
        "hf_model_pretrained": False,
        "hf_tokenizer_name": str(folder),
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": sizes.context,
    }
    model_cfg = {"embed_dim": sizes.embedding, "vision_cfg": vision, "text_cfg": text}
    preprocessing = {"mean": [0.481, 0.458, 0.408], "std": [0.269, 0.261, 0.276]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocessing})
    )
    torch.manual_seed(0)
    model = open_clip.create_model(
        f"local-dir:{folder}", load_weights=False, text_cfg=text
    )  # of the file alone, open_clip would take only trained text towers

    def tokenize(captions: list[str]) -> torch.Tensor:
        """Letters instead of word pieces, and padding: (N, T)."""
        rows = [[*caption.encode()][: sizes.context] for caption in captions]
        return torch.tensor([row + [0] * (sizes.context - len(row)) for row in rows])

    return TextImageEncoder(model, tokenize)


def build(sizes: Sizes, folder: Path, changes: dict[str, object]) -> tuple[Galip, UnpairedBatch]:
    """The method and a batch, the same in every process; changes are of the configuration."""
    encoder = build_encoder(sizes, folder)
    captions = encoder.encode_captions([domain.caption for domain in DOMAINS_OF_IXI])
    config = GalipConfig(generator=sizes.generator, heads=sizes.heads, batch=sizes.batch, **changes)
    method = Galip(config, DOMAINS_OF_IXI, captions, None, encoder)
    with torch.no_grad():
        # New convolutions have the gain 0.02, so that norms blow up the rounding of what is all but
        # zero. With the gain 1 a step is as well conditioned as it can be.
        for module in method.exported.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(50)
    draw = torch.Generator().manual_seed(0)
    shape = (sizes.batch, 1, sizes.side, sizes.side)
    first, second = (torch.rand(shape, generator=draw) for _ in range(2))
    numbers = torch.arange(sizes.batch)
    none = torch.zeros(sizes.batch, dtype=torch.bool)
    domains = numbers % 3, (numbers + 1) % 3
    batch = UnpairedBatch(
        first, domains[0], second, domains[1], first, none, second, none, seeds=numbers
    )
    return method, batch


def watch(method: Galip, clock: Clock) -> None:
    """Time the parts of our step."""
    generator, encoder = method.exported["generator"], method.encoder
    for owner, name, part in (
        (generator, "forward", "generator"),
        (encoder, "forward", "encoder"),
        (method.discriminator, "forward", "heads"),
        (method.discriminator, "iterate_norms", "power iterations"),
        (method, "update", "updates"),
        (torch.autograd, "grad", "backward"),
        (torch.autograd, "backward", "backward"),
    ):
        setattr(owner, name, clock.timed(part, getattr(owner, name)))


def keep_gradients(method: Galip) -> dict[str, Tensor]:
    """What the next update of each network will find, by parameter."""
    found: dict[str, Tensor] = {}
    update = method.update

    def keep(network: str) -> None:
        module = method.exported if network == "generator" else method.discriminator
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                found[f"{network}/{name}"] = parameter.grad.clone()
        update(network)

    method.update = keep  # type: ignore[method-assign]  # for one step
    return found


class WorkCounter(TorchDispatchMode):
    """Counts the FLOP of matrix products and convolutions by torch's formulas.

    Torch's own counter follows modules as well, which a step that goes back in parts doesn't let.
    """

    flop = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204 (torch's)
        """Run an operation and add its work."""
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flop += int(formula(*args, **(kwargs or {}), out_val=out))
        return out


def measure(row: str, sizes: Sizes, folder: Path, repeats: int) -> dict[str, object]:
    """One row; leaves its gradients in the folder."""
    if row != "literal":
        keep_freed_memory()  # as `i2igalip train` does
    method, batch = build(sizes, folder, ROWS[row])
    clock = Clock()
    literal = LiteralStep(method, clock)

    def step() -> dict[str, Tensor]:
        return literal(batch) if row == "literal" else method.step(batch).losses

    gradients = keep_gradients(method)
    with WorkCounter() as counter:
        losses = {name: float(value) for name, value in step().items()}
    torch.save(gradients, folder / f"{row}.pt")
    gradients.clear()
    del method.update
    if row != "literal":
        watch(method, clock)
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")  # the peak starts anew (Linux; elsewhere it is since the start)
    seconds, parts = float("inf"), {}
    for _ in range(repeats):
        clock.seconds.clear()
        began = time.perf_counter()
        step()
        if time.perf_counter() - began < seconds:
            seconds, parts = time.perf_counter() - began, dict(clock.seconds)
    return {
        "losses": losses,
        "seconds": seconds,
        "parts": parts,
        "peak_bytes": peak_bytes(),
        "flop": counter.flop,
    }


def largest_difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> tuple[float, str]:
    """Of two sets of gradients, relative to the larger of each tensor's largest and the floor."""
    assert one.keys() == two.keys()
    top: dict[str, float] = {}
    for name, gradient in one.items():
        network = name.split("/")[0]
        top[network] = max(top.get(network, 0.0), float(gradient.abs().max()))
    return max(
        (
            float((two[name] - gradient).abs().max())
            / max(float(gradient.abs().max()), FLOOR * top[name.split("/")[0]]),
            name,
        )
        for name, gradient in one.items()
    )


def _rows() -> list[str]:
    """The rows whose arithmetic this processor has."""
    if torch.cpu._is_avx512_bf16_supported():
        return list(ROWS)
    return [row for row, changes in ROWS.items() if changes.get("precision") != "bfloat16"]


def compare(sizes: Sizes, repeats: int) -> dict[str, object]:
    """Measure every row, and each against the literal one."""
    rate = matrix_rate(torch.get_num_threads(), repeats=5)
    report: dict[str, object] = {"multiply_gflops": rate / 1e9, "rows": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in _rows():
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                found = alone.apply(measure, (row, sizes, folder, repeats))
            gradients = torch.load(folder / f"{row}.pt")
            if row == "literal":
                base, expected = found, gradients
            found["loss_difference"] = max(
                abs(found["losses"][name] - value) / abs(value)
                for name, value in base["losses"].items()
            )
            found["gradient_difference"], found["at"] = largest_difference(expected, gradients)
            found["share_of_time"] = found["seconds"] / base["seconds"]
            found["share_of_peak"] = found["peak_bytes"] / base["peak_bytes"]
            report["rows"][row] = found
    return report


def show(report: dict[str, object]) -> None:
    """The report in words."""
    print(f"matrix products: {report['multiply_gflops']:.0f} GFLOP/s in float32")
    for row, found in report["rows"].items():
        print(
            f"\n{row}: {found['seconds']:.2f} s ({found['share_of_time']:.0%} of literal), "
            f"peak {found['peak_bytes'] / 1e9:.2f} GB ({found['share_of_peak']:.0%})"
        )
        bound = found["flop"] / 1e9 / report["multiply_gflops"]
        print(
            f"  {found['flop'] / 1e12:.2f} TFLOP: {bound:.2f} s at the rate of float32 matrix "
            f"products, {bound / found['seconds']:.0%} of it reached"
        )
        parts = {**found["parts"], "rest": found["seconds"] - sum(found["parts"].values())}
        print("  " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
        print("  " + ", ".join(f"{name} {value:.6f}" for name, value in found["losses"].items()))
        print(
            f"  largest relative difference: losses {found['loss_difference']:.1e}, gradients "
            f"{found['gradient_difference']:.1e} ({found['at']})"
        )
    print(
        f"\nGradients differ relative to their tensor's largest, or to {FLOOR:g} of the network's "
        "largest where that is more (a bias before a norm has the gradient 0, and rounding)."
    )


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description="Our training step against the literal one.")
    parser.add_argument("--size", type=int, default=256, help="side of a slice, in pixels")
    parser.add_argument("--batch", type=int, default=2, help="pairs of slices")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps a row")
    parser.add_argument("--tiny", action="store_true", help="small networks and slices: seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    sizes = TINY if options.tiny else Sizes(side=options.size, batch=options.batch)
    report = compare(sizes, options.repeats)
    if options.json:
        print(json.dumps({"sizes": asdict(sizes), **report}))
    else:
        show(report)


if __name__ == "__main__":
    main()
