"""ONNX Runtime on the processor: the default there, and without torch."""

from collections.abc import Callable

from i2igalip_cli.engine.backends.base import refuse_precision
from i2igalip_cli.engine.backends.on_processor import ProcessorBackend
from i2igalip_cli.engine.backends.onnx_model import find_model
from i2igalip_cli.volumes.volume import Array

_ERRORS_ONLY = 3


class OnnxRuntimeBackend(ProcessorBackend):
    """Float32 for slices of any size; arguments as in `ProcessorBackend`."""

    name = "onnxruntime"

    def _open(self) -> None:
        refuse_precision(self.name, self.precision, ("float32",))
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        model = find_model(self.checkpoint, self.warnings)
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def _prepare(self, slices: Array, tokens: Array, index: int) -> Callable[[Array], Array]:
        def run(piece: Array) -> Array:
            inputs = {"slices": piece, "tokens": tokens, "domain": [index]}
            translated: Array = self.session.run(None, inputs)[0]
            return translated

        return run
