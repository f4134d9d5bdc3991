"""The frozen encoder: open_clip's own numbers, from one pass, for both kinds of towers."""

import json
import shutil
import socket

import open_clip
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoTokenizer, BertModel

from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.networks.text_image_encoder import CLASS_BLOCKS, TextImageEncoder

CAPTION = "This MRI is T1-weighted"


@pytest.fixture(scope="module")
def plain(encoder_folder) -> TextImageEncoder:
    """open_clip's own towers, as in the shipped encoder."""
    return TextImageEncoder.from_folder(encoder_folder)


@pytest.fixture(scope="module")
def biomedical(biomedclip_folder) -> TextImageEncoder:
    """timm's image tower and Hugging Face's text tower, as in BiomedCLIP."""
    return TextImageEncoder.from_folder(biomedclip_folder)


@pytest.fixture(params=["plain", "biomedical"])
def encoder(request) -> TextImageEncoder:
    return request.getfixturevalue(request.param)


def blocks_and_norm(encoder: TextImageEncoder):
    """The image tower's blocks and last norm, found without our code."""
    tower = encoder.model.visual
    if hasattr(tower, "trunk"):
        return tower.trunk.blocks, tower.trunk.norm
    return tower.transformer.resblocks, tower.ln_post


def image_of(encoder: TextImageEncoder, slices: torch.Tensor) -> torch.Tensor:
    return (slices.expand(-1, 3, -1, -1) - encoder.mean) / encoder.deviation


def test_embeddings_are_open_clips(plain, encoder_folder) -> None:
    model = open_clip.create_model(f"local-dir:{encoder_folder}").eval()
    slices = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        image = (slices.expand(-1, 3, -1, -1) - 0.5) / 0.5
        torch.testing.assert_close(
            plain(slices).embedding, model.encode_image(image, normalize=True)
        )
        tokens = open_clip.get_tokenizer(f"local-dir:{encoder_folder}")([CAPTION])
        torch.testing.assert_close(
            plain.encode_captions([CAPTION]), model.encode_text(tokens, normalize=True)
        )


def test_biomedclips_layout_is_read_as_its_libraries_read_it(biomedical, biomedclip_folder) -> None:
    slices = torch.rand(2, 1, 160, 160)
    with torch.no_grad():
        expected = biomedical.model.encode_image(image_of(biomedical, slices), normalize=True)
        torch.testing.assert_close(biomedical(slices).embedding, expected)

    tokenizer = AutoTokenizer.from_pretrained(biomedclip_folder / "text_tower")
    read = tokenizer([CAPTION], padding="max_length", max_length=32, return_tensors="pt")
    assert torch.equal(biomedical.tokenizer([CAPTION]), read.input_ids)
    assert read.input_ids[0, :7].tolist() == [2, 5, 7, 6, 10, 18, 13]  # [CLS] this mri is t1 - ...
    state = torch.load(biomedclip_folder / "open_clip_pytorch_model.bin", weights_only=True)
    prefix = "text.transformer."
    bert = BertModel.from_pretrained(
        None,
        config=biomedical.model.text.config,
        state_dict={k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
        add_pooling_layer=False,
    ).eval()
    with torch.no_grad():
        states = bert(read.input_ids, attention_mask=read.attention_mask).last_hidden_state
        hidden = F.gelu(states[:, 0] @ state["text.proj.0.weight"].T)
        pooled = F.normalize(hidden @ state["text.proj.2.weight"].T, dim=1)
    torch.testing.assert_close(biomedical.encode_caption_tokens([CAPTION]), states)
    torch.testing.assert_close(biomedical.encode_captions([CAPTION]), pooled)


def test_tokens_of_a_block_are_what_a_hook_sees_there_normed(encoder) -> None:
    blocks, norm = blocks_and_norm(encoder)
    outputs = []
    hooks = [block.register_forward_hook(lambda m, i, o: outputs.append(o)) for block in blocks]
    features = encoder(torch.rand(2, 1, 20, 24), blocks=(1, 4))
    for hook in hooks:
        hook.remove()
    assert len(outputs) == encoder.depth, "one image pass gives all"
    # open_clip's own towers hold the sequence first, (L, N, C).
    seen = [norm(o if o.shape[0] == 2 else o.transpose(0, 1)) for o in outputs]
    for patches, block in zip(features.patches, (1, 4), strict=True):
        torch.testing.assert_close(patches, seen[block][:, 1:])
    expected = [seen[n][:, 0] for n in range(encoder.depth - CLASS_BLOCKS, encoder.depth)]
    torch.testing.assert_close(features.classes, torch.cat(expected, dim=1))
    assert features.patches[0].shape[2] == encoder.width


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


def test_an_encoder_is_read_without_a_network(
    biomedclip_folder, encoder_folder, monkeypatch
) -> None:
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for folder in (biomedclip_folder, encoder_folder):
        TextImageEncoder.from_folder(folder).encode_captions([CAPTION])


def test_the_text_tower_may_lie_elsewhere(biomedical, biomedclip_folder, tmp_path) -> None:
    model, tower = tmp_path / "model", tmp_path / "tower"
    shutil.copytree(biomedclip_folder, model, ignore=shutil.ignore_patterns("text_tower"))
    shutil.copytree(biomedclip_folder / "text_tower", tower)
    opened = TextImageEncoder.from_folder(model, tower)
    torch.testing.assert_close(
        opened.encode_captions([CAPTION]), biomedical.encode_captions([CAPTION])
    )
    with pytest.raises(CheckpointError, match="open_clip can't load it"):
        TextImageEncoder.from_folder(model)


def test_the_fingerprint_is_that_of_the_weights_and_the_words(
    biomedical, biomedclip_folder, tmp_path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(biomedclip_folder, copied)
    (copied / "README.md").write_text("a card changes nothing")
    assert TextImageEncoder.from_folder(copied).fingerprint() == biomedical.fingerprint()
    words = copied / "text_tower" / "vocab.txt"
    words.write_text(words.read_text().replace("mri", "mra"))
    assert TextImageEncoder.from_folder(copied).fingerprint() != biomedical.fingerprint()
    other = TextImageEncoder.from_folder(biomedclip_folder)
    with torch.no_grad():
        other.model.logit_scale += 1e-3
    assert other.fingerprint() != biomedical.fingerprint()


def test_folders_that_are_none_are_refused(tmp_path, encoder_folder) -> None:
    with pytest.raises(CheckpointError, match=r"no open_clip_config\.json"):
        TextImageEncoder.from_folder(tmp_path)
    (tmp_path / "open_clip_config.json").write_bytes(
        (encoder_folder / "open_clip_config.json").read_bytes()
    )
    with pytest.raises(CheckpointError, match="can't load"):
        TextImageEncoder.from_folder(tmp_path)
    for text in ("{}", "not JSON"):
        (tmp_path / "open_clip_config.json").write_text(text)
        with pytest.raises(CheckpointError, match="can't load"):
            TextImageEncoder.from_folder(tmp_path)


def test_any_open_clip_name_opens(encoder_folder, tmp_path, plain) -> None:
    config = json.loads((encoder_folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "ViT-tiny-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    weights = encoder_folder / "open_clip_model.safetensors"
    opened = TextImageEncoder.from_name(f"ViT-tiny-test:{weights}")
    assert opened.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nosuch", "neither a folder, nor a name"),
        ("ViT-B-16", "its tags are .*laion2b_s34b_b88k"),
        ("ViT-B-32:nosuch", "can't fetch or load"),
        ("hf-hub:no/such", "can't fetch or load"),
    ],
)
def test_names_that_cant_be_opened_say_why(name, message, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=message) as found:
        TextImageEncoder.from_name(name)
    assert "\n" not in str(found.value)


def test_a_tower_without_class_tokens_is_refused(tmp_path) -> None:
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {
        "model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no vision transformer"):
        TextImageEncoder.from_folder(tmp_path)
