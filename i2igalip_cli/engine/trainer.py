"""Training: unpaired batches -> `method.step` -> schedule, average, log, previews, state.

Several processes work on one run when `torchrun` starts them: each takes its part of every batch,
gradients are averaged, and the first one writes.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import i2igalip_cli
from i2igalip_cli import hub
from i2igalip_cli.checkpoints import Checkpoint, save_checkpoint
from i2igalip_cli.config import TrainConfig, to_dict
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.engine.sampler import BatchSampler
from i2igalip_cli.engine.stopping import StopRequest, leave_signals_to_the_parent
from i2igalip_cli.errors import CheckpointError, ConfigError, StoppedError
from i2igalip_cli.evaluation.pictures import draw_panel, save_picture
from i2igalip_cli.methods import METHODS, Method, StepReport, UnpairedBatch
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

LOG_EVERY = 10
# Mean change of a slice, in its range of 1, below which the output is the input.
COLLAPSED = 0.005


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """Where a run stands: steps done and in all, losses averaged since the last log, warnings."""

    step: int
    steps: int
    losses: Mapping[str, float]
    warnings: tuple[str, ...] = ()


def learning_rate_factor(step: int, steps: int) -> float:
    """Constant for half of the run, then linear to 0 (section 4.1 of the paper)."""
    return min(1.0, 2 * (1 - step / steps))


class Trainer:
    """One run: made new or from the state that its folder holds.

    Args:
        dataset: A prepared dataset.
        out: Folder of the run; it holds config.json, log.jsonl, state.pt, previews and
            checkpoint.safetensors.
        config: The run; one that continues must be the one that began.
        device: "cpu", "cuda" and so on; None takes the GPU where there is one.
        processes: This process among those of the run.
        workers: Processes that read and augment slices ahead; 0 does so in between. They change
            nothing of the result.

    Raises:
        DatasetError: The dataset can't be used.
        CheckpointError: The encoder is absent, or the folder's state is damaged.
        ConfigError: The folder holds a run with other settings.
    """

    def __init__(
        self,
        dataset: Path,
        out: Path,
        config: TrainConfig,
        device: str | None = None,
        *,
        processes: Processes | None = None,
        workers: int = 0,
    ) -> None:
        if config.method not in METHODS:
            raise ConfigError(f"unknown method '{config.method}': known are {', '.join(METHODS)}")
        self.processes = processes or Processes()
        self.workers = workers
        self.data = SliceDataset(dataset, "train", config.generator.side_multiple, config.domains)
        self.index = self.data.index
        self.domains = _caption(self.index.domains, config.captions)
        folder = hub.find_encoder(config.encoder)
        encoder = TextImageEncoder.from_folder(folder)
        deepest = max(config.heads.blocks)
        if deepest >= encoder.depth:
            raise ConfigError(f"heads: block {deepest}, but the encoder has {encoder.depth}")
        texts = [domain.caption for domain in self.domains]
        captions = encoder.encode_captions(texts)
        tokens = captions.unsqueeze(1)  # (D, E) -> (D, 1, E)
        if config.caption_context == "tokens":
            tokens = encoder.encode_caption_tokens(texts)
        self.config = replace(
            config,
            generator=replace(config.generator, domains=len(self.domains), context=tokens.shape[2]),
        )
        self.out = out
        self.sampler = BatchSampler(self.data, config, self.processes.rank, self.processes.count)
        self.steps = len(self.sampler)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.method: Method = METHODS[config.method](
            self.config, self.domains, captions, tokens, encoder
        ).to(self.device)
        self.method.average_gradients = self.processes.average_gradients
        self.method.exported.to(memory_format=torch.channels_last)
        self.average = {k: v.clone() for k, v in self.method.exported.state_dict().items()}
        self.provenance: dict[str, Any] = {
            "version": i2igalip_cli.__version__,
            "dataset_sha256": self.data.fingerprint(),
            "encoder": config.encoder,
            "encoder_sha256": hub.folder_sha256(folder),
            "steps": self.steps,
        }
        self.step = 0
        self._begin_or_resume()

    def run(self, on_progress: Callable[[TrainProgress], None] | None = None) -> Path:
        """Train to the end; returns the checkpoint's path.

        Raises:
            StoppedError: SIGTERM or Ctrl-C came; the state was saved first.
            CheckpointError: A loss isn't finite; the last good state stays.
        """
        if self.step == 0:
            self.preview()
        gathered: list[StepReport] = []
        began = time.monotonic()
        loader = DataLoader(
            self.sampler,
            batch_size=None,
            sampler=range(self.step, self.steps),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_the_parent,
        )
        with StopRequest() as stop:
            for batch in loader:
                gathered.append(self.train_step(batch))
                last = self.step == self.steps
                saves = self.step % self.config.save_every == 0 or last
                stopped = self.processes.any(stop.signal is not None, self.device)
                if self.step % LOG_EVERY == 0 or saves or stopped:
                    progress = self._summarise(gathered, time.monotonic() - began)
                    if on_progress is not None:
                        on_progress(progress)
                    gathered, began = [], time.monotonic()
                if self.step % self.config.preview_every == 0 or last:
                    self.preview()
                if saves or stopped:
                    self.save()
                if stopped and not last:
                    raise StoppedError(
                        f"stopped and saved after step {self.step} of {self.steps}; the same "
                        "command goes on from there",
                        stop.exit_code,
                    )
        return self.out / "checkpoint.safetensors"

    def train_step(self, batch: UnpairedBatch) -> StepReport:
        """One step of the method, the schedule and the average."""
        factor = learning_rate_factor(self.step, self.steps)
        for optimizer in self.method.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        report = self.method.step(batch.to(self.device))
        with torch.no_grad():
            for name, tensor in self.method.exported.state_dict().items():
                self.average[name].lerp_(tensor, 1 - self.config.ema_decay)
        self.step += 1
        return report

    def _summarise(self, reports: list[StepReport], seconds: float) -> TrainProgress:
        """Average what was gathered over steps and processes, log it, and judge it."""
        names = list(reports[0].losses)
        rows = [torch.stack([*report.losses.values(), report.change]) for report in reports]
        *values, change = self.processes.mean(torch.stack(rows).mean(0)).tolist()
        losses = dict(zip(names, values, strict=True))
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        if broken:
            raise CheckpointError(
                f"{self.out}: the loss {' and '.join(broken)} is not finite at step {self.step}; "
                "the last good state is kept: resume with precision float32, or begin anew with a "
                "lower learning_rate"
            )
        if self.processes.writes:
            self._log({**losses, "change": change}, seconds / len(reports))
        warnings: tuple[str, ...] = ()
        if change < COLLAPSED:
            warnings = (
                f"step {self.step}: translations differ from their sources by {change:.4f} only; "
                "the generator may have collapsed to the identity",
            )
        return TrainProgress(step=self.step, steps=self.steps, losses=losses, warnings=warnings)

    def save(self) -> None:
        """Write the state to resume from and the averaged generator's checkpoint."""
        if not self.processes.writes:
            return
        state = {
            "step": self.step,
            "method": self.method.trained_state(),
            "optimizers": {k: o.state_dict() for k, o in self.method.optimizers.items()},
            "scaler": self.method.scaler.state_dict(),
            "average": self.average,
        }
        temporary = self.out / "state.pt.new"
        torch.save(state, temporary)
        temporary.replace(self.out / "state.pt")
        save_checkpoint(self.checkpoint(), self.out / "checkpoint.safetensors")

    def checkpoint(self) -> Checkpoint:
        """The averaged networks as they stand."""
        spacings = np.array([shard.spacing_mm for shard in self.data.shards])
        row, column = np.median(spacings, axis=0).tolist()
        return Checkpoint(
            config=self.config,
            domains=self.domains,
            captions=self.method.captions.cpu().numpy(),
            tokens=(
                self.method.tokens.cpu().numpy()
                if self.config.caption_context == "tokens"
                else None
            ),
            policy=self.index.policy,
            plane=self.index.plane,
            spacing_mm=(row, column),
            provenance={**self.provenance, "step": self.step},
            tensors={name: tensor.cpu().numpy() for name, tensor in self.average.items()},
            name="checkpoint.safetensors",
        )

    @torch.no_grad()
    def preview(self) -> None:
        """Draw the middle slice of a volume of each domain in every domain."""
        if not self.processes.writes:
            return
        domains = self.domains
        kept = {k: v.clone() for k, v in self.method.exported.state_dict().items()}
        self.method.exported.load_state_dict(self.average)
        rows = []
        for index, domain in enumerate(domains):
            numbers = np.flatnonzero(self.data.domains == index)
            places = [abs(self.data.place(int(number)) - 0.5) for number in numbers]
            shown = torch.from_numpy(self.data.read([int(numbers[int(np.argmin(places))])]))
            row = [shown]
            for target in domains:
                row.append(self.method.translate(shown.to(self.device), domain, target).cpu())
            rows.append([picture[0, 0].float().numpy() for picture in row])
        self.method.exported.load_state_dict(kept)
        titles = ["source", *(f"to {domain.name}" for domain in domains)]
        panel = draw_panel(rows, titles, [domain.name for domain in domains], scale=2)
        save_picture(panel, self.out / f"preview_{self.step:06d}.png")

    def _log(self, losses: Mapping[str, float], seconds: float) -> None:
        row = {"step": self.step, "seconds_a_step": round(seconds, 4), **losses}
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def _begin_or_resume(self) -> None:
        described: dict[str, Any] = {
            "config": json.loads(json.dumps(to_dict(self.config))),
            "dataset_sha256": self.provenance["dataset_sha256"],
            "encoder_sha256": self.provenance["encoder_sha256"],
        }
        path = self.out / "config.json"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            if self.processes.writes and not path.exists():
                path.write_text(json.dumps(described, indent=1), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"can't write {self.out}: {error.strerror}") from error
        self.processes.wait()
        begun = json.loads(path.read_text(encoding="utf-8"))
        if begun != described:
            raise ConfigError(f"{self.out} holds another run ({_difference(begun, described)})")
        if (self.out / "state.pt").exists():
            self._resume(self.out / "state.pt")

    def _resume(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.method.load_trained_state(state["method"])
            for name, optimizer in self.method.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
            self.method.scaler.load_state_dict(state["scaler"])
            self.average = state["average"]
            self.step = state["step"]
        except (OSError, RuntimeError, KeyError, EOFError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path}: can't resume from it ({reason})") from error


def _caption(domains: Sequence[Domain], captions: Mapping[str, str]) -> tuple[Domain, ...]:
    """The domains with the run's own captions."""
    given = {find_domain(name, domains, "the dataset").name: c for name, c in captions.items()}
    return tuple(replace(d, caption=given.get(d.name, d.caption)) for d in domains)


def _difference(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting in which two runs differ."""
    flat = [
        {**{k: v for k, v in run.items() if k != "config"}, **run["config"]} for run in (begun, now)
    ]
    for name in flat[1]:
        if flat[0].get(name) != flat[1][name]:
            return f"{name}: {flat[0].get(name)} there, {flat[1][name]} now; give another --out"
    return "settings differ; give another --out"
