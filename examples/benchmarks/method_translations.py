"""What a comparison translates: held-out volumes in the directions of the runs, and how fast."""

import csv
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from method_runs import Direction, Run

from i2igalip_cli import load_checkpoint, load_volume
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.domains import Domain, Modality
from i2igalip_cli.engine.dataset import DatasetIndex, Shard, SliceDataset
from i2igalip_cli.engine.evaluator.results import Results
from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
from i2igalip_cli.engine.evaluator.scoring import Scoring
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.errors import DatasetError
from i2igalip_cli.evaluation.protocols import ProtocolSettings
from i2igalip_cli.volumes import save_volume

TIMED_SLICES, TIMED_REPEATS = 8, 3
# By the target's modality; of the first the figures stand beside the paper's. A slice in HU has no
# maximum to divide by, as the paper's protocol does.
PROTOCOLS: Mapping[Modality, tuple[str, ...]] = {"MR": ("paper", "fixed"), "CT": ("fixed",)}


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A test subject's volume, and the registered one that its translation is held against."""

    subject: str
    direction: Direction
    source: Path
    reference: Path

    @property
    def name(self) -> str:
        """It, for files and cases."""
        return f"{self.subject}_{'_to_'.join(self.direction)}"


def find_held_out(index: DatasetIndex, raw: Path, direction: Direction) -> list[HeldOut]:
    """The registered volumes of the test subjects, by the raw files they were prepared from.

    Args:
        index: Of the prepared dataset.
        raw: The folder it was prepared from.
        direction: Source and target.

    Raises:
        DatasetError: There is none, or a raw file isn't found.
    """
    volumes = {
        (shard.domain, shard.subject, shard.grid): shard
        for shard in index.shards
        if shard.split == "test"
    }
    source, target = direction
    found = [
        HeldOut(
            subject=subject,
            direction=direction,
            source=_find_raw(raw, shard),
            reference=_find_raw(raw, volumes[target, subject, grid]),
        )
        for (domain, subject, grid), shard in volumes.items()
        if domain == source and grid and (target, subject, grid) in volumes
    ]
    if not found:
        raise DatasetError(
            f"no test subject has registered volumes of {source} and {target}: prepare with more"
        )
    return found


def _find_raw(raw: Path, shard: Shard) -> Path:
    """The volume that slices were cut from.

    Raises:
        DatasetError: It isn't there.
    """
    path = raw / shard.source
    if not path.exists():
        raise DatasetError(
            f"{path}: no such volume; give the folder that the dataset was prepared from with --raw"
        )
    return path


def translate_run(
    run: Run, volumes: Iterable[HeldOut], data: Path, out: Path, device: str | None
) -> dict[Direction, float]:
    """Translate held-out volumes; those that are there already stay.

    Args:
        run: A finished one.
        volumes: Of all directions; those that the run learned are translated.
        data: The prepared dataset, for slices on which time is measured.
        out: OUT/SOURCE_to_TARGET/NAME.nii.gz is written.
        device: "cpu", "cuda" ...

    Returns:
        Seconds of a slice by direction, after a warm-up.
    """
    checkpoint = load_checkpoint(run.folder)
    options = TranslationOptions(backend="torch", device=device)
    seconds = {}
    for direction in run.directions:
        source, target = direction
        translator = Translator(checkpoint, target, source, options)
        seconds[direction] = _time_slice(translator, data)
        for volume in (one for one in volumes if one.direction == direction):
            path = predicted_path(volume, out)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                save_volume(translator(load_volume(volume.source)).volume, path)
    return seconds


def predicted_path(volume: HeldOut, out: Path) -> Path:
    """Where a translation lies below a variant's folder."""
    return out / "_to_".join(volume.direction) / f"{volume.name}.nii.gz"


def _time_slice(translator: Translator, data: Path) -> float:
    """Seconds of a slice at the test volumes' size, the fastest of a few tries."""
    config, source = translator.checkpoint.config, translator.source
    assert source is not None, "a direction has a source"
    slices = SliceDataset(data, "test", config.side_multiple, config.domains)
    names = [domain.name for domain in slices.index.domains]
    own = np.flatnonzero(slices.domains == names.index(source.name))
    places = np.linspace(0, len(own) - 1, TIMED_SLICES).astype(int)
    shown = slices.read([int(own[place]) for place in places])  # (8, 1, H, W)
    best = float("inf")
    translator.backend(shown, source, translator.target)  # loads, tunes and fills caches
    for _ in range(TIMED_REPEATS):
        began = time.perf_counter()
        translator.backend(shown, source, translator.target)
        best = min(best, time.perf_counter() - began)
    return best / len(shown)


def evaluate_variant(
    name: str,
    predictions: Sequence[tuple[HeldOut, Path]],
    domains: Mapping[str, Domain],
    policy: IntensityPolicy,
    out: Path,
    jobs: int = 1,
) -> dict[Modality, Results]:
    """Score a variant's translations; each direction is a target of its own.

    Args:
        name: Of the variant.
        predictions: Held-out volumes, and what was made of them.
        domains: By name.
        policy: How volumes without a fixed window are scaled.
        out: Folder for the lists of pairs.
        jobs: Processes.

    Returns:
        By the targets' modality: HU and arbitrary units are different protocols.
    """
    results: dict[Modality, Results] = {}
    for modality, protocols in PROTOCOLS.items():
        chosen = [
            (volume, path)
            for volume, path in predictions
            if domains[volume.direction[1]].modality == modality
        ]
        if not chosen:
            continue
        pairs = out / f"pairs_{modality}.csv"
        _write_pairs(chosen, pairs)
        window = domains[chosen[0][0].direction[1]].window if modality == "CT" else None
        settings = ProtocolSettings(value_range=window, policy=policy, modality=modality)
        scoring = Scoring(protocols=protocols, settings=settings)
        request = EvaluationRequest(pairs=pairs, scoring=scoring, jobs=jobs, method=name)
        results[modality] = run_evaluation(request)
    return results


def _write_pairs(predictions: Sequence[tuple[HeldOut, Path]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prediction", "reference", "source", "case", "subject", "target"])
        writer.writerows(_rows(predictions))


def _rows(predictions: Sequence[tuple[HeldOut, Path]]) -> Iterator[list[str]]:
    for volume, made in predictions:
        files = [str(file.resolve()) for file in (made, volume.reference, volume.source)]
        yield [*files, volume.name, volume.subject, " to ".join(volume.direction)]
