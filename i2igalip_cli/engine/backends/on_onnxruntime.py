"""ONNX Runtime on the processor: the default there, and without torch."""

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
from i2igalip_cli.volumes.volume import Array

_ERRORS_ONLY = 3


class OnnxRuntimeBackend:
    """One slice a run, one thread a run, as many runs at a time as there are threads.

    So no operation is shared between threads: results don't depend on their number, and none waits
    for the others.

    Args:
        checkpoint: What to run.
        device: "cpu" or None.
        threads: Of the processor; None takes all that the process may use.
        precision: "float32".
        compile: Not here.

    Raises:
        ConfigError: Another device or arithmetic, or a method that has no graph.
    """

    name = "onnxruntime"

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None = None,
        threads: int | None = None,
        precision: Precision = "float32",
        compile: bool = False,
    ) -> None:
        refuse_device(checkpoint, self.name, device)
        refuse_precision(self.name, precision, ("float32",))
        refuse_compile(self.name, compile)
        import onnxruntime

        self.checkpoint = checkpoint
        self.precision = precision
        self.threads = count_threads(threads)
        self.chunk = CALLS_A_WORKER * self.threads
        self.warnings: list[str] = []
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        self.session = onnxruntime.InferenceSession(
            find_model(checkpoint, self.warnings), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, slices: Array, source: Domain | None, target: Domain) -> Array:
        """Translate slices (N, 1, H, W)."""
        index, tokens = find_tokens(self.checkpoint, target)

        def run(piece: Array) -> Array:
            inputs = {"slices": piece, "tokens": tokens, "domain": [index]}
            translated: Array = self.session.run(None, inputs)[0]
            return translated

        return run_in_pieces(run, slices, 1, self.threads)
