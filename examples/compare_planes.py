"""What three planes change: PSNR, SSIM, and jumps from slice to slice, in all directions.

    python examples/compare_planes.py SIMULATED [--weights FILE] [--subjects N]

SIMULATED is what simulate_brains.py wrote. Test subjects are translated in axial slices alone and
in all three planes, fused by the median. The jump is how far a slice lies from the mean of its two
neighbours (`through_plane_jump`), in percent of the intensity range; that of the real image of the
target, its noise included, stands beside.
"""

import argparse
from pathlib import Path

import numpy as np

from i2igalip_cli import evaluate, load_checkpoint, load_volume
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.evaluation.metrics import through_plane_jump
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window
from i2igalip_cli.volumes.slicing import view_slices

CONTRASTS = ("T1", "T2", "PD")
CHOICES = ("axial", "all")


def jump(volume: Volume) -> float:
    """Of a measured image, in percent of its range."""
    window = find_window(volume.array, None, IntensityPolicy())
    found = through_plane_jump(window.to_unit(view_slices(volume.array, volume.affine)))
    return 100 * (found or 0.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare axial translation with three planes.")
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--weights", help="checkpoint; default the shipped one")
    parser.add_argument("--subjects", type=int, default=6)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.weights)
    test = options.simulated / "cohort" / "test"
    subjects = sorted({path.name.split("_")[0] for path in test.glob("*.nii.gz")})
    print("| direction | PSNR axial | PSNR all | SSIM axial | SSIM all ", end="")
    print("| jump axial | jump all | jump of the real image |\n|" + "---|" * 8)
    rows = []
    for source in CONTRASTS:
        for target in (name for name in CONTRASTS if name != source):
            found = []
            for subject in subjects[: options.subjects]:
                given = load_volume(test / f"{subject}_{source}.nii.gz")
                wanted = load_volume(test / f"{subject}_{target}.nii.gz")
                results = [
                    translate_volume(
                        given, checkpoint, target, options=TranslationOptions(planes=planes)
                    )
                    for planes in CHOICES
                ]
                scores = [evaluate(result.volume, wanted)["fixed"] for result in results]
                found.append(
                    [
                        *[score["psnr"] for score in scores],
                        *[score["ssim"] for score in scores],
                        *[100 * (result.jump or 0.0) for result in results],
                        jump(wanted),
                    ]
                )
            rows.append(np.mean(found, axis=0))
            print(f"| {source} to {target} | " + " | ".join(f"{v:.2f}" for v in rows[-1]) + " |")
    print("| mean of six | " + " | ".join(f"{v:.2f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
