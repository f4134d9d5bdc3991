"""A whole evaluation: what fails is a case of its own, and jobs never change a number."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, write_head

from i2igalip_cli.engine import side_by_side
from i2igalip_cli.engine.evaluator import workers
from i2igalip_cli.engine.evaluator.api import evaluate
from i2igalip_cli.engine.evaluator.pairs import Sides, find_pairs
from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
from i2igalip_cli.engine.evaluator.scoring import Scoring
from i2igalip_cli.errors import EvaluationError
from i2igalip_cli.evaluation.protocols import PROTOCOLS, ProtocolSettings
from i2igalip_cli.volumes import Volume, load_volume


@pytest.fixture
def folders(tmp_path):
    for n in range(4):
        write_head(tmp_path / "gt" / f"s{n}.nii.gz", seed=n)
        write_head(tmp_path / "pred" / f"s{n}.nii", seed=n + 10)
    return tmp_path


def request(folder, scoring: Scoring | None = None, **options) -> EvaluationRequest:
    sides = {k: options.pop(k) for k in ("mask", "labels", "predicted_labels") if k in options}
    return EvaluationRequest(
        pairs=Sides(prediction=folder / "pred", reference=folder / "gt", **sides),
        scoring=scoring or Scoring(),
        **options,
    )


def test_every_pair_is_scored_as_alone(folders) -> None:
    seen = []
    results = run_evaluation(request(folders), lambda *done: seen.append(done))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [case.case for case in results.cases] == ["s0", "s1", "s2", "s3"]
    assert (results.method, results.complete) == ("pred", True)
    for case in results.cases:
        alone = evaluate(case.prediction, case.reference)
        assert case.scores["fixed"] == alone["fixed"]
        assert alone["paper"]["psnr"] > 20
    for name, described in results.protocols.items():
        assert described["hash"] == results.cases[0].scores[name].hash


def test_jobs_change_no_number_and_no_order(folders, monkeypatch) -> None:
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 0)
    (folders / "pred" / "s1.nii").write_bytes(b"no volume")
    one = run_evaluation(request(folders))
    two = run_evaluation(request(folders, jobs=2))
    assert one == two
    assert [bool(case.error) for case in two.cases] == [False, True, False, False]


def test_a_bad_pair_is_a_case_with_its_reason(folders) -> None:
    (folders / "pred" / "s1.nii").write_bytes(b"no volume")
    nib.save(nib.Nifti1Image(np.ones((20, 24, 9)), OBLIQUE), folders / "gt" / "s2.nii.gz")
    array = np.stack([head(), head()], axis=-1)
    nib.save(nib.Nifti1Image(array, OBLIQUE), folders / "gt" / "s3.nii.gz")
    results = run_evaluation(request(folders))
    good, damaged, flat, four = results.cases
    assert not good.error
    assert "s1.nii" in damaged.error
    assert "constant" in flat.error
    assert "2 volumes on a fourth axis" in four.error
    assert results.failures == (damaged, flat, four)
    assert list(results.by_subject("fixed", "psnr")) == ["s0"]


def test_a_process_that_dies_takes_its_own_pair_alone(folders, monkeypatch) -> None:
    """A pair whose process is killed is told; the others are scored by another process."""
    pairs = find_pairs(request(folders).pairs).pairs
    killer = replace(pairs[1], prediction=_Killer(pairs[1].prediction))
    monkeypatch.setattr(workers, "_WORTH_A_PROCESS", 0)
    results = workers.score_pairs([pairs[0], killer, *pairs[2:]], Scoring(), jobs=2)
    assert [bool(case.error) for case in results] == [False, True, False, False]
    assert "process was killed" in results[1].error


class _Killer(type(Path())):
    """A path that kills the process which unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_ctrl_c_leaves_no_process_behind(folders, tmp_path) -> None:
    code = (
        "import os, sys, time, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell ignore it\n"
        "from pathlib import Path\n"
        "from i2igalip_cli.engine.evaluator import workers\n"
        "from i2igalip_cli.engine.evaluator.pairs import Sides\n"
        "from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation\n"
        "def stop(done, total):\n"
        "    pool = [p.pid for p in __import__('multiprocessing').active_children()]\n"
        "    print(*pool, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "if __name__ == '__main__':\n"
        "    workers._WORTH_A_PROCESS = 0\n"
        "    top = Path(sys.argv[1])\n"
        "    sides = Sides(prediction=top / 'pred', reference=top / 'gt')\n"
        "    run_evaluation(EvaluationRequest(pairs=sides, jobs=2), stop)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, script, folders], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (-signal.SIGINT, 130), done.stderr
    assert "KeyboardInterrupt" in done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert pids
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ctrl_c_while_processes_start_shows_no_traceback_of_theirs(folders, tmp_path) -> None:
    """A terminal sends it to the whole group; a new Python isn't ready to ignore it yet."""
    code = (
        "import os, sys, time, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell ignore it\n"
        "from pathlib import Path\n"
        "from i2igalip_cli.engine import side_by_side\n"
        "from i2igalip_cli.engine.evaluator import workers\n"
        "from i2igalip_cli.engine.evaluator.pairs import Sides\n"
        "from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation\n"
        "def stop(waiting):\n"
        "    time.sleep(0.1)\n"
        "    os.killpg(0, signal.SIGINT)\n"
        "    time.sleep(5)\n"
        "if __name__ == '__main__':\n"
        "    workers._WORTH_A_PROCESS = 0\n"
        "    side_by_side.as_completed = stop\n"
        "    top = Path(sys.argv[1])\n"
        "    sides = Sides(prediction=top / 'pred', reference=top / 'gt')\n"
        "    run_evaluation(EvaluationRequest(pairs=sides, jobs=2))\n"
    )
    (tmp_path / "run.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", folders],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode in (-signal.SIGINT, 130), done.stderr
    assert done.stderr.count("Traceback") == done.stderr.count("KeyboardInterrupt") == 1


def test_an_absent_file_starts_no_processes(folders, monkeypatch) -> None:
    pairs = list(find_pairs(request(folders).pairs).pairs)
    pairs[2] = replace(pairs[2], prediction=folders / "absent.nii")
    monkeypatch.setattr(side_by_side, "ProcessPoolExecutor", None)
    results = workers.score_pairs(pairs, Scoring(), jobs=2)
    assert [bool(case.error) for case in results] == [False, False, True, False]


def test_masks_change_the_hash_and_the_numbers(folders) -> None:
    for n in range(4):
        (folders / "mask").mkdir(exist_ok=True)
        mask = (head(seed=n) > 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, OBLIQUE), folders / "mask" / f"s{n}.nii.gz")
    free, masked = (
        run_evaluation(request(folders, **options)) for options in ({}, {"mask": folders / "mask"})
    )
    # Air is equal in both, so leaving it out lowers the PSNR.
    assert masked.summary("fixed", "psnr").mean < free.summary("fixed", "psnr").mean
    assert masked.protocols["fixed"]["hash"] != free.protocols["fixed"]["hash"]
    for ours, theirs in zip(free.cases, masked.cases, strict=True):
        assert len(theirs.grounds) == 12
        assert ours.grounds != theirs.grounds
    again = run_evaluation(request(folders, mask=folders / "mask"))
    assert [case.grounds for case in again.cases] == [case.grounds for case in masked.cases]
    mask[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(mask, OBLIQUE), folders / "mask" / "s3.nii.gz")
    other = run_evaluation(request(folders, mask=folders / "mask"))
    assert other.cases[3].grounds != masked.cases[3].grounds
    assert other.cases[2].grounds == masked.cases[2].grounds
    (folders / "mask" / "s2.nii.gz").unlink()
    lacking = run_evaluation(request(folders, mask=folders / "mask"))
    assert [case.case for case in lacking.failures] == ["s2"]
    assert "has no mask of it" in lacking.failures[0].error


def test_other_grids_are_refused_or_resampled_and_told(folders) -> None:
    array, turned = head(seed=10)[::-1], OBLIQUE @ np.diag([-1.0, 1, 1, 1])
    turned[:3, 3] += OBLIQUE[:3, 0] * 19
    nib.save(nib.Nifti1Image(array, turned), folders / "pred" / "s0.nii")
    refused = run_evaluation(request(folders)).cases[0]
    assert "another grid" in refused.error
    assert "--resample" in refused.error
    straight = evaluate(Volume(array=head(seed=10), affine=OBLIQUE), folders / "gt" / "s0.nii.gz")
    results = run_evaluation(request(folders, Scoring(resample=True)))
    moved, *others = results.cases
    assert moved.resampled
    assert any("resampled to the reference's grid" in line for line in moved.warnings)
    assert not any(case.resampled for case in others)
    assert moved.scores["fixed"]["psnr"] == pytest.approx(straight["fixed"]["psnr"], abs=1e-3)
    prediction, reference = moved.load()
    assert prediction.shape == reference.shape
    np.testing.assert_allclose(prediction.array, head(seed=10), atol=1e-2)


def test_label_maps_give_dice(folders) -> None:
    """Hand-worked: 3 x 4 x 2 = 24 voxels against 4 x 4 x 2 = 32 that hold them: 48 / 56."""
    for side, count in (("lp", 3), ("lg", 4)):
        (folders / side).mkdir()
        labels = np.zeros((20, 24, 9), np.int16)
        labels[2 : 2 + count, 3:7, 4:6] = 3
        for n in range(4):
            nib.save(nib.Nifti1Image(labels, OBLIQUE), folders / side / f"s{n}.nii.gz")
    options = {"predicted_labels": folders / "lp", "labels": folders / "lg"}
    scores = run_evaluation(request(folders, **options)).cases[0].scores["fixed"]
    dice = [score.value for score in scores.scores if score.measure.name == "dice"]
    assert dice[0] == pytest.approx(48 / 56)
    assert not run_evaluation(request(folders, **options)).warnings
    in_vain = run_evaluation(request(folders, Scoring(protocols=("paper",)), **options))
    assert "paper makes no use of them" in in_vain.warnings[0]
    nib.save(nib.Nifti1Image(head(), OBLIQUE), folders / "lp" / "s0.nii.gz")
    failed = run_evaluation(request(folders, **options)).failures
    assert [case.case for case in failed] == ["s0"]
    assert "fractions" in failed[0].error


def test_warnings_about_not_finite_and_negative_voxels(folders) -> None:
    array = head()
    array[0, 0, 0], array[0, 0, 1] = np.inf, -5
    nib.save(nib.Nifti1Image(array, OBLIQUE), folders / "pred" / "s0.nii")
    warnings = run_evaluation(request(folders)).cases[0].warnings
    assert any("s0.nii: 1 voxels were not finite" in line for line in warnings)
    assert any("--range" in line for line in warnings)
    ranged = Scoring(settings=ProtocolSettings(value_range=(-100, 900)))
    assert not any(
        "--range" in w for w in run_evaluation(request(folders, ranged)).cases[0].warnings
    )
    # The paper's protocol knows no range.
    assert any("divides by maxima" in line for line in warnings)
    alone = Scoring(protocols=("fixed",), settings=ProtocolSettings(modality="CT"))
    assert not any(
        "below 0" in w for w in run_evaluation(request(folders, alone)).cases[0].warnings
    )


def test_an_infinite_psnr_is_explained(folders) -> None:
    one = nib.load(folders / "gt" / "s0.nii.gz")
    changed = one.get_fdata()
    changed[8:12, 10:14, 4] *= 0.5  # inside of the head, so that its scale stays
    nib.save(nib.Nifti1Image(changed.astype(np.float32), one.affine), folders / "pred" / "s0.nii")
    only = Scoring(protocols=("fixed",), settings=ProtocolSettings(value_range=(0, 2000)))
    (line,) = run_evaluation(request(folders, only)).cases[0].warnings
    assert "s0.nii: fixed: PSNR is infinite" in line


@pytest.mark.parametrize("names", [("psnr",), (), ("paper", "paper")])
def test_unknown_protocols_are_refused(names) -> None:
    with pytest.raises(EvaluationError, match=r"known are paper|each once"):
        Scoring(protocols=names)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_protocol_runs_on_files(tmp_path, name) -> None:
    array = 2 * head() - 1000  # air at -1000, in HU
    for side, noise in (("pred", 20), ("gt", 0)):
        (tmp_path / side).mkdir()
        noisy = array + noise * np.random.default_rng(0).standard_normal(array.shape)
        nib.save(nib.Nifti1Image(noisy.astype(np.float32), OBLIQUE), tmp_path / side / "a.nii")
    settings = ProtocolSettings(value_range=(-1024, 3000), modality="CT")
    results = run_evaluation(request(tmp_path, Scoring(protocols=(name,), settings=settings)))
    (case,) = results.cases
    assert not case.error
    assert all(results.measure(name, key).definition for key in results.keys(name))


def test_the_public_function_refuses_other_grids_and_takes_masks(folders) -> None:
    one = load_volume(folders / "gt" / "s0.nii.gz")
    with pytest.raises(EvaluationError, match="20 x 24 x 8 voxels against 20 x 24 x 9"):
        evaluate(Volume(array=one.array[..., :8], affine=OBLIQUE), one)
    with pytest.raises(EvaluationError, match="the mask lies on another grid"):
        evaluate(one, one, mask=np.ones((20, 24, 9)))
    noisy = one.array + np.random.default_rng(0).standard_normal(one.shape).astype(np.float32)
    masked = evaluate(noisy, one.array, mask=one.array > 0, protocols=["fixed"])
    assert set(masked) == {"fixed"}
    assert masked["fixed"].hash != evaluate(noisy, one.array)["fixed"].hash


def test_a_masks_background_is_where_it_isnt_above_zero(folders) -> None:
    one = load_volume(folders / "gt" / "s0.nii.gz")
    other = load_volume(folders / "gt" / "s1.nii.gz")
    mask = np.where(one.array > 0, 2.0, -1.0)
    with_numbers = evaluate(other.array, one.array, mask=mask)
    assert with_numbers["fixed"] == evaluate(other.array, one.array, mask=mask > 0)["fixed"]
