"""The examples run: simulated brains obey the signal equations, and the Python example works."""

import argparse
import runpy
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZES = ("--train", "3", "--paired", "1", "--val", "0", "--test", "1")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated")
    subprocess.run(
        [sys.executable, EXAMPLES / "simulate_brains.py", out, *SIZES],
        check=True,
        capture_output=True,
    )
    return out


def test_training_subjects_have_one_contrast_each_and_test_subjects_all(simulated) -> None:
    train = sorted(path.name for path in (simulated / "cohort" / "train").iterdir())
    assert train == ["sub-10000_T1.nii.gz", "sub-10001_T2.nii.gz", "sub-10002_PD.nii.gz"]
    assert len(list((simulated / "cohort" / "test").iterdir())) == 3
    assert len(list((simulated / "paired").iterdir())) == 3


def test_tissues_are_as_bright_as_their_contrast_says(simulated) -> None:
    """T1: white above grey above CSF; T2 and PD the other way round (Haacke et al. 1999)."""
    from nilearn import datasets

    white = datasets.load_mni152_wm_template(resolution=2).get_fdata() > 0.95
    deep = np.zeros_like(white)
    deep[45:54, 55:70, 40:48] = True  # about the lateral ventricles
    for contrast, sign in (("T1", 1), ("T2", -1), ("PD", -1)):
        array = nib.load(simulated / "truth" / f"sub-40000_{contrast}.nii.gz").get_fdata()
        middle = np.median(array[white & (array > 0)])
        spread = np.percentile(array[deep & (array > 0)], 2 if sign > 0 else 98)
        assert sign * (middle - spread) > 0


def test_noise_is_small_and_stripped_outside_the_brain(simulated) -> None:
    truth = nib.load(simulated / "truth" / "sub-40000_T2.nii.gz").get_fdata()
    seen = nib.load(simulated / "cohort" / "test" / "sub-40000_T2.nii.gz").get_fdata()
    brain = truth > 0
    assert not seen[~brain].any()
    ratio = seen[brain].mean() / truth[brain].mean()
    assert 0.8 < ratio < 1.25
    assert 0.005 < np.std(seen[brain] - truth[brain]) / truth[brain].mean() < 0.25


def test_the_signal_equations_by_hand() -> None:
    sequence = runpy.run_path(str(EXAMPLES / "simulate_brains.py"))["Sequence"]
    # Spin echo: full recovery and no decay leave the proton density; TE = T2 leaves 1/e of it.
    assert sequence("spin echo", 1e9, 0).signal(800, 80, 60, 0.8) == pytest.approx(0.8)
    assert sequence("spin echo", 1e9, 80).signal(800, 80, 60, 0.8) == pytest.approx(0.8 / np.e)
    # Spoiled gradient echo at 90 degrees is saturation recovery.
    expected = 0.8 * (1 - np.exp(-0.5)) * np.exp(-1)
    assert sequence("gradient echo", 400, 60, 90).signal(800, 80, 60, 0.8) == pytest.approx(
        expected
    )


def test_a_subject_is_the_same_again_and_another_seed_another(simulated, tmp_path) -> None:
    run = runpy.run_path(str(EXAMPLES / "simulate_brains.py"))
    anatomy = run["Anatomy"]()
    one, two, other = (run["Subject"](anatomy, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.tissues, two.tissues)
    assert np.abs(one.tissues - other.tissues).max() > 0.5


def test_coarser_brains_are_means_of_fine_ones_in_the_same_place(simulated, tmp_path) -> None:
    run = runpy.run_path(str(EXAMPLES / "simulate_brains.py"))
    fine = nib.load(simulated / "truth" / "sub-40000_T1.nii.gz")
    assert run["read_factor"]("4") == 2
    run["simulate"](tmp_path, "test", 0, run["Anatomy"](), 2)
    coarse = nib.load(tmp_path / "truth" / "sub-40000_T1.nii.gz")
    assert coarse.header.get_zooms() == (4, 4, 4)
    block = fine.get_fdata()[40:42, 60:62, 30:32]
    assert coarse.get_fdata()[20, 30, 15] == pytest.approx(block.mean(), rel=1e-5)
    np.testing.assert_allclose(coarse.affine @ [20, 30, 15, 1], fine.affine @ [40.5, 60.5, 30.5, 1])


@pytest.mark.parametrize("spacing", ["0", "3"])
def test_a_spacing_between_those_of_the_voxels_is_refused(spacing) -> None:
    run = runpy.run_path(str(EXAMPLES / "simulate_brains.py"))
    with pytest.raises(argparse.ArgumentTypeError, match=f"{spacing}: a multiple of 2"):
        run["read_factor"](spacing)


def test_the_python_example_runs(simulated, tmp_path) -> None:
    source = simulated / "cohort" / "test" / "sub-40000_T1.nii.gz"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "python_api.py", source, tmp_path / "out.nii.gz"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "T1 comes back with" in done.stdout
    assert "unknown domain 'FLAIR'" in done.stdout
    assert nib.load(tmp_path / "out.nii.gz").shape == nib.load(source).shape


@pytest.mark.parametrize(
    "slices",
    [
        pytest.param(slice(35, 45), id="middle"),
        pytest.param(slice(None), id="all", marks=pytest.mark.slow),
    ],
)
def test_the_shipped_checkpoint_beats_a_copy_of_the_source(simulated, slices) -> None:
    """On a subject that training never saw, by 3 dB in the mean of the six directions."""
    from i2igalip_cli import evaluate, load_checkpoint, load_volume, translate
    from i2igalip_cli.volumes import Volume

    checkpoint = load_checkpoint()
    volumes = {}
    for contrast in ("T1", "T2", "PD"):
        whole = load_volume(simulated / "cohort" / "test" / f"sub-40000_{contrast}.nii.gz")
        volumes[contrast] = Volume(array=whole.array[:, :, slices], affine=whole.affine)
    gains = []
    for source, given in volumes.items():
        for target, wanted in volumes.items():
            if source != target:
                made = translate(given, to=target, weights=checkpoint)
                scores = [evaluate(image, wanted)["fixed"]["psnr"] for image in (made, given)]
                gains.append(scores[0] - scores[1])
    assert np.mean(gains) >= 3


def test_the_encoder_tells_contrasts_by_caption(simulated, tmp_path) -> None:
    from i2igalip_cli import hub
    from i2igalip_cli.engine.dataset import SliceDataset
    from i2igalip_cli.engine.prepare import prepare
    from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

    accuracy = runpy.run_path(str(EXAMPLES / "train_encoder.py"))["contrast_accuracy"]
    prepare(simulated / "cohort", tmp_path / "dataset")
    data = SliceDataset(tmp_path / "dataset", "test")
    assert accuracy(TextImageEncoder.from_folder(hub.find_encoder("demo").folder), data) >= 0.9


@pytest.mark.slow
def test_an_encoder_trains_and_opens(simulated, tmp_path) -> None:
    from i2igalip_cli.engine.prepare import prepare
    from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

    folders = tmp_path / "dataset", tmp_path / "encoder"
    prepare(simulated / "cohort", folders[0])
    done = subprocess.run(
        [sys.executable, EXAMPLES / "train_encoder.py", *folders, "--steps", "50", "--batch", "8"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "contrast of held-out slices by caption" in done.stdout
    embedding = TextImageEncoder.from_folder(tmp_path / "encoder").encode_captions(["T1"])
    assert embedding.shape == (1, 128)


def test_the_dicom_example_runs(tmp_path) -> None:
    command = ["bash", str(EXAMPLES / "dicom.sh"), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    made = tmp_path / "out" / "study" / "T1_T2"
    assert len(list(made.glob("*.dcm"))) == len(list((made.parent / "T1").glob("*.dcm"))) == 95
    table = (tmp_path / "out" / "cohort" / "summary.csv").read_text().splitlines()
    for status in ("done", "skipped"):
        assert sum(f",{status}," in line for line in table) == 1
    assert nib.load(tmp_path / "out" / "icbm_PD.nii.gz").shape == (99, 117, 95)
