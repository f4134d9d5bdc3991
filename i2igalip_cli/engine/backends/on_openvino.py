"""OpenVINO on the processor: an extra, for its bfloat16."""

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np

from i2igalip_cli.engine.backends.base import refuse_precision
from i2igalip_cli.engine.backends.on_processor import ProcessorBackend
from i2igalip_cli.engine.backends.onnx_model import find_model
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes.volume import Array

KEPT_SIZES = 4  # of slices: each takes some 90 MB
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoBackend(ProcessorBackend):
    """Float32, and bfloat16 where the processor has it; a compiled model for each size of slices.

    Arguments as in `ProcessorBackend`.
    """

    name = "openvino"

    def _open(self) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ConfigError(
                "openvino isn't installed: pip install 'i2igalip[openvino]'"
            ) from error

        self.core = openvino.Core()
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        known = ("float32", "bfloat16") if "BF16" in able else ("float32",)
        refuse_precision(self.name, self.precision, known)
        self.model = self.core.read_model(find_model(self.checkpoint, self.warnings))
        self._requests: dict[tuple[tuple[int, ...], ...], SimpleQueue[Any]] = {}  # by sizes
        self._converted = False

    def _prepare(self, slices: Array, tokens: Array, index: int) -> Callable[[Array], Array]:
        inputs = {"tokens": tokens, "domain": np.array([index])}
        sizes = ((1, *slices.shape[1:]), tokens.shape)
        requests = self._requests.pop(sizes, None) or self._compile(*sizes)
        self._requests[sizes] = requests  # the last one used stands last
        while len(self._requests) > KEPT_SIZES:
            del self._requests[next(iter(self._requests))]
        if not self._converted:
            # The first result that becomes an array does so alone: two at once wait for each other,
            # one for Python's lock, one for that of the library (openvino 2026.4).
            self._run(requests, {"slices": slices[:1], **inputs})
            self._converted = True
        return lambda piece: self._run(requests, {"slices": piece, **inputs})

    def _run(self, requests: "SimpleQueue[Any]", inputs: Mapping[str, Any]) -> Array:
        request = requests.get()
        try:
            # A request writes its next result in the same place, hence the copy.
            return np.array(request.infer(inputs)[0])
        finally:
            requests.put(request)

    def _compile(self, slices: tuple[int, ...], tokens: tuple[int, ...]) -> "SimpleQueue[Any]":
        """Compile the model for one size; a request for each thread.

        Fixed sizes run a fifth faster than open ones; compiling takes a second.
        """
        model = self.model.clone()
        model.reshape({"slices": list(slices), "tokens": list(tokens), "domain": [1]})
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.threads,  # a thread each
        }
        compiled = self.core.compile_model(model, "CPU", settings)
        requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.threads):
            requests.put(compiled.create_infer_request())
        return requests
