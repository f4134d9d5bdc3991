"""The lesion audit: its lesions obey physics, and known methods get the figures they deserve."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from conftest import make_checkpoint, tiny_config
from scipy import ndimage

from i2igalip_cli import GalipError
from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.config import IntensityPolicy
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import find_window

EXAMPLES = Path(__file__).parents[1] / "examples"
RADII_MM = (3.0, 5.0)
SEED = 40_001  # carries lesions of its own


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        import lesion_audit
        import lesion_findings
        import lesions
        import simulate_brains

        yield SimpleNamespace(
            audit=lesion_audit,
            findings=lesion_findings,
            lesions=lesions,
            simulate=simulate_brains,
        )


@pytest.fixture(scope="module")
def anatomy():
    """A ball of white matter under grey matter and CSF, with CSF in the middle; 2 mm."""
    shape = (45, 49, 43)
    grid = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid))
    layers = [(radius < 3) | ((radius >= 20) & (radius < 21)), (radius >= 17) & (radius < 20)]
    tissues = np.stack([*layers, (radius >= 3) & (radius < 17)]).astype(np.float32)
    to_ventricles = ndimage.distance_transform_edt(radius >= 3) * 2
    away = np.stack(np.gradient(to_ventricles))
    away /= np.maximum(np.linalg.norm(away, axis=0), 1e-3)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return SimpleNamespace(tissues=tissues, to_ventricles=to_ventricles, away=away, affine=affine)


@pytest.fixture(scope="module")
def patient(modules, anatomy):
    return modules.lesions.Patient(anatomy, SEED, RADII_MM, 1)


def relaxation_of(patient, modules, tissue: str):
    return patient.subject.relaxation[modules.simulate.TISSUES.index(tissue)]


def test_without_a_lesion_the_images_are_the_simulated_test_subjects(
    modules, anatomy, patient, tmp_path
) -> None:
    modules.simulate.simulate(tmp_path, "test", SEED - 40_000, anatomy)
    for contrast in ("T1", "T2", "PD"):
        path = tmp_path / "cohort" / "test" / f"sub-{SEED}_{contrast}.nii.gz"
        expected = nib.load(path).get_fdata(dtype=np.float32)
        np.testing.assert_array_equal(patient.image(contrast).array, expected)


def test_spheres_lie_in_white_matter_apart_from_each_other(modules, patient) -> None:
    shape = patient.subject.brain.shape
    tissues = patient.subject.tissues
    first, second = patient.spheres
    assert (first.radius_mm, second.radius_mm) == (5, 3)
    apart = 2 * np.linalg.norm(np.subtract(first.centre, second.centre))
    assert apart >= 5 + 3 + modules.lesions.GAP_MM
    for sphere in patient.spheres:
        share = sphere.share(shape)
        assert (tissues[2] * share).sum() >= 0.9 * share.sum() - 1e-6
        assert not (tissues[3] * share).any()
        # An edge that fades over one voxel: the integral is 4/3 pi (R^3 + R / 4), R in voxels.
        radius = sphere.radius_mm / 2
        volume = 4 / 3 * np.pi * (radius**3 + radius / 4)
        assert share.sum() == pytest.approx(volume, rel=0.05)


def test_more_lesions_than_there_is_room_for_are_refused(modules, patient) -> None:
    with pytest.raises(GalipError, match="no room for 9 spheres of 8 mm"):
        modules.lesions.place_spheres(patient.subject.tissues, [8.0], 9, np.random.default_rng(0))


def test_the_signal_of_a_lesion_by_hand(modules, patient) -> None:
    """Spin echo with TR 6500 and TE 100 ms; half of the white matter is the simulator's lesion."""
    sphere = patient.spheres[0]
    kind = modules.lesions.KINDS["half lesion"]
    change = patient.signal("T2", kind)[sphere.centre] - patient.signal("T2")[sphere.centre]
    t1, t2, _, density = relaxation_of(patient, modules, "lesion")
    lesion = density * (1 - np.exp(-6500 / t1)) * np.exp(-100 / t2)
    t1, t2, _, density = relaxation_of(patient, modules, "white")
    white = density * (1 - np.exp(-6500 / t1)) * np.exp(-100 / t2)
    texture, share = patient.subject.texture[2][sphere.centre], patient.subject.tissues[2]
    expected = 0.5 * (lesion - white) * texture * share[sphere.centre]
    assert change == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "signs"),
    [
        ("lesion", {"T1": -1, "T2": 1, "PD": 1}),
        ("quarter lesion", {"T1": -1, "T2": 1}),
        ("fluid", {"T1": -1, "T2": 1, "PD": 1}),
        ("short T1 and T2", {"T1": 1, "T2": -1, "PD": -1}),
        ("short T1 alone", {"T1": 1}),
        ("long T2 alone", {"T1": 0, "T2": 1}),
    ],
)
def test_a_lesion_is_dark_or_bright_as_its_relaxation_says_and_all_else_stays(
    modules, patient, kind, signs
) -> None:
    shares = np.sum([s.share(patient.subject.brain.shape) for s in patient.spheres], axis=0)
    for contrast, sign in signs.items():
        healthy = patient.image(contrast).array
        change = patient.image(contrast, modules.lesions.KINDS[kind]).array - healthy
        assert not change[shares == 0].any()
        cores = [patient.core(sphere) for sphere in patient.spheres]
        assert all(np.sign(change[core].mean()) == sign for core in cores)


class Perfect:
    """Gives the true or the healthy image of the target; with a lesion in other units."""

    policy = IntensityPolicy()

    def __init__(self, patient, kind, forgets: bool = False) -> None:
        self._known = {}
        for contrast in ("T1", "T2"):
            for state in (None, kind):
                array = patient.image(contrast, state).array
                for unit in (1, 2, 4, 16):
                    self._known[(array * np.float32(unit)).tobytes()] = state, unit
        self._patient, self._forgets = patient, forgets

    def translates(self, source: str, target: str) -> bool:
        return True

    def __call__(self, volume: Volume, source: str, target: str):
        from lesion_findings import Made

        state, unit = self._known[volume.array.tobytes()]
        healthy = self._patient.image(target).array
        array = healthy if self._forgets else self._patient.image(target, state).array
        window = find_window(healthy, None, IntensityPolicy())
        unit *= 2 if state is None else 4
        made = volume.with_array(array * np.float32(unit))
        return Made(volume=made, span=unit * window.high)


def test_the_true_target_keeps_every_contrast_and_invents_nothing(modules, patient) -> None:
    kind = modules.lesions.KINDS["lesion"]
    run = modules.findings.audit_patient
    audit = run(patient, SEED, ("T1", "T2"), [kind], Perfect(patient, kind))
    assert [f.radius_mm for f in audit.findings] == [3, 5]
    for found in audit.findings:
        assert found.source < -5
        assert found.truth > 10
        assert found.output == pytest.approx(found.truth, rel=1e-4)
        assert found.cycle == pytest.approx(found.source, rel=1e-4)
        assert found.seen == pytest.approx(found.source, abs=0.1)  # dark: nothing is cut
    assert audit.elsewhere[0].output == audit.elsewhere[0].cycle == 0
    assert len(audit.controls) == 2
    for control in audit.controls:
        assert control.output == pytest.approx(control.truth, abs=1e-3)


def test_a_method_that_paints_health_keeps_nothing(modules, patient) -> None:
    kind = modules.lesions.KINDS["lesion"]
    forgets = Perfect(patient, kind, forgets=True)
    audit = modules.findings.audit_patient(patient, SEED, ("T1", "T2"), [kind], forgets)
    assert all(found.output == found.cycle == 0 for found in audit.findings)


def test_half_of_the_source_has_half_of_its_contrast_and_noise_moves_what_is_elsewhere(
    modules, patient
) -> None:
    class Half:
        policy = IntensityPolicy()

        def __init__(self) -> None:
            self.calls = 0

        def translates(self, source: str, target: str) -> bool:
            return True

        def __call__(self, volume, source, target):
            self.calls += 1
            span = find_window(patient.image("T1").array, None, self.policy).high
            drift = np.float32(0.01 * span * (self.calls == 3))  # the first of the ill subject
            made = volume.with_array(volume.array / 2 + drift)
            return modules.findings.Made(volume=made, span=span)

    kind = modules.lesions.KINDS["lesion"]
    audit = modules.findings.audit_patient(patient, SEED, ("T1", "T2"), [kind], Half())
    for found in audit.findings:
        assert found.output == pytest.approx(found.source / 2 + 1, abs=1e-3)
        assert found.cycle == pytest.approx(found.source / 4 + 0.5, abs=1e-3)
    assert audit.elsewhere[0].output == pytest.approx(1, abs=1e-3)
    assert audit.elsewhere[0].cycle == pytest.approx(0.5, abs=1e-3)


def test_where_no_way_back_is_known_there_is_no_cycle(modules, patient) -> None:
    class OneWay(Perfect):
        def translates(self, source: str, target: str) -> bool:
            return (source, target) == ("T1", "T2")

        def __call__(self, volume, source: str, target: str):
            assert self.translates(source, target), "asked for what it hasn't learned"
            return super().__call__(volume, source, target)

    kind = modules.lesions.KINDS["lesion"]
    method = OneWay(patient, kind)
    audit = modules.findings.audit_patient(patient, SEED, ("T1", "T2"), [kind], method)
    assert all(found.cycle is None for found in (*audit.findings, *audit.elsewhere))
    assert all(found.output == pytest.approx(found.truth, rel=1e-4) for found in audit.findings)
    made = modules.audit.survival_table({"cut": audit}, {}, "output", "truth")
    back = modules.audit.survival_table({"cut": audit}, {}, "cycle", "source")
    assert made.splitlines()[2].startswith("| cut | lesion |")
    assert back.splitlines()[2] == "| cut | one way: no cycle |  |  |  |  |  |"


def test_a_coarse_method_sees_means_of_blocks_where_they_lie(modules, patient) -> None:
    """With a factor of 2 and a method that changes nothing, block for block."""
    seen = []

    class Same:
        policy = IntensityPolicy()

        def __call__(self, volume, source, target):
            seen.append(volume)
            return modules.findings.Made(volume=volume, span=7.0)

    image = patient.image("T1")  # 45 x 49 x 43: the last plane of each axis fills no block
    made = modules.findings.CoarseTranslation(Same(), 2)(image, "T1", "T2")
    blocks = image.array[:44, :48, :42].reshape(22, 2, 24, 2, 21, 2).mean(axis=(1, 3, 5))
    expected = np.zeros(image.shape, np.float32)
    expected[:44, :48, :42] = np.kron(blocks, np.ones((2, 2, 2)))
    np.testing.assert_allclose(made.volume.array, expected, rtol=1e-6)
    np.testing.assert_array_equal(made.volume.affine, image.affine)
    assert made.span == 7
    corner = image.affine @ [0.5, 0.5, 0.5, 1]  # between the first eight voxels
    np.testing.assert_allclose(seen[0].affine @ [0, 0, 0, 1], corner)


def finding(modules, subject: int, truth: float, output: float):
    return modules.findings.Finding(
        subject=subject,
        kind="lesion",
        radius_mm=3.0,
        source=-10.0,
        seen=-10.0,
        truth=truth,
        output=output,
        cycle=-2.0,
    )


def test_survival_is_the_mean_of_the_subjects_ratios(modules) -> None:
    rows = [finding(modules, n, 20, output) for n, output in enumerate((8, 10, 12, 14))]
    assert modules.audit.survival(rows, "output", "truth").startswith("55 [")
    assert modules.audit.survival(rows, "cycle", "source").startswith("20")


def test_contrast_made_of_nothing_stands_in_brackets(modules) -> None:
    rows = [finding(modules, n, 0.5, output) for n, output in enumerate((3, -1, 4))]
    assert modules.audit.survival(rows, "output", "truth") == "(+2.0)"


def test_the_control_tells_the_error_in_places_without_a_lesion(modules) -> None:
    """Errors 1, -3 and 5: mean 1, deviation 4; the true contrasts 1, 2 and 3."""
    controls = tuple(
        modules.findings.Control(subject=0, radius_mm=3.0, truth=truth, output=truth + error)
        for truth, error in ((1, 1), (2, -3), (3, 5))
    )
    audit = modules.findings.Audit(findings=(), elsewhere=(), controls=controls)
    last = modules.audit.control_table({"any": audit}).splitlines()[-1]
    assert last == "| any | 3 mm | 3 | +2.0 ± 1.0 | +1.0 ± 4.0 | +5.0 |"


def test_the_tables_name_every_method_of_the_registry(
    modules, anatomy, identity, tmp_path, capsys, monkeypatch
) -> None:
    """With a generator that changes nothing: the output has what the source has."""
    save_checkpoint(make_checkpoint(), tmp_path / "tiny.safetensors")
    monkeypatch.setattr(modules.audit, "Anatomy", lambda: anatomy)
    run = partial(modules.findings.CheckpointTranslation, options=identity)
    monkeypatch.setattr(modules.audit, "CheckpointTranslation", run)
    monkeypatch.setitem(modules.audit.METHODS, "unheard-of", None)
    files = tmp_path / "audit.json", tmp_path / "audit.png"
    arguments = ["--weights", f"tiny={tmp_path / 'tiny.safetensors'}", "--subjects", "2"]
    arguments += ["--radius", "3", "--each", "1", "--kind", "lesion", "--direction", "T2:T1"]
    modules.audit.main([*arguments, "--json", str(files[0]), "--picture", str(files[1])])
    printed = capsys.readouterr().out
    assert "### T2 to T1, 2 subjects" in printed
    assert printed.count("| tiny | lesion |") == 2  # there, and there and back
    assert printed.count("| unheard-of | no checkpoint given |") == 2
    columns = {line.count("|") for line in printed.splitlines() if line.startswith("| ")}
    assert columns == {7}
    written = json.loads(files[0].read_text())
    assert written["missing"] == sorted(set(modules.audit.METHODS) - {"galip"})
    found = written["directions"]["T2:T1"]["tiny"]["findings"]
    assert [row["subject"] for row in found] == [40_000, 40_001]
    for row in found:
        assert row["source"] > 10 > -5 > row["truth"]
        assert row["output"] == pytest.approx(row["source"], rel=0.01)
        assert row["cycle"] == pytest.approx(row["source"], rel=0.01)
    assert files[1].stat().st_size > 1000


def test_run_folders_have_rows_as_far_as_their_domains_go(
    modules, anatomy, tmp_path, capsys, monkeypatch
) -> None:
    """Of three runs of two domains: both ways, one way, and one that doesn't know the source."""
    for name, method, domains in (
        ("both", "cyclegan", ("T1", "T2")),
        ("one", "cut", ("T1", "T2")),
        ("other", "cyclegan", ("PD", "T2")),
    ):
        (tmp_path / name).mkdir()
        save_checkpoint(two_domains(method, domains), tmp_path / name / "checkpoint.safetensors")
    monkeypatch.setattr(modules.audit, "Anatomy", lambda: anatomy)
    weights = [f"{name}={tmp_path / name}" for name in ("both", "one", "other")]
    arguments = ["--subjects", "1", "--radius", "3", "--each", "1", "--kind", "lesion"]
    modules.audit.main(["--weights", *weights, *arguments])
    printed = capsys.readouterr().out
    assert printed.count("| both | lesion |") == 2
    assert printed.count("| one | lesion |") == 1
    assert printed.count("| one | one way: no cycle |") == 1
    assert printed.count("| other | doesn't translate T1 to T2 |") == 2
    assert printed.count("| galip | no checkpoint given |") == 2
    assert "| cut | no checkpoint given |" not in printed


def two_domains(method: str, domains: tuple[str, str]):
    """A checkpoint of a method with the random networks that training begins with."""
    import torch

    from i2igalip_cli.domains import DOMAINS
    from i2igalip_cli.methods import METHODS

    known = tuple(DOMAINS[name] for name in domains)
    config = tiny_config(method=method, domains=domains)
    captions = torch.nn.functional.normalize(torch.eye(2, 16) + 0.1, dim=1)
    networks = METHODS[method](config, known, captions).exported
    tensors = {name: tensor.numpy() for name, tensor in networks.state_dict().items()}
    return make_checkpoint(config=config, domains=known, captions=captions.numpy(), tensors=tensors)


@pytest.mark.parametrize(
    ("option", "value"), [("--weights", "galip"), ("--direction", "T1:T1"), ("--kind", "tumour")]
)
def test_what_the_command_line_gets_wrong_is_told(modules, capsys, option, value) -> None:
    with pytest.raises(SystemExit) as stop:
        modules.audit.main([option, value])
    assert stop.value.code == 2
    assert value in capsys.readouterr().err


def test_two_checkpoints_of_one_name_are_refused(modules, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        modules.audit.main(["--weights", "cut=one", "cut=two"])
    assert stop.value.code == 2
    assert "each name once" in capsys.readouterr().err
