"""What the whole command costs besides the generator: start-up, memory, and time by length."""

import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from typing import TypeVar

import numpy as np
from machine import CommandError, matrix_rate, run_watched, translate_words
from translation_inputs import (
    LIGHT_GENERATOR,
    PELVIS,
    Setting,
    make_ct,
    read_template,
    save_int16,
    save_random_checkpoint,
)

from i2igalip_cli.checkpoints import FILE_NAME, load_checkpoint
from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.backends.onnx_model import find_model
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import Translator
from i2igalip_cli.volumes import Volume, load_volume, save_volume

FLOAT32_BYTES = 4
T = TypeVar("T")


def _timed(function: Callable[[], T], repeats: int) -> tuple[float, T]:
    """Median seconds of some calls, and the last result."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), result


def make_noise(side: int, slices: int) -> Volume:
    """A volume without empty slices."""
    array = np.random.default_rng(0).integers(100, 1000, (side, side, slices)).astype(np.float32)
    return Volume(array=array, affine=np.diag([2.0, 2.0, 2.0, 1.0]))


def _median_run(words: list[object], repeats: int) -> dict[str, float]:
    """What a command cost in the median of some runs, and the largest peak."""
    costs = [run_watched(words) for _ in range(repeats)]
    middle = sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]
    return {**asdict(middle), "peak_bytes": max(cost.peak_bytes for cost in costs)}


def measure_start(setting: Setting) -> dict[str, object]:
    """Start-up with the shipped checkpoint.

    Once as the time of a volume of 3 small slices, with each backend; once as what the command's
    time on the demo volume has beyond reading, computing and writing, which are timed in this
    process with the model loaded.
    """
    few = save_int16(make_noise(32, 3), setting.folder / "few.nii.gz")
    out = setting.folder / "start.nii.gz"
    backends: dict[str, object] = {}
    for name in BACKENDS:
        words = translate_words(few, "T2", out, None, setting.threads, "--backend", name)
        try:
            run_watched(words)  # fills the system's cache of files
            backends[name] = _median_run(words, setting.repeats)
        except CommandError as error:
            backends[name] = {"refused": str(error)}
    return {"few_slices": backends, "demo": _take_demo_apart(setting)}


def _take_demo_apart(setting: Setting) -> dict[str, object]:
    """The parts of the command's time on the demo volume."""
    demo = save_int16(read_template(setting.sizes.template_mm), setting.folder / "demo.nii.gz")
    out = setting.folder / "demo_T2.nii.gz"
    words = translate_words(demo, "T2", out, None, setting.threads)
    cost = _median_run(words, setting.repeats)
    translator = Translator(
        load_checkpoint(), "T2", options=TranslationOptions(threads=setting.threads)
    )
    reading, volume = _timed(lambda: load_volume(demo), setting.repeats)
    translator(make_noise(32, 3))  # makes the backend
    computing, result = _timed(lambda: translator(volume), setting.repeats)
    writing, _ = _timed(lambda: save_volume(result.volume, out, overwrite=True), setting.repeats)
    return {
        **cost,
        "reading": reading,
        "computing": computing,
        "writing": writing,
        "rest": cost["seconds"] - reading - computing - writing,
        "torch_loaded": "torch" in _list_imports(words),
        "slices": result.slices,
        "shape": volume.shape,
    }


def _list_imports(words: list[object]) -> set[str]:
    """The modules that a command of this Python loads."""
    program = [str(words[0]), "-X", "importtime", *map(str, words[1:])]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[-1].strip() for line in lines}


def measure_memory(setting: Setting) -> dict[str, object]:
    """Peaks of the command for CTs of two lengths, and for the demo volume.

    Memory is the point, so the CT's generator is a small one.
    """
    captions = np.eye(len(PELVIS), LIGHT_GENERATOR.context, dtype=np.float32)
    checkpoint = save_random_checkpoint(setting.folder / "ct", LIGHT_GENERATOR, PELVIS, captions)
    find_model(checkpoint, [])  # so that no run makes the graph
    rows: list[dict[str, object]] = []
    for slices in setting.sizes.ct_slices:
        volume = make_ct(setting.sizes.ct_side, slices)
        source = save_int16(volume, setting.folder / f"ct_{slices}.nii.gz")
        size = FLOAT32_BYTES * volume.array.size
        del volume
        words = translate_words(
            source,
            "pelvic-MR",
            setting.folder / "mr.nii.gz",
            setting.folder / "ct" / FILE_NAME,
            setting.threads,
        )
        cost = run_watched([*words, "--from", "pelvic-CT"])
        rows.append({"slices": slices, "float32_bytes": size, **asdict(cost)})
    short, long = rows
    demo = save_int16(
        read_template(setting.sizes.template_mm), setting.folder / "memory_demo.nii.gz"
    )
    words = translate_words(demo, "T2", setting.folder / "memory_T2.nii.gz", None, setting.threads)
    grown = long["peak_bytes"] - short["peak_bytes"]
    return {
        "side": setting.sizes.ct_side,
        "ct": rows,
        "copies": grown / (long["float32_bytes"] - short["float32_bytes"]),
        "demo_peak_bytes": run_watched(words).peak_bytes,
    }


def measure_linear(setting: Setting) -> dict[str, object]:
    """Time a slice of volumes of several lengths with the shipped checkpoint, without files.

    Each length translates as many slices a round, so that what else runs meets all alike.
    """
    options = TranslationOptions(threads=setting.threads)
    translator = Translator(load_checkpoint(), "T2", options=options)
    side, lengths = setting.sizes.linear_side, setting.sizes.linear_slices
    volumes = {count: make_noise(side, count) for count in lengths}
    translator(volumes[min(lengths)])
    seconds: dict[int, list[float]] = {count: [] for count in lengths}
    rates = []
    for _, (count, volume) in product(range(setting.repeats), volumes.items()):
        rates.append(matrix_rate(setting.threads))
        times = round(max(lengths) / count)
        began = time.perf_counter()
        for _ in range(times):
            translator(volume)
        seconds[count].append((time.perf_counter() - began) / times / count)
    medians = {count: statistics.median(sampled) for count, sampled in seconds.items()}
    return {
        "side": side,
        "slice_seconds": medians,
        "spread": max(medians.values()) / min(medians.values()) - 1,
        "rates": rates,
    }
