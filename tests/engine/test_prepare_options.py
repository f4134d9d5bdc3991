"""Options of prepare beside its steps on the grid: scales by domain, ends, air of CT, masks."""

import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import head, make_checkpoint, tiny_config, write_head
from engine.uneven_head import SHAPE, tissues
from scipy import ndimage

from i2igalip_cli.checkpoints import load_checkpoint, save_checkpoint
from i2igalip_cli.cli.prepare import prepare as prepare_command
from i2igalip_cli.config import CropPolicy, DomainScale, PrepareConfig, Steps
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.dataset import read_index
from i2igalip_cli.engine.prepare import plan, prepare, work
from i2igalip_cli.engine.prepare.steps import take_steps, undo_steps
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.volumes import Volume

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
PREPARED = (0, 3)  # whatever the audit finds in phantoms as small and as alike as these


def hounsfield(seed: int = 0) -> np.ndarray:
    """A head in HU, its bone above 0 and below 1500 laid out by the seed, air around."""
    array = head(seed=seed)
    bone = ndimage.gaussian_filter(np.random.default_rng(seed).random(array.shape), 1.5)
    bone = (bone - bone.min()) / np.ptp(bone)
    return np.where(array == 0, -1000, 1500 * bone).astype(np.float32)


@pytest.fixture
def pelvis(tmp_path) -> Path:
    """MR and CT of four subjects."""
    for subject in range(4):
        write_head(tmp_path / "raw" / f"s{subject}_MR.nii.gz", "T2", subject)
        image = nib.Nifti1Image(hounsfield(subject), AFFINE)
        nib.save(image, tmp_path / "raw" / f"s{subject}_CT.nii.gz")
    return tmp_path / "raw"


PELVIS = {"pelvic-MR": "*MR*", "pelvic-CT": "*CT*"}
PATTERNS = [f"--domain={name}={pattern}" for name, pattern in PELVIS.items()]


def shard_of(index, domain: str):
    return next(shard for shard in index.shards if shard.domain == domain)


# Scales by domain


def test_a_window_and_a_percentile_by_domain_scale_its_slices_alone(pelvis, tmp_path) -> None:
    scales = {
        "pelvic-CT": DomainScale(window=(-1000, 2000)),
        "pelvic-MR": DomainScale(percentile=90),
    }
    settings = PrepareConfig(patterns=PELVIS, intensity=scales, crop=CropPolicy(whole=True))
    index = prepare(pelvis, tmp_path / "out", settings).index
    scan = shard_of(index, "pelvic-CT")
    array = nib.load(pelvis / scan.source).get_fdata()[::-1, ::-1]
    cut = array[:, :, scan.first : scan.first + scan.shape[0]]
    slices = np.load(tmp_path / "out" / scan.file).astype(np.float32)
    np.testing.assert_allclose(slices, (cut.T + 1000) / 3000, atol=1e-3)
    assert scan.steps[-2] == "-1000 to 2000 became 0 to 1: the window of pelvic-CT"
    image = shard_of(index, "pelvic-MR")
    array = nib.load(pelvis / image.source).get_fdata()
    expected = np.percentile(array[array > array.mean()], 90)
    assert image.window == (0, pytest.approx(expected))
    assert image.steps[-2] == f"0 to {expected:g} became 0 to 1: percentile 90 of the foreground"
    assert read_index(tmp_path / "out").domains == (
        replace(DOMAINS["pelvic-MR"], percentile=90),
        replace(DOMAINS["pelvic-CT"], window=(-1000, 2000)),
    )


def test_the_percentile_of_all_leaves_domains_with_their_own(raw, tmp_path) -> None:
    settings = PrepareConfig(percentile=80, intensity={"T2": DomainScale(percentile=95)})
    index = prepare(raw, tmp_path / "out", settings).index
    assert index.policy.percentile == 80
    for name, percentile in (("T1", 80), ("T2", 95), ("PD", 80)):
        shard = shard_of(index, name)
        array = nib.load(raw / shard.source).get_fdata()
        expected = np.percentile(array[array > array.mean()], percentile)
        assert shard.window[1] == pytest.approx(expected)


def test_files_and_the_command_line_say_the_same(pelvis, tmp_path, program) -> None:
    (tmp_path / "a.toml").write_text(
        "[prepare]\npercentile = 97\nleast_foreground = 0.1\n"
        "[prepare.patterns]\npelvic-MR = '*MR*'\npelvic-CT = '*CT*'\n"
        "[prepare.intensity.pelvic-CT]\nwindow = [-1000, 2000]\n"
        "[prepare.intensity.pelvic-MR]\npercentile = 90\n"
    )
    said = ["--window", "pelvic-CT=-1000,2000", "--percentile", "97"]
    said += ["--percentile", "pelvic-MR=90", "--least-foreground", "0.1"]
    done = program("prepare", pelvis, "--out", tmp_path / "one", *PATTERNS, *said)
    assert done.code in PREPARED, done.out + done.err
    done = program("prepare", pelvis, "--out", tmp_path / "two", "--config", tmp_path / "a.toml")
    assert done.code in PREPARED, done.out + done.err
    one, two = (read_index(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert one.policy.percentile == 97
    assert shard_of(one, "pelvic-CT").window == (-1000, 2000)


def test_the_command_line_lies_over_the_file_by_domain(pelvis, tmp_path, program) -> None:
    (tmp_path / "a.toml").write_text(
        "[prepare.intensity.pelvic-CT]\nwindow = [-500, 500]\n"
        "[prepare.intensity.pelvic-MR]\nwindow = [0, 500]\n"
    )
    arguments = ["--config", tmp_path / "a.toml", "--percentile", "pelvic-MR=90"]
    done = program("prepare", pelvis, "--out", tmp_path / "out", *PATTERNS, *arguments)
    assert done.code in PREPARED, done.out + done.err
    domains = {domain.name: domain for domain in read_index(tmp_path / "out").domains}
    assert domains["pelvic-CT"].window == (-500, 500)
    assert (domains["pelvic-MR"].window, domains["pelvic-MR"].percentile) == (None, 90)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "pelvic-CT=-1000"], "--window '-1000': LOW,HIGH is expected"),
        (["--window", "pelvic-CT=low,high"], "--window 'low,high': LOW,HIGH is expected"),
        (["--window", "-1000,2000"], "write DOMAIN='...'"),
        (["--window", "pelvic-CT=2000,-1000"], "the lower one first"),
        (["--window", "pelvic-CT=0,nan"], "the lower one first"),
        (["--window", "pelvic-CT=-1500,2000"], "below -1024 HU there is padding only"),
        (["--window", "PET=0,5"], "a window or percentile for 'PET': no domain of these"),
        (["--percentile", "pelvic-CT=99"], "pelvic-CT is CT, which no percentile scales"),
        (["--percentile", "pelvic-MR=0"], "from above 0 to 100"),
        (["--percentile", "101"], "percentile = 101.0: from above 0 to 100"),
        (["--percentile", "most"], "--percentile 'most': a number is expected"),
        (["--percentile", "98", "--percentile", "99"], "one for all domains"),
        (
            ["--percentile", "pelvic-MR=99", "--window", "pelvic-MR=0,500"],
            "either window = [low, high] or percentile",
        ),
        (["--least-foreground", "1"], "least_foreground = 1.0: from 0 to below 1"),
        (["--mask", "bet"], "mask = bet: of otsu, synthstrip, hd-bet"),
    ],
)
def test_what_can_scale_nothing_is_refused(pelvis, program, arguments, message) -> None:
    done = program("prepare", pelvis, "--dry-run", *PATTERNS, *arguments)
    assert done.code == 1
    assert message in " ".join(done.err.split())


# What was said travels to translation


def test_a_trained_checkpoint_scales_as_its_dataset_was(
    pelvis, encoder_folder, tmp_path, identity
) -> None:
    scales = {
        "pelvic-CT": DomainScale(window=(-1000, 2000)),
        "pelvic-MR": DomainScale(percentile=90),
    }
    prepare(pelvis, tmp_path / "data", PrepareConfig(patterns=PELVIS, intensity=scales))
    path = Trainer(tmp_path / "data", tmp_path / "run", tiny_config(encoder_folder), "cpu").run()
    checkpoint = load_checkpoint(path)
    image = Volume(array=head("T2", 9), affine=AFFINE)
    made = translate_volume(image, checkpoint, "pelvic-CT", "pelvic-MR", identity)
    expected = np.percentile(image.array[image.array > image.array.mean()], 90)
    assert made.window.high == pytest.approx(expected)
    assert (made.out_window.low, made.out_window.high) == (-1000, 2000)
    scan = Volume(array=hounsfield(9), affine=AFFINE)
    made = translate_volume(scan, checkpoint, "pelvic-MR", "pelvic-CT", identity)
    assert (made.window.low, made.window.high) == (-1000, 2000)


@pytest.mark.parametrize("own", [{"percentile": 90.0}, {"window": (0.0, 800.0)}])
def test_a_domain_with_its_own_scale_must_be_named_as_the_source(own, tmp_path, identity) -> None:
    tiny = make_checkpoint()
    domains = (*tiny.domains[:2], replace(tiny.domains[2], **own))
    save_checkpoint(replace(tiny, domains=domains), tmp_path / "own.safetensors")
    checkpoint = load_checkpoint(tmp_path / "own.safetensors")
    assert checkpoint.domains == domains
    source = Volume(array=head("PD"), affine=AFFINE)
    with pytest.raises(ConfigError, match=r"scales PD in another way .*--from T1"):
        translate_volume(source, checkpoint, "T2", options=identity)
    foreground = source.array[source.array > source.array.mean()]
    for name, percentile in (("T1", 99.5), ("PD", 90)):
        made = translate_volume(source, checkpoint, "T2", name, identity)
        expected = np.percentile(foreground, percentile)
        if name == "PD" and "window" in own:
            expected = 800
        assert made.window.high == pytest.approx(expected)


def test_checkpoints_of_one_scale_need_no_source(identity) -> None:
    source = Volume(array=head(), affine=AFFINE)
    assert translate_volume(source, make_checkpoint(), "T2", options=identity).source is None


def test_an_index_of_before_knows_no_percentile_by_domain(dataset, tmp_path) -> None:
    values = json.loads((dataset / "index.json").read_text())
    for row in values["domains"]:
        del row["percentile"]
    (tmp_path / "index.json").write_text(json.dumps(values))
    assert read_index(tmp_path) == read_index(dataset)


# Ends


@pytest.mark.parametrize("least", [0, 0.01, 0.2, 0.4])
def test_ends_with_less_foreground_are_left_out(least, tmp_path) -> None:
    path = write_head(tmp_path / "raw" / "a_T1.nii.gz", shape=(20, 24, 15))
    settings = PrepareConfig(
        split=(1, 0, 0), least_foreground=least, crop=CropPolicy(whole=True), percentile=100
    )
    (shard,) = prepare(path.parent, tmp_path / "out", settings).index.shards
    share = (head(shape=(20, 24, 15)) > 0).mean(axis=(0, 1))
    kept = np.flatnonzero(share >= least)
    assert (shard.first, shard.shape[0]) == (kept[0], np.ptp(kept) + 1)
    number = shard.shape[0]
    assert shard.steps[-1] == (
        f"kept {number} of 15 axial slices, 24 x 20 of 24 x 20 pixels, "
        f"from ({shard.first}, 0, 0) on"
    )
    assert (number == 15) == (least == 0)


def test_the_log_tells_what_the_crop_left_of_the_pixels(tmp_path) -> None:
    array = np.zeros((30, 28, 6), np.float32)
    array[10:20, 5:25] = 100
    array[12:18, 8:20] = 50
    (tmp_path / "raw").mkdir()
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "raw" / "a_T1.nii.gz")
    settings = PrepareConfig(split=(1, 0, 0), crop=CropPolicy(margin_mm=2))
    (shard,) = prepare(tmp_path / "raw", tmp_path / "out", settings).index.shards
    # Rows run to posterior, the first at j = 24 + 2; columns to the left, the first at i = 19 + 2.
    assert shard.steps[-1] == (
        "kept 6 of 6 axial slices, 24 x 14 of 28 x 30 pixels, from (0, 1, 8) on"
    )


# Air of CT

LEVELS_HU = (-1000.0, 900.0, 40.0, 400.0)


def draw(levels, **motion) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.array(levels)[tissues(**motion)], 0.7)
    return smooth.astype(np.float32)


@pytest.fixture(params=["padded", "not padded"])
def scans(request) -> tuple[Volume, Volume]:
    """MR as reference; CT of the same head, turned by 7 degrees, whose field ends within it.

    Padded, its corners are far below air: scanners so fill what lies outside their circle.
    """
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    image = draw((0, 200, 600, 1000)) + 8 * noise * (tissues() > 0)
    scan = draw(LEVELS_HU, turn=np.radians(7), shift=(1.5, -1, 2))
    scan += 5 * np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    i, j = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE[:2]), indexing="ij")
    if request.param == "padded":
        scan[np.hypot(i, j) > 1.05] = -3024
    cut = scan[:, :, 10:27]
    affine = AFFINE.copy()
    affine[2, 3] = 40
    return Volume(array=image, affine=AFFINE), Volume(array=cut, affine=affine)


def reached(stepped, shape) -> np.ndarray:
    """Where the raw field of view lies on the new grid, with a voxel around it."""
    motion = np.reshape(stepped.raw.motion, (4, 4)) @ stepped.volume.affine
    between = np.linalg.solve(np.reshape(stepped.raw.affine, (4, 4)), motion)
    places = np.stack(np.meshgrid(*map(np.arange, stepped.volume.shape), indexing="ij"), -1)
    index = places @ between[:3, :3].T + between[:3, 3]
    return ((index > -1) & (index < np.array(shape))).all(axis=-1)


def test_ct_moved_by_registration_is_air_outside_of_its_field(scans) -> None:
    reference, scan = scans
    stepped = take_steps(scan, DOMAINS["pelvic-CT"], Steps(register="T1"), reference)
    padded = scan.array.min() < -1024
    words = [line.split()[0] for line in stepped.log]
    assert words == ["padding", "registered:"][not padded :]
    assert stepped.volume.shape == SHAPE
    outside = ~reached(stepped, scan.shape)
    assert outside.mean() > 0.3
    assert (stepped.volume.array[outside] == -1024).all()
    assert stepped.volume.array.min() == -1024, "padding is air as well"
    inside = ndimage.binary_erosion(~outside, iterations=2) & (tissues() > 0)
    truth = draw(LEVELS_HU)[inside]
    before = draw(LEVELS_HU, turn=np.radians(7), shift=(1.5, -1, 2))[inside]
    error = np.abs(stepped.volume.array[inside] - truth).mean()
    assert error < 0.35 * np.abs(before - truth).mean()


def test_ct_put_back_is_air_where_the_prepared_grid_ends(scans) -> None:
    reference, scan = scans
    domain = DOMAINS["pelvic-CT"]
    small = replace(reference, array=reference.array[:, 8:])
    affine = AFFINE.copy()
    affine[1, 3] = 32
    stepped = take_steps(scan, domain, Steps(register="T1"), replace(small, affine=affine))
    back = undo_steps(stepped.volume, stepped.raw)
    assert back.shape == scan.shape
    assert (back.array[:, :4] == -1024).all()
    tissue = (scan.array[:, 16:, 4:-4] > -500).mean()
    assert (back.array[:, 16:, 4:-4] > -500).mean() == pytest.approx(tissue, rel=0.1)


def test_resampled_ct_does_not_smear_its_padding_into_the_body() -> None:
    """Half body, half padding; laid on voxels twice as large."""
    array = np.full((8, 6, 6), 40.0)
    array[4:] = -3024
    volume = Volume(array=array, affine=np.eye(4))
    stepped = take_steps(volume, DOMAINS["pelvic-CT"], Steps(spacing_mm=(2, 2, 2)))
    assert stepped.log == (
        "padding below -1024 HU, 50.0% of the voxels, set to it",
        "resampled to 2 x 2 x 2 mm",
    )
    air = take_steps(
        replace(volume, array=np.maximum(array, -1024)),
        DOMAINS["pelvic-CT"],
        Steps(spacing_mm=(2, 2, 2)),
    )
    np.testing.assert_array_equal(stepped.volume.array, air.volume.array)
    assert len(air.log) == 1


def test_a_field_within_the_body_is_masked_with_air() -> None:
    """Its lowest value is fat: that can't stand for what is emptied."""
    array = np.full((20, 20, 6), -400.0)
    array[4:16, 4:16] = 50
    volume = Volume(array=array, affine=AFFINE)
    stepped = take_steps(volume, DOMAINS["pelvic-CT"], Steps(mask="otsu"))
    assert sorted(np.unique(stepped.volume.array)) == [-1024, 50]


def test_mr_is_its_lowest_value_outside_as_before(scans) -> None:
    reference, _ = scans
    moving = replace(reference, array=reference.array[:, :, 10:27] + 5)
    affine = AFFINE.copy()
    affine[2, 3] = 40
    moving = replace(moving, affine=affine)
    stepped = take_steps(moving, DOMAINS["T2"], Steps(register="T1"), reference)
    outside = ~reached(stepped, moving.shape)
    assert (stepped.volume.array[outside] == moving.array.min()).all()


def test_slices_of_moved_ct_are_empty_outside_of_its_field(scans, tmp_path) -> None:
    for name, volume in zip(("a_MR", "a_CT"), scans, strict=True):
        (tmp_path / "raw").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(volume.array, volume.affine), tmp_path / "raw" / f"{name}.nii.gz")
    settings = PrepareConfig(
        patterns=PELVIS,
        split=(1, 0, 0),
        crop=CropPolicy(whole=True),
        steps=Steps(register="pelvic-MR"),
        least_foreground=0,
    )
    report = prepare(tmp_path / "raw", tmp_path / "out", settings)
    assert report.pairs == 2
    slices = np.load(tmp_path / "out" / shard_of(report.index, "pelvic-CT").file)
    assert slices.shape == (36, 44, 40)
    assert not slices[:7].any()
    assert not slices[-6:].any()
    assert slices[18].max() > 0.4


# Masks

STRIPS = """
import argparse
import nibabel as nib, numpy as np
parser = argparse.ArgumentParser()
parser.add_argument("-i", "--image")
parser.add_argument("-m", "--mask")
given = parser.parse_args()
image = nib.load(given.image)
array = image.get_fdata()
nib.save(nib.Nifti1Image((array > 400).astype(np.uint8), image.affine), given.mask)
"""


def test_a_mask_by_another_program_from_the_command_line(
    raw, tmp_path, program, monkeypatch
) -> None:
    (tmp_path / "mri_synthstrip").write_text(f"#!{sys.executable}\n{STRIPS}")
    (tmp_path / "mri_synthstrip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = program("prepare", raw, "--out", tmp_path / "out", "--mask", "synthstrip", "--whole")
    assert done.code in PREPARED, done.out + done.err
    shard = read_index(tmp_path / "out").shards[0]
    array = nib.load(raw / shard.source).get_fdata()
    assert shard.steps[0] == (
        f"mask of {(array > 400).mean():.1%} of the voxels by synthstrip, air elsewhere"
    )
    slices = np.load(tmp_path / "out" / shard.file)
    assert slices[slices > 0].min() > 400 / array.max()
    assert 0 < (slices > 0).sum() <= (array > 400).sum()


def test_an_absent_program_is_said_before_a_volume_is_read(raw, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(work, "load_entry", lambda entry: pytest.fail("a volume was read"))
    settings = PrepareConfig(steps=Steps(mask="hd-bet"))
    with pytest.raises(ConfigError, match="hd-bet isn't on PATH"):
        plan(raw, settings)
    with pytest.raises(ConfigError, match="hd-bet isn't on PATH"):
        prepare(raw, tmp_path / "out", settings)


# A modality of one's own


def test_ct_of_ones_own_has_hounsfield_units_and_their_window(pelvis, tmp_path, program) -> None:
    own = ["--domain=MR=*MR*", "--domain=head=*CT*", "--caption=MR=This is MRI"]
    own += ["--caption=head=This is head CT", "--modality=head=ct"]
    told = program("prepare", pelvis, "--out", tmp_path / "own", *own)
    assert told.code in PREPARED, told.err
    domains = {domain.name: domain for domain in read_index(tmp_path / "own").domains}
    assert (domains["head"].modality, domains["head"].window) == ("CT", (-1024.0, 3000.0))
    assert (domains["MR"].modality, domains["MR"].window) == ("MR", None)
    patterns = dict(PELVIS)
    known = prepare(pelvis, tmp_path / "known", PrepareConfig(patterns=patterns)).index
    ours, theirs = (
        np.load(tmp_path / folder / shard_of(index, name).file)
        for folder, index, name in (
            ("own", read_index(tmp_path / "own"), "head"),
            ("known", known, "pelvic-CT"),
        )
    )
    np.testing.assert_array_equal(ours, theirs)
    told = program("prepare", pelvis, "--out", tmp_path / "cut", *own, "--window=head=-100,300")
    assert told.code in PREPARED, told.err
    domains = {domain.name: domain for domain in read_index(tmp_path / "cut").domains}
    assert domains["head"].window == (-100.0, 300.0)


def test_hounsfield_units_that_are_said_to_be_mr_are_doubted(pelvis, tmp_path) -> None:
    own = {"MR": "*MR*", "head": "*CT*"}
    captions = {"MR": "This is MRI", "head": "This is head CT"}
    settings = PrepareConfig(patterns=own, captions=captions)
    (told,) = [
        line
        for line in prepare(pelvis, tmp_path / "out", settings).audit.lines("warning")
        if "--modality" in line
    ]
    assert "--modality NAME=CT for one of your own) (4 volumes)" in told
    assert "MR.nii.gz" not in told


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ({"head": "PET"}, "modality of head: 'PET', of MR, CT"),
        ({"brain": "CT"}, "a modality for 'brain', but no pattern"),
        ({"pelvic-CT": "MR"}, "pelvic-CT is CT; give another domain a name of its own"),
    ],
)
def test_a_modality_that_cannot_be_is_refused(pelvis, modalities, message) -> None:
    with pytest.raises(ConfigError, match=message):
        patterns = {**PELVIS, "head": "*head*"}
        captions = {"head": "This is a head"}
        plan(pelvis, PrepareConfig(patterns=patterns, captions=captions, modalities=modalities))


# Help


@pytest.mark.parametrize(
    "name",
    [
        *("domain", "plane", "whole", "least_foreground", "window", "percentile", "bias"),
        *("register", "reorient", "spacing", "mask", "split", "seed"),
    ],
)
def test_the_help_of_a_step_says_its_default(name: str) -> None:
    parameter = inspect.signature(prepare_command, eval_str=True).parameters[name]
    assert "default" in parameter.annotation.__metadata__[0].help
