"""Writes a derived series of every kind, for a validator: python write_kinds.py FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from volumes.dicom.written_series import KINDS, MORE, written

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind, make in {**KINDS, **MORE}.items():
        written(make(), folder / kind.replace(" ", "_"))
