"""What `i2igalip evaluate` takes, in the panels of its help."""

from pathlib import Path
from typing import Annotated

from typer import Option

_WHAT = "What to compare"
_HOW = "How"
_OUTPUT = "Output"

Prediction = Annotated[
    Path | None,
    Option(
        "--pred",
        metavar="PATH",
        help="A volume (any format, a DICOM folder too), or a folder of volumes (all levels).",
        rich_help_panel=_WHAT,
    ),
]
Reference = Annotated[
    Path | None,
    Option(
        "--gt",
        metavar="PATH",
        help="Its reference; folders are paired by name, BIDS entities, or subject and domain "
        "(patient7_T2).",
        rich_help_panel=_WHAT,
    ),
]
Mask = Annotated[
    Path | None,
    Option(
        "--mask",
        metavar="PATH",
        help="Where to look (above 0): a volume or a folder.",
        rich_help_panel=_WHAT,
    ),
]
PredictedLabels = Annotated[
    Path | None,
    Option(
        "--labels-pred",
        metavar="PATH",
        help="Label maps made of the predictions, for Dice and HD95.",
        rich_help_panel=_WHAT,
    ),
]
Labels = Annotated[
    Path | None,
    Option(
        "--labels-gt",
        metavar="PATH",
        help="Label maps of the references.",
        rich_help_panel=_WHAT,
    ),
]
Pairs = Annotated[
    Path | None,
    Option(
        "--pairs",
        metavar="FILE",
        help="CSV in place of --pred and --gt, with a header: prediction,reference and, as wanted, "
        "mask,predicted_labels,labels,source,case,subject,target; paths relative to it.",
        rich_help_panel=_WHAT,
    ),
]
Pattern = Annotated[
    str | None,
    Option(
        "--pattern",
        metavar="NAME",
        help="How names are built, e.g. '{subject}_{domain}.nii.gz' or '{subject}/ct.*'.",
        rich_help_panel=_WHAT,
    ),
]
ReferencePattern = Annotated[
    str | None,
    Option(
        "--gt-pattern",
        metavar="NAME",
        help="How the references' names are built, if differently.",
        rich_help_panel=_WHAT,
    ),
]
Compare = Annotated[
    tuple[Path, Path] | None,
    Option(
        "--compare",
        metavar="A B",
        help="Two results of -o, of two methods: tests which is better, paired by subject.",
        rich_help_panel=_WHAT,
    ),
]

Protocols = Annotated[
    list[str] | None,
    Option(
        "--protocol",
        metavar="NAME",
        help="paper, fixed, multiscale, synthrad2023, synthrad2025; repeatable. Default paper and "
        "fixed.",
        rich_help_panel=_HOW,
    ),
]
ValueRange = Annotated[
    tuple[float, float] | None,
    Option(
        "--range",
        metavar="LOW HIGH",
        help="Intensities of the fixed protocol, e.g. -1024 3000 for CT; default each volume's own "
        "percentiles.",
        rich_help_panel=_HOW,
    ),
]
ModalityOf = Annotated[
    str | None,
    Option(
        "--modality",
        metavar="MR|CT",
        help="Of the references, where their files don't say.",
        rich_help_panel=_HOW,
    ),
]
Resample = Annotated[
    bool,
    Option(
        "--resample",
        help="Bring predictions that lie on another grid to the reference's, and say so.",
        rich_help_panel=_HOW,
    ),
]
Features = Annotated[
    list[str] | None,
    Option(
        "--features",
        metavar="NAME",
        help="Also FID and KID with an encoder's features (demo, biomedclip, a folder) or with "
        "inception's; repeatable.",
        rich_help_panel=_HOW,
    ),
]
Jobs = Annotated[
    int | None,
    Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Volumes at work at once; default one a core. Never the result.",
        rich_help_panel=_HOW,
    ),
]

Output = Annotated[
    Path | None,
    Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Also write every number as a long table: .csv, .json or .parquet.",
        rich_help_panel=_OUTPUT,
    ),
]
Report = Annotated[
    Path | None,
    Option(
        "--report",
        metavar="FILE.html",
        help="Also write a page to look at: plots, worst and best cases, a viewer.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool, Option("--overwrite", help="Replace output files.", rich_help_panel=_OUTPUT)
]
Method = Annotated[
    str | None,
    Option(
        "--method",
        metavar="NAME",
        help="What to call the predictions in comparisons; default their folder.",
        rich_help_panel=_OUTPUT,
    ),
]
AsJson = Annotated[
    bool, Option("--json", help="Print one JSON object to stdout.", rich_help_panel=_OUTPUT)
]
