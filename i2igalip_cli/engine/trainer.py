"""Training: unpaired batches -> `method.step` -> schedule, average, log, previews, state.

The batches of a step are a function of seed and step alone, so a run that is stopped and resumed
draws what an unbroken one would.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import i2igalip_cli
from i2igalip_cli import hub
from i2igalip_cli.checkpoints import Checkpoint, save_checkpoint
from i2igalip_cli.config import TrainConfig, to_dict
from i2igalip_cli.engine.augmentation import augment
from i2igalip_cli.engine.dataset import SliceDataset
from i2igalip_cli.errors import CheckpointError, ConfigError, DatasetError
from i2igalip_cli.evaluation.pictures import draw_panel, save_picture
from i2igalip_cli.methods import METHODS, Method, UnpairedBatch
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

LOG_EVERY = 10


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """Where a run stands: steps done and in all, and the losses averaged since the last log."""

    step: int
    steps: int
    losses: Mapping[str, float]


class BatchSampler:
    """Unpaired batches from the slices of all domains; the same for the same seed and step.

    Args:
        data: Training slices.
        config: Batch size, pairing, augmentation and seed.
    """

    def __init__(self, data: SliceDataset, config: TrainConfig) -> None:
        self.data = data
        self.config = config
        self._others = [
            np.flatnonzero(data.domains != domain) for domain in range(len(data.index.domains))
        ]
        if config.distinct_domains and any(len(others) == 0 for others in self._others):
            raise DatasetError("distinct_domains needs slices of at least two domains")
        if any(crop > side for crop, side in zip(config.crop, data.side, strict=False)):
            raise ConfigError(f"crop = {list(config.crop)}: slices are {list(data.side)}")

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the first loader shows every slice once."""
        return math.ceil(len(self.data) / self.config.batch)

    def _shuffled(self, step: int, loader: int) -> np.ndarray:
        """The slices of a step: a piece of a shuffle of all of them, a new one each epoch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.config.seed, loader, epoch]).permutation(len(self.data))
        wanted = np.arange(place * self.config.batch, (place + 1) * self.config.batch)
        return order[wanted % len(order)]

    def draw(self, step: int) -> UnpairedBatch:
        """The batch of a step, augmented."""
        rng = np.random.default_rng([self.config.seed, 2, step])
        first = self._shuffled(step, 0)
        if self.config.distinct_domains:
            pools = [self._others[domain] for domain in self.data.domains[first]]
            second = np.array([rng.choice(pool) for pool in pools])
        else:
            second = self._shuffled(step, 1)
        return UnpairedBatch(
            first=augment(torch.from_numpy(self.data.read(first)), self.config, rng),
            first_domains=torch.from_numpy(self.data.domains[first]),
            second=augment(torch.from_numpy(self.data.read(second)), self.config, rng),
            second_domains=torch.from_numpy(self.data.domains[second]),
        )


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

    Raises:
        DatasetError: The dataset can't be used.
        CheckpointError: The encoder is absent, or the folder's state is damaged.
        ConfigError: The folder holds a run with other settings.
    """

    def __init__(
        self, dataset: Path, out: Path, config: TrainConfig, device: str | None = None
    ) -> None:
        if config.method not in METHODS:
            raise ConfigError(f"unknown method '{config.method}': known are {', '.join(METHODS)}")
        self.data = SliceDataset(dataset, "train", 2 ** (len(config.generator.multipliers) - 1))
        self.index = self.data.index
        folder = hub.find_encoder(config.encoder)
        encoder = TextImageEncoder.from_folder(folder)
        deepest = max(config.heads.blocks)
        if deepest >= encoder.depth:
            raise ConfigError(f"heads: block {deepest}, but the encoder has {encoder.depth}")
        captions = encoder.encode_captions([domain.caption for domain in self.index.domains])
        self.config = replace(
            config,
            generator=replace(
                config.generator, domains=len(self.index.domains), context=captions.shape[1]
            ),
        )
        self.out = out
        self.sampler = BatchSampler(self.data, config)
        self.steps = config.steps or config.epochs * self.sampler.steps_per_epoch
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.method: Method = METHODS[config.method](
            self.config, self.index.domains, captions, encoder
        ).to(self.device)
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
        """Train to the end; returns the checkpoint's path."""
        if self.step == 0:
            self.preview()
        gathered: list[Mapping[str, Tensor]] = []
        began = time.monotonic()
        while self.step < self.steps:
            gathered.append(self.train_step())
            last = self.step == self.steps
            if self.step % LOG_EVERY == 0 or last:
                losses = {
                    name: float(torch.stack([row[name] for row in gathered]).mean())
                    for name in gathered[0]
                }
                if not all(math.isfinite(value) for value in losses.values()):
                    raise CheckpointError(
                        f"{self.out}: losses are not finite at step {self.step}; resume with a "
                        "lower learning_rate or precision float32"
                    )
                self._log(losses, (time.monotonic() - began) / len(gathered))
                if on_progress is not None:
                    on_progress(TrainProgress(step=self.step, steps=self.steps, losses=losses))
                gathered, began = [], time.monotonic()
            if self.step % self.config.preview_every == 0 or last:
                self.preview()
            if self.step % self.config.save_every == 0 or last:
                self.save()
        return self.out / "checkpoint.safetensors"

    def train_step(self) -> Mapping[str, Tensor]:
        """One step of the method, the schedule and the average; returns the losses."""
        factor = learning_rate_factor(self.step, self.steps)
        for optimizer in self.method.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        batch = self.sampler.draw(self.step)
        moved = {name: tensor.to(self.device) for name, tensor in vars(batch).items()}
        report = self.method.step(UnpairedBatch(**moved))
        with torch.no_grad():
            for name, tensor in self.method.exported.state_dict().items():
                self.average[name].lerp_(tensor, 1 - self.config.ema_decay)
        self.step += 1
        return report.losses

    def save(self) -> None:
        """Write the state to resume from and the averaged generator's checkpoint."""
        state = {
            "step": self.step,
            "method": self.method.trained_state(),
            "optimizers": {k: o.state_dict() for k, o in self.method.optimizers.items()},
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
            domains=self.index.domains,
            captions=self.method.captions.cpu().numpy(),
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
        domains = self.index.domains
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
            if not path.exists():
                path.write_text(json.dumps(described, indent=1), encoding="utf-8")
        except OSError as error:
            raise CheckpointError(f"can't write {self.out}: {error.strerror}") from error
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
            self.average = state["average"]
            self.step = state["step"]
        except (OSError, RuntimeError, KeyError, EOFError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"{path}: can't resume from it ({reason})") from error


def _difference(begun: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting in which two runs differ."""
    flat = [
        {**{k: v for k, v in run.items() if k != "config"}, **run["config"]} for run in (begun, now)
    ]
    for name in flat[1]:
        if flat[0].get(name) != flat[1][name]:
            return f"{name}: {flat[0].get(name)} there, {flat[1][name]} now; give another --out"
    return "settings differ; give another --out"
