"""Translate and evaluate from Python: volumes, and bare arrays.

python examples/python_api.py T1.nii.gz OUT.nii.gz
"""

import sys
from pathlib import Path

from i2igalip_cli import (
    GalipError,
    evaluate,
    load_checkpoint,
    load_volume,
    save_volume,
    translate,
)


def main(source: Path, out: Path) -> None:
    """Translate a T1 volume to T2 and back, and say how much of it came back."""
    checkpoint = load_checkpoint()  # the shipped one; or a file
    t1 = load_volume(source)
    t2 = translate(t1, to="T2", weights=checkpoint)  # a Volume on the same grid
    save_volume(t2, out, overwrite=True)

    back = translate(t2.array, to="T1", weights=checkpoint)  # an array for an array
    scores = evaluate(back, t1.array)
    fixed = scores["fixed"]
    print(f"{out}: T1 comes back with {fixed['psnr']:.2f} dB, SSIM {fixed['ssim']:.1f} %")

    try:
        translate(t1, to="FLAIR", weights=checkpoint)
    except GalipError as error:
        print(f"and what it doesn't know, it says: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
