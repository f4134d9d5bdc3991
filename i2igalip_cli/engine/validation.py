"""PSNR and SSIM on the registered pairs of the validation subjects, while training runs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from i2igalip_cli.config import TrainConfig
from i2igalip_cli.engine.dataset import SliceDataset, read_index, select_domains
from i2igalip_cli.engine.parallel import Processes
from i2igalip_cli.evaluation.metrics import peak_signal_to_noise_ratio
from i2igalip_cli.evaluation.similarity import structural_similarity
from i2igalip_cli.methods import Method

LARGEST_PSNR = 100.0  # dB: what a slice counts that is reproduced exactly


class Validator:
    """Scores a method on slices whose true translation the dataset knows.

    Slices are in [0, 1] by their volume's own window, as in the protocol with a fixed range.

    Args:
        dataset: A prepared dataset; one without registered validation volumes gives no pairs.
        config: Domains, batch, and how many slices of a volume are scored.
        processes: This process among those of the run: each scores its part of the pairs.
    """

    def __init__(self, dataset: Path, config: TrainConfig, processes: Processes) -> None:
        self.batch = 2 * config.batch  # a batch of pairs, as in training
        self.processes = processes
        self.pairs: list[tuple[int, int, int]] = []  # slice, true translation, target domain
        shards = select_domains(read_index(dataset), config.domains).shards
        if not any(shard.split == "val" for shard in shards):
            return
        self.data = SliceDataset(dataset, "val", config.side_multiple, config.domains)
        self.names = [domain.name for domain in self.data.index.domains]
        for number in self._thin(config.validation_slices):
            for target in range(len(self.names)):
                source = int(self.data.domains[number])
                if target == source or not config.translates(source, target):
                    continue
                partner = self.data.counterpart(number, target)
                if partner is not None:
                    self.pairs.append((number, partner, target))

    def _thin(self, wanted: int) -> list[int]:
        """Numbers of evenly spaced slices of each volume; all of them for 0."""
        chosen: list[int] = []
        start = 0
        for shard in self.data.shards:
            count = shard.shape[0]
            number = min(wanted or count, count)
            places = ((np.arange(number) + 0.5) * count / number).astype(int)
            chosen.extend((start + places).tolist())
            start += count
        return chosen

    def __len__(self) -> int:
        """Translations that are scored."""
        return len(self.pairs)

    @torch.no_grad()
    def score(self, method: Method[Any], device: torch.device) -> dict[str, float]:
        """Mean PSNR in dB and SSIM in percent: by direction, and over the directions.

        Slices without signal in the truth are left out.

        Args:
            method: What translates.
            device: Where it stands.
        """
        totals = np.zeros((len(self.names), len(self.names), 3))  # sums of PSNR, SSIM, slices
        mine = self.pairs[self.processes.rank :: self.processes.count]
        for target in range(len(self.names)):
            of_target = [pair for pair in mine if pair[2] == target]
            for start in range(0, len(of_target), self.batch):
                self._add(method, device, of_target[start : start + self.batch], totals)
        shared = self.processes.mean(torch.from_numpy(totals).float().to(device))
        totals = shared.cpu().numpy() * self.processes.count
        scores: dict[str, float] = {}
        for row, column in np.argwhere(totals[..., 2] > 0):
            psnr, ssim, count = totals[row, column].tolist()
            direction = f"{self.names[row]} to {self.names[column]}"
            scores[f"psnr {direction}"], scores[f"ssim {direction}"] = psnr / count, ssim / count
        return {**{name: _mean(scores, name) for name in ("psnr", "ssim")}, **scores}

    def _add(
        self,
        method: Method[Any],
        device: torch.device,
        pairs: list[tuple[int, int, int]],
        totals: np.ndarray,
    ) -> None:
        """Add the scores of a batch of one target to the sums."""
        domains = self.data.index.domains
        for source in sorted({int(self.data.domains[number]) for number, _, _ in pairs}):
            chosen = [pair for pair in pairs if self.data.domains[pair[0]] == source]
            slices = torch.from_numpy(self.data.read([number for number, _, _ in chosen]))
            target = chosen[0][2]
            shown = method.translate(slices.to(device), domains[source], domains[target])
            truths = self.data.read(
                [partner for _, partner, _ in chosen], [number for number, _, _ in chosen]
            )
            for (number, _, _), ours, truth in zip(
                chosen, shown.float().cpu().numpy(), truths, strict=True
            ):
                frame = self.data.frame(number)
                ours, truth = ours[0][frame], truth[0][frame]
                if truth.any():
                    psnr = min(peak_signal_to_noise_ratio(ours, truth, 1.0), LARGEST_PSNR)
                    totals[source, target] += psnr, structural_similarity(ours, truth, 1.0), 1


def _mean(scores: dict[str, float], metric: str) -> float:
    return float(np.mean([v for name, v in scores.items() if name.startswith(f"{metric} ")]))
