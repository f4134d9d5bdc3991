"""A volume's time: the literal loop, ours with each step switched on, and the whole command."""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from machine import CommandError, Cost, count_flop, matrix_rate, run_watched, translate_words
from translation_inputs import (
    BRAIN,
    Setting,
    Sizes,
    embed_captions,
    lay_template,
    save_int16,
    save_random_checkpoint,
    save_text_tower,
)
from translation_ways import PRECISIONS, Timing, find_fastest, find_refusals, list_ways, measure

from i2igalip_cli.checkpoints import FILE_NAME, Checkpoint
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.backends.onnx_model import find_model
from i2igalip_cli.engine.planes import lay_plane
from i2igalip_cli.volumes import load_volume
from i2igalip_cli.volumes.foreground import find_box
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import pad_slices, turn_box, view_slices
from i2igalip_cli.volumes.volume import Array

LITERAL = Path(__file__).with_name("literal_translation.py")
DEFAULT = "onnxruntime"  # what the program takes on a processor
MEASURED = 4  # slices of a measurement, or more: a multiple of the threads
STEPS = {
    ("torch", "float32"): "a slice a core (torch, channels last)",
    ("onnxruntime", "float32"): "onnxruntime",
    ("openvino", "float32"): "openvino",
    ("openvino", "bfloat16"): "openvino in bfloat16",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A volume, a checkpoint with random weights, and the slices that are measured.

    Attributes:
        folder: Holds the volume, the checkpoint's folder `model` and the text tower's, `text`.
        checkpoint: Its ONNX graph is there.
        target: Where to.
        window: Of the volume.
        fields: Some slices with foreground, (N, 1, H, W): "whole" frames, and "cropped" to the box.
        frame: Where the cropped ones lie in the whole ones: top, left, height, width.
        numbers: Which slices of the volume they are, (N,).
        slices: Of the volume.
        filled: Of these, how many have foreground.
        box: Of the foreground: slices, rows, columns.
        graph_seconds: What having the ONNX graph took, once.
        graph_made: Whether it had to be made; otherwise it shipped or lay in the cache.
    """

    folder: Path
    checkpoint: Checkpoint
    target: Domain
    window: IntensityWindow
    fields: dict[str, Array]
    frame: tuple[int, int, int, int]
    numbers: npt.NDArray[np.intp]
    slices: int
    filled: int
    box: tuple[int, int, int]
    graph_seconds: float
    graph_made: bool

    @property
    def volume(self) -> Path:
        """The volume's file."""
        return self.folder / "brain.nii.gz"

    @property
    def weights(self) -> Path:
        """The checkpoint's file."""
        return self.folder / "model" / FILE_NAME

    def count_flop(self, field: str) -> int:
        """Work of a slice."""
        return count_flop(self.checkpoint.config.generator, *self.fields[field].shape[2:])


def make_case(sizes: Sizes, folder: Path, threads: int) -> Case:
    """Write volume, checkpoint and text tower; cut the slices."""
    tower = save_text_tower(sizes, folder / "text")
    captions = embed_captions(tower, BRAIN, sizes.generator.context)
    checkpoint = save_random_checkpoint(folder / "model", sizes.generator, BRAIN, captions)
    told: list[str] = []
    began = time.perf_counter()
    find_model(checkpoint, told)
    graph_seconds = time.perf_counter() - began

    volume = load_volume(save_int16(lay_template(sizes), folder / "brain.nii.gz"))
    window = find_window(volume.array, None, checkpoint.policy)
    box = find_box(volume, window, checkpoint.crop)
    laid = lay_plane(volume, window, box, "axial", checkpoint)
    frames = view_slices(volume.array, volume.affine)
    turned = turn_box(box, volume.shape, volume.affine)
    first = turned[0].start
    own = laid.filled[(first + laid.filled) % sizes.every == 0]  # the literal loop has them, too
    count = threads * -(-MEASURED // threads)
    chosen = own[np.linspace(0, len(own) - 1, count).round().astype(int)]
    whole = pad_slices(window.to_unit(frames[first + chosen]), laid.multiple)
    cropped = laid.read(chosen)
    height, width = cropped.shape[2:]
    return Case(
        folder=folder,
        checkpoint=checkpoint,
        target=checkpoint.domains[1],
        window=window,
        fields={"whole": whole, "cropped": cropped},
        frame=(
            min(turned[1].start, frames.shape[1] - height),
            min(turned[2].start, frames.shape[2] - width),
            height,
            width,
        ),
        numbers=first + chosen,
        slices=len(frames),
        filled=len(laid.filled),
        box=laid.source.shape,
        graph_seconds=graph_seconds,
        graph_made=bool(told),
    )


def run_literal(
    case: Case, out: Path, every: int, threads: int, *options: object
) -> dict[str, object]:
    """The literal loop in a process of its own; what it told, and its time for all slices."""
    told = case.folder / "literal.json"
    places = (case.volume, case.weights, case.folder / "text", out, told)
    before = matrix_rate(threads)
    cost = run_watched([sys.executable, LITERAL, *places, "--every", every, *options])
    found = json.loads(told.read_text())
    timed = [sum(pair) for pair in zip(found["captions"], found["generated"], strict=True)]
    mean = statistics.mean(timed[1:])  # the first one warms up
    start = cost.seconds - sum(timed) - found["saving"]
    return {
        "timed_slices": len(timed),
        "start_seconds": start,
        "first_seconds": timed[0],
        "slice_seconds": mean,
        "caption_seconds": statistics.mean(found["captions"][1:]),
        "generator_seconds": statistics.mean(found["generated"][1:]),
        "saving_seconds": found["saving"],
        "seconds": start + timed[0] + mean * (found["slices"] - 1) + found["saving"],
        "peak_bytes": cost.peak_bytes,
        "rates": [before, matrix_rate(threads)],
    }


def compare_literal(case: Case, out: Path, ours: Array) -> float:
    """Largest difference between whole frames of ours and the literal loop's file.

    As a share of the range of those slices: equal constants would give no number.
    """
    image = nib.load(out)
    written = view_slices(image.get_fdata(dtype=np.float32), image.affine)[case.numbers]
    return float(np.abs(case.window.from_unit(ours[:, 0]) - written).max() / np.ptp(written))


def list_steps(
    case: Case,
    literal: dict[str, object],
    cropped: dict[str, object],
    timings: list[Timing],
    threads: int,
) -> list[dict[str, object]]:
    """One change a line, from the literal loop to the fastest backend."""
    found = {
        (timing.name, timing.field, timing.precision): timing.slice_seconds
        for timing in timings
        if timing.threads == threads
    }
    eager = literal["generator_seconds"]
    lines = [
        ("literal loop", literal["slice_seconds"], case.slices),
        ("caption once", eager, case.slices),
        ("empty slices skipped", eager, case.filled),
        ("cropped to the foreground", cropped["generator_seconds"], case.filled),
    ]
    lines += [
        (text, found[name, "cropped", precision], case.filled)
        for (name, precision), text in STEPS.items()
        if (name, "cropped", precision) in found
    ]
    return [
        {"step": text, "slice_seconds": seconds, "slices": count, "seconds": seconds * count}
        for text, seconds, count in lines
    ]


def run_program(case: Case, threads: int, repeats: int, *options: str) -> dict[str, object]:
    """The whole command from cold start to finished file, the median run; or how it refused."""
    out = case.folder / "ours.nii.gz"
    words = translate_words(case.volume, case.target.name, out, case.weights, threads, *options)
    row: dict[str, object] = {"options": " ".join(options)}
    costs: list[tuple[Cost, float]] = []
    try:
        for _ in range(repeats):
            rate = matrix_rate(threads)
            costs.append((run_watched(words), rate))
    except CommandError as error:
        return {**row, "refused": str(error)}
    cost, rate = sorted(costs, key=lambda pair: pair[0].seconds)[len(costs) // 2]
    bound = case.count_flop("cropped") * case.filled / rate
    return {
        **row,
        **asdict(cost),
        "all_seconds": [one.seconds for one, _ in costs],
        "rate": rate,
        "bound_seconds": bound,
        "share_of_bound": bound / cost.seconds,
    }


def measure_speed(setting: Setting) -> dict[str, object]:
    """The literal loop, every backend, and the command with the default and the fastest ones."""
    sizes, threads, repeats = setting.sizes, setting.threads, setting.repeats
    case = make_case(sizes, setting.folder, threads)
    out, aside = case.folder / "literal.nii.gz", case.folder / "cropped.nii.gz"
    loop = run_literal(case, out, sizes.every, threads)
    cropped = run_literal(case, aside, 2 * sizes.every, threads, "--frame", *case.frame)
    refusals = find_refusals(case.checkpoint, case.fields)
    ways = list_ways(case.checkpoint, case.target, case.fields, threads, refusals)
    default = next(way for way in ways if way.name == DEFAULT and way.field == "whole")
    timings = measure(ways, repeats, case.checkpoint.psnr)
    fastest = [
        timing
        for field, precision in product(("whole", "cropped"), PRECISIONS)
        if (timing := find_fastest(timings, field, threads, precision)) is not None
    ]
    choices: list[tuple[str, ...]] = [()]
    choices += [
        ("--backend", timing.name, "--precision", timing.precision)
        for timing in fastest
        if timing.field == "cropped" and (timing.name, timing.precision) != (DEFAULT, "float32")
    ]
    runs = [run_program(case, threads, repeats, *options) for options in choices]
    for run in runs:
        if "seconds" in run:
            run["times_faster"] = loop["seconds"] / run["seconds"]
    return {
        "shape": sizes.shape,
        "spacing_mm": sizes.spacing_mm,
        "box": case.box,
        "cropped": case.fields["cropped"].shape[2:],
        "filled_slices": case.filled,
        "flop": {field: case.count_flop(field) for field in case.fields},
        "graph_seconds": case.graph_seconds,
        "graph_made": case.graph_made,
        "literal": loop,
        "literal_difference": compare_literal(case, out, default.run(default.slices)),
        "literal_cropped": cropped,
        "steps": list_steps(case, loop, cropped, timings, threads),
        "left_out": {
            f"{name}, {precision}": why for (name, precision), why in refusals.items() if why
        },
        "timings": [asdict(timing) for timing in timings],
        "fastest": [asdict(timing) for timing in fastest],
        "program": runs,
    }
