"""What `i2igalip translate` takes, in the panels of its help."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

_WHAT = "What to translate"
_OUTPUT = "Output"
_LOOK = "How good it is"
_MODEL = "Model"
_SPEED = "Speed"
_CLUSTER = "Many volumes on a cluster"

Inputs = Annotated[
    list[str] | None,
    Argument(
        help="Volumes (NIfTI and others, DICOM folders, files and archives), folders of them, "
        "quoted globs, or a BIDS dataset.",
        metavar="IN",
        rich_help_panel=_WHAT,
    ),
]
Targets = Annotated[
    list[str],
    Option(
        "--to",
        metavar="DOMAIN",
        help="Target domain, e.g. T2, or its caption; repeated for several from one read.",
        rich_help_panel=_WHAT,
    ),
]
Source = Annotated[
    str | None,
    Option("--from", metavar="DOMAIN", help="Domain of the source.", rich_help_panel=_WHAT),
]
ListFile = Annotated[
    Path | None,
    Option(
        "--list",
        metavar="FILE",
        help="File with an input a line; # begins a comment.",
        rich_help_panel=_WHAT,
    ),
]
Series = Annotated[
    str | None,
    Option(
        metavar="SERIES",
        help="DICOM: series number, UID or description pattern, or all.",
        rich_help_panel=_WHAT,
    ),
]
Place = Annotated[
    str | None,
    Option(metavar="N|all", help="Place on a fourth axis, from 0, or all.", rich_help_panel=_WHAT),
]
IrregularRule = Annotated[
    str,
    Option(
        metavar="RULE",
        help="DICOM slices that make no regular grid: fail, resample, nearest.",
        rich_help_panel=_WHAT,
    ),
]

Output = Annotated[
    Path | None,
    Option(
        "-o",
        "--output",
        metavar="PATH",
        help="A volume file, or a folder for any number of volumes with a table of them. Default "
        "for one volume: IN_TARGET beside IN, with its suffix; for BIDS: derivatives/i2igalip in "
        "it.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace outputs.", rich_help_panel=_OUTPUT)]
Resume = Annotated[
    bool,
    Option(
        "--resume",
        help="Go on with a folder: redo only what isn't finished.",
        rich_help_panel=_OUTPUT,
    ),
]
Format = Annotated[
    str | None,
    Option(
        metavar="FORMAT",
        help="Of the output: nifti, dicom; default that of the source.",
        rich_help_panel=_OUTPUT,
    ),
]
VoxelType = Annotated[
    str,
    Option(
        metavar="TYPE",
        help="Of the output's voxels: auto (CT int16, MR float32), float32, int16, uint16, source "
        "(its integer type).",
        rich_help_panel=_OUTPUT,
    ),
]
Preview = Annotated[
    bool,
    Option(
        "--preview",
        help="Also write OUT_preview.png: source and result.",
        rich_help_panel=_LOOK,
    ),
]
QualityCheck = Annotated[
    bool,
    Option(
        "--qc",
        help="Also say how far each result can be trusted, without its truth: a score, what it is "
        "made of, warnings of sources that aren't of their domain, and OUT_qc.nii.gz, where it is "
        "doubtful. About 3 to 5 times the work; needs the checkpoint's encoder.",
        rich_help_panel=_LOOK,
    ),
]
Report = Annotated[
    Path | None,
    Option(
        metavar="FILE.html",
        help="Also write a page of sources and results with a viewer, figures and warnings: one "
        "file that needs no network. It holds the images and their files' names.",
        rich_help_panel=_LOOK,
    ),
]
AsJson = Annotated[
    bool,
    Option(
        "--json",
        help="Print JSON to stdout: an object, or for one volume to several targets a list.",
        rich_help_panel=_OUTPUT,
    ),
]

Weights = Annotated[
    str | None,
    Option(
        metavar="MODEL",
        help="Checkpoint file, folder of a run or of download-weights --to, or shipped name; "
        "default the shipped one.",
        rich_help_panel=_MODEL,
    ),
]
Planes = Annotated[
    str | None,
    Option(
        metavar="PLANES",
        help="Plane of the slices: axial, coronal, sagittal, or all for the median of the three: "
        "smoother across slices, three times the work. Default the first that the model was "
        "trained for.",
        rich_help_panel=_MODEL,
    ),
]
Caption = Annotated[
    str | None,
    Option(
        metavar="TEXT",
        help="Say the target in your own words; --to still names it.",
        rich_help_panel=_MODEL,
    ),
]
Encoder = Annotated[
    str | None,
    Option(
        metavar="PATH",
        help="Where --caption and --qc find the checkpoint's encoder, if it has moved.",
        rich_help_panel=_MODEL,
    ),
]

Device = Annotated[
    str | None,
    Option(
        metavar="DEVICE",
        help="cpu, cuda, ...; default a GPU where there is one.",
        rich_help_panel=_SPEED,
    ),
]
Threads = Annotated[
    int | None,
    Option(
        metavar="N",
        help="Threads of the processor; default all. Never the result.",
        rich_help_panel=_SPEED,
    ),
]
BackendName = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="What runs the model: onnxruntime, torch, openvino; default the best for the device.",
        rich_help_panel=_SPEED,
    ),
]
Arithmetic = Annotated[
    str,
    Option(
        metavar="TYPE",
        help="float32, or where the device has it bfloat16 or float16: faster, and refused "
        "where it costs more than 0.1 dB of PSNR, measured on your volume.",
        rich_help_panel=_SPEED,
    ),
]
Compile = Annotated[
    bool,
    Option(
        "--compile",
        help="Let torch compile the model first: slow to begin, for many volumes.",
        rich_help_panel=_SPEED,
    ),
]
BatchSize = Annotated[
    int,
    Option(
        metavar="N",
        help="Slices between two reports of progress, at least. Never the result.",
        rich_help_panel=_SPEED,
    ),
]

ShardOf = Annotated[
    str | None,
    Option(
        metavar="I/N|slurm",
        help="Only share I (from 0) of N of the volumes; slurm: the array task's.",
        rich_help_panel=_CLUSTER,
    ),
]
Submit = Annotated[
    str | None,
    Option(
        metavar="slurm",
        help="Don't translate here: submit --jobs tasks and one that merges their tables to the "
        "cluster (needs i2igalip[slurm]).",
        rich_help_panel=_CLUSTER,
    ),
]
Jobs = Annotated[
    int | None,
    Option(metavar="N", help="--submit: share among up to N tasks.", rich_help_panel=_CLUSTER),
]
Slurm = Annotated[
    list[str] | None,
    Option(
        metavar="KEY=VALUE",
        help="--submit: option of sbatch, repeated: partition=gpu, gpus-per-node=1, time=120 "
        "(minutes; default 8 hours), mem=16G (default 8G) ...",
        rich_help_panel=_CLUSTER,
    ),
]
