"""The contract of the backends: the same slices from each, whatever the calls and the threads."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from conftest import TINY_GENERATOR, make_checkpoint, tiny_config

from i2igalip_cli.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from i2igalip_cli.config import GalipConfig
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine import backends
from i2igalip_cli.engine.backends import (
    BACKENDS,
    TorchBackend,
    make_backend,
    on_openvino,
    on_torch,
    onnx_model,
)
from i2igalip_cli.engine.backends.base import count_threads
from i2igalip_cli.errors import ConfigError
from i2igalip_cli.networks.unet import Generator

SIZES = ((16, 12), (4, 4), (10, 34))


def make(**sizes) -> Checkpoint:
    """A tiny checkpoint of other sizes, with all weights away from their first values."""
    config = replace(TINY_GENERATOR, **sizes)
    generator = Generator(config, seed=1)
    rng = np.random.default_rng(1)
    state = {k: v.numpy().copy() for k, v in generator.state_dict().items()}
    for name, tensor in state.items():
        tensor += 0.1 * rng.standard_normal(tensor.shape).astype(np.float32)
        state[name] = tensor
    state["out.2.weight"] *= 0.3
    state["out.2.bias"] += 0.5
    tensors = {f"generator.{name}": tensor for name, tensor in state.items()}
    return make_checkpoint(config=tiny_config(generator=config), tensors=tensors)


def initialised(**sizes) -> Checkpoint:
    """First weights: convolutions far below the domain embedding, which norms take off again.

    A variance reckoned as the difference of two large sums is lost in rounding there.
    """
    config = replace(TINY_GENERATOR, **sizes)
    state = Generator(config, seed=1).state_dict()
    tensors = {f"generator.{name}": tensor.numpy().copy() for name, tensor in state.items()}
    tensors["generator.out.2.weight"] *= 10
    tensors["generator.out.2.bias"] += 0.5
    return make_checkpoint(config=tiny_config(generator=config), tensors=tensors)


def with_tokens(checkpoint: Checkpoint) -> Checkpoint:
    tokens = np.random.default_rng(2).standard_normal((3, 5, 16)).astype(np.float32)
    return replace(checkpoint, tokens=tokens)


CHECKPOINTS = {
    "paper's groups": lambda: make(norm_groups=8),  # as many as channels on the first level
    "groups of channels": lambda: make(norm_groups=2, multipliers=(1, 2, 2), residual_blocks=2),
    "as initialised": lambda: initialised(norm_groups=8),
    "several tokens": lambda: with_tokens(make(norm_groups=4)),
}


@cache
def checkpoint_of(kind: str) -> Checkpoint:
    return CHECKPOINTS[kind]()


@cache
def backend_of(name: str, kind: str, threads: int = 1) -> backends.Backend:
    return make_backend(checkpoint_of(kind), name=name, device="cpu", threads=threads)


def slices_of(n: int, size: tuple[int, int] = (16, 12)) -> np.ndarray:
    return np.random.default_rng(n).random((n, 1, *size), dtype=np.float32)


def eager(checkpoint: Checkpoint, slices: np.ndarray, index: int) -> np.ndarray:
    """The generator itself, as the paper's equations call it."""
    generator = Generator(checkpoint.config.generator).eval()
    generator.load_state_dict(
        {k.removeprefix("generator."): torch.from_numpy(v) for k, v in checkpoint.tensors.items()}
    )
    n = len(slices)
    tokens = checkpoint.captions[:, None] if checkpoint.tokens is None else checkpoint.tokens
    with torch.inference_mode():
        translated = generator(
            torch.from_numpy(slices),
            torch.from_numpy(tokens)[index].expand(n, -1, -1),
            torch.full((n,), index),
        )
    return translated.clamp(0, 1).numpy()


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_gives_the_generators_own_slices(name, kind) -> None:
    checkpoint = checkpoint_of(kind)
    run = backend_of(name, kind)
    assert (run.name, run.precision) == (name, "float32")
    multiple = checkpoint.config.generator.side_multiple
    for size in SIZES:
        height, width = (-(-side // multiple) * multiple for side in size)
        for n in (1, 3, 17):
            slices = slices_of(n, (height, width))
            for index, target in enumerate(checkpoint.domains):
                result = run(slices, None, target)
                assert result.shape == slices.shape
                assert result.dtype == np.float32
                assert 0 <= result.min() <= result.max() <= 1
                expected = eager(checkpoint, slices, index)
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)
    assert expected.std() > 0.03, "a constant would prove nothing"


@pytest.mark.parametrize("name", BACKENDS)
def test_results_depend_on_neither_calls_nor_threads(name) -> None:
    target = checkpoint_of("paper's groups").domains[1]
    slices = slices_of(17)
    whole = backend_of(name, "paper's groups")(slices, None, target)
    for threads in (1, 2, 3):
        run = backend_of(name, "paper's groups", threads)
        for step in (1, 4, 17):
            parts = [run(slices[i : i + step], None, target) for i in range(0, 17, step)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", BACKENDS)
def test_slices_keep_their_order(name) -> None:
    target = checkpoint_of("paper's groups").domains[1]
    run = backend_of(name, "paper's groups", 2)
    slices = slices_of(17)
    np.testing.assert_array_equal(run(slices[::-1], None, target), run(slices, None, target)[::-1])
    assert run(slices[:0], None, target).shape == (0, 1, 16, 12)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_source_may_be_named_and_captions_belong_to_no_model(name) -> None:
    checkpoint = checkpoint_of("paper's groups")
    first, second, _ = checkpoint.domains
    slices = slices_of(2)
    plain = backend_of(name, "paper's groups")(slices, None, second)
    named = backend_of(name, "paper's groups")(slices, first, second)
    np.testing.assert_array_equal(named, plain)
    other = replace(checkpoint, tokens=with_tokens(checkpoint).tokens)
    run = make_backend(other, name=name, device="cpu")
    assert run.warnings == []  # no model was made
    np.testing.assert_allclose(run(slices, None, second), eager(other, slices, 1), atol=1e-4)
    assert np.abs(run(slices, None, second) - plain).max() > 1e-3


@pytest.mark.parametrize("name", BACKENDS)
def test_what_a_backend_hasnt_is_refused_in_a_line_with_a_way_out(name, checkpoint) -> None:
    with pytest.raises(ConfigError, match="can't run on nosuch"):
        make_backend(checkpoint, name=name, device="nosuch")
    with pytest.raises(ConfigError, match=r"no float16 on .*another --precision") as refused:
        make_backend(checkpoint, name=name, device="cpu", precision="float16")
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="compil"):
        make_backend(checkpoint, name=name, device="cpu", compile=True)


def test_unknown_and_absent_backends_are_refused_with_the_way_out(checkpoint, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="unknown backend 'tensorrt': known are onnxruntime"):
        make_backend(checkpoint, name="tensorrt")
    monkeypatch.setitem(sys.modules, "openvino", None)  # import fails
    with pytest.raises(ConfigError, match=r"pip install 'i2igalip\[openvino\]'"):
        make_backend(checkpoint, name="openvino")


@pytest.mark.parametrize(
    ("asked", "gpu", "openvino", "chosen"),
    [
        ({}, None, True, "onnxruntime"),
        ({"device": "cpu"}, "cuda", True, "onnxruntime"),
        ({}, "cuda", True, "torch"),
        ({"device": "cuda"}, None, True, "torch"),
        ({"precision": "bfloat16"}, None, True, "openvino"),
        ({"precision": "bfloat16"}, None, False, "torch"),
        ({"precision": "float16"}, None, True, "torch"),
        ({"compile": True}, None, True, "torch"),
    ],
)
def test_the_backend_is_chosen_by_what_is_there(
    checkpoint, monkeypatch, asked, gpu, openvino, chosen
) -> None:
    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, lambda *args, name=name: name)
    monkeypatch.setattr(backends, "_may_have_gpu", lambda: gpu is not None)
    monkeypatch.setattr(backends, "find_gpu", lambda: gpu)
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: openvino or None)
    assert make_backend(checkpoint, **asked) == chosen


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_method_without_a_graph_runs_on_torch(name, monkeypatch) -> None:
    monkeypatch.setattr(GalipConfig, "graph_sizes", None)
    checkpoint = make(width=16)
    assert make_backend(checkpoint, device="cpu").name == "torch"
    with pytest.raises(ConfigError, match=r"galip has no graph.*--backend torch"):
        make_backend(checkpoint, name=name)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bfloat16_computes_in_bfloat16_or_says_that_it_cant(name) -> None:
    checkpoint = checkpoint_of("paper's groups")
    try:
        run = make_backend(checkpoint, name=name, device="cpu", precision="bfloat16")
    except ConfigError as error:
        assert "no bfloat16" in str(error)
        return
    slices = slices_of(3)
    exact = eager(checkpoint, slices, 1)
    error = np.abs(run(slices, None, checkpoint.domains[1]) - exact).max()
    assert 1e-4 < error < 0.1  # eight bits of mantissa, not 24


def fail_at(monkeypatch, too_many: int) -> list[int]:
    """Let memory end wherever a call has `too_many` slices or more; returns the sizes of calls."""
    sizes = []
    translate = on_torch.TorchBackend._send

    def send(self, piece):
        sizes.append(len(piece))
        if len(piece) >= too_many:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return translate(self, piece)

    monkeypatch.setattr(on_torch.TorchBackend, "_send", send)
    return sizes


def test_without_memory_the_micro_batch_is_halved_once(monkeypatch) -> None:
    checkpoint = checkpoint_of("paper's groups")
    target = checkpoint.domains[1]
    slices = slices_of(17)
    run = TorchBackend(checkpoint, "cpu", threads=2)
    run.batch = on_torch.GPU_BATCH
    expected = run(slices, None, target)
    sizes = fail_at(monkeypatch, 16)
    np.testing.assert_allclose(run(slices, None, target), expected, atol=1e-6)
    np.testing.assert_allclose(run(slices, None, target), expected, atol=1e-6)
    assert sizes.count(8) == 6
    assert run.warnings == ["out of memory on cpu; now 8 slices at a time"]
    run.warnings.clear()  # as is done when a volume's are told: once is once for all volumes
    fail_at(monkeypatch, 8)
    with pytest.raises(ConfigError, match=r"with 8 slices at a time.*--device cpu") as refused:
        run(slices, None, target)
    assert "\n" not in str(refused.value)
    assert run.warnings == []


def test_threads_are_those_asked_for_else_those_of_the_environment_else_all(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (count_threads(5), count_threads(None)) == (5, 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "2,4")  # of nested levels
    assert count_threads(None) == 2
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    for nothing in ("", "0", "dynamic"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        assert count_threads(None) == 7
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert count_threads(None) == len(os.sched_getaffinity(0))


def test_openvino_keeps_the_models_of_a_few_sizes() -> None:
    run = make_backend(checkpoint_of("paper's groups"), name="openvino", threads=1)
    target = checkpoint_of("paper's groups").domains[1]
    first = run(slices_of(1), None, target)
    for rows in range(2, 9):
        run(slices_of(1, (2 * rows, 12)), None, target)
    assert len(run._requests) == on_openvino.KEPT_SIZES
    np.testing.assert_array_equal(run(slices_of(1), None, target), first)


def test_convolutions_on_cuda_are_told_to_be_exact(checkpoint, monkeypatch) -> None:
    run = TorchBackend(checkpoint, "cpu", threads=1)
    before = torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(run, "device", torch.device("cuda"))
    with run._arithmetic_kept():
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cudnn.enabled is True
    assert torch.backends.cudnn.allow_tf32 == before


def test_torchs_number_of_threads_and_random_state_stay(checkpoint) -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    backend_of("torch", "paper's groups", 2)(slices_of(3), None, checkpoint.domains[0])
    onnx_model.make_graph(make())
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)


CODE = """
import sys
import numpy as np
import i2igalip_cli.engine.backends as backends
assert not {"onnxruntime", "torch", "openvino", "onnx"} & set(sys.modules)
from i2igalip_cli.checkpoints import load_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
run = backends.make_backend(checkpoint, device="cpu")
out = run(np.zeros((2, 1, 16, 12), np.float32), None, checkpoint.domains[1])
heavy = {"torch", "open_clip", "SimpleITK", "onnx", "transformers"} & set(sys.modules)
print(run.name, len(run.warnings), sorted(heavy), out.shape)
"""


def test_a_translation_on_onnxruntime_loads_neither_torch_nor_its_train(
    tmp_path, quick_export
) -> None:
    checkpoint = checkpoint_of("paper's groups")
    save_checkpoint(checkpoint, tmp_path / "model.safetensors")
    content = onnx_model.make_graph(checkpoint)
    file = tmp_path / "home" / "i2igalip" / "onnx" / f"{onnx_model.key_of(checkpoint)}.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    out = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "model.safetensors"],
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "onnxruntime 0 [] (2, 1, 16, 12)"


@pytest.fixture
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_model, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def quick_export(monkeypatch):
    """Graphs that another test made, instead of half a minute of the exporter."""
    from i2igalip_cli.engine.backends import onnx_export

    made = []
    content = _graph("paper's groups")

    def export(checkpoint):
        made.append(checkpoint.name)
        return content

    monkeypatch.setattr(onnx_export, "export_graph", export)
    return made


@cache
def _graph(kind: str) -> bytes:
    from i2igalip_cli.engine.backends.onnx_export import export_graph

    return export_graph(checkpoint_of(kind))


def test_a_graph_is_made_once_for_all_checkpoints_of_its_sizes(
    cache_of_its_own, quick_export
) -> None:
    first = checkpoint_of("paper's groups")
    second = replace(first, tensors={k: v * np.float32(0.9) for k, v in first.tensors.items()})
    warnings: list[str] = []
    onnx_model.find_model(first, warnings)
    assert len(warnings) == 1
    assert f"it is kept in {cache_of_its_own}" in warnings[0]
    run = make_backend(second, name="onnxruntime")
    assert run.warnings == []
    assert len(quick_export) == 1
    slices = slices_of(2)
    result = run(slices, None, second.domains[0])
    np.testing.assert_allclose(result, eager(second, slices, 0), atol=1e-4)
    assert np.abs(result - eager(first, slices, 0)).max() > 1e-3
    onnx_model.find_model(make(norm_groups=1), warnings)  # other sizes
    assert len(quick_export) == 2


@pytest.mark.parametrize("damage", ["short", "bit", "foreign", "empty"])
@pytest.mark.parametrize("place", ["shipped", "cache"])
def test_a_damaged_or_foreign_graph_is_made_anew(
    cache_of_its_own, quick_export, tmp_path, monkeypatch, damage, place
) -> None:
    checkpoint = checkpoint_of("paper's groups")
    folder = tmp_path / place
    folder.mkdir()
    monkeypatch.setattr(onnx_model, f"{place}_folder", lambda: folder)
    file = folder / f"{onnx_model.key_of(checkpoint)}.onnx"
    whole = onnx_model.make_graph(checkpoint)
    other = onnx_model.make_graph(make(norm_groups=1))
    bit = bytearray(whole)
    bit[1000] ^= 1
    content = {"short": whole[:-9], "bit": bytes(bit), "foreign": other, "empty": b""}[damage]
    file.write_bytes(content)
    warnings: list[str] = []
    model = onnx_model.find_model(checkpoint, warnings)
    assert model.startswith(whole)
    assert len(warnings) == 1
    file.write_bytes(whole)
    assert onnx_model.find_model(checkpoint, warnings) == model
    assert len(warnings) == 1


def test_one_graph_serves_any_number_of_domains(cache_of_its_own, quick_export) -> None:
    three = checkpoint_of("paper's groups")
    rng = np.random.default_rng(3)
    table = rng.standard_normal((5, TINY_GENERATOR.embedding)).astype(np.float32)
    names = ("T1", "T2", "PD", "pelvic-MR", "pelvic-CT")
    five = replace(
        three,
        domains=tuple(DOMAINS[name] for name in names),
        captions=rng.standard_normal((5, 16)).astype(np.float32),
        config=replace(three.config, generator=replace(three.config.generator, domains=5)),
        tensors={**three.tensors, "generator.label_emb.weight": table},
    )
    warnings: list[str] = []
    onnx_model.find_model(three, warnings)
    run = make_backend(five, name="onnxruntime")
    assert (len(warnings), run.warnings) == (1, [])
    slices = slices_of(2)
    result = run(slices, None, DOMAINS["pelvic-CT"])
    np.testing.assert_allclose(result, eager(five, slices, 4), atol=1e-4)


@pytest.mark.parametrize("config", [load_checkpoint().config, GalipConfig()], ids=["demo", "paper"])
def test_graphs_of_the_demo_and_the_paper_ship(checkpoint, config) -> None:
    named = replace(checkpoint, config=config)
    key = onnx_model.key_of(named)
    shipped = onnx_model.shipped_folder() / f"{key}.onnx"
    assert onnx_model._read_stamped(shipped, key) is not None, "python examples/ship_weights.py"


def test_without_a_cache_the_graph_serves_at_once_and_it_is_said(
    monkeypatch, tmp_path, quick_export
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(onnx_model, "cache_folder", lambda: tmp_path / "file" / "onnx")
    checkpoint = checkpoint_of("paper's groups")
    run = make_backend(checkpoint, name="onnxruntime")
    assert len(run.warnings) == 1
    assert "made again next time, for it can't be kept" in run.warnings[0]
    slices = slices_of(1)
    result = run(slices, None, checkpoint.domains[0])
    np.testing.assert_allclose(result, eager(checkpoint, slices, 0), atol=1e-4)


def test_weights_of_half_precision_give_what_they_give_in_full(quick_export) -> None:
    checkpoint = checkpoint_of("paper's groups")
    half = {name: tensor.astype(np.float16) for name, tensor in checkpoint.tensors.items()}
    full = {name: tensor.astype(np.float32) for name, tensor in half.items()}
    models = [
        onnx_model.find_model(replace(checkpoint, tensors=tensors), []) for tensors in (half, full)
    ]
    assert models[0] == models[1]


def test_a_model_is_one_that_onnx_itself_reads_and_holds_no_place() -> None:
    import onnx

    checkpoint = checkpoint_of("paper's groups")
    content = onnx_model.find_model(checkpoint, [])
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(stored[name], tensor)
    rows = {row.key: row.value for row in model.metadata_props}
    assert rows["i2igalip.key"] == onnx_model.key_of(checkpoint)
    assert b"/i2igalip_cli/" not in content
