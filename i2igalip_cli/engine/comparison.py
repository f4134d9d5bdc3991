"""The picture of a translation: source and result side by side."""

from pathlib import Path

from i2igalip_cli.engine.translation import Translation
from i2igalip_cli.evaluation.pictures import draw_comparison, save_picture
from i2igalip_cli.volumes import Volume, volume_suffix


def preview_name(name: str) -> str:
    """Name of the picture beside an output."""
    suffix = volume_suffix(Path(name)) or ""
    return f"{name[: len(name) - len(suffix)]}_preview.png"


def save_preview(source: Volume, result: Translation, path: Path) -> None:
    """Draw a source and its translation.

    Args:
        source: What was translated.
        result: Its translation.
        path: A .png file; an older one is replaced.
    """
    name = "source" if result.source is None else result.source.name
    shown = [
        (name, source, result.window),
        (f"{result.target.name} (synthetic)", result.volume, result.out_window),
    ]
    save_picture(draw_comparison(shown), path)
