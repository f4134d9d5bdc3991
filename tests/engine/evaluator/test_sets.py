"""Distances between all predictions and all references, by an encoder's features."""

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, write_head

from i2igalip_cli.engine.evaluator.extractors import open_extractor
from i2igalip_cli.engine.evaluator.pairs import Sides
from i2igalip_cli.engine.evaluator.run import EvaluationRequest, run_evaluation
from i2igalip_cli.engine.evaluator.scoring import Scoring
from i2igalip_cli.errors import CheckpointError, EvaluationError
from i2igalip_cli.evaluation.distributions import frechet_distance
from i2igalip_cli.evaluation.protocols import ProtocolSettings
from i2igalip_cli.volumes.slicing import view_slices


def run(tmp_path, name: str, settings: ProtocolSettings | None = None):
    sides = Sides(prediction=tmp_path / "pred", reference=tmp_path / "gt")
    scoring = Scoring(settings=settings or ProtocolSettings())
    return run_evaluation(EvaluationRequest(pairs=sides, scoring=scoring, features=(name,)))


def test_planes_apart_with_the_encoder_named(tmp_path, encoder_folder) -> None:
    for n in range(2):
        write_head(tmp_path / "gt" / f"s{n}.nii", "T2", seed=n)
        write_head(tmp_path / "pred" / f"s{n}.nii", "T1", seed=n)
    results = run(tmp_path, str(encoder_folder))
    scores = {(s.measure.name, s.measure.region): s for s in results.sets[str(encoder_folder)]}
    planes = ("axial", "coronal", "sagittal")
    assert set(scores) == {(name, plane) for name in ("fid", "kid") for plane in planes}
    for plane in planes:
        assert scores["fid", plane].value > 0
        assert scores["kid", plane].spread > 0
        assert (
            open_extractor(str(encoder_folder)).identity in scores["fid", plane].measure.definition
        )
    # 16 features; of 9 slices of each head 7 show it.
    assert len(results.warnings) == 1
    assert "axial: 14 slices for 16 features" in results.warnings[0]


def test_equal_sets_have_no_distance(tmp_path, encoder_folder) -> None:
    for side in ("pred", "gt"):
        write_head(tmp_path / side / "a.nii", seed=1)
    for score in run(tmp_path, str(encoder_folder)).sets[str(encoder_folder)]:
        # KID is unbiased, so it falls a little below 0.
        assert score.value == pytest.approx(0, abs=1e-6 if score.measure.name == "fid" else 0.05)


def test_features_are_those_of_the_scaled_slices(tmp_path, encoder_folder) -> None:
    """The same number from slices that were scaled and cut here, by numpy alone."""
    sides = {"pred": head("T1", 3), "gt": head("T2", 4)}
    extractor = open_extractor(str(encoder_folder))
    features = {}
    for side, array in sides.items():
        (tmp_path / side).mkdir()
        nib.save(nib.Nifti1Image(array, OBLIQUE), tmp_path / side / "a.nii")
        high = np.percentile(array[array > array.mean(dtype=np.float64)], 99.5)
        slices = view_slices(np.clip(array / high, 0, 1).astype(np.float32), OBLIQUE, "coronal")
        features[side] = extractor.extract(
            slices[view_slices(sides["gt"], OBLIQUE, "coronal").any((1, 2))]
        )
    found = {
        (s.measure.name, s.measure.region): s.value
        for s in run(tmp_path, str(encoder_folder)).sets[str(encoder_folder)]
    }
    expected = frechet_distance(features["pred"], features["gt"])
    assert found["fid", "coronal"] == pytest.approx(expected, rel=1e-3)


def test_a_file_that_goes_away_is_told_and_ends_nothing(tmp_path, encoder_folder) -> None:
    for n in range(2):
        for side in ("pred", "gt"):
            write_head(tmp_path / side / f"s{n}.nii", seed=n)

    def lose(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 2:  # both are scored, and nothing is compared yet
            (tmp_path / "pred" / "s0.nii").unlink()

    seen: list[tuple[int, int]] = []
    sides = Sides(prediction=tmp_path / "pred", reference=tmp_path / "gt")
    request = EvaluationRequest(pairs=sides, features=(str(encoder_folder),))
    results = run_evaluation(request, lose)
    assert seen == [(1, 2), (2, 2), (1, 2), (2, 2)]
    assert results.complete
    assert any("FID and KID without s0: " in line for line in results.warnings)
    assert results.sets


@pytest.mark.parametrize("settings", [{"modality": "CT"}, {"value_range": (-1024, 3000)}])
def test_ct_is_scaled_as_in_the_fixed_protocol(tmp_path, encoder_folder, settings) -> None:
    arrays = {side: 2 * head(seed=n) - 1000 for n, side in enumerate(("pred", "gt"))}
    for side, array in arrays.items():
        (tmp_path / side).mkdir()
        nib.save(nib.Nifti1Image(array, OBLIQUE), tmp_path / side / "a.nii")
    extractor = open_extractor(str(encoder_folder))
    unit = [np.clip((a + 1024) / 4024, 0, 1).astype(np.float32) for a in arrays.values()]
    features = [extractor.extract(view_slices(a, OBLIQUE, "coronal")) for a in unit]
    found = run(tmp_path, str(encoder_folder), ProtocolSettings(**settings))
    (score,) = (
        one
        for one in found.sets[str(encoder_folder)]
        if (one.measure.name, one.measure.region) == ("fid", "coronal")
    )
    assert score.measure.data_range == (-1024, 3000)
    assert score.value == pytest.approx(frechet_distance(*features), rel=1e-3)


def test_an_absent_extractor_is_told_before_anything_is_scored(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for side in ("pred", "gt"):
        write_head(tmp_path / side / "a.nii")
    monkeypatch.setattr("i2igalip_cli.engine.evaluator.run.score_pairs", None)
    with pytest.raises(EvaluationError, match="inception"):
        run(tmp_path, "inception")


def test_what_isnt_here_is_named_and_never_fetched(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(EvaluationError, match=r"inception.*weights at .*torch"):
        open_extractor("inception")
    with pytest.raises(CheckpointError, match="download-weights biomedclip"):
        open_extractor("biomedclip")
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    name = "weights-inception-2015-12-05-6726825d.pth"
    (tmp_path / "torch" / "hub" / "checkpoints" / name).write_bytes(b"no weights")
    with pytest.raises(EvaluationError, match="damaged or another file"):
        open_extractor("inception")
