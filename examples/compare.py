"""The comparison that the shipped checkpoint's card prints, for all directions.

    python examples/compare.py SIMULATED [--weights FILE] [--json FILE]

SIMULATED is what simulate_brains.py wrote. On its test subjects: the source itself (copy), the best
per-intensity lookup table fitted on the paired subjects, and the model; and the ceiling that noise
and receive field of the target leave (its noise-free, bias-free truth against it).
"""

import argparse
import json
from pathlib import Path

import numpy as np

from i2igalip_cli import evaluate, load_checkpoint, load_volume
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window

CONTRASTS = ("T1", "T2", "PD")
BINS = 256
COLUMNS = ("copy", "lookup", "model", "ceiling")


def unit(volume: Volume) -> np.ndarray:
    """The volume in [0, 1] by the fixed protocol's policy."""
    return find_window(volume.array, None, IntensityPolicy()).to_unit(volume.array)


def fit_lookup(folder: Path, source: str, target: str) -> np.ndarray:
    """Mean target intensity of each source intensity over paired subjects, (BINS,)."""
    total, count = np.zeros(BINS), np.zeros(BINS)
    for path in sorted(folder.glob(f"*_{source}.nii.gz")):
        other = path.with_name(path.name.replace(f"_{source}.", f"_{target}."))
        bins = np.round(unit(load_volume(path)) * (BINS - 1)).astype(int).ravel()
        total += np.bincount(bins, unit(load_volume(other)).ravel(), BINS)
        count += np.bincount(bins, minlength=BINS)
    return (total / np.maximum(count, 1)).astype(np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare copy, lookup table, model and ceiling.")
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--weights", help="checkpoint; default the shipped one")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.weights)
    test = options.simulated / "cohort" / "test"
    subjects = sorted({path.name.split("_")[0] for path in test.glob("*.nii.gz")})
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for source in CONTRASTS:
        for target in (name for name in CONTRASTS if name != source):
            table = fit_lookup(options.simulated / "paired", source, target)
            scores: dict[str, list[dict]] = {column: [] for column in COLUMNS}
            for subject in subjects:
                given = load_volume(test / f"{subject}_{source}.nii.gz")
                wanted = load_volume(test / f"{subject}_{target}.nii.gz")
                looked = table[np.round(unit(given) * (BINS - 1)).astype(int)]
                predictions = {
                    "copy": given,
                    "lookup": given.with_array(looked),
                    "model": translate_volume(given, checkpoint, target).volume,
                    "ceiling": load_volume(
                        options.simulated / "truth" / f"{subject}_{target}.nii.gz"
                    ),
                }
                for column, prediction in predictions.items():
                    scores[column].append(evaluate(prediction, wanted))
            figures[f"{source} to {target}"] = {
                column: {
                    f"{protocol} {metric}": float(np.mean([row[protocol][metric] for row in rows]))
                    for protocol in ("paper", "fixed")
                    for metric in ("psnr", "ssim")
                }
                for column, rows in scores.items()
            }
    names = list(next(iter(figures.values()))["copy"])
    figures["mean of six"] = {
        column: {
            name: float(np.mean([f[column][name] for f in figures.values()])) for name in names
        }
        for column in COLUMNS
    }
    for name in names:
        unit_name = "dB" if "psnr" in name else "%"
        print(f"\n{name} ({unit_name}), mean of {len(subjects)} test subjects\n")
        print("| direction | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
        for direction, row in figures.items():
            print(f"| {direction} | " + " | ".join(f"{row[c][name]:.2f}" for c in COLUMNS) + " |")
    mean = {column: figures["mean of six"][column]["fixed psnr"] for column in COLUMNS}
    print(
        f"\nfixed range: model {mean['model'] - mean['copy']:+.2f} dB against the copy, "
        f"{mean['model'] - mean['lookup']:+.2f} dB against the lookup table"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
