"""OpenVINO on the processor: an extra, for its bfloat16."""

from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends.base import (
    CALLS_A_WORKER,
    Precision,
    count_threads,
    find_tokens,
    refuse_compile,
    refuse_device,
    refuse_precision,
    run_in_pieces,
)
from i2igalip_cli.engine.backends.onnx_model import find_model
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes.volume import Array

KEPT_SIZES = 4  # of slices: each takes some 90 MB
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoBackend:
    """One slice a run and one thread a run, as in ONNX Runtime; a compiled model for each size.

    Args:
        checkpoint: What to run.
        device: "cpu" or None.
        threads: Of the processor; None takes all that the process may use.
        precision: "float32", or "bfloat16" where the processor has it.
        compile: Not here.

    Raises:
        ConfigError: OpenVINO isn't installed, another device or arithmetic, or a method that has
            no graph.
    """

    name = "openvino"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        refuse_device(checkpoint, self.name, device)
        refuse_compile(self.name, compile)
        try:
            import openvino
        except ImportError as error:
            raise ConfigError(
                "openvino isn't installed: pip install 'i2igalip[openvino]'"
            ) from error

        self.core = openvino.Core()
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        known = ("float32", "bfloat16") if "BF16" in able else ("float32",)
        refuse_precision(self.name, precision, known)
        self.checkpoint = checkpoint
        self.precision = precision
        self.threads = count_threads(threads)
        self.chunk = CALLS_A_WORKER * self.threads
        self.warnings: list[str] = []
        self.model = self.core.read_model(find_model(checkpoint, self.warnings))
        self._requests: dict[tuple[tuple[int, ...], ...], SimpleQueue[Any]] = {}  # by sizes
        self._converted = False

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices (N, 1, H, W)."""
        index, tokens = find_tokens(self.checkpoint, target)
        inputs = {"tokens": tokens, "domain": np.array([index])}
        sizes = ((1, *slices.shape[1:]), tokens.shape)
        requests = self._requests.pop(sizes, None) or self._prepare(*sizes)
        self._requests[sizes] = requests  # the last one used stands last
        while len(self._requests) > KEPT_SIZES:
            del self._requests[next(iter(self._requests))]
        if not self._converted:
            # The first result that becomes an array does so alone: two at once wait for each other,
            # one for Python's lock, one for that of the library (openvino 2026.4).
            self._run(requests, {"slices": slices[:1], **inputs})
            self._converted = True

        def run(piece: Array) -> Array:
            return self._run(requests, {"slices": piece, **inputs})

        return run_in_pieces(run, slices, 1, self.threads)

    def _run(self, requests: "SimpleQueue[Any]", inputs: Mapping[str, Any]) -> Array:
        request = requests.get()
        try:
            # A request writes its next result in the same place, hence the copy.
            return np.array(request.infer(inputs)[0])
        finally:
            requests.put(request)

    def _prepare(self, slices: tuple[int, ...], tokens: tuple[int, ...]) -> "SimpleQueue[Any]":
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
