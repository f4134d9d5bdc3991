"""The frozen encoder: open_clip's own numbers, from one pass."""

import open_clip
import pytest
import torch
import torch.nn.functional as F

from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.networks.text_image_encoder import CLASS_BLOCKS, TextImageEncoder


@pytest.fixture(scope="module")
def encoder(encoder_folder) -> TextImageEncoder:
    return TextImageEncoder.from_folder(encoder_folder)


def test_embeddings_are_open_clips(encoder, encoder_folder) -> None:
    model = open_clip.create_model(f"local-dir:{encoder_folder}").eval()
    slices = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        image = (slices.expand(-1, 3, -1, -1) - 0.5) / 0.5
        torch.testing.assert_close(
            encoder(slices).embedding, model.encode_image(image, normalize=True)
        )
        tokens = open_clip.get_tokenizer(f"local-dir:{encoder_folder}")(["This MRI is T1-weighted"])
        torch.testing.assert_close(
            encoder.encode_captions(["This MRI is T1-weighted"]),
            model.encode_text(tokens, normalize=True),
        )


def test_tokens_of_a_block_are_what_a_hook_sees_there_normed(encoder) -> None:
    tower = encoder.model.visual
    seen = {}
    hooks = [
        block.register_forward_hook(lambda m, i, o, n=n: seen.update({n: o}))
        for n, block in enumerate(tower.transformer.resblocks)
    ]
    features = encoder(torch.rand(2, 1, 20, 24), blocks=(1, 4))
    for hook in hooks:
        hook.remove()
    for patches, block in zip(features.patches, (1, 4), strict=True):
        torch.testing.assert_close(patches, tower.ln_post(seen[block])[:, 1:])
    expected = [tower.ln_post(seen[n])[:, 0] for n in range(5 - CLASS_BLOCKS, 5)]
    torch.testing.assert_close(features.classes, torch.cat(expected, dim=1))


def test_gradients_flow_through_and_not_into_it(encoder) -> None:
    slices = torch.rand(1, 1, 32, 32, requires_grad=True)
    features = encoder(slices, blocks=(0,))
    (features.embedding.sum() + features.patches[0].square().sum()).backward()
    assert slices.grad.abs().sum() > 0
    assert all(p.grad is None for p in encoder.parameters())
    assert not encoder.train().model.training


def test_captions_have_unit_length(encoder) -> None:
    embedding = encoder.encode_captions(["a", "This is pelvic CT"])
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    assert F.cosine_similarity(embedding[:1], embedding[1:]) < 0.999


def test_folders_that_are_none_are_refused(tmp_path, encoder_folder) -> None:
    with pytest.raises(CheckpointError, match=r"no open_clip_config\.json"):
        TextImageEncoder.from_folder(tmp_path)
    (tmp_path / "open_clip_config.json").write_bytes(
        (encoder_folder / "open_clip_config.json").read_bytes()
    )
    with pytest.raises(CheckpointError, match="can't load"):
        TextImageEncoder.from_folder(tmp_path)
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="can't load"):
        TextImageEncoder.from_folder(tmp_path)
