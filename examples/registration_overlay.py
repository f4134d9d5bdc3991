"""Register one contrast of a subject onto another, and draw how they agree before and after.

    python examples/registration_overlay.py REFERENCE MOVING OUT.png [--tile 24] [--json]

Printed are the mutual information before and after, and the angle and shift of the motion that was
found. The picture shows three planes of the reference, of both volumes as the fields of a
chessboard, first as their headers place them and then registered, and of the moving volume there.
Edges that run on from field to field agree. What can't be registered exits with 1, and why.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from i2igalip_cli import GalipError, load_volume
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.evaluation.report.panels import draw_case, find_middle
from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.files import whole_file
from i2igalip_cli.volumes.intensity import find_window
from i2igalip_cli.volumes.preprocess.registration import Registration, register
from i2igalip_cli.volumes.preprocess.resampling import lay_onto

TILE_MM = 24.0


def scale(volume: Volume) -> Volume:
    """A volume in [0, 1], as `prepare` scales one without a fixed window."""
    window = find_window(volume.array, None, IntensityPolicy())
    return volume.with_array(window.to_unit(volume.array))


def lay_chessboard(white: Volume, black: Volume, tile_mm: float) -> Volume:
    """Fields of two volumes in turn along all three axes.

    Args:
        white: Shown in the first field, and in every second one along each axis.
        black: On its grid; shown in the others.
        tile_mm: Side of a field.
    """
    axes = [
        np.floor(np.arange(n) * step / tile_mm).astype(int)
        for n, step in zip(white.shape, white.spacing_mm, strict=True)
    ]
    odd = sum(np.meshgrid(*axes, indexing="ij", sparse=True)) % 2 == 1
    return white.with_array(np.where(odd, black.array, white.array))


def draw_overlay(reference: Volume, moving: Volume, found: Registration, tile_mm: float) -> bytes:
    """The bytes of a PNG file."""
    scaled = scale(moving)
    first = scale(reference)
    before, after = (lay_onto(scaled, first, motion) for motion in (None, found.transform))
    columns = {
        "reference": first,
        "by the headers": lay_chessboard(first, before, tile_mm),
        "registered": lay_chessboard(first, after, tile_mm),
        "moving, registered": after,
    }
    return draw_case(
        [Shown(title=title, volume=one, low=0.0, high=1.0) for title, one in columns.items()],
        find_middle(first.array, first.affine),
    )


def describe(reference: Volume, found: Registration) -> dict[str, float | bool]:
    """The figures of a registration that was kept; the shift is that of the grid's middle."""
    middle = reference.affine @ [*(np.array(reference.shape) - 1) / 2, 1.0]
    moved = not np.array_equal(found.transform.matrix, np.eye(4))
    return {
        "moved": moved,
        "before_nats": found.before,
        "after_nats": found.after if moved else found.before,
        "angle_degrees": found.transform.angle_degrees,
        "shift_mm": float(found.transform.shift_mm(middle[:3])),
    }


def overlay(reference: Path, moving: Path, out: Path, tile_mm: float) -> dict[str, float | bool]:
    """Register, draw, and tell the figures.

    Raises:
        GalipError: A file that can't be read or written, or volumes that don't fit.
    """
    fixed, other = load_volume(reference), load_volume(moving)
    found = register(other, fixed)
    if not found.kept:
        raise GalipError(f"{moving} isn't registered: {found.reason}")
    picture = draw_overlay(fixed, other, found, tile_mm)
    with whole_file(out, overwrite=True) as file:
        file.write_bytes(picture)
    return describe(fixed, found)


def main() -> None:
    """Register, draw and print."""
    parser = argparse.ArgumentParser(description="Register a volume and draw an overlay.")
    parser.add_argument("reference", type=Path)
    parser.add_argument("moving", type=Path, help="laid onto the reference")
    parser.add_argument("out", type=Path, help="the picture, a PNG file")
    parser.add_argument("--tile", type=float, default=TILE_MM, help="side of a field in mm")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    if options.tile <= 0:
        parser.error("--tile: above 0")
    try:
        found = overlay(options.reference, options.moving, options.out, options.tile)
    except GalipError as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(found))
        return
    stays = "" if found["moved"] else ", where its header places it"
    print(
        f"mutual information {found['before_nats']:.3f} nats before, "
        f"{found['after_nats']:.3f} after; turned by {found['angle_degrees']:.2f} degrees, "
        f"shifted by {found['shift_mm']:.2f} mm{stays}"
    )


if __name__ == "__main__":
    main()
