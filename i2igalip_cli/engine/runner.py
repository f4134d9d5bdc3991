"""The backend of a checkpoint, made when it is first needed or beside other work."""

import contextlib
from threading import Lock, Thread

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.engine.backends import Backend, Precision, make_backend
from i2igalip_cli.engine.translation import TranslationOptions


class Runner:
    """Makes and keeps the backend of a checkpoint.

    Args:
        checkpoint: What to run.
        options: How.
    """

    def __init__(self, checkpoint: Checkpoint, options: TranslationOptions) -> None:
        self.checkpoint = checkpoint
        self.options = options
        self._made: dict[str, Backend] = {}
        self._lock = Lock()

    def begin(self) -> None:
        """Make the backend beside other work; what is wrong with it, its first use tells."""

        def make() -> None:
            with contextlib.suppress(Exception):
                _ = self.backend

        Thread(target=make, daemon=True).start()

    @property
    def backend(self) -> Backend:
        """What runs the generator.

        Raises:
            ConfigError: It can't run on this device.
        """
        options = self.options
        return self._get("backend", options.backend, options.precision)

    @property
    def full(self) -> Backend:
        """What reduced arithmetic is judged by: float32 on the same device."""
        name = "torch" if self.backend.name == "torch" else self.options.backend
        return self._get("full", None if name == "openvino" else name, "float32")

    def _get(self, role: str, name: str | None, precision: Precision) -> Backend:
        with self._lock:
            if role not in self._made:
                self._made[role] = make_backend(
                    self.checkpoint,
                    name=name,
                    device=self.options.device,
                    threads=self.options.threads,
                    precision=precision,
                    compile=self.options.compile and role == "backend",
                )
            return self._made[role]

    def news(self) -> tuple[str, ...]:
        """What happened to the backend since it was asked last."""
        told: dict[str, None] = {}
        for made in self._made.values():
            told.update(dict.fromkeys(made.warnings))
            made.warnings.clear()
        return tuple(told)
