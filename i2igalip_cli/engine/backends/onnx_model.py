"""The ONNX model of a checkpoint: a graph that is made once, and the checkpoint's own weights.

A graph depends on nothing but the sizes of the networks, so all checkpoints of one configuration
share it. Those of the shipped checkpoint and of the paper ship (weights/onnx), others are kept in
the cache. A kept graph ends with a stamp: of what it was made for, and the hash of all that
precedes; a damaged or foreign file has another end and is made anew.
"""

import hashlib
import json
import time
from pathlib import Path

from i2igalip_cli import hub
from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.engine.backends.base import NoGraphError
from i2igalip_cli.engine.backends.onnx_bytes import stamp, with_weights
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.files import whole_file

EXPORTER = 3  # raised with each change of what is made, so that older graphs are made anew
FOLDER = "onnx"  # of the weights that ship, and of the cache


def find_model(checkpoint: Checkpoint, warnings: list[str]) -> bytes:
    """The ONNX model of a checkpoint.

    Args:
        checkpoint: Its networks; captions aren't part of the model.
        warnings: Gets a line where the graph had to be made.

    Returns:
        A serialised model with the inputs slices (N, 1, H, W), tokens (1, M, C) and domain (1,),
        and the output translated (N, 1, H, W) in [0, 1].

    Raises:
        NoGraphError: The method has no graph.
    """
    return with_weights(_find_graph(checkpoint, warnings), checkpoint.tensors)


def make_graph(checkpoint: Checkpoint) -> bytes:
    """Make the stamped graph of a checkpoint.

    Raises:
        NoGraphError: The method has no graph.
    """
    from i2igalip_cli.engine.backends.onnx_export import export_graph

    graph = export_graph(checkpoint)
    return graph + stamp(graph, key_of(checkpoint))


def key_of(checkpoint: Checkpoint) -> str:
    """Hash over all that a graph depends on.

    Raises:
        NoGraphError: The method has none.
    """
    config = checkpoint.config
    if config.graph_sizes is None:
        raise NoGraphError(
            f"{config.method} has no graph for onnxruntime and openvino: take --backend torch"
        )
    parts = [EXPORTER, config.method, dict(config.graph_sizes)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def shipped_folder() -> Path:
    """Where graphs lie that come with the package."""
    return hub.shipped_folder() / FOLDER


def cache_folder() -> Path:
    """Where graphs are kept that were made here."""
    from i2igalip_cli.hub.files import own_folder

    return own_folder() / FOLDER


def _find_graph(checkpoint: Checkpoint, warnings: list[str]) -> bytes:
    key = key_of(checkpoint)
    kept = cache_folder() / f"{key}.onnx"
    for path in (shipped_folder() / kept.name, kept):
        graph = _read_stamped(path, key)
        if graph is not None:
            return graph
    began = time.monotonic()
    graph = make_graph(checkpoint)
    made = f"made the ONNX graph of {checkpoint.name} once ({time.monotonic() - began:.0f} s)"
    warnings.append(f"{made}; {_keep(kept, graph)}")
    return graph


def _read_stamped(path: Path, key: str) -> bytes | None:
    """A whole graph that was made for this key, or nothing."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    size = len(stamp(b"", key))
    whole = content[-size:] == stamp(content[:-size], key)
    return content if whole else None


def _keep(path: Path, graph: bytes) -> str:
    """Write a graph into the cache; returns what to tell of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, overwrite=True) as temporary:
            temporary.write_bytes(graph)
    except (OSError, VolumeError) as error:
        reason = str(error).split(";")[0]
        return f"it will be made again next time, for it can't be kept: {reason}"
    return f"it is kept in {path.parent}"
