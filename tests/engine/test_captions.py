"""Free captions: the checkpoint's own encoder, the label row kept, a warning where they mislead."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from conftest import make_checkpoint, tiny_config

from i2igalip_cli import translate
from i2igalip_cli.checkpoints import load_checkpoint
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.captions import FreeCaption, compare_caption, encode_caption, with_caption
from i2igalip_cli.engine.trainer import Trainer
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.volumes import load_volume, save_volume


@pytest.fixture(scope="module", params=["pooled", "tokens"])
def trained(request, dataset, encoder_folder, tmp_path_factory):
    """A checkpoint of a short run, which names its encoder."""
    out = tmp_path_factory.mktemp("run")
    config = tiny_config(encoder_folder, steps=2, caption_context=request.param)
    return load_checkpoint(Trainer(dataset, out, config, "cpu").run())


def test_the_domains_own_caption_changes_nothing(trained, t1) -> None:
    volume = load_volume(t1)
    own = encode_caption("This MRI is T2-weighted", trained)
    translate_volume(volume, trained, "T2")  # the network's graph is made, and told of, once
    plain = translate_volume(volume, trained, "T2")
    said = translate_volume(volume, trained, "T2", caption=own)
    np.testing.assert_array_equal(said.volume.array, plain.volume.array)
    assert said.warnings == plain.warnings


def test_another_caption_changes_the_output_and_is_recorded(trained, t1, tmp_path) -> None:
    volume = load_volume(t1)
    caption = encode_caption("a picture of T2", trained)
    # A hundred times what an untrained network makes of a caption: above float32's rounding.
    caption = replace(
        caption,
        embedding=caption.embedding * 100,
        tokens=None if caption.tokens is None else caption.tokens * 100,
    )
    result = translate_volume(volume, trained, "T2", caption=caption)
    plain = translate_volume(volume, trained, "T2")
    assert not np.array_equal(result.volume.array, plain.volume.array)
    assert result.target.caption == "a picture of T2"
    save_volume(result.volume, tmp_path / "out.nii.gz")
    save_volume(plain.volume, tmp_path / "plain.nii.gz")
    for name, words in (("out", "a picture of T2"), ("plain", "This MRI is T2-weighted")):
        (said,) = nib.load(tmp_path / f"{name}.nii.gz").header.extensions
        assert said.get_code() == 6
        assert f"to T2 by the caption '{words}'" in str(said.get_content())


def test_the_label_row_and_the_other_domains_stay(checkpoint) -> None:
    said = FreeCaption(text="so", embedding=np.ones(16, np.float32) / 4)
    changed = with_caption(checkpoint, DOMAINS["T2"], said)
    assert [d.name for d in changed.domains] == ["T1", "T2", "PD"]
    assert changed.domains[1].caption == "so"
    assert changed.domains[0] == checkpoint.domains[0]
    np.testing.assert_array_equal(changed.captions[[0, 2]], checkpoint.captions[[0, 2]])
    np.testing.assert_array_equal(changed.captions[1], said.embedding)
    assert changed.tensors is checkpoint.tensors


@pytest.mark.parametrize(("nearest", "warned"), [("T1", True), ("T2", False), ("PD", True)])
def test_a_caption_nearer_to_another_domain_is_warned_of(nearest, warned) -> None:
    checkpoint = make_checkpoint(captions=np.eye(3, 16, dtype=np.float32))
    embedding = np.full(16, 0.1, np.float32)
    embedding[["T1", "T2", "PD"].index(nearest)] = 0.9
    said = FreeCaption(text="so", embedding=embedding)
    warnings = compare_caption(checkpoint, DOMAINS["T2"], said)
    assert bool(warnings) == warned
    if warned:
        assert (
            f"nearer to {nearest} ('This MRI is {nearest}-weighted', cosine 0.900)" in warnings[0]
        )
        assert "than to T2 (0.100)" in warnings[0]


def test_only_the_checkpoints_own_encoder_will_do(trained, encoder_folder, tmp_path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(encoder_folder, moved)
    lost = replace(trained, provenance={**trained.provenance, "encoder": str(tmp_path / "gone")})
    found = encode_caption("T2", lost, str(moved))
    np.testing.assert_array_equal(found.embedding, encode_caption("T2", trained).embedding)
    with pytest.raises(CheckpointError, match=r"isn't the one .* was trained with"):
        encode_caption("T2", trained, "demo")
    with pytest.raises(CheckpointError, match="doesn't say which encoder"):
        encode_caption("T2", replace(trained, provenance={}))
    absent = replace(trained, provenance={**trained.provenance, "encoder": "biomedclip"})
    with pytest.raises(CheckpointError, match="download-weights biomedclip"):
        encode_caption("T2", absent)


def test_the_python_function_takes_a_caption(trained, t1) -> None:
    volume = load_volume(t1)
    plain = translate(volume, to="T2", weights=trained)
    own = translate(volume, to="T2", weights=trained, caption="This MRI is T2-weighted")
    np.testing.assert_array_equal(own.array, plain.array)
    assert "T2-weighted" in own.derivation.caption
