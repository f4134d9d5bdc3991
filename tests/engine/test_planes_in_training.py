"""Crops and planes in a dataset: pairs lie pixel on pixel, and only like planes meet."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from conftest import tiny_config

from i2igalip_cli.config import PLANES, CropPolicy, PrepareConfig
from i2igalip_cli.engine.dataset import SliceDataset, read_index
from i2igalip_cli.engine.prepare import prepare
from i2igalip_cli.engine.sampler import BatchSampler

SHAPE = (34, 44, 25)
DOMAINS = ("T1", "T2")


def body(shift: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
    """A block of a texture that tells every place; a dark rest."""
    place = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    inside = tuple(slice(s, s + n) for s, n in zip(shift, size, strict=True))
    array = np.zeros(SHAPE, np.float32)
    array[inside] = 0.5 + 0.5 * place[inside]
    return array


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """Two subjects in two contrasts whose foregrounds differ, so that their boxes do, too."""
    folder = tmp_path_factory.mktemp("planes")
    bodies = {
        "T1": body((9, 12, 7), (14, 18, 9)),
        "T2": body((7, 14, 6), (17, 13, 11)),
    }
    (folder / "raw").mkdir()
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    for subject in range(2):
        for domain, array in bodies.items():
            path = folder / "raw" / f"sub-{subject}_{domain}.nii"
            nib.save(nib.Nifti1Image((1 + subject) * array, affine), path)  # no scan twice
    settings = PrepareConfig(planes=PLANES, crop=CropPolicy(margin_mm=2), split=(1, 0, 0))
    report = prepare(folder / "raw", folder / "out", settings)
    assert report.pairs == 4, "a volume counts once, in however many planes it was cut"
    return folder / "out"


def test_slices_are_cut_to_the_foreground_and_its_margin(planes) -> None:
    index = read_index(planes)
    shapes = {(s.domain, s.plane): s.shape for s in index.shards}
    assert shapes["T1", "axial"] == (9, 18 + 4, 14 + 4)
    assert shapes["T1", "coronal"] == (18, 9 + 4, 14 + 4)
    assert shapes["T1", "sagittal"] == (14, 9 + 4, 18 + 4)
    assert shapes["T2", "axial"] == (11, 13 + 4, 17 + 4)
    assert index.crop == CropPolicy(margin_mm=2)


def test_a_true_translation_lies_pixel_on_pixel_in_every_plane(planes) -> None:
    data = SliceDataset(planes, "train", multiple=8)
    met = set()
    for number in range(len(data)):
        partner = data.counterpart(number, 1 - int(data.domains[number]))
        if partner is None:
            continue
        met.add(PLANES[data.planes[number]])
        assert data.planes[partner] == data.planes[number]
        own, truth = data.read([number, partner], [number, number])[:, 0]
        both = (own > 0) & (truth > 0)
        assert both.sum() > 50
        both &= (own < 1) & (truth < 1)  # each volume is scaled by itself, and cut at 1
        ratio = own[both] / truth[both]
        np.testing.assert_allclose(ratio, ratio[0], rtol=5e-3)
    assert met == set(PLANES)


def test_volumes_whose_crops_do_not_meet_lay_nothing_into_each_other(planes, tmp_path) -> None:
    import json
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(planes, folder)
    values = json.loads((folder / "index.json").read_text())
    for shard in values["shards"]:
        if shard["domain"] == "T2":
            shard["corner"] = [200, -200]
    (folder / "index.json").write_text(json.dumps(values))
    data = SliceDataset(folder, "train", multiple=8)
    t1, t2 = (int(np.flatnonzero(data.domains == domain)[0]) for domain in (0, 1))
    assert not data.read([t2], [t1]).any()
    assert not data.read([t1], [t2]).any()
    assert data.read([t1, t2]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("distinct", [True, False])
def test_only_slices_of_one_plane_meet(planes, distinct) -> None:
    data = SliceDataset(planes, "train", multiple=2)
    config = tiny_config(distinct_domains=distinct, steps=40)
    sampler = BatchSampler(data, config)
    met = set()
    for position in range(60):
        first = sampler.slice_at(0, position)
        second = sampler._second(first, position)
        assert data.planes[first] == data.planes[second]
        if distinct:
            assert data.domains[first] != data.domains[second]
        met.add(int(data.planes[first]))
    assert len(met) == 3


def test_a_run_on_three_planes_says_so_in_its_checkpoint(planes, encoder_folder, tmp_path) -> None:
    from i2igalip_cli.checkpoints import load_checkpoint
    from i2igalip_cli.engine.trainer import Trainer

    config = replace(tiny_config(steps=1), encoder=str(encoder_folder), batch=1)
    Trainer(planes, tmp_path / "run", config).run()
    trained = load_checkpoint(tmp_path / "run")
    assert dict(trained.planes) == dict.fromkeys(PLANES, (1.0, 1.0))
    assert trained.crop == CropPolicy(margin_mm=2)
    assert trained.path == tmp_path / "run" / "checkpoint.safetensors"
