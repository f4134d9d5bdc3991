"""The calibration of quality: its cases are what they say, and the whole runs on a tiny model."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_checkpoint
from scipy import ndimage, optimize

from i2igalip_cli.checkpoints import load_checkpoint, save_checkpoint
from i2igalip_cli.engine.encoders import open_encoder
from i2igalip_cli.engine.quality.score import INDICATORS, expected_error
from i2igalip_cli.errors import GalipError

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import calibrate_quality
        import quality_cases
        import simulate_brains

        yield SimpleNamespace(main=calibrate_quality, cases=quality_cases, simulate=simulate_brains)


@pytest.fixture(scope="module")
def anatomy():
    """A ball of white matter in grey matter and CSF; 2 mm, small."""
    shape = (23, 25, 21)
    grid = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid))
    layers = [(radius < 2) | ((radius >= 9) & (radius < 10)), (radius >= 7) & (radius < 9)]
    tissues = np.stack([*layers, (radius >= 2) & (radius < 7)]).astype(np.float32)
    to_ventricles = ndimage.distance_transform_edt(radius >= 2) * 2
    away = np.stack(np.gradient(to_ventricles))
    away /= np.maximum(np.linalg.norm(away, axis=0), 1e-3)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return SimpleNamespace(tissues=tissues, to_ventricles=to_ventricles, away=away, affine=affine)


@pytest.fixture(scope="module")
def subject(modules, anatomy):
    return modules.simulate.Subject(anatomy, 50_000)


def test_no_other_script_simulates_these_subjects(modules) -> None:
    seeds = {case.seed for case in modules.cases.list_cases(100, 1)}
    assert len(seeds) == 100
    for first in modules.simulate.FIRST_SEED.values():
        assert not seeds & set(range(first, first + 10_000))


def test_every_subject_comes_once_a_round_and_in_every_direction(modules) -> None:
    cases = list(modules.cases.list_cases(6, 6))
    assert len(set(cases)) == 36
    for turn in range(6):
        assert len({case.seed for case in cases[6 * turn : 6 * turn + 6]}) == 6
    for direction in {case.direction for case in cases}:
        found = [(case.seed, case.severity) for case in cases if case.direction == direction]
        assert sorted(found) == sorted({(50_000 + n, s) for n in range(6) for s in (0, 1)})


def test_lesions_take_the_place_of_white_matter(modules, subject) -> None:
    changed = modules.cases.add_lesions(subject, 5, np.random.default_rng(0))
    np.testing.assert_allclose(changed.tissues.sum(0), subject.tissues.sum(0), atol=1e-5)
    np.testing.assert_array_equal(changed.tissues[:2], subject.tissues[:2])
    assert changed.tissues[3].sum() > subject.tissues[3].sum() + 5
    same = modules.cases.add_lesions(subject, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(same.tissues, subject.tissues)


def test_noise_is_as_many_times_the_simulators(modules, subject) -> None:
    """Without a receive field, what differs from the signal is noise; six times as much of it."""
    signal = subject.truth(modules.simulate.FIXED["T1"])
    spread = []
    for factor in (1, 6):
        image = modules.cases.acquire(subject, "T1", np.random.default_rng(3), factor, 0)
        bright = subject.tissues[2] > 0.95  # far above the noise, where Rician is Gaussian
        ratio = image.array[bright] / signal[bright]
        spread.append(ratio.std() / ratio.mean())
    assert spread[1] / spread[0] == pytest.approx(6, rel=0.1)


def test_the_error_is_the_least_that_a_scale_leaves(modules) -> None:
    rng = np.random.default_rng(0)
    made, wanted = rng.random((2, 501))
    found = modules.cases.scale_free_error(made, wanted)
    least = optimize.minimize_scalar(lambda g: np.abs(g * made - wanted).mean(), bounds=(0, 5))
    assert found == pytest.approx(least.fun, rel=1e-4)
    assert modules.cases.scale_free_error(made * 3, wanted) == pytest.approx(found)
    assert modules.cases.scale_free_error(made, made * 0.7) == pytest.approx(0, abs=1e-12)
    assert modules.cases.scale_free_error(np.zeros(3), np.ones(3)) == 1


def test_the_ct_phantom_has_its_hounsfield_units(modules, subject) -> None:
    volume = modules.cases.scan_by_ct(subject, np.random.default_rng(0))
    assert volume.array.min() < -990
    assert (np.abs(volume.array - 900) < 20).sum() > 100
    i, j, k = (n // 2 for n in volume.shape)
    assert 0 < volume.array[i, j, k] < 60
    centre = volume.affine @ [i, j, k, 1]
    own = subject.affine @ [*(n // 2 for n in subject.brain.shape), 1]
    np.testing.assert_allclose(centre, own)


@pytest.fixture
def known(modules, anatomy, identity, encoder_folder, tmp_path, monkeypatch) -> Path:
    """A tiny checkpoint that names its encoder; its translations change nothing."""
    encoder = open_encoder(str(encoder_folder))
    named = {"encoder": str(encoder_folder), "encoder_sha256": encoder.fingerprint()}
    save_checkpoint(make_checkpoint(provenance=named), tmp_path / "tiny.safetensors")
    monkeypatch.setattr(modules.cases, "Anatomy", lambda: anatomy)
    run = partial(modules.cases.Translator, options=identity)
    monkeypatch.setattr(modules.cases, "Translator", run)
    return tmp_path / "tiny.safetensors"


def test_the_whole_writes_a_calibrated_checkpoint_and_goes_on_where_it_stopped(
    modules, known, dataset, tmp_path, capsys, monkeypatch
) -> None:
    arguments = ["program", str(tmp_path / "work"), "--weights", str(known), "--subjects", "2"]
    arguments += ["--rounds", "3", "--write", str(tmp_path / "out.safetensors")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(GalipError, match="--dataset"):
        modules.main.main()
    monkeypatch.setattr("sys.argv", [*arguments, "--dataset", str(dataset)])
    modules.main.main()
    printed = capsys.readouterr().out
    assert "| score |" in printed
    assert "under the volumes' own scales" in printed
    assert "| T2 as T1 | yes |" in printed
    loaded = load_checkpoint(tmp_path / "out.safetensors")
    assert loaded.reference is not None
    assert loaded.calibration is not None
    assert loaded.calibration.cases == loaded.calibration.held_out_cases == 3
    files = sorted((tmp_path / "work").glob("*.json"))
    assert len(files) == 6
    found = json.loads(files[0].read_text())
    assert set(found["indicators"]) == set(INDICATORS)
    assert found["indicators"]["cycle"] == found["indicators"]["flips"] == 0  # nothing changed
    assert found["fixed_error"] > 0.05  # T1 isn't PD
    assert 0.01 < found["error"] < found["fixed_error"]
    assert expected_error(found["indicators"], loaded.calibration)[1]
    monkeypatch.setattr(modules.cases.Bench, "_translate", None)  # every case is known
    modules.main.main()
    assert load_checkpoint(tmp_path / "out.safetensors").calibration == loaded.calibration
