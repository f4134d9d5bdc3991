"""Making the ONNX graph of a checkpoint's networks with torch's exporter."""

import copy
import warnings
from typing import TYPE_CHECKING, Any

from i2igalip_cli.checkpoints import Checkpoint

if TYPE_CHECKING:
    from torch import nn

OPSET = 20


def export_graph(checkpoint: Checkpoint) -> bytes:
    """The networks of a checkpoint as a serialised ONNX model without their weights.

    Its inputs and output are those of `find_model`; the weights that it lacks have the names of the
    checkpoint's tensors.
    """
    from i2igalip_cli.engine.backends.on_torch import rebuild_method
    from i2igalip_cli.engine.backends.onnx_layers import with_onnx_layers

    graph = rebuild_method(checkpoint).graph()
    assert graph is not None, "a method whose settings have the sizes of a graph has one"
    side = checkpoint.config.side_multiple
    context = (checkpoint.captions if checkpoint.tokens is None else checkpoint.tokens).shape[-1]
    model = _export(with_onnx_layers(copy.deepcopy(graph)), side, context)
    stored = [one for one in model.graph.initializer if one.name not in checkpoint.tensors]
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored)
    for node in model.graph.node:
        node.ClearField("metadata_props")  # where each came from: longer than the graph
    content: bytes = model.SerializeToString()
    return content


def _export(graph: "nn.Module", side: int, context: int) -> Any:  # noqa: ANN401 (onnx has no types)
    """The onnx.ModelProto of a module, for any number and size of slices and any caption."""
    import torch

    example = (  # small, and no two dimensions alike
        torch.zeros(2, 1, 2 * side, 3 * side),
        torch.zeros(1, 5, context),
        torch.zeros(1, dtype=torch.int64),
    )
    height, width = (torch.export.Dim(name, min=1) for name in ("height", "width"))
    open_dimensions = (
        {0: torch.export.Dim("count"), 2: side * height, 3: side * width},
        {1: torch.export.Dim("length")},
        None,
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            dynamic_shapes=open_dimensions,
            opset_version=OPSET,
            input_names=["slices", "tokens", "domain"],
            output_names=["translated"],
            optimize=False,  # the runtimes do it in a second, the exporter in half a minute
            verbose=False,
        )
    assert program is not None, "without a file name the exporter returns the model"
    return program.model_proto
