"""Write a volume as a DICOM series, from Python.

python examples/write_dicom.py IN OUT [--modality MR]

A file that isn't DICOM knows no patient and no study: the series begins a new one.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from i2igalip_cli import load_volume, save_volume


def main() -> None:
    """Write the series."""
    parser = argparse.ArgumentParser(description="Write a volume as a DICOM series.")
    parser.add_argument("volume", type=Path)
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--modality", choices=("MR", "CT"), default="MR")
    options = parser.parse_args()
    volume = replace(load_volume(options.volume), modality=options.modality)
    save_volume(volume, options.out, format="dicom")


if __name__ == "__main__":
    main()
