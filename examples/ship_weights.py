"""Make a trained checkpoint the shipped one.

    python examples/ship_weights.py [RUN] [--name brain-demo]

Writes it in half precision to weights/NAME, its size and hash into the manifest, and to
weights/onnx the ONNX graphs of the shipped checkpoint and of the paper's sizes. Without RUN, the
graphs alone: after a change of the exporter.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from i2igalip_cli import hub, load_checkpoint
from i2igalip_cli.checkpoints import FILE_NAME, Checkpoint, save_checkpoint
from i2igalip_cli.config import GalipConfig
from i2igalip_cli.engine.backends.onnx_model import key_of, make_graph, shipped_folder
from i2igalip_cli.networks.unet import Generator


def ship_checkpoint(run: str, name: str) -> Path:
    """Write a checkpoint into the weights folder and its row into the manifest."""
    weights = hub.shipped_folder()
    path = weights / name / FILE_NAME
    save_checkpoint(load_checkpoint(run), path, half=True)
    manifest = json.loads((weights / "manifest.json").read_text())
    (entry,) = [entry for entry in manifest["entries"] if entry["name"] == name]
    (row,) = entry["files"]
    row.update(sha256=hub.file_sha256(path), size=path.stat().st_size)
    (weights / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return path


def paper_checkpoint(like: Checkpoint) -> Checkpoint:
    """A checkpoint of the paper's sizes; a graph asks for no trained weights."""
    config = GalipConfig()
    state = Generator(config.generator).state_dict()
    return replace(
        like,
        config=config,
        captions=np.zeros((config.generator.domains, config.generator.context), np.float32),
        tensors={f"generator.{name}": tensor.numpy() for name, tensor in state.items()},
    )


def ship_graphs() -> list[Path]:
    """Make the graphs that ship, in place of the older ones."""
    demo = load_checkpoint()
    folder = shipped_folder()
    folder.mkdir(exist_ok=True)
    made = {f"{key_of(one)}.onnx": make_graph(one) for one in (demo, paper_checkpoint(demo))}
    for old in folder.glob("*.onnx"):
        old.unlink()
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in made]


def main() -> None:
    """Ship, and list what was written."""
    parser = argparse.ArgumentParser(description="Write a checkpoint and the graphs that ship.")
    parser.add_argument("run", nargs="?", help="run or checkpoint; without one, the graphs alone")
    parser.add_argument("--name", default="brain-demo", help="entry of the manifest")
    options = parser.parse_args()
    written = [ship_checkpoint(options.run, options.name)] if options.run else []
    for path in [*written, *ship_graphs()]:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
