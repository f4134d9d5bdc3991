"""Training: unpaired batches -> `method.step` -> schedule, average, log, previews, state.

Several processes work on one run when `torchrun` starts them: each takes its part of every batch,
gradients are averaged, and the first one writes.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import i2igalip_cli
from i2igalip_cli import hub
from i2igalip_cli.checkpoints import (
    FILE_NAME,
    Checkpoint,
    TrainingReference,
    load_checkpoint,
    save_checkpoint,
)
from i2igalip_cli.config import Plane, TrainConfig, to_dict
from i2igalip_cli.engine.captions import name_captions
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.engine.encoders import open_encoder
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.engine.quality.reference import make_reference
from i2igalip_cli.engine.rehearsal import Forecast, rehearse
from i2igalip_cli.engine.run_folder import RunFolder
from i2igalip_cli.engine.sampler import BatchSampler
from i2igalip_cli.engine.stopping import StopRequest, leave_signals_to_the_parent
from i2igalip_cli.engine.validation import Validator
from i2igalip_cli.errors import CheckpointError, ConfigError, StoppedError
from i2igalip_cli.evaluation.pictures import draw_panel
from i2igalip_cli.methods import METHODS, Method, StepReport, UnpairedBatch

LOG_EVERY = 10
# Mean change of a slice, in its range of 1, below which the output is the input.
COLLAPSED = 0.005


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """Where a run stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        losses: By name, averaged since the last report.
        warnings: What the user should know.
        validation: Scores by name, where this step was validated: "psnr" in dB and "ssim" in
            percent over all directions, and each by direction.
        best: Whether its PSNR is higher than that of every earlier validation.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    validation: Mapping[str, float] | None = None
    best: bool = False


def learning_rate_factor(step: int, steps: int) -> float:
    """Constant for half of the run, then linear to 0 (section 4.1 of the paper)."""
    return min(1.0, 2 * (1 - step / steps))


class Trainer:
    """One run: made new or from the state that its folder holds.

    Args:
        dataset: A prepared dataset.
        out: Folder of the run (see `RunFolder`).
        config: The run; one that continues must be the one that began.
        device: "cpu", "cuda" and so on; None takes the GPU where there is one.
        processes: This process among those of the run.
        workers: Processes that read and augment slices ahead; 0 does so in between. They change
            nothing of the result.
        weights: A bundle of `download-weights --to` in which the encoder is looked up first.

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
        weights: Path | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.workers = workers
        self.data = SliceDataset(dataset, "train", config.side_multiple, config.domains)
        if config.needs_pairs and not self.data.has_pairs:
            raise ConfigError(
                f"paired: no subject of {dataset} has registered volumes of two domains; leave its "
                "weight at 0"
            )
        self.index = self.data.index
        if config.two_domains and len(self.index.domains) != 2:
            names = ", ".join(domain.name for domain in self.index.domains)
            raise ConfigError(
                f"{config.method} translates between two domains, {dataset} has {names}: name two "
                "with --from and --to"
            )
        side = min(config.crop or self.data.side)
        if side < config.smallest_side:
            raise ConfigError(
                f"slices are {side} pixels across, the networks of {config.method} need "
                f"{config.smallest_side}: prepare with --whole, set a larger crop, or settings of "
                "the method by which its discriminators halve a slice less often"
            )
        self.domains = name_captions(self.index.domains, config.captions)
        self.sampler = BatchSampler(self.data, config, self.processes.rank, self.processes.count)
        self.validator = Validator(dataset, config, self.processes)
        self.steps = len(self.sampler)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.provenance: dict[str, Any] = {
            "version": i2igalip_cli.__version__,
            "dataset_sha256": self.data.fingerprint(),
            "encoder": config.encoder,
            "steps": self.steps,
        }
        self.method = self._build(config, weights)
        self.config: TrainConfig = self.method.config
        self.average = {k: v.clone() for k, v in self.method.exported.state_dict().items()}
        self.step = 0
        self.best: float | None = None  # PSNR of the best validation so far
        self.reference: TrainingReference | None = None  # made when the run begins
        self.folder = RunFolder(out, writes=self.processes.writes)
        self._begin_or_resume()

    def _build(self, config: TrainConfig, weights: Path | None) -> Method[Any]:
        """The method on its device, sized to the dataset and the encoder."""
        if weights is not None and not hub.is_bundle(weights):
            raise CheckpointError(
                f"{weights}: no manifest.json in it; download-weights --to makes such a folder"
            )
        encoder = open_encoder(config.encoder, weights)
        self.provenance["encoder_sha256"] = encoder.fingerprint()
        texts = [domain.caption for domain in self.domains]
        captions = encoder.encode_captions(texts)
        tokens = captions.unsqueeze(1)  # (D, E) -> (D, 1, E)
        if config.caption_tokens:
            tokens = encoder.encode_caption_tokens(texts)
        fitted = config.fit(len(self.domains), tokens.shape[2])
        method = METHODS[config.method](fitted, self.domains, captions, tokens, encoder)
        method.to(self.device)
        method.average_gradients = self.processes.average_gradients
        if self.device.type == "cuda":  # a processor is as fast without, and its norms faster
            method.exported.to(memory_format=torch.channels_last)
        return method

    def _start_from(self, checkpoint: Checkpoint) -> None:
        """Begin with the networks of a checkpoint."""
        names, own = ([d.name for d in group] for group in (checkpoint.domains, self.domains))
        if names != own:
            raise ConfigError(
                f"start = {self.config.start}: knows {', '.join(names)}, this run has "
                f"{', '.join(own)}; they must be the same in the same order"
            )
        tensors = {k: torch.from_numpy(v).float() for k, v in checkpoint.tensors.items()}
        try:
            self.method.exported.load_state_dict(tensors)
        except RuntimeError as error:
            raise ConfigError(
                f"start = {self.config.start}: has other networks; take the method and the sizes "
                "of its run"
            ) from error
        self.average = {k: v.clone() for k, v in self.method.exported.state_dict().items()}
        self.provenance["start_sha256"] = checkpoint.sha256

    def rehearse(self) -> Forecast:
        """What a step takes, measured on one that is undone.

        Raises:
            ConfigError: It doesn't fit into the GPU's memory.
        """
        return rehearse(self.method, self.sampler.draw(self.step), self.device)

    def run(self, on_progress: Callable[[TrainProgress], None] | None = None) -> Path:
        """Train to the end; returns the checkpoint's path.

        Raises:
            StoppedError: SIGTERM or Ctrl-C came; the state was saved first.
            CheckpointError: A loss isn't finite; the last good state stays.
        """
        self._remember_data()
        if self.step == 0:
            self.preview()
        self.folder.open_log(self.step)
        try:
            self._loop(on_progress or (lambda progress: None))
        finally:
            self.folder.close()
        return self.folder.checkpoint

    def _remember_data(self) -> None:
        """Have what checkpoints tell of the training data: made once a run, then from its file."""
        if not self.processes.writes:
            return
        if self.step > 0:
            self.reference = self.folder.load_reference()
        if self.reference is None:
            assert self.method.encoder is not None, "training needs the encoder"
            self.reference = make_reference(
                self.data.folder, self.checkpoint(), self.method.encoder
            )
            self.folder.save_reference(self.reference)

    def _loop(self, on_progress: Callable[[TrainProgress], None]) -> None:
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
                stopped = self.processes.any(stop.signal is not None, self.device)
                saves, validates = self._due("save"), self._due("validate")
                if self.step % LOG_EVERY == 0 or saves or validates or stopped:
                    progress = self._summarise(gathered, time.monotonic() - began)
                    on_progress(self.validate(progress) if validates else progress)
                    gathered, began = [], time.monotonic()
                if self._due("preview"):
                    self.preview()
                if saves or stopped:
                    self.save()
                if stopped and self.step < self.steps:
                    raise StoppedError(
                        f"stopped and saved after step {self.step} of {self.steps}; the same "
                        "command goes on from there",
                        stop.exit_code,
                    )

    def _due(self, what: str) -> bool:
        """Whether it is time to save, validate or preview: every so many steps and at the end."""
        every: int = getattr(self.config, f"{what}_every")
        return self.step % every == 0 or self.step == self.steps

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
            raise self._not_finite(f"the loss {' and '.join(broken)}")
        pace = {"seconds_a_step": round(seconds / len(reports), 4)}
        self.folder.log(self.step, "train", {**pace, **losses, "change": change})
        warnings: tuple[str, ...] = ()
        if change < COLLAPSED:
            warnings = (
                f"step {self.step}: translations differ from their sources by {change:.4f} only; "
                "the generator may have collapsed to the identity",
            )
        return TrainProgress(step=self.step, steps=self.steps, losses=losses, warnings=warnings)

    def validate(self, progress: TrainProgress) -> TrainProgress:
        """Score the averaged networks, keep them if they are the best, and add it to a report.

        Without registered pairs to validate on, the report stays as it is.
        """
        if len(self.validator) == 0:
            return progress
        with self._averaged():
            scores = self.validator.score(self.method, self.device)
        self.folder.log(self.step, "validation", scores)
        if not math.isfinite(scores["psnr"]):
            raise self._not_finite("the validation")
        best = self.best is None or scores["psnr"] > self.best
        if best:
            self.best = scores["psnr"]
            if self.processes.writes:
                save_checkpoint(self.checkpoint(), self.folder.best)
        return replace(progress, validation=scores, best=best)

    def _not_finite(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder.path}: {what} is not finite at step {self.step}; the last good state is "
            "kept: resume with --set precision=float32, or begin anew with a lower learning_rate"
        )

    def save(self) -> None:
        """Write the state to resume from and the averaged generator's checkpoint.

        Raises:
            CheckpointError: A weight isn't finite (the last good state stays), or the disk is full.
        """
        if not all(bool(tensor.isfinite().all()) for tensor in self.average.values()):
            raise self._not_finite("a weight of the generator")
        if not self.processes.writes:
            return
        self.folder.save_state(
            {
                **self.method.run_state(),
                "step": self.step,
                "average": self.average,
                "best": self.best,
                "provenance": self.provenance,
            }
        )
        save_checkpoint(self.checkpoint(), self.folder.checkpoint)

    def checkpoint(self) -> Checkpoint:
        """The averaged networks as they stand."""
        return Checkpoint(
            config=self.config,
            domains=self.domains,
            captions=self.method.captions.cpu().numpy(),
            tokens=self.method.tokens.cpu().numpy() if self.config.caption_tokens else None,
            policy=self.index.policy,
            crop=self.index.crop,
            planes=self._spacings(),
            provenance={
                **self.provenance,
                "step": self.step,
                **({} if self.best is None else {"psnr": self.best}),
            },
            tensors={name: tensor.cpu().numpy() for name, tensor in self.average.items()},
            reference=self.reference,
            name=FILE_NAME,
        )

    def _spacings(self) -> dict[Plane, tuple[float, float]]:
        """Planes of the slices and the median distances between their rows and columns."""
        found: dict[Plane, tuple[float, float]] = {}
        for plane in self.index.planes:
            of_plane = [shard.spacing_mm for shard in self.data.shards if shard.plane == plane]
            row, column = np.median(np.array(of_plane), axis=0).tolist()
            found[plane] = (row, column)
        return found

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """While this lasts, the method translates with the averaged networks."""
        kept = {k: v.clone() for k, v in self.method.exported.state_dict().items()}
        self.method.exported.load_state_dict(self.average)
        try:
            yield
        finally:
            self.method.exported.load_state_dict(kept)

    @torch.no_grad()
    def preview(self) -> None:
        """Draw the middle slice of a volume of each domain in every domain; renew the page.

        Directions that the method doesn't learn stay dark.
        """
        if not self.processes.writes:
            return
        rows = []
        with self._averaged():
            for index, domain in enumerate(self.domains):
                numbers = np.flatnonzero(self.data.domains == index)
                places = [abs(self.data.place(int(number)) - 0.5) for number in numbers]
                shown = torch.from_numpy(self.data.read([int(numbers[int(np.argmin(places))])]))
                row = [shown]
                for number, target in enumerate(self.domains):
                    made = torch.zeros_like(shown)
                    if self.config.translates(index, number):
                        made = self.method.translate(shown.to(self.device), domain, target).cpu()
                    row.append(made)
                rows.append([picture[0, 0].float().numpy() for picture in row])
        titles = ["source", *(f"to {domain.name}" for domain in self.domains)]
        panel = draw_panel(rows, titles, [domain.name for domain in self.domains], scale=2)
        self.folder.save_preview(self.step, panel)
        if self.step > 0:
            from i2igalip_cli.engine.reports.training import write_training_report  # draws: slow

            write_training_report(self.folder.path)

    def _begin_or_resume(self) -> None:
        described: dict[str, Any] = {
            "config": to_dict(self.config),
            "dataset_sha256": self.provenance["dataset_sha256"],
            "encoder_sha256": self.provenance["encoder_sha256"],
            "steps in all": self.steps,
            "pairs a step": self.sampler.pairs_per_step,
        }
        self.folder.describe(described)
        self.processes.wait()
        self.folder.compare(described)
        state = self.folder.load_state(self.device)
        if state is None:
            if self.config.start:
                self._start_from(load_checkpoint(self.config.start))
            return
        try:
            self.method.load_run_state(state)
            self.average = state["average"]
            self.best = state["best"]
            self.provenance |= state["provenance"]
            self.step = state["step"]
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise self.folder.unfit(error) from error
