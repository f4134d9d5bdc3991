"""Draw the README's picture: a test subject in all six directions, with its references.

python examples/picture.py SIMULATED OUT.png [--subject 0]
"""

import argparse
from pathlib import Path

from i2igalip_cli import load_checkpoint, load_volume, translate
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.evaluation.pictures import draw_panel, save_picture
from i2igalip_cli.volumes.intensity import find_window
from i2igalip_cli.volumes.slicing import view_slices

CONTRASTS = ("T1", "T2", "PD")


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description="Draw a test subject in all directions.")
    parser.add_argument("simulated", type=Path, help="what simulate_brains.py wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--subject", type=int, default=0)
    options = parser.parse_args()
    checkpoint = load_checkpoint()
    folder = options.simulated / "cohort" / "test"
    name = sorted(folder.glob("*_T1.nii.gz"))[options.subject].name.split("_")[0]
    volumes = {c: load_volume(folder / f"{name}_{c}.nii.gz") for c in CONTRASTS}
    rows = []
    for source, volume in volumes.items():
        row = [volume]
        for target in CONTRASTS:
            if target != source:
                row += [translate(volume, to=target, weights=checkpoint), volumes[target]]
        rows.append(row)
    titles = ["source", "translated", "reference", "translated", "reference"]
    labels = [" to ".join((s, ", ".join(t for t in CONTRASTS if t != s))) for s in CONTRASTS]
    pictures = []
    for row in rows:
        shown = []
        for volume in row:
            window = find_window(volume.array, None, IntensityPolicy())
            slices = view_slices(volume.array, volume.affine)
            shown.append(window.to_unit(slices[len(slices) * 45 // 100]))
        pictures.append(shown)
    save_picture(draw_panel(pictures, titles, labels, scale=1.6), options.out)


if __name__ == "__main__":
    main()
