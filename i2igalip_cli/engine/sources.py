"""What a volume is worth as a source for a checkpoint: refusals and warnings."""

import re
from dataclasses import replace

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.config import CropPolicy, Plane
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.translation import Translation
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import Box, count_above
from i2igalip_cli.volumes.intensity import IntensityWindow
from i2igalip_cli.volumes.slicing import in_plane_spacing

NEGATIVE_SHARE = 0.01  # of voxels: more is no magnitude image, or not only
FAINT = 0.05  # of the window: above most noise, below the foreground of the crop
LOST_SHARE = 0.05  # of the faint and bright voxels: more outside of the box is worth a warning
_CONTRASTS = [domain for domain in DOMAINS.values() if domain.bids]
SPACING_TOLERANCE = 1.25  # finer or coarser than training by more than this is worth a warning


def check_modality(volume: Volume, source: Domain | None, checkpoint: Checkpoint) -> None:
    """Refuse a volume whose file says that it is no image of the source's domain.

    CT needs its domain: only that has the window in HU.

    Raises:
        VolumeError: It is of another modality.
    """
    if volume.modality is None or (source is not None and source.modality == volume.modality):
        return
    if source is not None:
        raise VolumeError(f"a {volume.modality} image, but {source.name} is {source.modality}")
    if volume.modality == "CT":
        known = [domain.name for domain in checkpoint.domains if domain.modality == "CT"]
        way = f"say which with --from {known[0]}" if known else f"{checkpoint.name} knows MR only"
        raise VolumeError(f"a CT image; {way}")


def doubt_name(result: Translation, name: str) -> Translation:
    """A translation, with a warning where its source is called by another domain than it is of.

    Args:
        result: Of a volume that nobody looked at.
        name: Of its file or folder; a word of it may be a known contrast's name or BIDS suffix.
    """
    words = {word.casefold() for word in re.split(r"[^A-Za-z0-9]+", name)}
    called = [one.name for one in _CONTRASTS if words & {one.name.casefold(), one.bids.casefold()}]
    taken = "" if result.source is None else result.source.name
    if len(called) != 1 or called[0] == taken:
        return result
    if called[0] == result.target.name:
        doubt = f"by its name it is {result.target.name} already"
    elif taken in [one.name for one in _CONTRASTS]:  # no other kind of name, such as pelvic-MR
        doubt = f"by its name it is {called[0]}, but it is taken for {taken}"
    else:
        return result
    return replace(result, warnings=(doubt, *result.warnings))


def judge_volume(
    volume: Volume, source: Domain | None, checkpoint: Checkpoint, planes: tuple[Plane, ...]
) -> tuple[str, ...]:
    """What may be wrong with a volume as a source, a line each.

    Args:
        volume: As it was read.
        source: What it is said to be.
        checkpoint: What translates it.
        planes: In which of its planes.
    """
    found = list(volume.warnings)
    if (source is None or source.window is None) and volume.array.min() < 0:
        below = float((volume.array < 0).mean())
        if below > NEGATIVE_SHARE:
            found.append(
                f"{below:.0%} of its voxels are below 0 and count as 0; if it is CT, name its "
                "domain with --from"
            )
    if count := volume.nonfinite_voxels:
        found.append(f"{count} voxels were NaN or infinite; they count as no signal")
    for plane in planes:
        found.extend(_judge_spacing(volume, checkpoint, plane))
    return tuple(found)


def _judge_spacing(volume: Volume, checkpoint: Checkpoint, plane: Plane) -> list[str]:
    zoom = checkpoint.config.zoom
    pairs = zip(in_plane_spacing(volume.affine, plane), checkpoint.planes[plane], strict=True)
    return [
        f"{plane} pixels of {spacing:.2f} mm, but {checkpoint.name} was trained for "
        f"{trained / zoom:.2f} to {trained:.2f} mm; expect a worse result"
        for spacing, trained in pairs
        if not trained / zoom / SPACING_TOLERANCE <= spacing <= trained * SPACING_TOLERANCE
    ][:1]


def judge_box(
    volume: Volume, window: IntensityWindow, box: Box, crop: CropPolicy
) -> tuple[str, ...]:
    """A warning where much of what isn't air lies outside of the foreground's box.

    Args:
        volume: The source.
        window: What of it is 0 and 1.
        box: Of its foreground, along I, J, K.
        crop: The policy that the box was found by.
    """
    if crop.whole:
        return ()
    least = window.low + FAINT * (window.high - window.low)
    inside = count_above(volume.array[box], least)
    share = 1 - inside / max(count_above(volume.array, least), 1)
    if share <= LOST_SHARE:
        return ()
    extent = " x ".join(f"{part.start}-{part.stop}" for part in box)
    return (
        f"{share:.0%} of what is brighter than {FAINT:.0%} of the scale lies outside of the "
        f"foreground's box (voxels {extent}) and comes out empty: noise, or tissue that a coil's "
        "fall-off has darkened",
    )
