"""Write the ICBM 152 2009a T1 template that nilearn ships (skull-stripped): a real T1 average.

python examples/icbm_template.py OUT.nii.gz [--resolution 1]
"""

import argparse
from pathlib import Path

from nilearn import datasets


def main() -> None:
    """Write the template."""
    parser = argparse.ArgumentParser(description="Write the ICBM 152 T1 template.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--resolution", type=int, default=1, help="spacing in mm")
    options = parser.parse_args()
    datasets.load_mni152_template(resolution=options.resolution).to_filename(options.out)


if __name__ == "__main__":
    main()
