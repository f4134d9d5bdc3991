"""What a caption does to a translation: the target's own, another wording, a wrong one.

    python examples/compare_captions.py SIMULATED [--weights FILE]

SIMULATED is what simulate_brains.py wrote. Every test subject is translated from T1 to T2 and to PD
under three captions, with the checkpoint's own encoder; printed is the mean PSNR at fixed range.
"""

import argparse
from pathlib import Path

import numpy as np

from i2igalip_cli import evaluate, load_checkpoint, load_volume
from i2igalip_cli.engine.captions import encode_caption
from i2igalip_cli.engine.translator import translate_volume

CAPTIONS = {
    "T2": ("This MRI is T2-weighted", "T2 weighted image of the brain", "This MRI is T1-weighted"),
    "PD": ("This MRI is PD-weighted", "proton density brain MRI", "This MRI is T2-weighted"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare captions of the target domain.")
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--weights", help="checkpoint; default the shipped one")
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.weights)
    test = options.simulated / "cohort" / "test"
    sources = sorted(test.glob("*_T1.nii.gz"))
    print("| T1 to | caption | PSNR, dB | warning |\n|---|---|---|---|")
    for target, captions in CAPTIONS.items():
        for text in captions:
            said = encode_caption(text, checkpoint, weights=options.weights)
            scores, warnings = [], ()
            for path in sources:
                wanted = load_volume(path.with_name(path.name.replace("_T1.", f"_{target}.")))
                result = translate_volume(load_volume(path), checkpoint, target, caption=said)
                scores.append(evaluate(result.volume, wanted)["fixed"]["psnr"])
                warnings = [line for line in result.warnings if "nearer" in line]
            print(f"| {target} | {text} | {np.mean(scores):.2f} | {'yes' if warnings else 'no'} |")


if __name__ == "__main__":
    main()
