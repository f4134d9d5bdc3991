"""Rigid registration: mutual information by hand, motions undone, failures flagged."""

import functools
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import clinics
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own name for itself
from scipy.ndimage import gaussian_filter, map_coordinates

from i2igalip_cli.errors import ConfigError, EmptyVolumeError, VolumeError
from i2igalip_cli.volumes import Volume, load_volume
from i2igalip_cli.volumes.preprocess.descent import RegistrationSettings
from i2igalip_cli.volumes.preprocess.mutual_information import mutual_information
from i2igalip_cli.volumes.preprocess.registration import Registration, register
from i2igalip_cli.volumes.preprocess.rigid import RigidTransform, to_itk
from i2igalip_cli.volumes.preprocess.sitk_image import to_image

BENCHMARK = Path(__file__).parents[2] / "examples" / "benchmarks" / "registration.py"
SIDE, STEP_MM = 64, 3.0  # of the made heads
CONTRASTS = {"first": (0.0, 300, 700, 1000, 520), "second": (0.0, 1000, 610, 400, 900)}
CENTRE = np.array([12.0, -30.0, 41.0])  # of the head, RAS mm
STILL = RigidTransform.identity()
OBLIQUE = RigidTransform.from_degrees((12, -9, 20), (0, 0, 0)).matrix[:3, :3]


@functools.cache
def tissues(seed: int) -> np.ndarray:
    """An egg with patches of four tissues, 0 outside: (64, 64, 64) at 3 mm."""
    rng = np.random.default_rng(seed)
    patches = gaussian_filter(rng.standard_normal((SIDE,) * 3), 2.5)
    classes = 1 + np.digitize(patches, np.quantile(patches, (0.25, 0.5, 0.75)))
    i, j, k = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return np.where((i / 0.7) ** 2 + (j / 0.85) ** 2 + (k / 0.65) ** 2 < 1, classes, 0)


def scan(
    contrast: str,
    axes: np.ndarray,
    shape: tuple[int, int, int],
    motion: RigidTransform = STILL,
    seed: int = 1,
) -> Volume:
    """A contrast of a head on a grid about its centre, after the head moved, with noise."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = CENTRE - axes @ (np.array(shape) - 1) / 2
    voxels = np.indices(shape).reshape(3, -1)
    places = motion.inverse.apply((affine[:3, :3] @ voxels).T + affine[:3, 3])
    image = gaussian_filter(np.take(CONTRASTS[contrast], tissues(seed)), 0.5)
    values = map_coordinates(image, ((places - CENTRE) / STEP_MM + (SIDE - 1) / 2).T, order=1)
    values += 20 * np.random.default_rng(0).standard_normal(values.shape)
    return Volume(array=values.reshape(shape).astype(np.float32), affine=affine)


def fixed_head() -> Volume:
    """Oblique and left-handed, voxels of 4 x 4 x 5 mm."""
    return scan("first", OBLIQUE @ np.diag([-4.0, 4, 5]), (43, 47, 33))


def moving_head(motion: RigidTransform, seed: int = 1) -> Volume:
    """Axes in another order and sense, voxels of 4.5 x 4 x 3.7 mm."""
    axes = np.array([[0, 0, 3.7], [-4.5, 0, 0], [0, 4, 0]])
    return scan("second", axes, (49, 41, 45), motion, seed)


def turn(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> RigidTransform:
    return RigidTransform.from_degrees(degrees, shift, CENTRE)


def error_mm(found: Registration, true: RigidTransform) -> float:
    """How far places in the head are from where they belong, on average."""
    places = CENTRE + 55 * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    return float(np.linalg.norm(found.transform.apply(places) - true.apply(places), axis=1).mean())


def test_what_says_all_of_another_informs_by_its_entropy() -> None:
    """Four values, equally often: log 4. Half of them told apart: log 2. None: 0."""
    i, _, k = np.indices((4, 6, 8)).astype(np.float32)
    volume = Volume(array=i, affine=np.diag([1.0, 2, 3, 1]))
    for other, nats in ((5 - 2 * i, np.log(4)), (np.float32(i > 1), np.log(2)), (k, 0)):
        told = mutual_information(volume, volume.with_array(other), STILL)
        assert told == pytest.approx(nats, abs=1e-9)


def test_voxels_outside_a_mask_do_not_count() -> None:
    """Within the upper half, two of four values are left: log 2."""
    i = np.indices((4, 6, 8))[0].astype(np.float32)
    volume = Volume(array=i, affine=np.diag([1.0, 2, 3, 1]))
    assert mutual_information(volume, volume, STILL, i > 1) == pytest.approx(np.log(2))


def test_where_too_little_overlaps_nothing_is_told() -> None:
    head = fixed_head()
    assert mutual_information(head, head, turn((0, 0, 0), (900, 0, 0))) == 0


def test_information_is_that_of_an_independent_histogram() -> None:
    """SimpleITK lays the moving volume on the fixed one, scikit-learn counts."""
    from sklearn.metrics import mutual_info_score

    motion = turn((4, -7, 3), (6, 2, -5))
    fixed, moving = fixed_head(), moving_head(STILL)
    grid = to_image(fixed)
    laid = sitk.Resample(to_image(moving), grid, to_itk(motion), sitk.sitkLinear, np.nan)
    pair = [sitk.GetArrayFromImage(image).ravel() for image in (grid, laid)]
    held = ~np.isnan(pair[1])
    numbers = []
    for values, volume in zip(pair, (fixed, moving), strict=True):
        edges = np.linspace(*np.percentile(volume.array, (0.1, 99.9)), 33)
        numbers.append(np.digitize(values[held], edges[1:-1]))
    expected = mutual_info_score(*numbers)
    assert expected > 0.1
    assert mutual_information(fixed, moving, motion) == pytest.approx(expected, rel=1e-3)


def test_information_is_about_that_of_mattes() -> None:
    """Whose windows smooth the histogram: somewhat less."""
    fixed, moving = fixed_head(), moving_head(STILL)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(to_itk(STILL))
    theirs = -method.MetricEvaluate(to_image(fixed), to_image(moving))
    assert mutual_information(fixed, moving, STILL) == pytest.approx(theirs, rel=0.15)


@pytest.mark.parametrize(
    "true",
    [
        turn((0, 0, 0), (1.5, 0, -1)),
        turn((8, -9, 8), (-12, 11, 9)),
        turn((-26, 10, 12), (20, -30, 35)),
    ],
    ids=["small", "large", "beyond the issue"],
)
def test_motions_are_found_between_contrasts_and_grids(true: RigidTransform) -> None:
    fixed = fixed_head()
    found = register(moving_head(true), fixed)
    assert found.kept, found.reason
    assert found.after > found.before
    assert error_mm(found, true) < 2  # half a voxel
    assert found.transform.then(true.inverse).angle_degrees < 0.5


def test_exchanged_volumes_give_the_inverse() -> None:
    true = turn((6, -8, 10), (10, -8, 7))
    fixed, moving = fixed_head(), moving_head(true)
    found = register(fixed, moving)
    assert found.kept, found.reason
    assert error_mm(found, true.inverse) < 2
    assert found.transform.then(true).angle_degrees < 0.5


def test_a_volume_lies_on_itself() -> None:
    head = fixed_head()
    found = register(head, head)
    assert found.kept, found.reason
    np.testing.assert_array_equal(found.transform.matrix, np.eye(4))
    assert found.lock == pytest.approx(1, abs=0.05)


def test_thick_slices_are_registered() -> None:
    true = turn((5, 3, -6), (7, 9, -6))
    thick = scan("first", np.diag([-2.5, 2.5, 16.0]), (60, 66, 8))
    found = register(moving_head(true), thick)
    assert found.kept, found.reason
    assert error_mm(found, true) < 2


def test_another_anatomy_is_flagged() -> None:
    found = register(moving_head(turn((5, 0, 0), (9, 0, 4)), seed=2), fixed_head())
    assert not found.kept
    assert "doesn't improve" in found.reason
    np.testing.assert_array_equal(found.transform.matrix, np.eye(4))


@pytest.mark.parametrize(
    ("make", "fixed", "moving"),
    [
        (clinics.make_ixi, "T1", "PD"),
        (clinics.make_ixi, "T2", "PD"),
        (clinics.make_ixi, "T2", "T1"),
        (clinics.make_gold_atlas, "T1", "CT"),
        (clinics.make_gold_atlas, "CT", "T2"),
    ],
)
def test_smooth_volumes_are_kept_and_mirrored_ones_are_flagged(
    tmp_path, make, fixed: str, moving: str
) -> None:
    """Few details are left at 5 mm, yet they lock in; a mirrored body has other ones."""
    (subject,) = make(tmp_path, 1, spacing_mm=5.0)
    first, second = (clinics.find_scan(tmp_path, subject, name) for name in (fixed, moving))
    found = register(load_volume(second), load_volume(first))
    assert found.kept, found.reason
    clinics.flip_left_right(second)
    mirrored = register(load_volume(second), load_volume(first))
    assert not mirrored.kept
    assert "a mirrored volume" in mirrored.reason
    assert mirrored.lock < found.lock / 2


def test_noise_is_flagged() -> None:
    head = fixed_head()
    noise = np.random.default_rng(3).standard_normal(head.shape).astype(np.float32)
    found = register(head.with_array(noise), head)
    assert not found.kept
    assert "doesn't improve" in found.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (RegistrationSettings(max_shift_mm=10), "shifts by 1[0-9] mm, above 10"),
        (RegistrationSettings(max_angle_degrees=8), "turns by 1[0-9] degrees, above 8"),
    ],
    ids=["shift", "turn"],
)
def test_motions_beyond_the_limits_are_flagged(settings: RegistrationSettings, reason: str) -> None:
    found = register(moving_head(turn((8, -9, 8), (-9, 9, 9))), fixed_head(), settings)
    assert not found.kept
    assert re.search(reason, found.reason)
    np.testing.assert_array_equal(found.transform.matrix, np.eye(4))


def test_volumes_apart_are_flagged() -> None:
    head = fixed_head()
    away = head.affine.copy()
    away[:3, 3] += 800
    found = register(replace(head, affine=away), head)
    assert not found.kept
    assert "don't overlap" in found.reason


@pytest.mark.parametrize("method", ["MetricEvaluate", "Execute"])
def test_a_fault_of_itk_is_told_as_ours_and_no_overlap_as_none(monkeypatch, method) -> None:
    def fail(said: str) -> None:
        def raise_it(*_: object) -> None:
            raise RuntimeError(f"Exception thrown in SimpleITK:\nITK ERROR: {said}")

        monkeypatch.setattr(sitk.ImageRegistrationMethod, method, raise_it)

    head = fixed_head()
    fail("Joint PDF summed to zero")
    with pytest.raises(VolumeError, match="can't be registered: ITK ERROR: Joint PDF summed"):
        register(head, head)
    fail("All samples map outside: images do not sufficiently overlap")
    found = register(head, head)
    if method == "Execute":
        assert "every descent left the other field of view" in found.reason
    else:
        assert found.kept, "what can't be measured is the last to be followed"


def test_a_head_that_leaves_the_field_of_view_is_flagged() -> None:
    """As the headers place them, all of the fixed head lies in the moving field of view."""
    moving = moving_head(turn((0, 0, 0), (0, 0, 45)))
    found = register(moving, fixed_head(), RegistrationSettings(least_overlap=0.99))
    assert not found.kept
    assert "left the other field of view" in found.reason
    assert found.starts > 0


def test_a_single_bright_voxel_is_refused() -> None:
    dot = np.zeros((17, 19, 5), np.float32)
    dot[8, 9, 2] = 1
    volume = Volume(array=dot, affine=np.diag([8.0, 8, 8, 1]))
    with pytest.raises(EmptyVolumeError, match="one bright voxel"):
        register(volume, volume)


@pytest.mark.parametrize("spacing", [2.0000002, 2.4, 4.0])
def test_the_finest_level_has_all_of_the_volumes(spacing: float) -> None:
    """Half a voxel of the volume itself is asked for, whichever levels are listed."""
    true = turn((0, 4, 0), (3, -4, 2))
    axes, shape = spacing * np.eye(3), tuple(int(150 / spacing) for _ in range(3))
    found = register(scan("second", axes, shape, true), scan("first", axes, shape))
    assert found.kept, found.reason
    assert error_mm(found, true) < spacing / 4


def test_a_constant_volume_is_refused() -> None:
    head = fixed_head()
    constant = head.with_array(np.full(head.shape, 7, np.float32))
    for pair in ((head, constant), (constant, head)):
        with pytest.raises(EmptyVolumeError, match="constant: every voxel is 7"):
            register(*pair)


def test_a_thin_volume_is_refused() -> None:
    head = fixed_head()
    slice_alone = Volume(array=head.array[:, :, 15:16], affine=head.affine)
    with pytest.raises(VolumeError, match="4 layers"):
        register(slice_alone, head)


def test_sheared_axes_are_refused() -> None:
    head = fixed_head()
    sheared = head.affine @ (np.eye(4) + 0.1 * np.eye(4, k=1))
    sheared[3] = 0, 0, 0, 1
    with pytest.raises(VolumeError, match="sheared"):
        register(replace(head, affine=sheared), head)


def test_threads_and_random_state_change_nothing() -> None:
    true = turn((3, 4, -6), (5, 6, -4))
    fixed, moving = fixed_head(), moving_head(true)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    try:
        for count in (1, 3):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
            np.random.seed(count)
            before = np.random.get_state()[1].tobytes()
            found.append(register(moving, fixed))
            assert np.random.get_state()[1].tobytes() == before
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    assert found[0].transform.matrix.tobytes() == found[1].transform.matrix.tobytes()
    assert (found[0].before, found[0].after) == (found[1].before, found[1].after)


def test_faulty_settings_are_told_together() -> None:
    with pytest.raises(ConfigError, match=r"levels_mm.*samples = 0"):
        RegistrationSettings(levels_mm=(2.0, 4.0), samples=0)


@pytest.fixture
def benchmark(monkeypatch):
    import importlib.util

    monkeypatch.syspath_prepend(BENCHMARK.parents[1])
    spec = importlib.util.spec_from_file_location("registration_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_motions_of_simulated_heads_are_found(benchmark) -> None:
    heads = benchmark.simulated_heads(factor=2)
    for number in (0, 5):  # T2 onto T1, T2 onto PD
        case = benchmark.run_case(number, heads)
        assert case.recovered, benchmark.describe(case)


@pytest.mark.slow
def test_38_of_40_motions_of_simulated_heads_are_found_and_no_other_is_kept() -> None:
    command = [sys.executable, BENCHMARK, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["cases"] == 40
    assert report["recovered"] >= 38
    assert report["kept_wrongly"] == 0
    assert report["strangers_flagged"] == report["strangers"] == 10
    assert done.returncode == 0
