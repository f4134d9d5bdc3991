"""Steps before slices: what they do to a subject's volumes, and how that is undone."""

import nibabel as nib
import numpy as np
import pytest
from conftest import write_head
from engine.uneven_head import SHAPE, tissues
from scipy import ndimage

from i2igalip_cli.config import CropPolicy, PrepareConfig, Steps
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.dataset import read_index
from i2igalip_cli.engine.prepare import prepare, work
from i2igalip_cli.engine.prepare.steps import take_steps, undo_steps
from i2igalip_cli.errors import ConfigError, DatasetError
from i2igalip_cli.volumes import Volume, load_entry

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
LEVELS = {"T1": (0.0, 0.2, 0.6, 1.0), "T2": (0.0, 1.0, 0.6, 0.3)}


def image(contrast: str, **motion) -> np.ndarray:
    clean = ndimage.gaussian_filter(np.array(LEVELS[contrast])[tissues(**motion)], 0.7)
    noise = np.random.default_rng(len(contrast)).standard_normal(SHAPE)
    return (1000 * np.maximum(clean + 0.01 * noise * (clean > 0.02), 0)).astype(np.float32)


@pytest.fixture
def raw(tmp_path):
    """A subject's T1, and its T2 after a motion of 7 degrees and (6, -4, 8) mm."""
    (tmp_path / "raw").mkdir()
    moved = image("T2", turn=np.radians(7), shift=(1.5, -1, 2))
    for name, array in (("T1", image("T1")), ("T2", moved)):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "raw" / f"a_{name}.nii.gz")
    return tmp_path / "raw"


def settings(**steps) -> PrepareConfig:
    return PrepareConfig(split=(1, 0, 0), crop=CropPolicy(whole=True), steps=Steps(**steps))


def before_cutting(shard) -> tuple[str, ...]:
    """The log without its last two lines, which every shard has: of its scale and of its cut."""
    assert [line.split()[1] for line in shard.steps[-2:]] == ["to", str(shard.shape[0])]
    return shard.steps[:-2]


def test_without_steps_nothing_is_done(raw, tmp_path) -> None:
    report = prepare(raw, tmp_path / "out", settings())
    assert {before_cutting(shard) for shard in report.index.shards} == {()}
    for shard in read_index(tmp_path / "out").shards:
        assert shard.raw.shape == SHAPE
        assert shard.raw.affine == tuple(AFFINE.ravel())
        assert shard.raw.motion == tuple(np.eye(4).ravel())


def test_registered_contrasts_share_a_grid_and_fit_the_unmoved_one(raw, tmp_path) -> None:
    report = prepare(raw, tmp_path / "out", settings(register="T1"))
    assert report.pairs == 2
    first, second = report.index.shards
    assert (first.domain, before_cutting(first)) == ("T1", ())
    (line,) = before_cutting(second)
    assert line.startswith("registered: mutual information ")
    made = np.load(tmp_path / "out" / second.file).astype(np.float32)
    assert made.shape[0] < SHAPE[2], "ends without foreground are left out"
    true = image("T2")[::-1, ::-1, second.first : second.first + made.shape[0]].T
    error = np.abs(made - np.clip(true / second.window[1], 0, 1))
    unmoved = np.abs(
        np.clip(image("T2", turn=np.radians(7), shift=(1.5, -1, 2)) / second.window[1], 0, 1)
        - np.clip(image("T2") / second.window[1], 0, 1)
    )
    assert error.mean() < 0.25 * unmoved.mean()


def test_what_steps_did_to_the_grid_is_undone() -> None:
    array = image("T1")
    volume = Volume(array=array, affine=AFFINE @ np.diag([-1, 1, 1, 1]))
    stepped = take_steps(volume, DOMAINS["T1"], Steps(reorient="PSR", spacing_mm=(2, 2, 2)))
    assert np.allclose(np.abs(stepped.volume.affine[:3, :3]).max(axis=0), 2)
    assert [line.split()[0] for line in stepped.log] == ["axes", "resampled"]
    back = undo_steps(stepped.volume, stepped.raw)
    assert back.shape == volume.shape
    np.testing.assert_allclose(back.affine, volume.affine)
    inside = (slice(1, -1),) * 3
    error = np.abs(back.array - array)[inside].mean()
    half_a_voxel = np.abs(ndimage.shift(array, (0.5, 0, 0), order=1) - array)[inside].mean()
    assert error < 0.7 * half_a_voxel


def test_a_registration_is_undone_with_the_grid() -> None:
    reference = Volume(array=image("T1"), affine=AFFINE)
    moved = Volume(array=image("T2", turn=np.radians(7), shift=(1.5, -1, 2)), affine=AFFINE)
    stepped = take_steps(moved, DOMAINS["T2"], Steps(register="T1"), reference)
    back = undo_steps(stepped.volume, stepped.raw)
    inside = (slice(4, -4),) * 3
    error = np.abs(back.array - moved.array)[inside].mean()
    assert error < 0.3 * np.abs(stepped.volume.array - moved.array)[inside].mean()


def test_a_volume_without_its_reference_is_named(raw, tmp_path) -> None:
    (raw / "a_T1.nii.gz").rename(raw / "b_T1.nii.gz")
    with pytest.raises(DatasetError, match=r"a_T2\.nii\.gz: the T1 volume .* isn't there"):
        prepare(raw, tmp_path / "out", settings(register="T1"))
    report = prepare(raw, tmp_path / "out", settings(register="T1"), skip_faulty=True)
    assert [shard.subject for shard in report.index.shards] == ["b"]


def test_a_registration_that_fails_is_told_and_not_kept(raw, tmp_path) -> None:
    noise = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    nib.save(nib.Nifti1Image(noise, AFFINE), raw / "a_T2.nii.gz")
    with pytest.raises(DatasetError, match=r"a_T2\.nii\.gz: not registered: "):
        prepare(raw, tmp_path / "out", settings(register="T1"))


def test_ct_is_masked_as_ct_whatever_its_file_says() -> None:
    """Padding far below air would draw Otsu's threshold there."""
    i, j = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")[:2]
    body = i**2 + j**2 < 0.4
    array = np.where(body, 40.0, np.where(i**2 + j**2 < 0.95, -1000, -3024)).astype(np.float32)
    volume = Volume(array=array, affine=AFFINE)
    stepped = take_steps(volume, DOMAINS["pelvic-CT"], Steps(mask="otsu"))
    kept = stepped.volume.array > -1024
    assert kept.mean() == pytest.approx(body.mean(), abs=0.02)


def test_mask_and_bias_are_logged_and_empty_the_air(raw, tmp_path) -> None:
    array = image("T1") + 15 * np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    nib.save(nib.Nifti1Image(array, AFFINE), raw / "a_T1.nii.gz")
    (raw / "a_T2.nii.gz").unlink()
    report = prepare(raw, tmp_path / "out", settings(bias=True, mask="otsu"))
    (shard,) = report.index.shards
    assert shard.steps[0].startswith("bias field from ")
    assert shard.steps[1].startswith("mask of ")
    slices = np.load(tmp_path / "out" / shard.file)
    assert np.ptp(slices[:, :2].astype(np.float32)) == 0, "the rim is air"


@pytest.mark.parametrize(
    "steps",
    [
        {"reorient": "RAR"},
        {"reorient": "XYZ"},
        {"reorient": "RA"},
        {"spacing_mm": (1.0, 0, 1)},
        {"spacing_mm": (1.0,)},
    ],
)
def test_impossible_axes_and_distances_are_refused(steps) -> None:
    with pytest.raises(ConfigError, match=next(iter(steps))):
        Steps(**steps)


def test_an_unknown_reference_is_refused(raw, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"register = FLAIR: .*T1, T2, PD"):
        prepare(raw, tmp_path / "out", settings(register="FLAIR"))


def test_steps_from_the_command_line(program, raw, tmp_path) -> None:
    arguments = ["--register", "T1", "--reorient", "RAS", "--spacing", "4", "4", "4"]
    done = program("prepare", raw, "--out", tmp_path / "out", *arguments, "--split", "1", "0", "0")
    assert done.code == 0
    assert "in pairs: 2" in done.out
    lines = {s.domain: before_cutting(s) for s in read_index(tmp_path / "out").shards}
    assert lines["T1"] == ("axes turned to RAS", "resampled to 4 x 4 x 4 mm")


def test_the_number_of_processes_changes_no_byte(raw, tmp_path) -> None:
    for name in ("T1", "T2"):
        array = nib.load(raw / f"a_{name}.nii.gz").get_fdata(dtype=np.float32)
        nib.save(nib.Nifti1Image(array * 2, AFFINE), raw / f"b_{name}.nii.gz")
    for jobs in (1, 2):
        prepare(raw, tmp_path / f"out{jobs}", settings(register="T1", bias=True), jobs=jobs)
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")


def contents(folder) -> dict[str, bytes]:
    """Every file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Killed(BaseException):
    """As a signal would end the run."""


def kill_after(number: int):
    def tell(done: int, total: int) -> None:
        if done == number:
            raise Killed

    return tell


@pytest.fixture
def cohort(tmp_path):
    """Four subjects of small heads."""
    for subject in range(4):
        for name in ("T1", "T2"):
            write_head(tmp_path / "cohort" / f"s{subject}_{name}.nii.gz", name, seed=subject)
    return tmp_path / "cohort"


def test_a_killed_run_goes_on_to_the_same_bytes_and_does_nothing_twice(
    cohort, tmp_path, monkeypatch
) -> None:
    prepare(cohort, tmp_path / "whole")
    with pytest.raises(Killed):
        prepare(cohort, tmp_path / "out", on_progress=kill_after(2))
    assert not (tmp_path / "out").exists()
    read = []
    monkeypatch.setattr(work, "load_entry", lambda e: read.append(e.path.name) or load_entry(e))
    prepare(cohort, tmp_path / "out")
    assert sorted({name[:2] for name in read}) == ["s2", "s3"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_settings_and_other_files_are_not_taken_for_what_was_done(cohort, tmp_path) -> None:
    for planes in (("axial",), ("coronal",)):
        with pytest.raises(Killed):
            chosen = PrepareConfig(planes=planes)
            prepare(cohort, tmp_path / "out", chosen, on_progress=kill_after(4))
    write_head(cohort / "s0_T1.nii.gz", seed=77)
    prepare(cohort, tmp_path / "out")
    prepare(cohort, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
